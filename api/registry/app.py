"""The routes: Confluent's schema registry as its clients know it, over the committed contracts."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, delete, get, post, put
from litestar.exceptions import HTTPException

from api.registry import subjects
from api.registry.errors import InvalidRequest, ReadOnly, RegistryError, SchemaNotFound
from schemas import compatibility
from schemas.contracts import Contract, all_contracts

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
BODY_BYTES_MAX = 1_000_000

_encode = msgspec.json.Encoder().encode


class _Submitted(msgspec.Struct, frozen=True):
    """The body of a lookup, a registration or a compatibility check."""

    schema: str
    schemaType: str = "AVRO"  # noqa: N815  its name on the wire
    references: list[Any] = []


def _answer(content: Any, *, status: int = 200) -> Response[bytes]:
    return Response(_encode(content), status_code=status, media_type=CONTENT_TYPE)


def _described(contract: Contract, subject: str) -> dict[str, Any]:
    return {"subject": subject, "version": contract.version, "id": contract.id, "schema": contract.text}


async def _submitted(request: Request[Any, Any, Any]) -> _Submitted:
    try:
        body = msgspec.json.decode(await request.body(), type=_Submitted)
    except msgspec.MsgspecError as error:
        message = f"The body must be JSON with a schema: {error}"
        raise InvalidRequest(message) from error
    if body.schemaType != "AVRO" or body.references:
        raise InvalidRequest("Only schemaType AVRO without references is known here")
    return body


@get("/")
async def root() -> Response[bytes]:
    """Answer clients that only look whether somebody is there."""
    return _answer({})


@get("/health")
async def health() -> Response[bytes]:
    """Tell whether the contracts are served, and how many."""
    return _answer({"status": "ok", "schemas": len(all_contracts())})


@get("/subjects")
async def list_subjects(subjectPrefix: str = "") -> Response[bytes]:  # noqa: N803  its name on the wire
    """List subjects, by prefix."""
    return _answer([name for name in subjects.subjects() if name.startswith(subjectPrefix)])


@get("/subjects/{subject:str}/versions")
async def list_versions(subject: str) -> Response[bytes]:
    """List a subject's versions."""
    return _answer([contract.version for contract in subjects.versions(subject)])


@get("/subjects/{subject:str}/versions/{version:str}")
async def get_version(subject: str, version: str) -> Response[bytes]:
    """Give one version of a subject."""
    return _answer(_described(subjects.version(subject, version), subject))


@get("/subjects/{subject:str}/versions/{version:str}/schema")
async def get_version_schema(subject: str, version: str) -> Response[bytes]:
    """Give one version's schema alone."""
    return _answer(subjects.version(subject, version).schema)


