"""The routes: Stripe's paths onto the service, its headers onto every answer, one log line per request."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec
from litestar import Litestar, Request, Response, get, post, route
from litestar.exceptions import HTTPException
from msgspec.structs import replace

from api.http.browsers import CORS, PATHS, PREFLIGHT
from api.http.errors import ApiError, Broken, Gone, MethodRefused, NotFound, Unreadable, encode, headers_of
from api.http.operations import Route
from api.http.resources import ENDPOINTS, Endpoint
from api.http.service import Answer, Caller, Service
from api.http.wire import BODY_BYTES_MAX, Tree, made_request_id, read_body, read_form
from api.openapi import routes as described

JSON_TYPE = "application/json"
_RESPONSE_BYTES_SLACK = 1_024
DROPPED_BYTES_MAX = 1_048_576
"""Of a body beyond the limit, so much is read before the answer."""
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""What is logged as it came; anything may stand where a request's method should."""

log = logging.getLogger("clearline.api")

_Request: TypeAlias = Request[Any, Any, Any]
_Work: TypeAlias = Callable[[Caller, dict[str, Tree]], Awaitable[Answer]]

_encode = msgspec.json.Encoder().encode


async def _answered(service: Service, request: _Request, work: _Work, *, path: str) -> Response[bytes]:
    """Identify, read, work, answer: the same for every route."""
    began = time.perf_counter()
    request_id = made_request_id()
    headers = {"Request-Id": request_id}
    caller: Caller | None = None
    error: ApiError | None = None
    try:
        caller = service.identify(request.headers, request_id)
        headers["Stripe-Version"] = caller.version
        if caller.idempotency_key and request.method == "POST":
            headers["Idempotency-Key"] = caller.idempotency_key
        if "stripe-account" in request.headers:
            headers["Stripe-Account"] = caller.identity.tenant
        service.admit(caller)
        given = await _parameters(request)
        identity = service.browsers.admit(caller.identity, request.method, path, request.path_params, given)
        caller = replace(caller, identity=identity)
        answer = await work(caller, given)
        status, body, replayed = 200, _encode(service.browsers.shown(identity, answer.body)), answer.replayed
    except ApiError as raised:
        error = raised
        status, replayed = error.status, error.replayed
        said = error.body()
        body = _encode({"error": said if caller is None else service.browsers.shown(caller.identity, said)})
    except Exception:
        # The traceback holds no parameters: see `schemas.logs`.
        log.exception("request_id=%s path=%s failed", request_id, path)
        error = Broken()
        status, body, replayed = error.status, encode(error), False
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if path in PATHS or (caller is not None and caller.identity.kind == "publishable"):
        headers |= CORS
    if error is not None:
        headers |= headers_of(error)
    _say(request, path=path, status=status, caller=caller, request_id=request_id, error=error, began=began)
    return Response(body, status_code=status, media_type=JSON_TYPE, headers=headers)


def as_routed(path: str) -> str:
    """A path as operations write it, as the framework does."""
    return path.replace("}", ":str}")


def _preflight(path: str) -> Any:
    """Answers a browser that asks whether a page of another site may ask."""

    async def handle() -> Response[None]:
        return Response(None, status_code=204, headers=dict(PREFLIGHT))

    return route(as_routed(path), http_method="OPTIONS", status_code=204)(handle)


def _say(
    request: _Request,
    *,
    path: str,
    status: int,
    caller: Caller | None,
    request_id: str,
    error: ApiError | None,
    began: float,
) -> None:
    """One line; of parameters, keys and bodies nothing."""
    who = caller.identity if caller is not None else None
    log.info(
        "request_id=%s method=%s path=%s status=%d ms=%.1f tenant=%s key=%s code=%s",
        request_id,
        request.method if request.method in _METHODS else "other",
        path,
        status,
        (time.perf_counter() - began) * 1000,
        who.tenant if who is not None else "-",
        who.key_id if who is not None else "-",
        error.code if error is not None else "-",
    )


