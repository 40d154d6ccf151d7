from __future__ import annotations

import jsonschema
import pytest

from api.http import catalogue, versions
from api.http.errors import VersionUnknown
from api.openapi import _statuses
from api.openapi.document import document, examples
from tests._schemas import Schemas

DAHLIA, ENDIVE = "2026-08-26.dahlia", "2026-10-28.endive"


@pytest.mark.parametrize("version", versions.LIVE)
def test_every_version_describes_every_operation_and_object(version) -> None:
    """Each operation has a summary, a scope, an answer and errors; each object is described; every schema is one."""
    made = document(version)
    told = [one for methods in made["paths"].values() for one in methods.values()]
    assert sorted(one["operationId"] for one in told) == sorted(one.id for one in catalogue.operations())
    for one in told:
        assert one["summary"].endswith("."), one["operationId"]
        assert {"200", "400", "401", "403", "429", "500", "503"} <= set(one["responses"]), one["operationId"]
    nameless = {one.object for one in catalogue.operations()} - set(catalogue.objects())
    assert not nameless, f"nobody has described {nameless}: give its module OBJECTS, see api/http/catalogue.py"
    for schema in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_each_operation_has_its_own_statuses() -> None:
    """A decline where somebody is charged, a conflict where a provider is asked, 404 where something is named; nowhere else."""
    made = document(versions.NEWEST)["paths"]
    some = {"402", "404", "409"}
    for path, method, own in (
        ("/v1/payment_intents", "post", some),
        ("/v1/payment_intents", "get", set()),
        ("/v1/payment_intents/{id}", "post", {"404"}),
        ("/v1/refunds", "post", {"404", "409"}),
        ("/v1/setup_intents/{id}/confirm", "post", {"402", "404"}),
        ("/v1/customers", "post", {"404"}),
        ("/v1/webhook_endpoints", "post", set()),
        ("/v1/webhook_endpoints/{id}", "delete", {"404"}),
    ):
        assert some & set(made[path][method]["responses"]) == own, (method, path)
    assert _statuses.unknown(catalogue.operations()) == set()
    named = [told for path, methods in made.items() if "{" in path for told in methods.values()]
    assert all("404" in told["responses"] for told in named)


@pytest.mark.parametrize("version", versions.LIVE)
def test_every_reference_leads_somewhere(version) -> None:
    """No `$ref` names what is not in the document."""
    made = document(version)

    def follow(node) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                here = made
                for step in node["$ref"].removeprefix("#/").split("/"):
                    here = here[step]
            for value in node.values():
                follow(value)
        elif isinstance(node, list):
            for value in node:
                follow(value)

    follow(made)


@pytest.mark.parametrize("version", versions.LIVE)
def test_every_example_is_as_its_schema_says(version) -> None:
    """What renderers make fits what is said of it, in every version, and says its own name."""
    schemas = Schemas(document(version))
    for name, one in catalogue.objects().items():
        found = examples(version, one)
        assert found, f"{name} has no example"
        for which, body in found.items():
            assert schemas.wrong(name, body) == [], f"{name}, {which}"
            assert name == "error" or body["object"] == name


def test_an_older_version_is_described_as_it_was() -> None:
    """What a change took away or gave is not in the older document: neither among parameters nor in objects or examples."""
    new, old = (document(version)["components"]["schemas"] for version in (ENDIVE, DAHLIA))
    name = "allowed_payment_method_types"
    assert name in new["payment_intent"]["required"]
    assert name in new["PostPaymentIntentsParameters"]["properties"]
    assert all(name in one for one in new["payment_intent"]["examples"])
    for part in (old["payment_intent"], old["PostPaymentIntentsParameters"]):
        assert name not in part["properties"]
        assert name not in part.get("required", ())
    assert "payment_method_types" in old["PostPaymentIntentsParameters"]["properties"]
    assert not any(name in one for one in old["payment_intent"]["examples"])


def test_every_change_also_changes_the_description() -> None:
    """An example of the newest version does not fit the older schema where its change took something away."""
    for number, train in enumerate(versions.TRAINS[:-1]):
        older = versions.TRAINS[number + 1].releases[0]
        schemas = Schemas(document(older))
        for change in train.changes:
            described = catalogue.objects()[change.object]
            for body in examples(train.releases[0], described).values():
                assert (schemas.wrong(change.object, body) == []) == (change.backwards(body) == body)


def test_a_version_that_never_was() -> None:
    """There is no document of it."""
    with pytest.raises(VersionUnknown):
        document("2020-01-01")
