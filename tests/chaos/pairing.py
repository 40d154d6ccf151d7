"""What belongs together on the log: commands and who sent them, requests and their one definite result. Handlers are not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from schemas import catalogue
from schemas.partitioner import partition_of
from schemas.records import (
    CustomerCommand,
    PaymentCommand,
    PayoutCommand,
    PayoutRequest,
    PayoutResult,
    ProviderNotice,
    ProviderRequest,
    ProviderResult,
)
from schemas.records import Record as Message
from tests.chaos.checks import Check, Sent, any_of, decoded, fingerprint
from tests.chaos.compare import compare_counts
from tests.chaos.log import Log
from tests.chaos.names import CUSTOMERS, INDEFINITE, INPUTS, PAYOUT_INDEFINITE, REQUESTS, SETTLEMENTS


def is_wish(message: Message | None) -> bool:
    """A method to save: what a payment's success asks for, and nobody else."""
    return isinstance(message, CustomerCommand) and message.kind == "save_method"


class Pairing:
    """Checks of what has to be there as often as something else says; `check` begins one by its name."""

    def __init__(self, log: Log, sent: Sent | None, check: Callable[[str], Check]) -> None:
        self._log, self._sent, self._check = log, sent, check

    def inputs(self, ours: Check, made: Counter[bytes]) -> None:
        """Every command on the input log is intake's (`made`) or the load's; every request has one definite result."""
        theirs = self._check("commands on the input log are those that were sent")
        results = self._check("every request has one definite result")
        places = self._check("every keyed input lies on its key's partition")
        commands: Counter[bytes] = Counter()
        definite: Counter[str] = Counter()
        partitions = self._log.partitions(INPUTS)
        for partition in partitions:
            for record in self._log.records(INPUTS, partition):
                message = decoded(record, catalogue.PAYMENTS_INPUTS)
                if isinstance(message, PaymentCommand):
                    commands[fingerprint(record.key, record.value)] += 1
                elif isinstance(message, ProviderResult) and message.outcome not in INDEFINITE:
                    definite[message.request_id] += 1
                if isinstance(message, PaymentCommand | ProviderResult | ProviderNotice):
                    places.count += 1
                    if record.key is None or partition_of(record.key, len(partitions)) != partition:
                        places.fault(f"{INPUTS}[{partition}] offset {record.offset}: key {record.key!r}")
        sent = self._sent.commands if self._sent is not None else commands - made
        compare_counts(ours, made, commands - sent, "command of intake", counted=False)
        compare_counts(theirs, sent, commands - made, "command")
        self._answered(results, definite)

    def _answered(self, results: Check, definite: Counter[str]) -> None:
        """An operator's inquiry has no result of its own; the request that it asks about may have one more for it."""
        told: Counter[str] = Counter()
        inquired: Counter[str] = Counter()
        for partition in self._log.partitions(REQUESTS):
            for record in self._log.records(REQUESTS, partition):
                request = decoded(record, catalogue.PROVIDER_REQUESTS)
                if isinstance(request, PayoutRequest):
                    continue
                assert isinstance(request, ProviderRequest), f"{REQUESTS}[{partition}] offset {record.offset}"
                results.count += 1
                if request.operation == "inquire":
                    inquired[request.request_id.rpartition("_inquire_")[0]] += 1
                else:
                    told[request.request_id] = definite.pop(request.request_id, 0)
        for request_id, times in told.items():
            if not 1 <= times <= 1 + inquired[request_id]:
                results.fault(f"request {request_id} was answered {times} times")
        for request_id in definite:
            results.fault(f"a result names request {request_id}, which nobody made (or made twice)")

    def commanded(self) -> None:
        """Commands about payouts and customers: but for payments' wishes, only the load sends any."""
        for topic, kind, name, sent in (
            (SETTLEMENTS, PayoutCommand, "settlement", None if self._sent is None else self._sent.payouts),
            (CUSTOMERS, CustomerCommand, "customers'", None if self._sent is None else self._sent.customers),
        ):
            check = self._check(f"commands on the {name} log are those that were sent")
            found: Counter[bytes] = Counter()
            for partition in self._log.partitions(topic):
                for record in self._log.records(topic, partition):
                    message = any_of(record)
                    if isinstance(message, kind) and not is_wish(message):
                        found[fingerprint(record.key, record.value)] += 1
            compare_counts(check, found if sent is None else sent, found, "command")

    def paid(self) -> None:
        """Every payout that a provider was asked for has one definite result; later ones come of the provider's own accord."""
        check = self._check("every payout that was asked for has one definite result")
        told: Counter[str] = Counter()
        for partition in self._log.partitions(SETTLEMENTS):
            for record in self._log.records(SETTLEMENTS, partition):
                message = any_of(record)
                if isinstance(message, PayoutResult) and message.outcome not in PAYOUT_INDEFINITE:
                    told[message.request_id] += 1
        for partition in self._log.partitions(REQUESTS):
            for record in self._log.records(REQUESTS, partition):
                message = any_of(record)
                if isinstance(message, PayoutRequest):
                    check.count += 1
                    if told[message.request_id] != 1:
                        check.fault(f"payout {message.request_id} was answered {told[message.request_id]} times")
