from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clickhouse.landing import _identity, _rows
from connectors.clickhouse.landing._rows import Place, Raw
from connectors.clickhouse.landing._tables import IDENTITY_EVENTS, PAYMENT_INPUTS
from schemas import codec
from schemas.catalogue import IDENTITY_HISTORY, PAYMENTS_INPUTS
from schemas.records import (
    ApiKey,
    Approval,
    Attribution,
    Operator,
    OperatorSession,
    Organization,
    RoutingPolicy,
    Tenant,
)
from tests._records import records

ADA = Operator(
    operator_id="op_1", organization="org_1", name="Ada", email="ada@example.com", issuer="https://id", subject="ada-17",
    roles=("admin",), status="active", version=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (ApiKey(key_id="key_1", tenant="acme", status="active"), ("acme", "api_key", "key_1", "api_key.created")),
        (ApiKey(key_id="k", status="active", updated_ms=1), ("", "api_key", "k", "api_key.changed")),
        (ApiKey(key_id="k", status="active", updated_ms=1, successor="s"), ("", "api_key", "k", "api_key.rolled")),
        (ApiKey(key_id="k", status="revoked"), ("", "api_key", "k", "api_key.revoked")),
        (Approval(approval_id="apr_1", tenant="t", status="pending"), ("t", "approval", "apr_1", "approval.asked")),
        (Approval(approval_id="a", status="approved"), ("", "approval", "a", "approval.approved")),
        (ADA, ("", "operator", "op_1", "operator.created")),
        (msgspec.structs.replace(ADA, status="disabled"), ("", "operator", "op_1", "operator.disabled")),
        (OperatorSession(session_id="os_1", status="active"), ("", "operator_session", "os_1", "operator_session.began")),
        (OperatorSession(session_id="os_1", status="ended"), ("", "operator_session", "os_1", "operator_session.ended")),
        (Organization(organization="org_1", version=1), ("", "organization", "org_1", "organization.created")),
        (RoutingPolicy(tenant="t", policy_version=4), ("t", "routing_policy", "t", "routing_policy.created")),
        (Tenant(tenant="t", version=2), ("t", "tenant", "t", "tenant.changed")),
        (Tenant(tenant="t", version=3, status="suspended"), ("t", "tenant", "t", "tenant.suspended")),
    ],
)  # fmt: skip
def test_what_became_of_each(change, about) -> None:
    """Whose it is, what it is, and what became of it in one word."""
    tenant, _, object_, object_id, act, *_ = _identity.row(change)
    assert (tenant, object_, object_id, act) == about


def test_nothing_secret_or_personal_is_landed() -> None:
    """No digest, no fingerprint, and of people neither name nor address, also where an approval asks for them."""
    key = ApiKey(key_id="k", digest=b"\x01digest", fingerprint="printed", name="Till")
    asked = Approval(
        approval_id="a",
        action="operators.create",
        parameters='{"email":"eve@example.com","name":"Eve","roles":["admin"],"digest":"d1g35t"}',
    )
    session = OperatorSession(session_id="os_1", digest=b"cookies")
    text = "".join(_identity.row(one)[-1] for one in (key, asked, session, ADA))
    for hidden in ("digest", "d1g35t", "printed", "Ada", "Eve", "@example.com", "ada-17", "https://id", "Y29va2llcw"):
        assert hidden not in text, hidden
    assert "Till" in text
    assert '"roles":["admin"]' in text


def test_a_tenant_is_landed_by_where_it_comes_from() -> None:
    """On identity.history it is a change of who may do what; on payments.inputs it is an input."""
    value = codec.encode(Tenant(tenant="acme", version=1, attribution=Attribution(actor_id="op_1")))
    for topic, table in ((IDENTITY_HISTORY, IDENTITY_EVENTS), (PAYMENTS_INPUTS, PAYMENT_INPUTS)):
        place = Place(topic.name, 0)
        rows = _rows.build({place: [Raw(place, 0, 1_000, b"acme", value)]})
        assert list(rows.by_table) == [table.name]
        found = dict(zip(table.columns, rows.by_table[table.name][0], strict=True))
        assert (found["tenant"], found["actor_id"]) == ("acme", "op_1")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_record_of_the_history_has_its_row(data) -> None:
    """Whatever a record holds, it has a row of the right width whose `after` is an object."""
    kind = data.draw(st.sampled_from(IDENTITY_HISTORY.records))
    record = data.draw(records(kind.__name__))
    place = Place(IDENTITY_HISTORY.name, 0)
    rows = _rows.build({place: [Raw(place, 0, 1_000, b"k", codec.encode(record))]})
    IDENTITY_EVENTS.encode(rows.by_table[IDENTITY_EVENTS.name])
    (row,) = rows.by_table[IDENTITY_EVENTS.name]
    after = dict(zip(IDENTITY_EVENTS.columns, row, strict=True))["after"]
    assert isinstance(msgspec.json.decode(after), dict)
