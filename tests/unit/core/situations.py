"""Every situation that a payment can be in, each reached from nothing by a few inputs."""

from __future__ import annotations

from collections.abc import Callable

from schemas.records import RoutingUpdate
from tests.unit.core.world import World

Situation = Callable[[World], object]


def _manual(world: World) -> None:
    world.create(capture_method="manual")


def _authorized(world: World) -> None:
    _manual(world)
    world.answer(world.requests[-1], "authorized")


def _captured(world: World) -> None:
    world.create()
    world.answer(world.requests[-1], "captured", provider_fee_minor=30)


def _in_action(world: World) -> None:
    world.create()
    world.answer(world.requests[-1], "requires_action")


def _refunding(world: World) -> None:
    _captured(world)
    world.send("refund", "r1", of="k1", amount_minor=400)


def _capturing(world: World) -> None:
    _authorized(world)
    world.send("capture", "c1", of="k1", amount_minor=700)


def _voiding(world: World) -> None:
    _authorized(world)
    world.send("cancel", "x1", of="k1")


def _action_voiding(world: World) -> None:
    _in_action(world)
    world.send("cancel", "x1", of="k1")


def _canceling(world: World) -> None:
    _manual(world)
    world.send("cancel", "x1", of="k1")


def _second_attempt(world: World) -> None:
    world.create()
    world.answer(world.requests[-1], "refused")


def _given_up(world: World) -> None:
    _second_attempt(world)
    world.answer(world.requests[-1], "refused")


def _then(first: Situation, outcome: str, *, request: int = -1, **fields: object) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.answer(world.requests[request], outcome, **fields)

    return both


def _authorized_while_voiding(world: World) -> None:
    world.create(capture_method="manual")
    world.answer(world.requests[-1], "requires_action")
    world.send("cancel", "x1", of="k1")
    world.answer(world.requests[0], "authorized")


def _voided_after_failed_capture(world: World) -> None:
    _capturing(world)
    world.answer(world.requests[-1], "refused")
    world.send("cancel", "x1", of="k1")
    world.answer(world.requests[-1], "voided")


def _no_route(world: World) -> None:
    for provider in ("northpay", "southpay"):
        world.put(RoutingUpdate(kind="health", provider=provider, healthy=False))
    world.create()


_stray_captured = _then(_given_up, "captured", request=0)
_stray_authorized = _then(_given_up, "authorized", request=0)

SITUATIONS: dict[str, Situation] = {
    "none": lambda _: None,
    "without a method": lambda world: world.create(confirm=False, payment_method=""),
    "unconfirmed": lambda world: world.create(confirm=False),
    "authorising": World.create,
    "authorising, manual": _manual,
    "canceled while authorising": _canceling,
    "canceled while authorising, unknown": _then(_canceling, "unknown"),
    "authorising, unknown": _then(World.create, "unknown"),
    "authorising, held": _then(World.create, "integrity_failure"),
    "in action": _in_action,
    "in action, being voided": _action_voiding,
    "in action, being voided, unknown": _then(_action_voiding, "unknown"),
    "in action, void refused": _then(_action_voiding, "refused"),
    "in action, voided": _then(_action_voiding, "voided"),
    "authorised while being voided": _authorized_while_voiding,
    "captured while being voided": _then(_action_voiding, "captured", request=0),
    "authorised": _authorized,
    "capturing": _capturing,
    "capturing, unknown": _then(_capturing, "unknown"),
    "capturing, held": _then(_capturing, "integrity_failure"),
    "capture failed": _then(_capturing, "refused"),
    "capturing automatically": _then(World.create, "authorized"),
    "partly captured": _then(_capturing, "captured"),
    "voiding": _voiding,
    "voiding, unknown": _then(_voiding, "unknown"),
    "voiding, held": _then(_voiding, "integrity_failure"),
    "void failed": _then(_voiding, "refused"),
    "voided": _then(_voiding, "voided"),
    "canceled": lambda world: (world.create(confirm=False), world.send("cancel", "x1", of="k1")),
    "captured": _captured,
    "second attempt": _second_attempt,
    "second attempt captured": _then(_second_attempt, "captured"),
    "given up": _given_up,
    "no route": _no_route,
    "declined": _then(World.create, "declined"),
    "stray capture going back": _stray_captured,
    "stray capture returned": _then(_stray_captured, "refunded"),
    "stray authorisation going back": _stray_authorized,
    "stray authorisation returned": _then(_stray_authorized, "voided"),
    "stray capture after second": _then(_then(_second_attempt, "captured"), "captured", request=0),
    "stray capture after void": _then(_then(_voiding, "voided"), "captured", request=0),
    "stray authorised, then captured": _then(_stray_authorized, "captured", request=0),
    "voided after failed capture": _voided_after_failed_capture,
    "stray capture by capture": _then(_voided_after_failed_capture, "captured", request=1),
    "stray capture by capture returned": _then(_then(_voided_after_failed_capture, "captured", request=1), "refunded"),
    "held by conflict": _then(_authorized, "captured", request=0),
    "refunding": _refunding,
    "refunding, taken up": _then(_refunding, "refund_pending"),
    "refunding, unknown": _then(_refunding, "unknown"),
    "refunding, held": _then(_refunding, "integrity_failure"),
    "refunded in part": _then(_refunding, "refunded", provider_fee_minor=5),
    "refund failed": _then(_refunding, "refund_failed"),
    "refund failed after it was made": _then(_then(_refunding, "refunded"), "refund_failed"),
    "refunded in full": lambda world: (_captured(world), world.send("refund", "r9", of="k1")),
}


def at(name: str) -> World:
    """A world in that situation."""
    world = World()
    SITUATIONS[name](world)
    return world
