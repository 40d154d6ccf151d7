"""What a field may hold: the same checks at every door, each refusal typed and naming its field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

from schemas import unkept
from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS
from schemas.ids import is_method_id
from schemas.personal import PERSONAL_BYTES_MAX, PERSONAL_CHARS_MAX, PERSONAL_NAMES
from schemas.records import (
    Attribution,
    PaymentCommand,
    PaymentIntent,
    ProviderNotice,
    ProviderResult,
    RejectionReason,
    Tenant,
)
from streams.core import ids, windows
from streams.core.errors import Refused

TENANT_CHARS_MAX = 64
KEY_CHARS_MAX = 255
TEXT_CHARS_MAX = 255
DESCRIPTION_CHARS_MAX = 1_000
METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500
FINGERPRINT_CHARS_MAX = 128
PROVIDER_TEXT_CHARS_MAX = 300
"""A provider's own words are cut there."""

RULES_MAX = 100
BASIS_POINTS_MAX = 10_000
CAPTURE_DAYS_MAX = 31
ACTION_HOURS_MAX = 31 * 24
AVAILABLE_DELAY_MS_MAX = 31 * 86_400_000
RESERVE_DAYS_MAX = 366
PAYOUT_DELAY_MS_MAX = 31 * 86_400_000
URL_CHARS_MAX = 2_000
EVIDENCE_KEYS_MAX = 30
EVIDENCE_VALUE_CHARS_MAX = 5_000

UPDATABLE = ("capture_method", "currency", "customer", "description", "evidence", "metadata")
"""What `given` may name."""
_UPDATABLE_OF = {
    "": frozenset(UPDATABLE) - {"evidence"},
    "ch_": frozenset({"description", "metadata"}),
    "re_": frozenset({"metadata"}),
    "dp_": frozenset({"evidence", "metadata"}),
}
"""By what an update is about: the payment itself, or a charge, refund or dispute of it."""

