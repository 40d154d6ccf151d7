"""One command's work in progress in the customers' fold: objects as they change, and what is to be said about them."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec.structs import replace

from schemas.ids import CUSTOMER_PREFIX, METHOD_PREFIX, SETUP_PREFIX
from schemas.records import Attribution, CustomerCommand, CustomerEvent, CustomerReply, ErrorObject
from streams.core import ids, keys
from streams.core._customer_objects import customer_object, method_object, setup_object
from streams.core.checks import METADATA_KEYS_MAX
from streams.core.customers_state import Customer, Method, Setup, StoredAnswer
from streams.core.decision import Decision, Input, View
from streams.core.errors import CommandError
from streams.core.state import StoredError, decode, encode

Thing = Customer | Method | Setup
_T = TypeVar("_T", Customer, Method, Setup)

_KINDS: dict[type[Thing], str] = {Customer: "customer", Method: "payment_method", Setup: "setup_intent"}


def kind_of(object_id: str) -> type[Thing]:
    """What an id is the id of; every id here was checked to be one of them."""
    if object_id.startswith(CUSTOMER_PREFIX):
        return Customer
    if object_id.startswith(METHOD_PREFIX):
        return Method
    assert object_id.startswith(SETUP_PREFIX), object_id
    return Setup


def key_of(tenant: str, object_id: str) -> bytes:
    """Where its state is."""
    kind = kind_of(object_id)
    if kind is Customer:
        return keys.customer(tenant, object_id)
    return keys.method(tenant, object_id) if kind is Method else keys.setup(tenant, object_id)


class Step:
    """What handlers see and change. Nothing of it counts when the handler raises: then there is but an answer."""

    __slots__ = ("_changed", "command", "decision", "digest", "failure", "input", "view")

    def __init__(self, view: View, input: Input, command: CustomerCommand) -> None:  # noqa: A002
        self.view, self.input, self.command = view, input, command
        self.decision = Decision()
        self.digest = ids.input_digest(input.topic, input.partition, input.offset)
        self._changed: dict[str, Thing] = {}
        self.failure: CommandError | None = None
        """What the caller is answered with although the command had its effect: a declined card."""

    @property
    def now_ms(self) -> int:
        """The time of the input."""
        return self.input.time_ms

    def thing(self, object_id: str) -> Thing | None:
        """Whatever has that id, as it stands in this step; None where nothing has."""
        found = self._changed.get(object_id)
        if found is None:
            value = self.view.get(key_of(self.command.tenant, object_id))
            return None if value is None else decode(kind_of(object_id), value)
        return found

    def find(self, kind: type[_T], object_id: str) -> _T | None:
        """The same, of the kind that is wanted."""
        found = self.thing(object_id)
        return found if isinstance(found, kind) else None

    def get(self, kind: type[_T], object_id: str, *, param: str = "id") -> _T:
        """The object. Raises `CommandError` where there is none of that id, and for a deleted customer."""
        found = self.find(kind, object_id)
        if found is None or getattr(found, "deleted", False):
            raise CommandError("object_missing", param=param, what=_KINDS[kind])
        return found

    def merged_metadata(self, before: dict[str, str]) -> dict[str, str]:
        """Metadata after the command. Raises `CommandError` when there would be too much of it."""
        command = self.command
        after = {**({} if command.metadata_cleared else before), **command.metadata}
        for name in command.metadata_removed:
            after.pop(name, None)
        if len(after) > METADATA_KEYS_MAX:
            detail = f"metadata would have {len(after)} keys; at most {METADATA_KEYS_MAX} are allowed."
            raise CommandError("parameter_invalid", param="metadata", detail=detail)
        return after

    def put(self, object_id: str, thing: Thing) -> None:
        """Change an object without news."""
        self._changed[object_id] = thing

    def tell(self, object_id: str, thing: Thing, event_type: str) -> None:
        """Change an object, or make it, and tell of it."""
        event_id = ids.event_id(self.digest, len(self.decision.events))
        after = replace(thing, sequence=thing.sequence + 1, last_event_id=event_id)
        self._changed[object_id] = after
        input_ = self.input
        self.decision.events.append(
            CustomerEvent(
                event_id=event_id,
                type=event_type,
                tenant=self.command.tenant,
                object_id=object_id,
                sequence=after.sequence,
                previous_event_id=thing.last_event_id,
                occurred_ms=input_.time_ms,
                customer=customer_object(object_id, after) if isinstance(after, Customer) else None,
                method=method_object(object_id, after) if isinstance(after, Method) else None,
                setup=setup_object(object_id, after) if isinstance(after, Setup) else None,
                attribution=self.command.attribution,
                cause_topic=input_.topic,
                cause_partition=input_.partition,
                cause_offset=input_.offset,
                ordinal=len(self.decision.events),
            )
        )

    def finish(self, fingerprint: bytes) -> StoredAnswer:
        """Write what has changed; the answer is the command's object as it stands now."""
        command = self.command
        for object_id, changed in self._changed.items():
            self.decision.writes.append((key_of(command.tenant, object_id), encode(changed)))
        thing = self.thing(command.object_id)
        assert thing is not None, "a command's object is there after it"
        failure = self.failure
        return StoredAnswer(
            fingerprint,
            200 if failure is None else failure.http_status,
            command.object_id,
            encode(thing),
            None if failure is None else StoredError(**msgspec.structs.asdict(failure.error)),
        )


def reply(
    command: CustomerCommand,
    input: Input,  # noqa: A002
    *,
    http_status: int,
    error: StoredError | ErrorObject | None,
    thing: Thing | None,
    replayed: bool = False,
) -> CustomerReply:
    """The answer as it goes out."""
    attribution: Attribution = command.attribution
    object_id = command.object_id
    return CustomerReply(
        correlation_id=command.correlation_id,
        tenant=command.tenant,
        object_id=object_id,
        status_code=http_status,
        replayed=replayed,
        error=ErrorObject(**msgspec.structs.asdict(error)) if isinstance(error, StoredError) else error,
        customer=customer_object(object_id, thing) if isinstance(thing, Customer) else None,
        method=method_object(object_id, thing) if isinstance(thing, Method) else None,
        setup=setup_object(object_id, thing) if isinstance(thing, Setup) else None,
        attribution=attribution,
        cause_topic=input.topic,
        cause_partition=input.partition,
        cause_offset=input.offset,
    )
