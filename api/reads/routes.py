"""The routes of everything that is read: `/v1/{kind}` and `/v1/{kind}/{id}`."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get

from api.http import versions
from api.http.app import _answered, as_routed
from api.http.service import Answer, Caller, Service
from api.http.wire import Tree
from api.reads.lists import Kind
from api.reads.service import OBJECTS, Reads


def handlers(service: Service, reads: Reads) -> tuple[Any, ...]:
    """For `api.http.app.application(handlers=...)`."""
    return (
        _balance(service, reads),
        *(_listing(service, reads, kind) for kind in OBJECTS),
        *(_retrieving(service, reads, kind) for kind in OBJECTS),
    )


def _listing(service: Service, reads: Reads, kind: Kind) -> Any:
    path = f"/v1/{kind}"

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        async def work(caller: Caller, tree: dict[str, Tree]) -> Answer:
            return _in_version(caller, await reads.page(kind, caller, path, tree))

        return await _answered(service, request, work, path=path)

    return get(path)(handle)


def _retrieving(service: Service, reads: Reads, kind: Kind) -> Any:
    path = f"/v1/{kind}/{{id}}"

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        async def work(caller: Caller, tree: dict[str, Tree]) -> Answer:
            return _in_version(caller, await reads.retrieve(kind, caller, request.path_params["id"], tree))

        return await _answered(service, request, work, path=path)

    return get(as_routed(path))(handle)


def _balance(service: Service, reads: Reads) -> Any:
    path = "/v1/balance"

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        async def work(caller: Caller, tree: dict[str, Tree]) -> Answer:
            return _in_version(caller, await reads.balance(caller, tree))

        return await _answered(service, request, work, path=path)

    return get(path)(handle)


def _in_version(caller: Caller, body: dict[str, Any]) -> Answer:
    return Answer(body=versions.response_backwards(caller.version, body))