@post("/subjects/{subject:str}")
async def find(subject: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Find a schema under a subject."""
    body = await _submitted(request)
    return _answer(_described(subjects.lookup(subject, body.schema), subject))


@post("/subjects/{subject:str}/versions")
async def register(subject: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give the id of a schema that is there, as serializers that register before they write need it; refuse any other."""
    body = await _submitted(request)
    try:
        return _answer({"id": subjects.lookup(subject, body.schema).id})
    except RegistryError as error:
        raise ReadOnly from error


@get("/schemas/types")
async def list_types() -> Response[bytes]:
    """List the kinds of schema."""
    return _answer(["AVRO"])


@get("/schemas")
async def list_schemas(subjectPrefix: str = "") -> Response[bytes]:  # noqa: N803  its name on the wire
    """List every version of every subject, by prefix."""
    named = subjects.subjects().items()
    found = [(subject, contract) for subject, known in named for contract in known]
    return _answer([_described(contract, subject) for subject, contract in found if subject.startswith(subjectPrefix)])


@get("/schemas/ids/{identity:str}")
async def get_schema(identity: str) -> Response[bytes]:
    """Give the schema of an id: what a deserializer asks for."""
    return _answer({"schema": _by_id(identity).text})


@get("/schemas/ids/{identity:str}/schema")
async def get_schema_alone(identity: str) -> Response[bytes]:
    """Give the schema of an id alone."""
    return _answer(_by_id(identity).schema)


@get("/schemas/ids/{identity:str}/subjects")
async def get_schema_subjects(identity: str) -> Response[bytes]:
    """List the subjects under which an id stands."""
    return _answer([subject for subject, _ in subjects.places(_by_id(identity))])


@get("/schemas/ids/{identity:str}/versions")
async def get_schema_versions(identity: str) -> Response[bytes]:
    """List the subjects and versions under which an id stands."""
    return _answer([{"subject": name, "version": number} for name, number in subjects.places(_by_id(identity))])


def _by_id(identity: str) -> Contract:
    if not (identity.isascii() and identity.isdigit() and len(identity) <= 10):
        raise SchemaNotFound(f"Schema {identity[:20]}")
    return subjects.schema(int(identity))


@post("/compatibility/subjects/{subject:str}/versions")
async def check_all(subject: str, request: Request[Any, Any, Any], *, verbose: bool = False) -> Response[bytes]:
    """Check a schema against every version of a subject."""
    body = await _submitted(request)
    return _compatible(subjects.versions(subject), body.schema, verbose=verbose)


@post("/compatibility/subjects/{subject:str}/versions/{version:str}")
async def check_one(
    subject: str, version: str, request: Request[Any, Any, Any], *, verbose: bool = False
) -> Response[bytes]:
    """Check a schema against one version of a subject."""
    body = await _submitted(request)
    return _compatible((subjects.version(subject, version),), body.schema, verbose=verbose)


def _compatible(known: tuple[Contract, ...], text: str, *, verbose: bool) -> Response[bytes]:
    found = compatibility.problems([*(contract.schema for contract in known), subjects.parse(text)])
    return _answer({"is_compatible": not found, **({"messages": found} if verbose else {})})


@get(["/config", "/config/{subject:str}"])
async def get_config(subject: str | None = None) -> Response[bytes]:
    """Tell the compatibility level, which is the same everywhere."""
    if subject is not None:
        subjects.versions(subject)
    return _answer({"compatibilityLevel": compatibility.LEVEL})


@get(["/mode", "/mode/{subject:str}"])
async def get_mode(subject: str | None = None) -> Response[bytes]:
    """Tell the mode, which is the same everywhere."""
    if subject is not None:
        subjects.versions(subject)
    return _answer({"mode": "READONLY"})


@put(["/config", "/config/{subject:str}", "/mode", "/mode/{subject:str}"])
async def refuse_change() -> None:
    """Refuse to change level or mode."""
    raise ReadOnly


@delete(
    [
        "/subjects/{subject:str}",
        "/subjects/{subject:str}/versions/{version:str}",
        "/config",
        "/config/{subject:str}",
        "/mode/{subject:str}",
    ]
)
async def refuse_deletion() -> None:
    """Refuse to delete."""
    raise ReadOnly


def _on_registry_error(_request: Request[Any, Any, Any], error: RegistryError) -> Response[bytes]:
    return _answer({"error_code": error.error_code, "message": str(error)}, status=error.status)


def _on_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return _answer(
        {"error_code": error.status_code, "message": f"HTTP {error.status_code} {error.detail}"},
        status=error.status_code,
    )


_ROUTES = (
    root,
    health,
    list_subjects,
    list_versions,
    get_version,
    get_version_schema,
    find,
    register,
    list_types,
    list_schemas,
    get_schema,
    get_schema_alone,
    get_schema_subjects,
    get_schema_versions,
    check_all,
    check_one,
    get_config,
    get_mode,
    refuse_change,
    refuse_deletion,
)


def application() -> Litestar:
    """The ASGI application."""
    return Litestar(
        route_handlers=_ROUTES,
        exception_handlers={RegistryError: _on_registry_error, HTTPException: _on_http_error},
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
    )
