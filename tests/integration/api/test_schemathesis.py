"""Schemathesis over our own document: what it makes of the schemas, right and wrong, is answered as the document says, and never with 5xx.

`CLEARLINE_SCHEMATHESIS=200` makes so many cases of each operation and way of asking instead of the few of the default suite.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup, ServerError
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import JsonSchemaError, UndefinedStatusCode

from api.http import catalogue, versions
from api.http.operations import Operation
from api.http.wire import FORM, JSON
from api.openapi.document import document
from tests._schemas import Schemas

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

CASES = int(os.environ.get("CLEARLINE_SCHEMATHESIS", "5"))
SEED = 6_735
TIMEOUT_S = 90

CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_headers_conformance,
    schemathesis.checks.response_schema_conformance,
]
"""Not among them: that what fits the schema is accepted. A currency or an id may be a text and yet none that there is."""


@schemathesis.serializer(FORM)
def bracketed(_context: Any, value: Any) -> Any:
    """Forms as Stripe's SDKs send them, which OpenAPI can only hint at."""
    return urllib.parse.urlencode(list(pairs(value)) if isinstance(value, dict) else {"value": str(value)}).encode(
        errors="replace"
    )


def pairs(value: Any, name: str = ""):
    """Names with brackets, and texts."""
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            yield from pairs(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from pairs(inner, f"{name}[{number}]")
    else:
        yield (
            name,
            "" if value is None or value == {} else str(value).lower() if isinstance(value, bool) else str(value),
        )


@pytest.fixture(scope="module")
def known(api, acme) -> dict[str, list[str]]:
    """Ids of what there is, by resource, so that not everything ends with 404."""
    made = [
        acme.v1.payment_intents.create(
            {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True, **more}
        )
        for more in ({}, {"capture_method": "manual"}, {"capture_method": "manual"})
    ]
    bare = acme.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    refund = acme.v1.refunds.create({"payment_intent": made[0].id, "amount": 10})
    return {
        "payment_intents": [bare.id, *(one.id for one in made)],
        "charges": [one.latest_charge for one in made],
        "refunds": [refund.id],
    }


@pytest.fixture(scope="module")
def secret(api) -> str:
    """A key of its own."""
    return api.key("acme")


LOADED = {
    version: schemathesis.openapi.from_dict(document(version)) for version in (versions.LIVE[0], versions.LIVE[-1])
}
OPERATIONS = {
    version: {found.ok().label: found.ok() for found in loaded.get_all_operations()}
    for version, loaded in LOADED.items()
}
CHANGED = {change.object for train in versions.TRAINS for change in train.changes}
TRIED = [
    pytest.param(version, one, id=f"{one.id}-{version}")
    for version in LOADED
    for one in catalogue.operations()
    if version == versions.NEWEST or one.object in CHANGED
]
"""Every operation in the newest version; in the oldest one those on objects that have changed since."""
SPOILING = ("PostApiKeysApiKeyRevoke", "PostTenantsTenantStatus")
"""Would take away what the other cases stand on, were they given real ids; they are not."""


@pytest.mark.parametrize(("version", "operation"), TRIED)
def test_answers_are_as_described(api, known, secret, version, operation: Operation) -> None:
    """Right and wrong parameters, as forms and as JSON, with real and made up ids: no 5xx, nothing that is not in the document."""
    found = OPERATIONS[version][f"{operation.method} {operation.path}"]
    ids = [] if operation.id in SPOILING else known.get(catalogue.resource(operation), [])
    session = requests.Session()

    @seed(SEED)
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def held(data) -> None:
        mode = data.draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
        case = data.draw(found.as_strategy(generation_mode=mode))
        if ids and "{id}" in operation.path:
            case.path_parameters = {**case.path_parameters, "id": data.draw(st.sampled_from(ids))}
        headers = {"Authorization": f"Bearer {secret}", "Stripe-Version": version}
        answer = case.call(base_url=api.url, session=session, headers=headers, timeout=TIMEOUT_S)
        case.validate_response(answer, checks=CHECKS)

    held()
    session.close()


def test_without_a_key_nothing_is_told(api) -> None:
    """Every operation answers 401 to who has no key, as described."""
    schemas = Schemas(document(versions.NEWEST))
    for operation in catalogue.operations():
        path = "/".join("x" if step.startswith("{") else step for step in operation.path.split("/"))
        answer = requests.request(operation.method, api.url + path, timeout=TIMEOUT_S)
        assert answer.status_code == 401, operation.id
        assert schemas.wrong("error", json.loads(answer.content)) == [], operation.id


def test_what_is_not_described_is_found() -> None:
    """The checks themselves: another status, and a body that does not fit, fail."""
    found = OPERATIONS[versions.LIVE[0]]["GET /v1/balance"]
    case = found.Case()
    for status, body, failure in (
        (418, b"{}", UndefinedStatusCode),
        (200, b'{"object": "balance"}', JsonSchemaError),
        (500, b"{}", ServerError),
    ):
        answer = Response(
            status_code=status,
            headers={"content-type": [JSON], "request-id": ["req_1"]},
            content=body,
            request=requests.Request("GET", "http://127.0.0.1/v1/balance").prepare(),
            elapsed=0.1,
            verify=False,
        )
        with pytest.raises(FailureGroup) as raised:
            case.validate_response(answer, checks=CHECKS)
        assert failure in {type(one) for one in raised.value.exceptions}