async def _parameters(request: _Request) -> dict[str, Tree]:
    if request.method in ("GET", "DELETE"):
        return read_form(request.scope.get("query_string", b"").decode("ascii", "replace"))
    return read_body(request.headers.get("content-type", ""), await _body(request))


async def _body(request: _Request) -> bytes:
    """
    All of it. Raises `Unreadable` beyond the limit, and `Gone` where the connection ends before it does.

    What is beyond is read and dropped, up to a limit of its own: who is answered while still sending sees a reset connection.
    """
    found, dropped_bytes, more = bytearray(), 0, True
    while more and dropped_bytes <= DROPPED_BYTES_MAX:
        event: Any = await request.receive()
        if event["type"] == "http.disconnect":
            raise Gone
        part = event["body"]
        more = event.get("more_body", False)
        if len(found) + len(part) > BODY_BYTES_MAX:
            dropped_bytes += len(part)
        else:
            found += part
    if dropped_bytes:
        raise Unreadable(f"At most {BODY_BYTES_MAX} bytes of body are taken.")
    return bytes(found)


def _writing(service: Service, endpoint: Endpoint) -> Any:
    async def handle(request: _Request) -> Response[bytes]:
        async def work(caller: Caller, tree: dict[str, Tree]) -> Answer:
            return await service.write(endpoint, caller, request.path_params.get("id", ""), tree)

        return await _answered(service, request, work, path=endpoint.path)

    return post(as_routed(endpoint.path))(handle)


def bound(service: Service, made: Route) -> Any:
    """The handler of an operation."""
    path = made.operation.path

    async def handle(request: _Request) -> Response[bytes]:
        async def work(caller: Caller, tree: dict[str, Tree]) -> Answer:
            return await made.run(caller, request.path_params, tree)

        return await _answered(service, request, work, path=path)

    return route(as_routed(path), http_method=made.operation.method, status_code=200)(handle)


def _elsewhere(request: _Request, error: HTTPException) -> Response[bytes]:
    """What no route takes: no such path, no such method, a body beyond the limit."""
    request_id = made_request_id()
    problem: ApiError
    if error.status_code == 405:
        problem = MethodRefused(f"{request.method} is not taken here.")
    elif error.status_code == 413:
        problem = Unreadable(f"At most {BODY_BYTES_MAX} bytes of body are taken.")
    elif error.status_code == 404:
        problem = NotFound("endpoint", param="")
    else:
        problem = Unreadable("The request can't be read.")
    _say(
        request,
        path="elsewhere",
        status=problem.status,
        caller=None,
        request_id=request_id,
        error=problem,
        began=time.perf_counter(),
    )
    headers = {"Request-Id": request_id, **headers_of(problem)}
    return Response(encode(problem), status_code=problem.status, media_type=JSON_TYPE, headers=headers)


def application(
    service: Service, *, ready: Callable[[], str], handlers: Sequence[Any] = (), routes: Sequence[Route] = ()
) -> Litestar:
    """The ASGI application. `ready` says why it is not, or nothing; `handlers`, `routes`: all but the writes to payments."""

    @get("/health")
    async def health() -> Response[bytes]:
        """Tell that the process lives."""
        return Response(_encode({"status": "ok"}), media_type=JSON_TYPE)

    @get("/ready")
    async def readiness() -> Response[bytes]:
        """Tell whether requests can be answered now."""
        why = ready()
        status = 503 if why else 200
        return Response(_encode({"status": why or "ready"}), status_code=status, media_type=JSON_TYPE)

    return Litestar(
        route_handlers=[
            # First, since a path without one is given one of the framework's own.
            *(_preflight(path) for path in PATHS),
            health,
            readiness,
            *(_writing(service, endpoint) for endpoint in ENDPOINTS),
            *described.handlers(),
            *handlers,
            *(bound(service, one) for one in routes),
        ],
        exception_handlers={HTTPException: _elsewhere},
        request_max_body_size=BODY_BYTES_MAX + _RESPONSE_BYTES_SLACK,
        openapi_config=None,
        logging_config=None,
    )
