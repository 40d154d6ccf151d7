"""Schemathesis over our own document: what it makes of the schemas, right and wrong, is answered as the document says, and never with 5xx.

`CLEARLINE_SCHEMATHESIS=200` makes so many cases of each operation and way of asking instead of the few of the default suite.
"""

from __future__ import annotations

import json
import os
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
from tests.fuzz.forms import encoded
from tests.fuzz.ground import SPOILING, Ground, prepared

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
def bracketed(_context: Any, value: Any) -> bytes:
    """Forms as Stripe's SDKs send them, which OpenAPI can only hint at."""
    return encoded(value)


@pytest.fixture(scope="module")
def ground(api, tmp_path_factory) -> Ground:
    """A tenant with objects of every kind, its key, and an admin who has signed in."""
    return prepared(api.url, api.house.bootstrap, api.house.environment, tmp_path_factory.mktemp("ground"))


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


@pytest.mark.parametrize(("version", "operation"), TRIED)
def test_answers_are_as_described(ground, version, operation: Operation) -> None:
    """Right and wrong parameters, as forms and JSON, with real and made up ids, by who may: no 5xx, nothing but what is in the document."""
    found = OPERATIONS[version][f"{operation.method} {operation.path}"]
    known = ground.known(operation)
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
        if known and (operation.id in SPOILING or data.draw(st.booleans())):
            there = {name: data.draw(st.sampled_from(ids)) for name, ids in known.items()}
            case.path_parameters = {**case.path_parameters, **there}
        headers = {**ground.headers(operation), "Stripe-Version": version}
        answer = case.call(base_url=ground.url, session=session, headers=headers, timeout=TIMEOUT_S)
        case.validate_response(answer, checks=CHECKS)

    held()
    session.close()


def test_nobody_was_locked_out(ground) -> None:
    """The key and the admin that the cases were asked with are still let in, so that they were not answered with 401 alone."""
    ground.still_lets_in()


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
