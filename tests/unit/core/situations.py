"""Every situation that a payment can be in, each reached from nothing by a few inputs."""

from __future__ import annotations

from collections.abc import Callable

from schemas.records import FeeRule, RoutingUpdate, Tenant
from tests.unit.core.world import TENANT, World

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


def _part(world: World) -> None:
    _authorized(world)
    world.send("capture", "c1", of="k1", amount_minor=300, final_capture=False)
    world.answer(world.requests[-1], "captured", provider_fee_minor=7)


def _incrementing(world: World) -> None:
    _authorized(world)
    world.send("increment", "n1", of="k1", amount_minor=1500)


def _raised_and_capturing(world: World) -> None:
    _incrementing(world)
    world.answer(world.requests[-1], "incremented")
    world.send("capture", "c1", of="k1", amount_minor=1400)


def _part_capturing(world: World) -> None:
    _part(world)
    world.send("capture", "c2", of="k1")


def _part_voiding(world: World) -> None:
    _part(world)
    world.send("cancel", "x1", of="k1")


def _expired(first: Situation) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.tick(world.payment().due_ms)

    return both


def _disputed(first: Situation, *notices: tuple[str, int]) -> Situation:
    def all_of_it(world: World) -> None:
        first(world)
        for status, withdrawn_minor in notices:
            world.notify(status, withdrawn_minor=withdrawn_minor, provider_fee_minor=15 if withdrawn_minor else 0)

    return all_of_it


def _refunded(world: World) -> None:
    _refunding(world)
    world.answer(world.requests[-1], "refunded")


def _inquired(first: Situation) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.operate("inquire", "i1", object_id=world.requests[-1].object_id)

    return both


def _asking(first: Situation, kind: str) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.send(kind, "d1", of="k1", object_id=world.payment().disputes[0].id, evidence=EVIDENCE.get(kind, {}))

    return both


def _proposed(first: Situation, resolution: str) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.operate("propose", "p1", resolution=resolution, object_id=world.requests[-1].object_id)

    return both


def _resolved(first: Situation, resolution: str) -> Situation:
    def both(world: World) -> None:
        first(world)
        world.resolve(resolution, world.requests[-1].object_id)

    return both


EVIDENCE = {"submit_evidence": {"product_description": "a chair"}}
_chargeback = _disputed(_captured, ("needs_response", 1000))
_inquiry = _disputed(_captured, ("warning_needs_response", 0))

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
    "incrementing": _incrementing,
    "incrementing, unknown": _then(_incrementing, "unknown"),
    "incrementing, held": _then(_incrementing, "integrity_failure"),
    "incremented": _then(_incrementing, "incremented"),
    "incrementing, resolved as voided": _resolved(_then(_incrementing, "unknown"), "voided"),
    "increment refused": _then(_incrementing, "refused"),
    "capturing what was raised": _raised_and_capturing,
    "captured what was raised": _then(_raised_and_capturing, "captured"),
    "updated": lambda world: (world.create(confirm=False), world.send("update", "u1", of="k1", amount_minor=800)),
    "partly captured, the rest authorised": _part,
    "capturing the rest": _part_capturing,
    "captured in parts": _then(_part_capturing, "captured"),
    "voiding the rest": _part_voiding,
    "the rest voided": _then(_part_voiding, "voided"),
    "challenge expired": _expired(_in_action),
    "challenge expired, voided": _then(_expired(_in_action), "voided"),
    "authorisation expired": _expired(_authorized),
    "authorisation expired, voided": _then(_expired(_authorized), "voided"),
    "the rest expired, voided": _then(_expired(_part), "voided"),
    "inquiry": _inquiry,
    "inquiry closed": _disputed(_inquiry, ("warning_closed", 0)),
    "inquiry escalated": _disputed(_inquiry, ("needs_response", 1000)),
    "disputed": _chargeback,
    "disputed in part": _disputed(_captured, ("needs_response", 250)),
    "disputed after a refund": _disputed(_refunded, ("needs_response", 1000)),
    "disputed and held": lambda world: (_captured(world), world.notify("needs_response", currency="USD")),
    "disputed before the capture is known": _disputed(_then(World.create, "unknown"), ("needs_response", 1000)),
    "dispute under review": _disputed(_chargeback, ("under_review", 1000)),
    "dispute won": _disputed(_chargeback, ("won", 0)),
    "dispute lost": _disputed(_chargeback, ("lost", 1000)),
    "dispute prevented": _disputed(_captured, ("prevented", 0)),
    "dispute reopened": _disputed(_chargeback, ("won", 0), ("needs_response", 1000)),
    "evidence sent": _asking(_chargeback, "submit_evidence"),
    "evidence sent to an inquiry": _asking(_inquiry, "submit_evidence"),
    "evidence sent, unknown": _then(_asking(_chargeback, "submit_evidence"), "unknown"),
    "evidence taken": _then(_asking(_chargeback, "submit_evidence"), "evidence_submitted"),
    "evidence refused": _then(_asking(_chargeback, "submit_evidence"), "refused"),
    "acceptance sent": _asking(_chargeback, "close_dispute"),
    "dispute accepted": _then(_asking(_chargeback, "close_dispute"), "dispute_accepted"),
    "inquired": _inquired(_then(World.create, "unknown")),
    "held, inquired": _inquired(_then(World.create, "integrity_failure")),
    "refunding, inquired": _inquired(_refunding),
    "proposed": _proposed(_then(World.create, "integrity_failure"), "captured"),
    "resolved as captured": _resolved(_then(World.create, "integrity_failure"), "captured"),
    "resolved as declined": _resolved(_then(World.create, "unknown"), "declined"),
    "resolved as standing": _resolved(_then(_authorized, "captured", request=0), "authorized"),
    "refund resolved as failed": _resolved(_then(_refunding, "integrity_failure"), "refund_failed"),
    "refunded in full": lambda world: (_captured(world), world.send("refund", "r9", of="k1")),
}


PLAIN = Tenant(tenant=TENANT, version=1)
CONVERTING = Tenant(
    tenant=TENANT,
    version=1,
    fees=(
        FeeRule(currency="JPY", basis_points=290, fixed_minor=40, dispute_minor=1_500),
        FeeRule(basis_points=290, fixed_minor=25, dispute_minor=1_500),
    ),
    refund_fees_returned=True,
    reserve_basis_points=1_000,
    reserve_days=30,
    settlement_currency="JPY",
)
"""Its EUR payments settle in JPY, where the provider converts, and a tenth of each capture is kept."""
TENANTS = {"plain": PLAIN, "converting": CONVERTING}


def at(name: str, tenant: str = "plain") -> World:
    """A world in that situation."""
    world = World(tenant=TENANTS[tenant])
    SITUATIONS[name](world)
    return world
