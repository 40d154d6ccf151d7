"""The gateway and the providers behind it: effects by idempotency key, answers that are late, repeated or unknown."""

from __future__ import annotations

from hashlib import blake2b
from random import Random

from schemas import catalogue, codec
from schemas.records import ProviderRequest, ProviderResult
from tests.history import Recorder
from tests.simulation.broker import Broker
from tests.simulation.scheduler import World
from tests.simulation.traffic import Here

POLL_MS = 120

# What a provider does with a request: weights of (outcome, decline kind).
_AUTHORIZE = (
    (("ok", ""), 60),
    (("declined", "hard"), 8),
    (("declined", "soft"), 8),
    (("refused", ""), 12),
    (("requires_action", ""), 6),
    (("integrity_failure", ""), 1),
)
_EFFECTS = {"capture": "captured", "void": "voided", "refund": "refunded"}


class Gateway:
    """Reads committed requests at least once and appends results outside any transaction."""

    def __init__(self, world: World, broker: Broker, recorder: Recorder) -> None:
        self.world, self.broker, self.recorder = world, broker, recorder
        topic = broker.topics[catalogue.PROVIDER_REQUESTS.name]
        self._positions = [0] * len(topic.partitions)
        # The providers' books: what was done under each key, whoever asks how often.
        self.books: dict[str, tuple[str, str]] = {}
        self.requests: dict[str, ProviderRequest] = {}
        self.due = 0
        self.answers = 0
        world.after(POLL_MS, self._poll)

    def _poll(self) -> None:
        world, random = self.world, self.world.random
        if not self.broker.down():
            logs = self.broker.topics[catalogue.PROVIDER_REQUESTS.name].partitions
            for number, log in enumerate(logs):
                records, self._positions[number] = log.read(self._positions[number], world.now_ms, records_max=20)
                for record in records:
                    request = codec.decode(record.value, expected=catalogue.PROVIDER_REQUESTS.records)
                    assert isinstance(request, ProviderRequest)
                    self._take(request)
                if records and random.random() < 0.05:
                    # A crash: what was read since the last commit is read again.
                    self._positions[number] = max(0, self._positions[number] - random.randrange(4))
                    self.broker.counted("gateway crash")
        world.after(POLL_MS, self._poll)

    def idle(self) -> bool:
        """Whether every request is answered for good."""
        now_ms = self.world.now_ms
        logs = self.broker.topics[catalogue.PROVIDER_REQUESTS.name].partitions
        return self.due == 0 and all(
            position >= log.stable(now_ms) for position, log in zip(self._positions, logs, strict=True)
        )

    def _take(self, request: ProviderRequest) -> None:
        random = self.world.random
        self.requests[request.request_id] = request
        delay_ms = 5 + random.randrange(400)
        if random.random() < 0.2:
            self._later(delay_ms, request, "unknown", "")
            delay_ms += 300 + random.randrange(3_000)
        outcome, kind = self._effect(request)
        self._later(delay_ms, request, outcome, kind)
        if outcome == "requires_action":
            self._later(delay_ms + random.randrange(3_000), request, *self._effect(request, challenged=True))
        if random.random() < 0.1:
            # The provider's webhook says it once more.
            self._later(delay_ms + random.randrange(4_000), request, outcome, kind)

    def _effect(self, request: ProviderRequest, *, challenged: bool = False) -> tuple[str, str]:
        """What the provider did under this key: the same whenever it is asked again."""
        key = f"{request.request_id}/{challenged}"
        if key not in self.books:
            seed = blake2b(f"{self.world.seed}/{key}".encode(), digest_size=8).digest()
            self.books[key] = self._decide(request, Random(int.from_bytes(seed, "big")), challenged=challenged)
        return self.books[key]

    @staticmethod
    def _decide(request: ProviderRequest, random: Random, *, challenged: bool) -> tuple[str, str]:
        if request.operation != "authorize":
            return (_EFFECTS[request.operation], "") if random.random() < 0.85 else ("refused", "")
        outcome, kind = random.choices([pair for pair, _ in _AUTHORIZE], [weight for _, weight in _AUTHORIZE])[0]
        if outcome == "ok" or (challenged and outcome == "requires_action"):
            return "captured" if request.capture else "authorized", ""
        return outcome, kind

    def _later(self, delay_ms: int, request: ProviderRequest, outcome: str, kind: str) -> None:
        self.due += 1
        self.world.after(delay_ms, lambda: self._append(request, outcome, kind))

    def _append(self, request: ProviderRequest, outcome: str, kind: str) -> None:
        if self.broker.down():
            self.world.at(self.broker.down_until_ms, lambda: self._append(request, outcome, kind))
            return
        self.due -= 1
        self.answers += 1
        effect = outcome in ("authorized", "captured", "refunded")
        result = ProviderResult(
            tenant=request.tenant,
            payment_id=request.payment_id,
            request_id=request.request_id,
            object_id=request.object_id,
            provider=request.provider,
            operation=request.operation,
            outcome=outcome,  # type: ignore[arg-type]
            amount_minor=request.amount_minor if effect else 0,
            currency=request.currency,
            provider_reference=f"ref_{request.object_id[-6:]}",
            decline_code="insufficient_funds" if outcome == "declined" else "",
            decline_kind=kind or "none",  # type: ignore[arg-type]
            provider_fee_minor=30 if outcome == "captured" and request.amount_minor > 100 else 0,
            inquiries=self.answers,
            observed_ms=self.world.wall_ms,
            attribution=request.attribution,
        )
        key = f"{request.tenant}/{request.payment_id}".encode()
        entry = self.broker.append(catalogue.PAYMENTS_INPUTS.name, key, codec.encode(result))
        assert entry.record is not None
        self.recorder.sent("gateway", "", [entry.record], Here(), offset=entry.offset)  # type: ignore[list-item]
