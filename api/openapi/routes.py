"""Documents and the reference page over HTTP: for everybody, without a key, and cacheable."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from litestar import Request, Response, get

from api.http import versions
from api.http.errors import NotFound, encode
from api.openapi import files, page

MAX_AGE_S = 300
_HTML, _JSON = "text/html", "application/json"


class _Made:
    """Bytes that are the same until the process ends, and their entity tag."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@cache
def _document(version: str) -> _Made:
    return _Made(files.encoded(version))


@cache
def _page(version: str) -> _Made:
    return _Made(page.html(version))


def handlers() -> tuple[Any, ...]:
    """For `api.http.app.application`: `/v1/openapi/{version}.json`, `/reference` and `/reference/{version}`."""

    @get("/v1/openapi/{name:str}")
    async def document(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Give a version's document."""
        name = request.path_params["name"]
        return await _given(request, name.removesuffix(".json") if name.endswith(".json") else "", _document, _JSON)

    @get("/reference")
    async def newest(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Give the newest version's page."""
        return await _given(request, versions.NEWEST, _page, _HTML)

    @get("/reference/{name:str}")
    async def reference(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Give a version's page."""
        return await _given(request, request.path_params["name"], _page, _HTML)

    return (document, newest, reference)


async def _given(
    request: Request[Any, Any, Any], version: str, make: Callable[[str], _Made], media_type: str
) -> Response[bytes]:
    if version not in versions.LIVE:
        return Response(encode(NotFound("version", param="version")), status_code=404, media_type=_JSON)
    # The first time takes long enough to hold others up.
    made = await asyncio.to_thread(make, version)
    headers = {
        "Cache-Control": f"public, max-age={MAX_AGE_S}",
        "ETag": made.tag,
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
    }
    if media_type == _HTML:
        headers["Content-Security-Policy"] = page.POLICY
    if request.headers.get("if-none-match") == made.tag:
        return Response(b"", status_code=304, headers=headers)
    return Response(made.body, media_type=media_type, headers=headers)
