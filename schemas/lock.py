"""Keeps `lock.json`: `python -m schemas.lock check`, and `python -m schemas.lock add RECORD...` for new versions."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from schemas import compatibility, contracts, generate, rules
from schemas.contracts import NAMESPACE, LockEntry
from schemas.errors import ContractFault

_ROOT = Path(__file__).parent
_LOCK = _ROOT / "lock.json"
_VERSIONS_MAX = 1_000


def entries() -> list[LockEntry]:
    """The lock's lines as they stand."""
    return msgspec.json.decode(_LOCK.read_bytes(), type=list[LockEntry])


def check() -> list[str]:
    """Everything that is wrong with the committed contracts; empty when nothing is."""
    try:
        subjects = contracts.by_subject()
    except (ContractFault, OSError, ValueError) as error:
        return [str(error)]
    found: list[str] = []
    for subject, versions in subjects.items():
        if [contract.version for contract in versions] != list(range(1, len(versions) + 1)):
            found.append(f"{subject}: its versions are not 1, 2, 3 ...")
        for contract in versions:
            if f"{contract.schema.get('namespace')}.{contract.schema['name']}" != subject:
                found.append(f"{subject}: version {contract.version} is of another record, {contract.schema['name']}")
            found += [f"{subject}: version {contract.version}: {flaw}" for flaw in rules.flaws(contract.schema)]
        found += [f"{subject}: {why}" for why in compatibility.problems([contract.schema for contract in versions])]
    locked = {entry.file for entry in entries()}
    for path in sorted(_ROOT.glob("avro/*/*.avsc")):
        file = path.relative_to(_ROOT).as_posix()
        if file not in locked:
            found.append(f"{file} is not in lock.json: run `python -m schemas.lock add {path.parent.name}`")
    if not found and generate.main(["--check"]) != 0:
        found.append("records.py is out of date: run `python -m schemas.generate`")
    return found


def add(names: list[str]) -> list[LockEntry]:
    """Locks the next version of each record, found in `avro/<record>/<version>.avsc`, under the next free ids.

    All or none. Then writes `records.py` anew. Raises `ContractFault` with every reason why not.
    """
    locked = entries()
    found: list[str] = []
    added: list[LockEntry] = []
    for name in names:
        entry, why = _next(name, [*locked, *added])
        added.append(entry)
        found += [f"{entry.file}: {reason}" for reason in why]
    if found:
        raise ContractFault("\n".join(found))
    before = _LOCK.read_bytes()
    _write([*locked, *added])
    try:
        _forget()
        generate.main([])
    except ValueError as error:  # a shared type that is not the same in every record
        _LOCK.write_bytes(before)
        _forget()
        message = f"{error}: add the records that share it together, `python -m schemas.lock add A B`"
        raise ContractFault(message) from error
    return added


def _next(name: str, locked: list[LockEntry]) -> tuple[LockEntry, list[str]]:
    """The lock's line for a record's next version, and what speaks against it."""
    subject = f"{NAMESPACE}.{name}"
    earlier = sorted((entry for entry in locked if entry.subject == subject), key=lambda entry: entry.version)
    version = len(earlier) + 1
    file = f"avro/{name}/{version}.avsc"
    identity = max((entry.id for entry in locked), default=0) + 1
    path = _ROOT / file
    if not path.is_file():
        hint = f"start from a copy of {earlier[-1].file}" if earlier else "start from another record's"
        return LockEntry(identity, subject, version, file, ""), [f"there is no such file: write it ({hint}), run again"]
    text = path.read_bytes()
    entry = LockEntry(identity, subject, version, file, hashlib.sha256(text).hexdigest())
    try:
        schema: dict[str, Any] = json.loads(text)
        flaws = rules.flaws(schema)
        if schema["name"] != name:
            flaws.append(f"it is named {schema['name']}")
        versions = [*(json.loads((_ROOT / past.file).read_bytes()) for past in earlier), schema]
        if versions[-2:-1] == [schema]:
            flaws.append(f"it is the same as {earlier[-1].file}")
        flaws += compatibility.problems(versions)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return entry, [f"it is no Avro record in JSON: {error!r}"]
    return entry, flaws


def _write(lines: list[LockEntry]) -> None:
    text = ",\n".join("  " + json.dumps(msgspec.to_builtins(line)) for line in lines)
    draft = _LOCK.with_suffix(".draft")
    draft.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    draft.replace(_LOCK)


def _forget() -> None:
    for cached in (contracts.all_contracts, contracts.by_id, contracts.by_subject, contracts.latest):
        cached.cache_clear()


def main(arguments: list[str]) -> int:
    """The command line; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m schemas.lock", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="compare files, lock, rules, compatibility and records.py")
    adding = commands.add_parser("add", help="lock the next version of records")
    adding.add_argument("record", nargs="+", help="a record's name, such as PaymentIntent")
    options = parser.parse_args(arguments)
    try:
        found = check() if options.command == "check" else []
        if options.command == "add":
            for entry in add(options.record):
                print(f"{entry.subject} version {entry.version} has id {entry.id}")
    except ContractFault as error:
        found = str(error).splitlines()
    for line in found:
        sys.stderr.write(line + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
