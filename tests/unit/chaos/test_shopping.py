"""The load's customers: every command keeps its contract, lies where it belongs, and everything happens."""

from __future__ import annotations

from collections import Counter

from schemas import codec
from schemas.records import CustomerCommand
from streams.core._customer_checks import check
from tests.chaos.shopping import KNOWN_MAX, TENANTS, Shopping


def test_commands_are_what_the_fold_takes():
    """All kinds but what payments ask for; keyed by tenant; some wait for an answer, some don't."""
    sent: list[tuple[str, str, bytes]] = []
    shopping = Shopping(lambda *record: sent.append(record), seed=3, reply_partitions=4)
    assert shopping.somebody("acme") == ""
    while shopping.asked < 2_000:
        shopping._next = 0.0
        shopping.work(more=True)
    kinds: Counter[str] = Counter()
    for topic, key, value in sent:
        command = codec.decode(value)
        assert isinstance(command, CustomerCommand)
        check(command)
        assert (topic, key) == ("customers.inputs", command.tenant)
        assert command.reply_partition is None or 0 <= command.reply_partition < 4
        kinds[command.kind] += 1
    assert len(sent) == shopping.asked
    assert set(kinds) == {
        "create_customer",
        "update_customer",
        "delete_customer",
        "attach_method",
        "detach_method",
        "create_setup",
        "confirm_setup",
        "complete_action",
        "cancel_setup",
    }
    assert all(0 < len(shopping._customers[tenant]) <= KNOWN_MAX for tenant in TENANTS)
    assert len({codec.decode(value).attribution.idempotency_key for _, _, value in sent}) == len(sent)
