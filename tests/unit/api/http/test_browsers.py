from __future__ import annotations

import pytest
from msgspec.structs import replace

from api.http.browsers import DOORS, Browsers
from api.http.catalogue import operations
from api.http.errors import Forbidden, NotFound, ParameterMissing
from api.http.keys import Identity

ID = "pi_" + 24 * "a"
PUBLIC = Identity(
    tenant="acme", key_id="key_1", kind="publishable", livemode=False, scopes=(), api_version="2026-05-27.dahlia"
)
CONFIRM = ("POST", "/v1/payment_intents/{id}/confirm")
BROWSERS = Browsers("token")


def test_a_secret_is_of_one_tenants_one_object_and_one_installation() -> None:
    """The same wherever it is asked for; another for another tenant, object or installation; it begins with the id."""
    own = BROWSERS.secret("acme", ID)
    assert own.startswith(f"{ID}_secret_")
    assert own == Browsers("token").secret("acme", ID)
    others = {
        BROWSERS.secret("globex", ID),
        BROWSERS.secret("acme", ID[:-1] + "b").replace(ID[:-1] + "b", ID),
        Browsers("other").secret("acme", ID),
        Browsers("").secret("acme", ID),
    }
    assert len(others | {own}) == 5


@pytest.mark.parametrize("wrong", ["", ID, f"{ID}_secret_", f"{ID}_secret_" + 26 * "a", "ü", ["x"], None, 5])
@pytest.mark.parametrize("kind", ["publishable", "secret"])
def test_a_wrong_secret_opens_nothing(wrong, kind) -> None:
    """Whatever else is sent in its place, there is no such intent; so too where another tenant's is right for the id."""
    for presented in (wrong, BROWSERS.secret("globex", ID)):
        given = {"client_secret": presented}
        with pytest.raises(NotFound) as refused:
            BROWSERS.admit(replace(PUBLIC, kind=kind), *CONFIRM, {"id": ID}, given)
        assert refused.value.body() == NotFound("payment_intent", param="intent").body()


def test_the_right_secret_opens_one_operation() -> None:
    """The key may then do this very operation and no other, and the secret is no parameter any more."""
    given = {"client_secret": BROWSERS.secret("acme", ID), "payment_method": "pm_card_visa"}
    who = BROWSERS.admit(PUBLIC, *CONFIRM, {"id": ID}, given)
    who.require("payment_intents:write")
    assert given == {"payment_method": "pm_card_visa"}
    for scope in ("refunds:write", "setup_intents:read", "payment_methods:read"):
        with pytest.raises(Forbidden):
            who.require(scope)


def test_without_a_secret_nothing_is_opened() -> None:
    """It is missing with a publishable key; a secret one needs none."""
    with pytest.raises(ParameterMissing):
        BROWSERS.admit(PUBLIC, *CONFIRM, {"id": ID}, {})
    secret = replace(PUBLIC, kind="secret")
    assert BROWSERS.admit(secret, *CONFIRM, {"id": ID}, {}) == secret


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.id)
def test_every_other_operation_is_closed(operation) -> None:
    """Of the whole catalogue a publishable key reaches five operations, whatever it sends along."""
    place = (operation.method, operation.path)
    if place in DOORS:
        assert DOORS[place].scope == operation.scope
        return
    given = {"client_secret": BROWSERS.secret("acme", ID)}
    with pytest.raises(Forbidden):
        BROWSERS.admit(PUBLIC, *place, {"id": ID}, given)
    with pytest.raises(Forbidden):
        PUBLIC.require(operation.scope)


@pytest.mark.parametrize("name", ["expand", "metadata", "off_session"])
def test_servers_parameters_are_not_browsers(name) -> None:
    """What only a server may say is refused."""
    given = {"client_secret": BROWSERS.secret("acme", ID), name: "x"}
    with pytest.raises(Forbidden):
        BROWSERS.admit(PUBLIC, *CONFIRM, {"id": ID}, given)


def test_a_browser_sees_its_payment_and_nothing_beside() -> None:
    """No customer, metadata, charge, provider or balance, and of the issuer's reasons none that warns a thief."""
    body = {
        "id": ID, "object": "payment_intent", "status": "requires_payment_method", "client_secret": None, "customer": "cus_1",
        "metadata": {"a": "b"}, "latest_charge": "ch_1", "amount_received": 1, "clearline": {"provider": "northpay"},
        "last_payment_error": {"type": "card_error", "charge": "ch_1", "decline_code": "stolen_card", "code": "card_declined"},
    }  # fmt: skip
    assert BROWSERS.shown(PUBLIC, body) == {
        "id": ID,
        "object": "payment_intent",
        "status": "requires_payment_method",
        "client_secret": BROWSERS.secret("acme", ID),
        "last_payment_error": {"type": "card_error", "decline_code": "generic_decline", "code": "card_declined"},
    }
    error = {"type": "card_error", "charge": "ch_1", "decline_code": "lost_card", "payment_intent": body}
    seen = BROWSERS.shown(PUBLIC, error)
    assert set(seen) == {"type", "decline_code", "payment_intent"}
    assert seen["decline_code"] == "generic_decline"
    assert "customer" not in seen["payment_intent"]


def test_who_may_not_confirm_is_given_no_secret() -> None:
    """A secret key sees it everywhere, also expanded and in lists; a reading key, and people, don't; events hold what was."""
    body = {"object": "list", "data": [{"object": "charge", "payment_intent": {"id": ID, "object": "payment_intent", "client_secret": None}}]}  # fmt: skip

    def seen(who: Identity) -> str | None:
        return BROWSERS.shown(who, body)["data"][0]["payment_intent"]["client_secret"]

    assert seen(replace(PUBLIC, kind="secret")) == BROWSERS.secret("acme", ID)
    assert seen(replace(PUBLIC, kind="restricted", scopes=("payment_intents:write",))) is not None
    assert seen(replace(PUBLIC, kind="restricted", scopes=("payment_intents:read",))) is None
    assert seen(replace(PUBLIC, kind="operator", roles=("admin",))) is None
    event = {"object": "event", "data": {"object": body["data"][0]}}
    assert BROWSERS.shown(replace(PUBLIC, kind="secret"), event) == event
