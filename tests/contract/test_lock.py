from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import schemas
from schemas import contracts


@pytest.fixture
def project(tmp_path):
    """A copy of the contracts that a test may change."""
    shutil.copytree(Path(schemas.__file__).parent, tmp_path / "schemas", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(project, *arguments):
    """A Python command in the copy."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, timeout=120, check=False
    )


def lock(project, *arguments):
    """`python -m schemas.lock` in the copy."""
    return run(project, "-m", "schemas.lock", *arguments)


def draft(project, name, version, change):
    """Writes a version of a record that differs from its newest by `change`."""
    schema = json.loads(contracts.latest()[name].text)
    change(schema)
    folder = project / "schemas" / "avro" / name
    folder.mkdir(exist_ok=True)
    (folder / f"{version}.avsc").write_text(json.dumps(schema, indent=2))


def add_field(**field):
    """A change that adds a field."""
    return lambda schema: schema["fields"].append(
        {"name": "added", "type": "string", "default": "", "doc": "X.", **field}
    )


def next_version(name):
    """The version that a record has not yet."""
    return contracts.latest()[name].version + 1


def next_id():
    """The id that no schema has yet."""
    return max(contracts.by_id()) + 1


def test_a_changed_committed_file_is_a_fault(project) -> None:
    """Whoever edits a committed version is stopped at import of any contract, with what to do."""
    path = project / "schemas" / contracts_file("Tenant")
    path.write_text(path.read_text().replace("For people.", "For persons."))
    result = run(project, "-c", "from schemas import contracts; contracts.all_contracts()")
    assert "ContractFault" in result.stderr
    assert "a committed version never changes; add a new one" in result.stderr
    assert lock(project, "check").returncode == 1


def contracts_file(name):
    """The newest version's file, relative to schemas/."""
    return f"avro/{name}/{contracts.latest()[name].version}.avsc"


def test_one_id_for_two_schemas_is_a_fault(project) -> None:
    """Two schemas under one id are a `ContractFault`."""
    path = project / "schemas" / "lock.json"
    lines = json.loads(path.read_text())
    lines[1]["id"] = lines[0]["id"]
    path.write_text(json.dumps(lines))
    result = lock(project, "check")
    assert result.returncode == 1
    assert "gives one id to two schemas" in result.stderr


def test_check_is_content_with_what_is_committed(project) -> None:
    """The check passes on the committed contracts, and says nothing."""
    result = lock(project, "check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_add_locks_the_next_version_under_the_next_free_id(project) -> None:
    """A compatible version gets the next version and id, `records.py` the new field; both versions are then read."""
    draft(project, "Tenant", next_version("Tenant"), add_field())
    before = lock(project, "check")
    assert "is not in lock.json: run `python -m schemas.lock add Tenant`" in before.stderr
    result = lock(project, "add", "Tenant")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"clearline.Tenant version {next_version('Tenant')} has id {next_id()}\n"
    assert lock(project, "check").returncode == 0
    program = """
from schemas import codec
from schemas.records import Tenant
value = codec.encode(Tenant(tenant="acme", added="new"))
print(codec.schema_id(value), codec.decode(value).added)
old = bytes.fromhex(OLD)
record = codec.decode(old)
print(record.tenant, repr(record.added), record.timezone)
"""
    from schemas import codec
    from schemas.records import Tenant

    old = codec.encode(Tenant(tenant="acme", timezone="Asia/Tokyo"))
    output = run(project, "-c", program.replace("OLD", repr(old.hex())))
    assert output.stdout.splitlines() == [f"{next_id()} new", "acme '' Asia/Tokyo"], output.stderr


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (add_field(default=None, doc=""), "has no doc"),
        (lambda schema: schema["fields"].append({"name": "x", "type": "string", "doc": "X."}), "has no default"),
        (lambda schema: schema["fields"].pop(1), "Tenant.name is gone (or renamed)"),
        (lambda schema: schema["fields"][1].update(name="title"), "Tenant.name is gone (or renamed)"),
        (lambda schema: schema["fields"][1].update(type="long", default=0), "name is string, was written as long"),
        (lambda schema: schema.update(name="Merchant"), "it is named Merchant"),
        (lambda schema: None, "it is the same as"),
    ],
)
def test_add_refuses(project, change, why) -> None:
    """An incompatible or unruly version is refused with every reason, and nothing is written."""
    untouched = {name: (project / "schemas" / name).read_bytes() for name in ("lock.json", "records.py")}
    draft(project, "Tenant", next_version("Tenant"), change)
    result = lock(project, "add", "Tenant")
    assert result.returncode == 1
    assert why in result.stderr
    assert untouched == {name: (project / "schemas" / name).read_bytes() for name in untouched}


def test_add_says_which_file_to_write(project) -> None:
    """Without a file for the next version, the error names the file and where to start from."""
    result = lock(project, "add", "Tenant")
    assert result.returncode == 1
    assert f"avro/Tenant/{next_version('Tenant')}.avsc: there is no such file" in result.stderr
    assert f"start from a copy of {contracts_file('Tenant')}" in result.stderr


def test_add_refuses_what_is_no_schema(project) -> None:
    """A file that is no JSON, or no record, is refused and named."""
    for text in ("{", "[]", '"string"', "{}"):
        (project / "schemas" / "avro" / "Tenant" / f"{next_version('Tenant')}.avsc").write_text(text)
        result = lock(project, "add", "Tenant")
        assert result.returncode == 1
        assert "it is no Avro record in JSON" in result.stderr


def change_attribution(schema):
    """Adds a field to the type that all records share."""
    for field in schema["fields"]:
        if field["name"] == "attribution":
            field["type"]["fields"].append({"name": "added", "type": "string", "default": "", "doc": "X."})


def test_a_shared_type_changes_in_all_records_at_once(project) -> None:
    """A type that several records hold can't differ between them: alone it is refused, together they pass."""
    sharing = [name for name, contract in contracts.latest().items() if "Attribution" in contract.text]
    assert len(sharing) > 3
    for name in sharing:
        draft(project, name, next_version(name), change_attribution)
    before = (project / "schemas" / "lock.json").read_bytes()
    alone = lock(project, "add", sharing[0])
    assert alone.returncode == 1
    assert "Attribution is not the same in every record that holds it" in alone.stderr
    assert (project / "schemas" / "lock.json").read_bytes() == before
    together = lock(project, "add", *sharing)
    assert together.returncode == 0, together.stderr
    assert lock(project, "check").returncode == 0


def test_a_new_record_starts_with_version_one(project) -> None:
    """A record that never was gets version 1, the next id, and a struct."""
    schema = {"type": "record", "name": "Dispute", "namespace": "clearline", "doc": "A dispute.", "fields": [
        {"name": "tenant", "type": "string", "default": "", "doc": "Tenant."}]}  # fmt: skip
    (project / "schemas" / "avro" / "Dispute").mkdir()
    (project / "schemas" / "avro" / "Dispute" / "1.avsc").write_text(json.dumps(schema))
    result = lock(project, "add", "Dispute")
    assert result.stdout == f"clearline.Dispute version 1 has id {next_id()}\n", result.stderr
    output = run(project, "-c", "from schemas.records import Dispute; print(Dispute(tenant='acme'))")
    assert output.stdout == "Dispute(tenant='acme')\n"


def test_out_of_date_records_are_found(project) -> None:
    """A `records.py` that was edited by hand fails the check."""
    path = project / "schemas" / "records.py"
    path.write_text(path.read_text().replace("For people.", "For persons."))
    result = lock(project, "check")
    assert result.returncode == 1
    assert "run `python -m schemas.generate`" in result.stderr
