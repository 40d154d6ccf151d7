"""What a version's users were once answered they are answered still, and what they sent is taken still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from api.http import catalogue, versions
from api.http.errors import ApiError
from api.http.parameters import check
from tests.contract import make_api

RECORDED = sorted(path.name for path in make_api.ROOT.iterdir() if path.is_dir() and path.name != "__pycache__")


def lost(before: Any, now: Any, path: str = "") -> list[str]:
    """Where what is made now lacks or changes something of before. More than before may be there: versions grow."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            found
            for name, value in before.items()
            for found in (lost(value, now[name], f"{path}.{name}") if name in now else [f"{path}.{name} is gone"])
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            found
            for one, (old, new) in enumerate(zip(before, now, strict=True))
            for found in lost(old, new, f"{path}[{one}]")
        ]
    return [] if type(before) is type(now) and before == now else [f"{path} was {before!r} and is {now!r}"]


def test_every_version_that_was_recorded_lives() -> None:
    """A version ends only by somebody's decision, which takes its folder away; every live one is recorded."""
    assert set(RECORDED) == set(versions.LIVE)


@pytest.mark.parametrize("version", RECORDED)
def test_answers_hold_what_they_held(version) -> None:
    """Each recorded example is still made: nothing of it is gone or changed, and nothing new is unrecorded."""
    made = make_api.objects(version)
    for kind, kept in make_api.recorded(version, "objects").items():
        for name, before in kept.items():
            assert name in made.get(kind, {}), f"{kind}'s example {name} is no longer made"
            assert lost(before, made[kind][name]) == [], f"{version}, {kind}, {name}"
    missing = {(kind, name) for kind, found in made.items() for name in found} - {
        (kind, name) for kind, found in make_api.recorded(version, "objects").items() for name in found
    }
    assert not missing, "run `python -m tests.contract.make_api` and commit what it wrote"


@pytest.mark.parametrize("version", RECORDED)
def test_requests_are_taken_that_were_taken(version) -> None:
    """Each recorded request has its operation still, which takes its parameters."""
    known = {one.id: one for one in catalogue.operations()}
    kept = make_api.recorded(version, "requests")
    for name, parameters in kept.items():
        assert name in known, f"{name} is gone"
        operation = known[name]
        try:
            check(operation.spec, versions.request_forwards(version, operation.object, parameters))
        except ApiError as error:
            pytest.fail(f"{version}, {name}: {error.message}")
    assert set(known) == set(kept), "run `python -m tests.contract.make_api` and commit what it wrote"


def test_what_was_lost_is_found() -> None:
    """A field that is gone, another value, another type and a shorter list are told; a new field is not."""
    before = {"a": 1, "b": {"c": [1, {"d": None}]}}
    assert lost(before, {"a": 1, "b": {"c": [1, {"d": None, "e": 2}]}, "f": 3}) == []
    assert lost(before, {"a": True, "b": {"c": [1, {"d": None}]}}) != []
    assert lost(before, {"a": 1, "b": {"c": [1, {}]}}) == [".b.c[1].d is gone"]
    assert lost(before, {"a": 1, "b": {"c": [1]}}) != []
    assert lost(before, {"b": before["b"]}) == [".a is gone"]
