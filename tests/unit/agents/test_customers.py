"""The customers' agent: what it emits where, and that a deletion erases every key that anything of the customer was sealed with."""

from __future__ import annotations

from schemas import codec, ids
from schemas.catalogue import CUSTOMERS_EVENTS, CUSTOMERS_KEYS, PAYMENTS_REPLIES, RECORDS_REJECTED
from schemas.partitioner import partition_of
from schemas.records import Attribution, CustomerCommand, CustomerKey, Rejection, SealedField
from schemas.sealing import KEY_BYTES, MasterKeys, customer_key_id, wrap
from streams.agents import customers
from streams.agents.keyring import KeyTable
from streams.runtime import Record
from tests.chaos.fold import Fold

PARTITIONS = 4
HOME = partition_of(b"acme", PARTITIONS)
NOW_MS = 1_800_000_000_000
MASTERS = MasterKeys([b"m" * KEY_BYTES])
CUSTOMER = ids.customer_id("acme", "c1")
CK1 = customer_key_id("customers.keys", 0, 1)


class Desk:
    """The agent on a table of keys that is filled by hand."""

    def __init__(self, *, verifying: bool = False) -> None:
        self.table = KeyTable()
        keys = None if verifying else self.table
        self.fold = Fold(customers.Customers(partitions=PARTITIONS, reply_partitions=3, keys=keys), customers.reject)
        self.offset = 0

    def key(self, key_id: str, customer: str = CUSTOMER) -> None:
        """A key as the topic tells it."""
        wrapped, master = wrap(MASTERS, b"k" * KEY_BYTES, tenant="acme", customer=customer, key_id=key_id)
        made = CustomerKey(
            tenant="acme", customer=customer, key_id=key_id, status="active", wrapped=wrapped, master_key_id=master
        )
        key = f"acme/{key_id}".encode()
        self.table._take([Record(CUSTOMERS_KEYS.name, 0, 0, NOW_MS, key, codec.encode(made))])

    def ask(self, kind: str, key: str, *, home: int = HOME, **fields):
        """What comes of a command, as (topic, message, key, partition)."""
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id="req_1", idempotency_key=key)
        fields = {"object_id": CUSTOMER, "reply_partition": 2, "correlation_id": "corr", **fields}
        command = CustomerCommand(tenant="acme", kind=kind, attribution=who, **fields)
        self.offset += 1
        record = Record("customers.inputs", home, self.offset, NOW_MS, b"acme", codec.encode(command))
        return [(one.topic, codec.decode(one.value), one.key, one.partition) for one in self.fold.take(record)]


def sealed(key_id: str) -> tuple[SealedField, ...]:
    """A name under a key."""
    return (SealedField(name="name", key_id=key_id, sealed=b"sealed"),)


def test_events_go_by_tenant_and_replies_to_who_waits() -> None:
    """The event is keyed by tenant, the reply by correlation id on the partition that was asked for."""
    (event, reply) = Desk().ask("create_customer", "c1", personal=sealed(CK1))
    assert (event[0], event[2], event[1].type) == (CUSTOMERS_EVENTS.name, b"acme", "customer.created")
    assert (reply[0], reply[2], reply[3]) == (PAYMENTS_REPLIES.name, b"corr", 2)
    assert reply[1].customer == event[1].customer


def test_a_deletion_erases_the_keys_on_the_topic_and_those_that_are_not_there_yet() -> None:
    """A key that this worker has not heard of is erased all the same where the customer names it; other customers' stay."""
    desk = Desk()
    other = customer_key_id("payment.intents", 0, 9)
    desk.key(other)
    desk.key(customer_key_id("payment.intents", 0, 3), customer="cus_" + "0" * 24)
    desk.ask("create_customer", "c1", personal=sealed(CK1))
    outputs = desk.ask("delete_customer", "d1")
    erased = [(message, key) for topic, message, key, _ in outputs if topic == CUSTOMERS_KEYS.name]
    assert sorted(message.key_id for message, _ in erased) == sorted([CK1, other])
    for message, key in erased:
        assert (message.status, message.wrapped, message.erased_ms) == ("erased", b"", NOW_MS)
        assert (message.customer, key) == (CUSTOMER, f"acme/{message.key_id}".encode())
        assert message.attribution.actor_id == "key_1"


def test_a_verifier_erases_nothing() -> None:
    """Which keys there are at a moment is no part of the log: without a table there are events and replies only."""
    desk = Desk(verifying=True)
    desk.ask("create_customer", "c1", personal=sealed(CK1))
    assert {topic for topic, *_ in desk.ask("delete_customer", "d1")} == {CUSTOMERS_EVENTS.name, PAYMENTS_REPLIES.name}


def test_another_partition_or_a_reply_to_nowhere_is_rejected() -> None:
    """Neither can be carried out: one would give the tenant a second set of customers, the other could not be answered."""
    for fields in ({"home": (HOME + 1) % PARTITIONS}, {"reply_partition": 3}):
        ((topic, rejection, _, _),) = Desk().ask("create_customer", "c1", **fields)
        assert topic == RECORDS_REJECTED.name
        assert isinstance(rejection, Rejection)
        assert rejection.component == "customers"


def test_a_wish_of_nobody_who_waits_is_rejected_where_it_cannot_be_met() -> None:
    """So that it is seen; with somebody waiting, the reply says it and nothing is rejected."""
    waiting = Desk().ask("update_customer", "u1")
    assert [topic for topic, *_ in waiting] == [PAYMENTS_REPLIES.name]
    alone = Desk().ask("update_customer", "u1", reply_partition=None)
    assert [topic for topic, *_ in alone] == [RECORDS_REJECTED.name]
