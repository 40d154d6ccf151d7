from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from schemas import codec, contracts
from schemas.records import RECORDS
from tests.contract import _apache
from tests.contract.make_golden import GOLDEN

FILES = sorted(GOLDEN.glob("*.json"))


def plain(record: Any) -> Any:
    """A record as JSON has it, bytes in base64."""
    return json.loads(msgspec.json.encode(record))


def assert_holds(found: Any, recorded: Any, path: str) -> None:
    """Everything recorded is found; newer versions may have more."""
    if isinstance(recorded, dict):
        for key, value in recorded.items():
            assert key in found, f"{path}.{key}"
            assert_holds(found[key], value, f"{path}.{key}")
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), path
        for number, (left, right) in enumerate(zip(found, recorded, strict=True)):
            assert_holds(left, right, f"{path}[{number}]")
    else:
        assert found == recorded, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_bytes_decode_to_the_recorded_values(path) -> None:
    """Bytes that some version once wrote are read by today's code, value for value."""
    golden = json.loads(path.read_text(encoding="utf-8"))
    value = bytes.fromhex("".join(golden["hex"]))
    assert codec.schema_id(value) == golden["id"]
    record = codec.decode(value, expected=(RECORDS[golden["record"]],))
    assert_holds(plain(record), golden["fields"], golden["record"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_values_encode_to_the_recorded_bytes(path) -> None:
    """As long as a version is the newest, its values give the same bytes: P4 needs it."""
    golden = json.loads(path.read_text(encoding="utf-8"))
    if contracts.latest()[golden["record"]].id == golden["id"]:
        record = msgspec.json.decode(json.dumps(golden["fields"]), type=RECORDS[golden["record"]])
        assert codec.encode(record).hex() == "".join(golden["hex"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_apaches_reader_reads_the_recorded_bytes(path) -> None:
    """Apache Avro's own reader makes the same of them, so any standard client does."""
    golden = json.loads(path.read_text(encoding="utf-8"))
    body = bytes.fromhex("".join(golden["hex"]))[5:]
    fields = _apache.decode(body, contracts.by_id()[golden["id"]].schema)
    assert_holds(plain(fields), golden["fields"], golden["record"])


def test_every_version_has_golden_bytes() -> None:
    """Each id of the lock has its recorded example: `python -m tests.contract.make_golden` writes a new one's."""
    recorded = [json.loads(path.read_text(encoding="utf-8"))["id"] for path in FILES]
    assert recorded == sorted(contracts.by_id())
