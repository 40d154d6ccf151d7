"""The customers' fold in a small world: commands as short calls."""

from __future__ import annotations

from typing import Any

from schemas import ids
from schemas.records import Attribution, CustomerCommand, CustomerReply, SealedField
from streams.core.customers import decide_customer
from streams.core.decision import Decision
from tests.unit.core.world import TENANT, World

CK1, CK2 = "ck_" + "1" * 24, "ck_" + "2" * 24


class People(World):
    """Remembers the ids that keys make."""

    def __init__(self) -> None:
        super().__init__(decide_customer, topic="customers.inputs", configured=False)

    def ask(self, kind: str, key: str, object_id: str = "", *, tenant: str = TENANT, **fields: Any) -> Decision:
        """A command with this idempotency key; a create's id is made of it."""
        make = {"create_customer": ids.customer_id, "create_method": ids.method_id, "create_setup": ids.setup_id}
        if kind in make:
            object_id = object_id or make[kind](tenant, key)
        if kind == "create_setup":
            fields.setdefault("usage", "off_session")
        fields.setdefault("reply_partition", 5)
        fields.setdefault("correlation_id", f"corr-{len(self.inputs)}")
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        return self.put(CustomerCommand(tenant=tenant, object_id=object_id, kind=kind, attribution=who, **fields))

    def customer(self, key: str = "c1", **fields: Any) -> str:
        """A new customer's id."""
        answer(self.ask("create_customer", key, **fields), 200)
        return ids.customer_id(TENANT, key)

    def saved(self, customer: str, key: str = "m1", token: str = "pm_card_visa") -> str:
        """A method of a test card, attached; its id."""
        answer(self.ask("create_method", key, token=token), 200)
        method = ids.method_id(TENANT, key)
        answer(self.ask("attach_method", f"{key}-attach", method, customer=customer), 200)
        return method


def sealed(name: str, text: bytes = b"sealed", key_id: str = CK1) -> SealedField:
    """A field as the API sends it."""
    return SealedField(name=name, key_id=key_id if text else "", sealed=text)


def answer(decision: Decision, status: int) -> CustomerReply:
    """The one reply of a decision, with that status."""
    ((partition, reply),) = decision.replies
    assert partition == 5
    assert isinstance(reply, CustomerReply)
    assert reply.status_code == status, reply.error
    return reply
