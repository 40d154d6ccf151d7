"""Records for people and for programs: one line each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.text import Text

from schemas import codec
from schemas import records as r
from schemas.catalogue import Topic
from schemas.currencies import EXPONENTS, format_minor
from schemas.errors import DecodingError

HEAD_BYTES = 24
TEXT_CHARS_MAX = 120

_encode_json = msgspec.json.Encoder().encode


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """What came from a topic: where from, when (ms since the epoch, UTC), and the record or why there is none.

    `record` and `fault` are both None for a deletion (no value) and for topics that carry raw bytes.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    record: r.Record | None = None
    fault: DecodingError | None = None

    @property
    def tenant(self) -> str:
        """The tenant it is about: the record's own, or what its key begins with; empty when neither tells."""
        tenant = getattr(self.record, "tenant", None)
        return tenant if tenant is not None else _text(self.key).partition("/")[0]


def consumed(
    *, topic: str, partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None,
    catalogued: Topic | None,
) -> Consumed:  # fmt: skip
    """Decodes what came; a topic of the catalogue (`catalogued`) limits which records are right on it."""
    record: r.Record | None = None
    fault: DecodingError | None = None
    raw = catalogued is not None and not catalogued.records
    if value is not None and not raw:
        try:
            record = codec.decode(value, expected=catalogued.records if catalogued else None)
        except DecodingError as error:
            fault = error
    return Consumed(
        topic=topic, partition=partition, offset=offset, timestamp_ms=timestamp_ms, key=key, value=value, record=record,
        fault=fault,
    )  # fmt: skip


def as_json(item: Consumed) -> str:
    """One JSON object: topic, partition, offset, time, key, type, and `record`, or `error` with the value's head in hex."""
    line: dict[str, Any] = {
        "topic": item.topic,
        "partition": item.partition,
        "offset": item.offset,
        "time": _time(item.timestamp_ms),
        "key": None if item.key is None else _text(item.key),
    }
    if item.record is not None:
        line |= {"type": type(item.record).__name__, "record": item.record}
    elif item.value is None:
        line |= {"type": None, "record": None}
    else:
        line |= {
            "type": None,
            "value_bytes": len(item.value),
            "value_base64": base64.b64encode(item.value[:HEAD_BYTES]).decode(),
        }
        if item.fault is not None:
            line |= {"error": item.fault.reason, "message": str(item.fault), "value_hex": item.value[:HEAD_BYTES].hex()}
    return _encode_json(line).decode()


def as_text(item: Consumed) -> Text:
    """One line: time, partition:offset, key, record type and its main fields."""
    line = Text()
    line.append(_time(item.timestamp_ms), "dim")
    line.append(f" {item.partition}:{item.offset} ", "cyan")
    line.append(f"{'-' if item.key is None else _shown(_text(item.key)) or '(empty key)'} ", "bold")
    if item.record is not None:
        line.append(f"{type(item.record).__name__} ", "green")
        line.append(" ".join(_shown(part) for part in _MAIN[type(item.record)](item.record) if part))
    elif item.value is None:
        line.append("deleted", "yellow")
    elif item.fault is not None:
        line.append(f"{item.fault.reason} ", "bold red")
        line.append(f"{_head(item.value)}: {_shown(str(item.fault), limit=2 * TEXT_CHARS_MAX)}")
    else:
        line.append(_head(item.value), "dim")
    return line


def _head(value: bytes) -> str:
    return f"{len(value)} bytes {value[:HEAD_BYTES].hex()}{'…' if len(value) > HEAD_BYTES else ''}"


def _time(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    except (ValueError, OverflowError, OSError):  # a producer may write any number
        return f"{timestamp_ms} ms"


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="backslashreplace")


def _shown(text: str, *, limit: int = TEXT_CHARS_MAX) -> str:
    """Text of others on our terminal: escape sequences are made visible, and length has an end."""
    if len(text) > limit:
        text = text[:limit] + "…"
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _money(amount_minor: int | None, currency: str) -> str:
    if amount_minor is None:
        return ""
    return format_minor(amount_minor, currency) if currency in EXPONENTS else f"{amount_minor} {currency}"


