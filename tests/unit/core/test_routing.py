import pytest

from schemas.records import RoutingUpdate
from streams.core import routing
from tests.unit.core.world import TENANT, World


def _policy(world: World, tenant: str, *providers: str, version: int = 1) -> None:
    assert world.put(RoutingUpdate(tenant=tenant, policy_version=version, providers=providers)).refused is None


def _choose(world: World, *tried: str):
    return routing.choose(world.view, tenant=TENANT, attempt=1, tried=tried)


def test_the_tenants_own_policy_goes_before_everybodys():
    """Without any policy nobody is chosen; with one of its own the tenant does not see the default."""
    world = World(configured=False)
    assert (_choose(world).chosen, _choose(world).policy_version) == ("", 0)
    _policy(world, "", "a", "b", version=4)
    assert (_choose(world).chosen, _choose(world).policy_version) == ("a", 4)
    _policy(world, TENANT, "c")
    assert (_choose(world).chosen, _choose(world).policy_version) == ("c", 1)


def test_unhealthy_and_tried_providers_are_passed_over_by_name():
    """The decision lists candidates in order and why each was passed over; a provider that recovers is chosen again."""
    world = World(configured=False)
    _policy(world, "", "a", "b", "c")
    world.put(RoutingUpdate(kind="health", provider="b", healthy=False))
    decision = _choose(world, "a")
    assert (decision.chosen, decision.candidates) == ("c", ("a", "b", "c"))
    assert decision.excluded == ("a: tried", "b: unhealthy")
    world.put(RoutingUpdate(kind="health", provider="b", healthy=True))
    assert _choose(world, "a").chosen == "b"
    assert world.put(RoutingUpdate(kind="health", provider="b", healthy=True)).writes == []


@pytest.mark.parametrize(
    "update",
    [
        RoutingUpdate(kind="unrecognized"),
        RoutingUpdate(policy_version=0, providers=("a",)),
        RoutingUpdate(policy_version=1, providers=("a", "a")),
        RoutingUpdate(policy_version=1, providers=("a: b",)),
        RoutingUpdate(policy_version=1, providers=tuple(f"p{number}" for number in range(routing.PROVIDERS_MAX + 1))),
        RoutingUpdate(policy_version=1, tenant="a/b"),
        RoutingUpdate(kind="health", provider=""),
    ],
)
def test_updates_that_break_their_contract_are_refused(update):
    """Unknown kinds, no version, providers named twice, badly or too many: refused, nothing changes."""
    decision = World(configured=False).put(update)
    assert decision.refused is not None
    assert decision.refused.reason == "invalid_field"


def test_unhealthy_providers_are_limited():
    """A flood of health updates does not grow the state without bound."""
    world = World(configured=False)
    for number in range(routing.UNHEALTHY_MAX):
        assert world.put(RoutingUpdate(kind="health", provider=f"p{number}", healthy=False)).refused is None
    assert world.put(RoutingUpdate(kind="health", provider="one-more", healthy=False)).refused is not None