FUTURE_USAGES = ("off_session", "on_session")
CANCELLATION_REASONS = ("", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
REFUND_REASONS = ("", "duplicate", "fraudulent", "requested_by_customer")

_TENANT = re.compile(rf"[a-z0-9_-]{{1,{TENANT_CHARS_MAX}}}")
_PAYMENT_ID = re.compile(r"pi_[0-9a-f]{24}")
_CUSTOMER_KEY = re.compile(r"ck_[0-9a-f]{24}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_OUTCOMES: dict[str, frozenset[str]] = {
    "authorize": frozenset(
        {"authorized", "captured", "requires_action", "declined", "refused", "unknown", "integrity_failure"}
    ),
    "capture": frozenset({"captured", "declined", "refused", "unknown", "integrity_failure"}),
    "increment": frozenset({"incremented", "declined", "refused", "unknown", "integrity_failure"}),
    "void": frozenset({"voided", "declined", "refused", "unknown", "integrity_failure"}),
    "submit_evidence": frozenset({"evidence_submitted", "declined", "refused", "unknown"}),
    "accept_dispute": frozenset({"dispute_accepted", "declined", "refused", "unknown"}),
    "refund": frozenset(
        {"refunded", "refund_pending", "refund_failed", "declined", "refused", "unknown", "integrity_failure"}
    ),
}


def _refuse(reason: RejectionReason, field: str, message: str) -> NoReturn:
    raise Refused(reason=reason, field=field, message=message)


def safe_text(text: str) -> str:
    """An outsider's words as we may keep them: card numbers and secrets masked, and not too long."""
    return unkept.masked(text)[:PROVIDER_TEXT_CHARS_MAX]


def safe_url(url: str) -> str:
    """An outsider's address as we may keep it: none, where it is too long, not printable, or holds a card number or a secret."""
    return url if len(url) <= URL_CHARS_MAX and url.isprintable() and unkept.why(url) is None else ""


def _are_plain(*texts: str) -> bool:
    """Whether all texts together are short enough for each and hold nothing like a card number or a secret: nearly always."""
    together = "\n".join(texts)
    return len(together) <= TEXT_CHARS_MAX and not unkept.may_be(together)


def _check_texts(fields: Iterable[tuple[str, str, int]]) -> None:
    for field, text, chars_max in fields:
        if len(text) > chars_max:
            _refuse("invalid_field", field, f"{field} has {len(text)} characters; at most {chars_max} are allowed.")


_LOOKS_LIKE = {
    "card_number": "a card number; send a token instead.",
    "secret": "a secret key; leave it out, and roll it: it is compromised by having been sent.",
}


def _check_cards(fields: Iterable[tuple[str, str]]) -> None:
    for field, text in fields:
        if reason := unkept.why(text):
            _refuse(reason, field, f"{field} holds what looks like {_LOOKS_LIKE[reason]}")


def _check_texts_and_cards(texts: tuple[tuple[str, str, int], ...]) -> None:
    """Field, text and most characters: each is short enough, and none holds a card number or a secret."""
    _check_texts(texts)
    _check_cards((field, text) for field, text, _ in texts)


def _check_tenant(tenant: str) -> None:
    if not _TENANT.fullmatch(tenant):
        _refuse("invalid_field", "tenant", f"A tenant id has 1 to {TENANT_CHARS_MAX} characters of a-z, 0-9, _ and -.")


def _check_payment_id(payment_id: str) -> None:
    if not _PAYMENT_ID.fullmatch(payment_id):
        _refuse("invalid_field", "payment_id", "A payment id is pi_ and 24 hexadecimal digits.")


def _check_key(field: str, key: str) -> None:
    if not 0 < len(key) <= KEY_CHARS_MAX or not key.isprintable():
        _refuse("invalid_field", field, f"{field} needs 1 to {KEY_CHARS_MAX} printable characters.")


def _check_amount(amount_minor: int) -> None:
    if not 0 < amount_minor <= AMOUNT_MINOR_MAX:
        _refuse("invalid_amount", "amount_minor", f"amount_minor must be 1 to {AMOUNT_MINOR_MAX} minor units.")


def _check_currency(currency: str) -> None:
    if currency not in EXPONENTS:
        _refuse("unknown_currency", "currency", "currency must be an active ISO 4217 code in upper case, such as EUR.")


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > METADATA_KEYS_MAX:
        _refuse(
            "invalid_field", "metadata", f"metadata has {len(metadata)} keys; at most {METADATA_KEYS_MAX} are allowed."
        )
    for key, value in metadata.items():
        if not 0 < len(key) <= METADATA_KEY_CHARS_MAX:
            _refuse("invalid_field", "metadata", f"A metadata key has 1 to {METADATA_KEY_CHARS_MAX} characters.")
        if len(value) > METADATA_VALUE_CHARS_MAX:
            _refuse("invalid_field", "metadata", f"A metadata value has at most {METADATA_VALUE_CHARS_MAX} characters.")


def _check_personal(personal: Mapping[str, str]) -> None:
    """Known names and short values; neither is repeated in a refusal, since an unknown name may be data put in its place."""
    if not personal.keys() <= PERSONAL_NAMES:
        message = f"personal has a name that is not known. Known are {', '.join(sorted(PERSONAL_NAMES))}."
        _refuse("invalid_field", "personal", message)
    _check_texts_and_cards(tuple((f"personal.{name}", text, PERSONAL_CHARS_MAX) for name, text in personal.items()))
    if sum(len(name) + len(text.encode()) for name, text in personal.items()) > PERSONAL_BYTES_MAX // 2:
        _refuse("invalid_field", "personal", f"personal has more than {PERSONAL_BYTES_MAX // 2} bytes in all.")


def _check_sealed(command: PaymentCommand) -> None:
    """Personal data comes sealed, with a new payment, and says with which key."""
    if command.kind != "create":
        _refuse("invalid_field", "personal", "Personal data comes with the create of a payment, and never changes.")
    if not command.personal:
        _refuse("invalid_field", "personal", "personal_key names a key, but personal is empty.")
    if not _CUSTOMER_KEY.fullmatch(command.personal_key):
        message = "personal_key must be ck_ and 24 hexadecimal digits: personal data is sealed before it comes here."
        _refuse("invalid_field", "personal_key", message)
    if len(command.personal) > PERSONAL_BYTES_MAX:
        _refuse("invalid_field", "personal", f"personal has more than {PERSONAL_BYTES_MAX} bytes.")


def _check_traceparent(traceparent: str, field: str) -> None:
    if traceparent and not _TRACEPARENT.fullmatch(traceparent):
        _refuse("invalid_field", field, "traceparent must be W3C trace context, or empty.")


def _check_attribution(who: Attribution) -> None:
    if who.actor_kind == "unrecognized":
        _refuse("invalid_field", "attribution.actor_kind", "Every command says what kind of actor it comes from.")
    _check_key("attribution.idempotency_key", who.idempotency_key)
    _check_traceparent(who.traceparent, "attribution.traceparent")
    if _are_plain(who.actor_id, who.on_behalf_of, who.reason, who.request_id, who.idempotency_key):
        return
    texts = (
        ("attribution.actor_id", who.actor_id, TEXT_CHARS_MAX),
        ("attribution.on_behalf_of", who.on_behalf_of, TEXT_CHARS_MAX),
        ("attribution.reason", who.reason, TEXT_CHARS_MAX),
        ("attribution.request_id", who.request_id, TEXT_CHARS_MAX),
    )
    _check_texts(texts)
    _check_cards((("attribution.idempotency_key", who.idempotency_key), *((field, text) for field, text, _ in texts)))


def attribution_texts(who: Attribution) -> tuple[tuple[str, str, int], ...]:
    """What an attribution of the outside's says in texts, by field, with the most characters of each."""
    return (
        ("attribution.on_behalf_of", who.on_behalf_of, TEXT_CHARS_MAX),
        ("attribution.reason", who.reason, TEXT_CHARS_MAX),
        ("attribution.request_id", who.request_id, TEXT_CHARS_MAX),
        ("attribution.idempotency_key", who.idempotency_key, KEY_CHARS_MAX),
    )


def check_intent(intent: PaymentIntent) -> None:
    """Raises `Refused` when an upstream system's intent breaks its contract. Whether the tenant is known is not asked."""
    _check_tenant(intent.tenant)
    _check_key("intent_key", intent.intent_key)
    _check_amount(intent.amount_minor)
    _check_currency(intent.currency)
    if intent.capture_method == "unrecognized":
        _refuse("invalid_field", "capture_method", "capture_method must be automatic or manual.")
    if intent.confirm and not intent.payment_method:
        _refuse("invalid_field", "payment_method", "An intent that is to be charged at once needs a payment_method.")
    texts = (
        ("payment_method", intent.payment_method, TEXT_CHARS_MAX),
        ("customer", intent.customer, TEXT_CHARS_MAX),
        ("description", intent.description, DESCRIPTION_CHARS_MAX),
        ("upstream", intent.upstream, TEXT_CHARS_MAX),
        ("request_id", intent.request_id, TEXT_CHARS_MAX),
    )
    _check_texts(texts)
    _check_metadata(intent.metadata)
    if intent.personal:
        _check_personal(intent.personal)
    _check_traceparent(intent.traceparent, "traceparent")
    _check_cards((("intent_key", intent.intent_key), *((field, text) for field, text, _ in texts)))
    _check_cards(("metadata", text) for pair in intent.metadata.items() for text in pair)


def check_command(command: PaymentCommand) -> None:
    """Raises `Refused` when a command breaks its contract, whatever the state of its payment."""
    _check_tenant(command.tenant)
    _check_payment_id(command.payment_id)
    if command.kind == "unrecognized":
        _refuse("invalid_field", "kind", "kind must be one of CommandKind's symbols.")
    who = command.attribution
    _check_attribution(who)
    _check_amounts(command)
    if command.kind == "cancel" and command.reason not in CANCELLATION_REASONS:
        _refuse("invalid_field", "reason", f"A cancellation's reason is one of {', '.join(CANCELLATION_REASONS[1:])}.")
    if command.kind == "refund" and command.reason not in REFUND_REASONS:
        _refuse("invalid_field", "reason", f"A refund's reason is one of {', '.join(REFUND_REASONS[1:])}.")
    if command.kind == "propose" and not 0 < len(command.resolution) <= TEXT_CHARS_MAX:
        _refuse("invalid_field", "resolution", "A proposal says what it resolves to.")
    if command.given:
        _check_given(command)
    if command.kind == "update" and command.object_id and command.object_id[:3] not in _UPDATABLE_OF:
        _refuse(
            "invalid_field", "object_id", "An update is about a payment, or about a charge, refund or dispute of it."
        )
    if command.reply_partition is not None and command.reply_partition < 0:
        _refuse("invalid_field", "reply_partition", "reply_partition must not be negative.")
    _check_saving(command)
    _check_command_texts(command)


def _check_saving(command: PaymentCommand) -> None:
    """A saved method comes with its token; it is saved for later by payments that are made or confirmed."""
    if command.saved_method and not (is_method_id(command.saved_method) and command.payment_method):
        _refuse("invalid_field", "saved_method", "saved_method is pm_ and 24 hexadecimal digits, beside its token.")
    if command.setup_future_usage and (
        command.setup_future_usage not in FUTURE_USAGES or command.kind not in ("create", "confirm")
    ):
        _refuse(
            "invalid_field",
            "setup_future_usage",
            f"setup_future_usage is one of {', '.join(FUTURE_USAGES)}, of a create or confirm.",
        )


def _check_amounts(command: PaymentCommand) -> None:
    """Amounts where they are needed, and whatever amounts there are."""
    if command.kind == "create":
        _check_create(command)
    elif command.kind == "increment" and command.amount_minor is None:
        _refuse("invalid_amount", "amount_minor", "An increment names the whole new amount.")
    elif command.amount_minor is not None:
        _check_amount(command.amount_minor)


def _check_given(command: PaymentCommand) -> None:
    """What a command says it changes, it may change."""
    may = _UPDATABLE_OF.get(command.object_id[:3]) if command.kind in ("update", "submit_evidence") else None
    if may is None or not may.issuperset(command.given):
        _refuse(
            "invalid_field", "given", f"given names some of {', '.join(sorted(may or ()))}, and nothing here otherwise."
        )
    if "currency" in command.given:
        _check_currency(command.currency)
    if "capture_method" in command.given and command.capture_method == "unrecognized":
        _refuse("invalid_field", "capture_method", "capture_method must be automatic or manual.")


def _check_create(command: PaymentCommand) -> None:
    if command.amount_minor is None:
        _refuse("invalid_amount", "amount_minor", "A payment needs an amount.")
    _check_amount(command.amount_minor)
    _check_currency(command.currency)
    if command.capture_method == "unrecognized":
        _refuse("invalid_field", "capture_method", "capture_method must be automatic or manual.")
    if command.payment_id != ids.payment_id(command.tenant, command.attribution.idempotency_key):
        _refuse("invalid_field", "payment_id", "A new payment's id is the hash of tenant and idempotency key.")


def _check_command_texts(command: PaymentCommand) -> None:
    if command.metadata:
        _check_metadata(command.metadata)
        _check_cards(("metadata", text) for pair in command.metadata.items() for text in pair)
    if command.personal or command.personal_key:
        _check_sealed(command)
    if command.evidence:
        _check_evidence(command.evidence)
    if len(command.fingerprint) <= FINGERPRINT_CHARS_MAX and _are_plain(
        command.payment_method,
        command.customer,
        command.description,
        command.fingerprint,
        command.correlation_id,
        command.reason,
        command.object_id,
        command.resolution,
        command.currency,
    ):
        return
    texts = (
        ("payment_method", command.payment_method, TEXT_CHARS_MAX),
        ("customer", command.customer, TEXT_CHARS_MAX),
        ("description", command.description, DESCRIPTION_CHARS_MAX),
        ("fingerprint", command.fingerprint, FINGERPRINT_CHARS_MAX),
        ("correlation_id", command.correlation_id, TEXT_CHARS_MAX),
        ("reason", command.reason, TEXT_CHARS_MAX),
        ("object_id", command.object_id, TEXT_CHARS_MAX),
        ("resolution", command.resolution, TEXT_CHARS_MAX),
        ("currency", command.currency, TEXT_CHARS_MAX),
    )
    _check_texts_and_cards(texts)


def _check_evidence(evidence: Mapping[str, str]) -> None:
    if len(evidence) > EVIDENCE_KEYS_MAX:
        _refuse(
            "invalid_field", "evidence", f"evidence has {len(evidence)} texts; at most {EVIDENCE_KEYS_MAX} are allowed."
        )
    for key, value in evidence.items():
        if not 0 < len(key) <= METADATA_KEY_CHARS_MAX or len(value) > EVIDENCE_VALUE_CHARS_MAX:
            message = (
                f"A text of evidence has a name of 1 to {METADATA_KEY_CHARS_MAX} characters and at most "
                f"{EVIDENCE_VALUE_CHARS_MAX} characters."
            )
            _refuse("invalid_field", "evidence", message)
    _check_cards(("evidence", text) for pair in evidence.items() for text in pair)


def check_notice(notice: ProviderNotice) -> None:
    """Raises `Refused` when a provider's notice breaks its contract, whatever the state of its payment."""
    _check_tenant(notice.tenant)
    _check_payment_id(notice.payment_id)
    if notice.kind != "dispute":
        _refuse("invalid_field", "kind", "kind must be dispute.")
    if notice.dispute_status == "unrecognized":
        _refuse("invalid_field", "dispute_status", "dispute_status must be one of DisputeStatus' symbols.")
    _check_key("notice_id", notice.notice_id)
    _check_key("dispute_reference", notice.dispute_reference)
    _check_key("charge_reference", notice.charge_reference)
    _check_key("provider", notice.provider)
    _check_amount(notice.amount_minor)
    _check_currency(notice.currency)
    if notice.sequence < 1:
        _refuse("invalid_field", "sequence", "sequence counts from 1.")
    if not 0 <= notice.withdrawn_minor <= AMOUNT_MINOR_MAX:
        _refuse("invalid_amount", "withdrawn_minor", f"withdrawn_minor must be 0 to {AMOUNT_MINOR_MAX} minor units.")
    if not 0 <= notice.provider_fee_minor <= AMOUNT_MINOR_MAX:
        _refuse("invalid_amount", "provider_fee_minor", f"A fee must be 0 to {AMOUNT_MINOR_MAX} minor units.")
    if not 0 <= notice.evidence_due_ms <= windows.TIME_MS_MAX:
        _refuse("invalid_field", "evidence_due_ms", "evidence_due_ms is no time of this calendar.")
    who = notice.attribution
    _check_traceparent(who.traceparent, "attribution.traceparent")
    _check_texts_and_cards(attribution_texts(who))
    named = ("notice_id", "dispute_reference", "charge_reference", "provider")
    _check_cards((field, getattr(notice, field)) for field in named)


def check_result(result: ProviderResult) -> None:
    """Raises `Refused` when a provider result breaks its contract, whatever the state of its payment."""
    _check_tenant(result.tenant)
    _check_payment_id(result.payment_id)
    fitting = _OUTCOMES.get(result.operation)
    if fitting is None:
        _refuse("invalid_field", "operation", "operation must be authorize, capture, void or refund.")
    if result.outcome not in fitting:
        _refuse("invalid_field", "outcome", f"{result.outcome} does not answer {result.operation}.")
    if not 0 <= result.amount_minor <= AMOUNT_MINOR_MAX:
        _refuse("invalid_amount", "amount_minor", f"amount_minor must be 0 to {AMOUNT_MINOR_MAX} minor units.")
    if not 0 <= result.provider_fee_minor <= AMOUNT_MINOR_MAX:
        _refuse("invalid_amount", "provider_fee_minor", f"A fee must be 0 to {AMOUNT_MINOR_MAX} minor units.")
    _check_traceparent(result.attribution.traceparent, "attribution.traceparent")
    _check_result_texts(result)


def _check_result_texts(result: ProviderResult) -> None:
    who = result.attribution
    if _are_plain(
        result.provider_reference,
        result.decline_code,
        result.settlement_currency,
        result.fx_rate,
        who.on_behalf_of,
        who.reason,
        who.request_id,
        who.idempotency_key,
    ):
        return
    texts = (
        ("provider_reference", result.provider_reference, TEXT_CHARS_MAX),
        ("decline_code", result.decline_code, TEXT_CHARS_MAX),
        ("settlement_currency", result.settlement_currency, TEXT_CHARS_MAX),
        ("fx_rate", result.fx_rate, TEXT_CHARS_MAX),
        *attribution_texts(who),
    )
    _check_texts_and_cards(texts)


def _check_terms(tenant: Tenant) -> None:
    """What a tenant pays, and how long things last."""
    if len(tenant.fees) > RULES_MAX or len(tenant.capture_rules) > RULES_MAX:
        _refuse("invalid_field", "fees", f"A tenant has at most {RULES_MAX} rules of a kind.")
    for one in tenant.fees:
        if one.currency and one.currency not in EXPONENTS:
            _refuse("unknown_currency", "fees.currency", "A fee's currency is an active ISO 4217 code, or empty.")
        if not 0 <= one.basis_points <= BASIS_POINTS_MAX:
            _refuse("invalid_field", "fees.basis_points", f"basis_points must be 0 to {BASIS_POINTS_MAX}.")
        if not (0 <= one.fixed_minor <= AMOUNT_MINOR_MAX and 0 <= one.dispute_minor <= AMOUNT_MINOR_MAX):
            _refuse("invalid_amount", "fees", f"A fixed fee must be 0 to {AMOUNT_MINOR_MAX} minor units.")
    for days in (tenant.capture_days, *(one.days for one in tenant.capture_rules)):
        if not 1 <= days <= CAPTURE_DAYS_MAX:
            _refuse("invalid_field", "capture_days", f"An authorisation lasts 1 to {CAPTURE_DAYS_MAX} days.")
    if not 1 <= tenant.action_hours <= ACTION_HOURS_MAX:
        _refuse("invalid_field", "action_hours", f"A challenge lasts 1 to {ACTION_HOURS_MAX} hours.")
    if not 0 <= tenant.available_delay_ms <= AVAILABLE_DELAY_MS_MAX:
        _refuse("invalid_field", "available_delay_ms", f"available_delay_ms must be 0 to {AVAILABLE_DELAY_MS_MAX}.")
    _check_reserve(tenant)


def _check_reserve(tenant: Tenant) -> None:
    """What is kept of captures, and the currency that they settle in."""
    if not 0 <= tenant.reserve_basis_points <= BASIS_POINTS_MAX:
        _refuse("invalid_field", "reserve_basis_points", f"reserve_basis_points must be 0 to {BASIS_POINTS_MAX}.")
    days_min = 1 if tenant.reserve_basis_points else 0
    if not days_min <= tenant.reserve_days <= RESERVE_DAYS_MAX:
        _refuse("invalid_field", "reserve_days", f"A reserve is kept 1 to {RESERVE_DAYS_MAX} days.")
    if tenant.settlement_currency and tenant.settlement_currency not in EXPONENTS:
        message = "settlement_currency is an active ISO 4217 code in upper case, or empty."
        _refuse("unknown_currency", "settlement_currency", message)


def _check_payouts(tenant: Tenant) -> None:
    """Who makes payouts, and how long they can be canceled."""
    if not 0 <= tenant.payout_delay_ms <= PAYOUT_DELAY_MS_MAX:
        _refuse("invalid_field", "payout_delay_ms", f"payout_delay_ms must be 0 to {PAYOUT_DELAY_MS_MAX}.")
    if tenant.payout_schedule == "unrecognized":
        _refuse("invalid_field", "payout_schedule", "payout_schedule must be manual or automatic.")


def check_tenant(tenant: Tenant) -> None:
    """Raises `Refused` when a tenant's configuration can't be worked with."""
    _check_tenant(tenant.tenant)
    if tenant.status == "unrecognized":
        _refuse("invalid_field", "status", "status must be active or suspended.")
    _check_terms(tenant)
    _check_payouts(tenant)
    field = windows.fault(
        timezone=tenant.timezone,
        cutoff=tenant.settlement_cutoff,
        interval_ms=tenant.settlement_interval_ms,
        grace_ms=tenant.settlement_grace_ms,
    )
    if field:
        _refuse("invalid_field", *field)


def check_time(time_ms: int) -> None:
    """Raises `Refused` when a record's timestamp is no time that can be worked with."""
    if not windows.TIME_MS_MIN <= time_ms <= windows.TIME_MS_MAX:
        _refuse("invalid_field", "timestamp", f"{time_ms} ms is no time of a payment; set the record's timestamp.")


def check_cards(fields: Iterable[tuple[str, str]]) -> None:
    """Raises `Refused` where a text, given with its field's name, holds what looks like a card number or a secret."""
    _check_cards(fields)


def check_own_words(tenant: str, who: Attribution, metadata: Mapping[str, str]) -> None:
    """Raises `Refused` when a command's tenant, attribution or metadata break what every command keeps to."""
    _check_tenant(tenant)
    _check_attribution(who)
    _check_metadata(metadata)
    _check_cards(("metadata", text) for pair in metadata.items() for text in pair)
