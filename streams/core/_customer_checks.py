"""What a command about customers may hold, whatever the state of what it is about."""

from __future__ import annotations

import re
from typing import NoReturn

from schemas.ids import (
    customer_id,
    is_customer_id,
    is_method_id,
    is_payment_id,
    is_setup_id,
    method_id,
    setup_id,
)
from schemas.personal import CUSTOMER_FIELD_BYTES_MAX, CUSTOMER_NAMES
from schemas.records import CustomerCommand, RejectionReason
from streams.core import checks
from streams.core.errors import Refused

TOKEN_CHARS_MAX = 255
USAGES = ("off_session", "on_session")
SETUP_REASONS = ("", "abandoned", "duplicate", "requested_by_customer")

_CUSTOMER_KEY = re.compile(r"ck_[0-9a-f]{24}")
_TOKEN = re.compile(rf"[A-Za-z0-9_.:=+/-]{{4,{TOKEN_CHARS_MAX}}}")
_MADE = {"create_customer": customer_id, "create_method": method_id, "create_setup": setup_id}
_ABOUT_CUSTOMERS = ("create_customer", "update_customer", "delete_customer")
_ABOUT_SETUPS = ("create_setup", "update_setup", "confirm_setup", "cancel_setup", "complete_action")


def _refuse(field: str, message: str, *, reason: RejectionReason = "invalid_field") -> NoReturn:
    raise Refused(reason=reason, field=field, message=message)


def check(command: CustomerCommand) -> None:
    """Raises `Refused` when a command breaks its contract."""
    checks.check_own_words(command.tenant, command.attribution, command.metadata)
    kind = command.kind
    if kind == "unrecognized":
        _refuse("kind", "kind must be one of CustomerCommandKind's symbols.")
    fits = is_customer_id if kind in _ABOUT_CUSTOMERS else is_setup_id if kind in _ABOUT_SETUPS else is_method_id
    if not fits(command.object_id):
        _refuse("object_id", "An id is cus_, pm_ or seti_, as the kind asks for, and 24 hexadecimal digits.")
    made = _MADE.get(kind)
    if made is not None and command.object_id != made(command.tenant, command.attribution.idempotency_key):
        _refuse("object_id", "A new object's id is the hash of tenant and idempotency key.")
    if command.customer and not is_customer_id(command.customer):
        _refuse("customer", "customer must be cus_ and 24 hexadecimal digits.")
    for field in ("method", "default_method"):
        value = getattr(command, field)
        if value and not is_method_id(value):
            _refuse(field, f"{field} must be pm_ and 24 hexadecimal digits.")
    if command.payment_id and not is_payment_id(command.payment_id):
        _refuse("payment_id", "payment_id must be pi_ and 24 hexadecimal digits.")
    if command.reply_partition is not None and command.reply_partition < 0:
        _refuse("reply_partition", "reply_partition must not be negative.")
    _check_token(command)
    _check_words(command)
    _check_personal(command)


def _check_token(command: CustomerCommand) -> None:
    if not command.token:
        if command.kind == "create_method":
            _refuse("token", "A payment method is made of a token.")
        return
    checks.check_cards((("token", command.token),))
    if not _TOKEN.fullmatch(command.token):
        _refuse("token", f"A token has 4 to {TOKEN_CHARS_MAX} letters, digits and signs of _.:=+/-.")


def _check_words(command: CustomerCommand) -> None:
    if command.kind == "create_setup" and command.usage not in USAGES:
        _refuse("usage", f"usage must be one of {', '.join(USAGES)}.")
    if command.kind == "cancel_setup" and command.reason not in SETUP_REASONS:
        _refuse("reason", f"A cancellation's reason is one of {', '.join(SETUP_REASONS[1:])}.")
    if len(command.metadata_removed) > checks.METADATA_KEYS_MAX:
        _refuse("metadata_removed", f"At most {checks.METADATA_KEYS_MAX} keys can be removed at once.")
    if len(command.fingerprint) > checks.FINGERPRINT_CHARS_MAX:
        _refuse("fingerprint", f"fingerprint has at most {checks.FINGERPRINT_CHARS_MAX} characters.")
    texts = (("fingerprint", command.fingerprint), ("correlation_id", command.correlation_id))
    if len(command.correlation_id) > checks.TEXT_CHARS_MAX:
        _refuse("correlation_id", f"correlation_id has at most {checks.TEXT_CHARS_MAX} characters.")
    checks.check_cards((*texts, *(("metadata_removed", name) for name in command.metadata_removed)))


def _check_personal(command: CustomerCommand) -> None:
    """Known names, each once, sealed. What is in them nobody here can tell."""
    if command.personal and command.kind not in ("create_customer", "update_customer"):
        _refuse("personal", "Personal data belongs to customers.")
    names = [one.name for one in command.personal]
    if len(set(names)) != len(names) or not CUSTOMER_NAMES.issuperset(names):
        _refuse("personal", f"personal has each of {', '.join(sorted(CUSTOMER_NAMES))} once at most.")
    for one in command.personal:
        if len(one.sealed) > CUSTOMER_FIELD_BYTES_MAX:
            _refuse("personal", f"A sealed field has at most {CUSTOMER_FIELD_BYTES_MAX} bytes.")
        if one.sealed and not _CUSTOMER_KEY.fullmatch(one.key_id):
            _refuse(
                "personal",
                "key_id must be ck_ and 24 hexadecimal digits: personal data is sealed before it comes here.",
            )
