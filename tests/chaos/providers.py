"""What the providers' own books say of disputes, held against the log: every notice once, and each dispute as they have it."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas import catalogue
from schemas.records import PaymentEvent, PayoutResult, ProviderNotice
from tests.chaos.checks import Check, any_of
from tests.chaos.log import Log

PROVIDERS = ("northpay", "southpay")
PAGE = 500
_TIMEOUT_S = 30
_EXCESS = "provider_disputed:"


class Told(NamedTuple):
    """A provider's notice, as far as it is compared. `dispute` empty: it is about a payout."""

    provider: str
    notice_id: str
    dispute: str
    sequence: int
    status: str
    withdrawn_minor: int


def notices(simulator: str) -> list[Told]:
    """Everything that the simulated providers have told, in order."""
    found: list[Told] = []
    for provider in PROVIDERS:
        after = 0
        while page := _page(f"{simulator}/{provider}/v1/notices?after={after}&limit={PAGE}"):
            found += [Told(provider, *(one[name] for name in Told._fields[1:])) for one in page]
            after = page[-1]["number"]
    return found


def _page(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        return list(json.load(answer)["data"])


def check_notices(log: Log, told: Iterable[Told]) -> list[Check]:
    """Each notice is on the log once; each dispute stands where its provider's last word puts it, with its money."""
    once = Check("every notice of a provider is on the log once, and no other")
    books = Check("disputes stand as the providers' books have them, with their money")
    theirs = {(one.provider, one.notice_id): one for one in told}
    found = _on_log(log)
    once.count = len(theirs)
    for key in theirs.keys() | found.keys():
        if found[key] != (key in theirs):
            once.fault(f"notice {key[1]} of {key[0]} is on the log {found[key]} times")
    last = {(one.provider, one.dispute): one for one in theirs.values() if one.dispute}
    ours = _disputes(log)
    books.count = len(last)
    for of in last.keys() | ours.keys():
        says, we = last.get(of), ours.get(of)
        if says is None or we is None or (says.status, says.withdrawn_minor) != we:
            books.fault(f"dispute {of[1]} of {of[0]}: {says}, and we have {we}")
    return [once, books]


def untold(log: Log, simulator: str) -> int:
    """How many notices there are that the gateway has not read yet."""
    found = _on_log(log)
    return sum((one.provider, one.notice_id) not in found for one in notices(simulator))


def _on_log(log: Log) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for topic in (catalogue.PAYMENTS_INPUTS.name, catalogue.SETTLEMENT_INPUTS.name):
        for partition in log.partitions(topic):
            for record in log.records(topic, partition):
                message = any_of(record)
                if isinstance(message, ProviderNotice):
                    found[message.provider, message.notice_id] += 1
                elif isinstance(message, PayoutResult) and not message.request_id.startswith(message.payout_id):
                    found[message.provider, message.request_id] += 1  # told of its own accord, not asked for
    return found


def _disputes(log: Log) -> dict[tuple[str, str], tuple[str, int]]:
    """By provider and its reference: the status, and all that was taken back, what the tenant doesn't bear included."""
    standing: dict[tuple[str, str], tuple[str, int]] = {}
    excess: Counter[tuple[str, str]] = Counter()
    for partition in log.partitions(catalogue.PAYMENTS_EVENTS.name):
        for record in log.records(catalogue.PAYMENTS_EVENTS.name, partition):
            event = any_of(record)
            if isinstance(event, PaymentEvent) and event.dispute is not None:
                of = event.dispute.provider, event.dispute.provider_reference
                excess[of] += sum(leg.amount_minor for leg in event.postings if leg.account.startswith(_EXCESS))
                standing[of] = event.dispute.status, event.dispute.withdrawn_minor
    return {of: (status, taken_minor + excess[of]) for of, (status, taken_minor) in standing.items()}
