"""What is still under way: inputs that no worker has taken, and requests that no provider has answered. Clock ticks aside."""

from __future__ import annotations

from collections import Counter

from schemas import catalogue
from schemas.records import ClockTick, PayoutRequest, PayoutResult, ProviderRequest, ProviderResult
from tests.chaos.checks import any_of
from tests.chaos.log import Log
from tests.chaos.names import APPLICATION, INDEFINITE, PAYOUT_INDEFINITE, TASKS


def untaken(log: Log) -> Counter[str]:
    """Records behind the tasks' positions, by task; a clock goes on for ever, and what it says last is taken by nobody."""
    found: Counter[str] = Counter()
    for task, topic in TASKS.items():
        ends = log.committed(f"{APPLICATION}-{task}", topic)
        for partition in log.partitions(topic):
            behind = log.records(topic, partition, start=ends.get(partition, 0))
            found[task] += sum(not isinstance(any_of(record), ClockTick) for record in behind)
    return +found


def unanswered(log: Log) -> set[str]:
    """Requests without a definite result. An inquiry has none of its own."""
    asked: set[str] = set()
    for partition in log.partitions(catalogue.PROVIDER_REQUESTS.name):
        for record in log.records(catalogue.PROVIDER_REQUESTS.name, partition):
            message = any_of(record)
            if isinstance(message, PayoutRequest) or (
                isinstance(message, ProviderRequest) and message.operation != "inquire"
            ):
                asked.add(message.request_id)
    for topic in (catalogue.PAYMENTS_INPUTS.name, catalogue.SETTLEMENT_INPUTS.name):
        for partition in log.partitions(topic):
            for record in log.records(topic, partition):
                message = any_of(record)
                if (isinstance(message, ProviderResult) and message.outcome not in INDEFINITE) or (
                    isinstance(message, PayoutResult) and message.outcome not in PAYOUT_INDEFINITE
                ):
                    asked.discard(message.request_id)
    return asked
