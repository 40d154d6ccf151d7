"""What can be asked of a resource, as data: routes are made of it, and the OpenAPI documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from api.http import versions
from api.http.parameters import Spec, check
from api.http.service import Answer, Caller
from api.http.wire import Tree

Answers = Literal["object", "list", "search_result", "deleted"]
Work: TypeAlias = Callable[[Caller, Mapping[str, str], dict[str, Any]], Awaitable[Answer]]
"""Of who asks, the names in the path and the checked parameters; raises `ApiError`."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path under /v1."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """With its names in braces: /v1/disputes/{id}."""
    id: str
    """Unique, as Stripe names it where it has it: PostDisputesDispute."""
    summary: str
    """One sentence, for people who read the reference."""
    scope: str
    """What a restricted key needs: disputes:write."""
    object: str
    """What it is about: whose parameters versions change, and what it answers with. An `object` of the answer's."""
    answers: Answers = "object"
    spec: Spec = Spec()


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """An operation and what does it."""

    operation: Operation
    work: Work

    async def run(self, caller: Caller, path: Mapping[str, str], tree: dict[str, Tree]) -> Answer:
        """Check and do; parameters and answer are in the caller's version. Raises `ApiError`."""
        operation = self.operation
        caller.identity.require(operation.scope)
        given = check(operation.spec, versions.request_forwards(caller.version, operation.object, tree))
        answer = await self.work(caller, path, given)
        return Answer(body=versions.response_backwards(caller.version, answer.body), replayed=answer.replayed)
