"""The keys that the log has, for who recomputes intake: a key is random, so it can be looked up and never made again."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

from schemas import catalogue
from schemas.records import Attribution, CustomerKey, PaymentCommand
from schemas.sealing import customer_key_id
from streams.agents.keyring import Sealed
from streams.runtime import Record
from tests.chaos.checks import any_of
from tests.chaos.log import Log


class RecordedKeys:
    """
    Answers as the recorded commands say: of one payment's intents, the first has the first command's sealed bytes.

    A key's record is taken as made by the intent whose place is in its id. What was erased since can't be sealed again,
    so sealed bytes are taken as they are.
    """

    def __init__(self, log: Log) -> None:
        self._sealed: dict[str, deque[tuple[str, bytes]]] = defaultdict(deque)
        self._first: dict[str, CustomerKey] = {}
        for partition in log.partitions(catalogue.PAYMENTS_INPUTS.name):
            for record in log.records(catalogue.PAYMENTS_INPUTS.name, partition):
                message = any_of(record)
                if isinstance(message, PaymentCommand) and message.personal:
                    self._sealed[message.payment_id].append((message.personal_key, message.personal))
        for partition in log.partitions(catalogue.CUSTOMERS_KEYS.name):
            for record in log.records(catalogue.CUSTOMERS_KEYS.name, partition):
                message = any_of(record)
                if isinstance(message, CustomerKey):
                    self._first.setdefault(message.key_id, message)

    def seal(
        self,
        personal: Mapping[str, str],
        *,
        tenant: str,
        customer: str,
        payment_id: str,
        record: Record,
        epoch: int,
        now_ms: int,
        attribution: Attribution,
    ) -> Sealed:
        """As `Keyring` says; empty bytes, which the comparison finds, where no command or no such key was recorded."""
        recorded = self._sealed[payment_id]
        key_id, sealed = recorded.popleft() if recorded else ("", b"")
        if key_id not in self._first:  # sealed with a key that no committed record has: nobody can ever open it
            key_id, sealed = "", b""
        made = self._first.get(customer_key_id(record.topic, record.partition, record.offset))
        return Sealed(key_id, sealed, made)
