"""The reference page: a version's document as one HTML page without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from api.http import catalogue, versions
from api.http.browsers import SHOWN
from api.openapi._looks import SCRIPT, STYLE
from api.openapi.document import document
from api.openapi.schema import browsers_name

_DEPTH_MAX = 4


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but this page's own style and script."""


def html(version: str) -> bytes:
    """The page of a live version, UTF-8. Raises `VersionUnknown`."""
    return "".join(_page(document(version))).encode()


def _page(made: Mapping[str, Any]) -> Iterator[str]:
    version = made["info"]["version"]
    schemas = made["components"]["schemas"]
    objects = [name for name in (*catalogue.objects(), *map(browsers_name, SHOWN)) if name in schemas]
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {tag["name"]: [] for tag in made["tags"]}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((method.upper(), path, operation))
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Clearline API {escape(version)}</title><style>{STYLE}</style></head><body>"
    )
    yield '<nav aria-label="Reference"><h1><a href="#top">Clearline API</a></h1>'
    yield '<label for="search">Search</label><input id="search" type="search" autocomplete="off" placeholder="refund, metadata, …">'
    yield "<p>" + " ".join(_version(one, version) for one in versions.LIVE) + "</p>"
    for tag, found in by_tag.items():
        yield f"<h2>{escape(tag)}</h2><ul>"
        for method, path, operation in found:
            yield (
                f'<li data-of="{escape(operation["operationId"])}"><a href="#{escape(operation["operationId"])}">'
                f"<b>{method}</b> {escape(path.removeprefix('/v1'))}</a></li>"
            )
        yield "</ul>"
    yield "<h2>objects</h2><ul>"
    for name in objects:
        yield f'<li data-of="object-{escape(name)}"><a href="#object-{escape(name)}">{escape(name)}</a></li>'
    yield '</ul></nav><main id="top">'
    yield f'<p>{_marked(made["info"]["description"])} <a href="/v1/openapi/{escape(version)}.json">OpenAPI document</a></p>'
    yield '<p id="none" hidden>Nothing is called that.</p>'
    for found in by_tag.values():
        for method, path, operation in found:
            yield from _operation(method, path, operation, schemas, made["components"])
    for name in objects:
        yield from _object(name, schemas[name])
    yield f"</main><script>{SCRIPT}</script></body></html>\n"


def _version(one: str, shown: str) -> str:
    return (
        f"<strong>{escape(one)}</strong>" if one == shown else f'<a href="/reference/{escape(one)}">{escape(one)}</a>'
    )


def _marked(text: str) -> str:
    """Escaped, and what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}"><h3><b>{method}</b> <code>{escape(path)}</code></h3>'
    yield f"<p>{_marked(operation['summary'])}</p><p>Scope of a restricted key: <code>{escape(operation['x-scope'])}</code></p>"
    yield f"<p>Operators with a role of: {escape(', '.join(operation['x-roles']))}</p>"
    if "x-approval" in operation:
        yield f"<p>May wait for another person: <code>{escape(operation['x-approval'])}</code></p>"
    rows = [
        ("header " if "$ref" in one else "", components["parameters"][_last(one)] if "$ref" in one else one)
        for one in operation["parameters"]
    ]
    body = operation.get("requestBody")
    given = schemas[_last(body["content"]["application/json"]["schema"])] if body else {"properties": {}}
    yield "<h4>Parameters</h4><table><tbody>"
    for where, one in rows:
        yield _row(one["name"], one["schema"], where=where, required=one["required"], words=one.get("description", ""))
        yield from _rows(one["schema"], one["name"], 1)
    yield from _rows(given, "", 1)
    yield "</tbody></table>"
    if operation.get("x-not-supported"):
        names = ", ".join(f"<code>{escape(name)}</code>" for name in operation["x-not-supported"])
        yield f"<details><summary>Refused, though Stripe has it</summary><p>{names}</p></details>"
    yield "<h4>Answers</h4><table><tbody>"
    for status, one in operation["responses"].items():
        if "$ref" in one:
            yield f"<tr><td>{status}</td><td>{_marked(components['responses'][status]['description'])}</td></tr>"
        else:
            yield f"<tr><td>{status}</td><td>{_kind(one['content']['application/json']['schema'])}</td></tr>"
    yield f"</tbody></table><h4>Example</h4><pre>{escape(_curl(method, path, given))}</pre></section>"


def _object(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="object-{escape(name)}"><h3>{escape(name)}</h3><p>{_marked(schema["description"])}</p>'
    yield "<table><tbody>"
    yield from _rows(schema, "", 1)
    yield "</tbody></table>"
    for example in schema.get("examples", ()):
        yield f"<details><summary>Example</summary><pre>{escape(json.dumps(example, indent=1, ensure_ascii=False))}</pre></details>"
    yield "</section>"


def _rows(schema: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        shown = f"{prefix}[{name}]" if prefix else name
        yield _row(shown, one, required=name in required, words=one.get("description", ""))
        inner = next((part for part in (one, *one.get("anyOf", ())) if part.get("properties")), None)
        if inner is not None and depth < _DEPTH_MAX:
            yield from _rows(inner, shown, depth + 1)


def _row(name: str, schema: Mapping[str, Any], *, required: bool, words: str, where: str = "") -> str:
    mark = " <i>required</i>" if required else ""
    return f"<tr><td>{where}<code>{escape(name)}</code>{mark}</td><td>{_kind(schema)} {_marked(words)}</td></tr>"


def _kind(schema: Mapping[str, Any]) -> str:
    """What it is, in a few words."""
    if "$ref" in schema:
        name = escape(_last(schema))
        return f'<a href="#object-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " ".join("null" if one is None else f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("properties", {}).get("object", {}).get("enum") in (["list"], ["search_result"]):
        return f"a page of {_kind(schema['properties']['data']['items'])}"
    if "items" in schema:
        return f"array of {_kind(schema['items'])}"
    kinds = schema.get("type", "object")
    words = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    limits = [
        f"{label} {schema[name]:,}"
        for name, label in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("maxLength", "at most"),
            ("maxProperties", "at most"),
        )
        if name in schema
    ]
    return f"{words} ({', '.join(limits)})" if limits else words


def _curl(method: str, path: str, given: Mapping[str, Any]) -> str:
    """A request by hand with what is required."""
    verb = {"GET": "", "DELETE": " -X DELETE", "POST": " -X POST"}[method]
    fields = "".join(f" \\\n  -d {name}=…" for name in given.get("required", ()))
    return f'curl{verb} http://127.0.0.1:8780{path} -u "$KEY:"{fields}'


def _last(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]