def _event(event: r.PaymentEvent) -> list[str]:
    payment, provider = event.payment, event.charge.provider if event.charge else ""
    money = _money(payment.amount_minor, payment.currency) if payment else ""
    change = f"{event.from_status}→{event.to_status}" if event.from_status != event.to_status else event.to_status
    return [
        f"#{event.sequence}",
        event.type,
        change,
        money,
        provider,
        f"{len(event.postings)} postings" if event.postings else "",
    ]


def _window(event: r.SettlementEvent) -> list[str]:
    moved = _money(event.movement.amount_minor, event.currency) if event.movement else ""
    net = f"net {_money(event.totals.net_minor, event.currency)}" if event.totals else ""
    return [f"#{event.sequence}", event.type, event.window_id, event.status, moved, "late" if event.late else "", net]


def _payout(event: r.PayoutEvent) -> list[str]:
    money = _money(event.payout.amount_minor, event.currency) if event.payout else ""
    change = f"{event.from_status}→{event.to_status}" if event.from_status != event.to_status else event.to_status
    return [f"#{event.sequence}", event.type, event.payout_id, change, money, event.provider]


def _payout_reply(reply: r.PayoutReply) -> list[str]:
    outcome = reply.payout.status if reply.payout else reply.provider
    if reply.error:
        outcome = f"{reply.error.code}: {reply.error.message}"
    return [reply.tenant, reply.payout_id, str(reply.status_code), outcome, "replayed" if reply.replayed else ""]


def _reply(reply: r.Reply) -> list[str]:
    outcome = (
        f"{reply.error.code}: {reply.error.message}" if reply.error else reply.payment.status if reply.payment else ""
    )
    return [reply.tenant, reply.payment_id, str(reply.status_code), outcome, "replayed" if reply.replayed else ""]


def _rejection(rejection: r.Rejection) -> list[str]:
    source = f"{rejection.source_topic} {rejection.source_partition}:{rejection.source_offset}"
    return [rejection.reason, f"from {source}", rejection.field, rejection.message]


def _result(result: r.ProviderResult) -> list[str]:
    return [
        result.provider, result.operation, result.outcome, _money(result.amount_minor, result.currency),
        result.object_id, result.decline_code,
    ]  # fmt: skip


_MAIN: dict[type[Any], Callable[[Any], list[str]]] = {
    r.PaymentIntent: lambda i: [
        i.tenant,
        i.intent_key,
        _money(i.amount_minor, i.currency),
        i.payment_method,
        i.capture_method,
    ],
    r.PaymentCommand: lambda c: [
        c.kind,
        _money(c.amount_minor, c.currency),
        c.payment_method,
        f"by {c.attribution.actor_id}",
    ],
    r.ProviderResult: _result,
    r.ClockTick: lambda tick: [_time(tick.time_ms), tick.source],
    r.RoutingUpdate: lambda u: [
        u.kind,
        u.tenant or "(default)",
        f"v{u.policy_version}",
        ">".join(u.providers),
        u.provider,
    ],
    r.Tenant: lambda t: [t.tenant, t.status, f"v{t.version}", t.timezone, t.settlement_cutoff],
    r.RoutingPolicy: lambda p: [p.tenant or "(default)", f"v{p.policy_version}", ">".join(p.providers)],
    r.PaymentEvent: _event,
    r.ProviderRequest: lambda q: [
        q.provider,
        q.operation,
        _money(q.amount_minor, q.currency),
        q.object_id,
        f"attempt {q.attempt}",
    ],
    r.Reply: _reply,
    r.Movement: lambda m: [m.kind, _money(m.amount_minor, m.currency), m.payment_id, m.object_id],
    r.ReportLine: lambda line: [line.report_id, f"line {line.line}", line.kind, _money(line.net_minor, line.currency)],
    r.PayoutResult: lambda p: [p.payout_id, p.outcome, _money(p.amount_minor, p.currency), p.failure_code],
    r.PayoutCommand: lambda c: [
        c.payout_id,
        c.kind,
        c.provider,
        _money(c.amount_minor, c.currency),
        f"by {c.attribution.actor_id}",
    ],
    r.PayoutRequest: lambda q: [q.provider, "payout", _money(q.amount_minor, q.currency), q.payout_id],
    r.PayoutEvent: _payout,
    r.PayoutReply: _payout_reply,
    r.SettlementEvent: _window,
    r.Rejection: _rejection,
    r.AuditDigest: lambda d: [d.tenant, d.day, f"{d.events} events", d.root_sha256],
}
