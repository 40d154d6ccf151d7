from __future__ import annotations

import json

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.http import versions
from api.openapi import files
from api.openapi.routes import handlers


@pytest.fixture(scope="module")
def client():
    """The three routes alone."""
    with TestClient(Litestar(list(handlers()), openapi_config=None)) as made:
        yield made


@pytest.mark.parametrize("version", versions.LIVE)
def test_documents_are_served_to_everybody(client, version) -> None:
    """Without a key; the same bytes as committed, cacheable, and not sent again to who has them."""
    answer = client.get(f"/v1/openapi/{version}.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == files.encoded(version)
    assert json.loads(answer.content)["info"]["version"] == version
    assert "max-age" in answer.headers["cache-control"]
    again = client.get(f"/v1/openapi/{version}.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_served_with_its_policy(client) -> None:
    """The newest version's by default, each version's under its name."""
    newest = client.get("/reference")
    assert newest.headers["content-type"] == "text/html; charset=utf-8"
    assert newest.headers["content-security-policy"].startswith("default-src 'none'")
    assert newest.content == client.get(f"/reference/{versions.NEWEST}").content


@pytest.mark.parametrize("path", ["/v1/openapi/2020-01-01.json", "/v1/openapi/2026-10-28.endive", "/reference/x"])
def test_what_is_not_there(client, path) -> None:
    """Another version, or another name: 404 in the API's own shape."""
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")
