"""The files that are made of the code and committed: a document for each live version, and the changelog of versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from api.http import versions
from api.openapi.document import document

DOCUMENTS, CHANGELOG = "docs/openapi", "docs/api-versions.md"

_INTRODUCTION = """# API versions

Made by `python -m api.openapi`; a test says when it is behind. A request names its version in `Stripe-Version`; else its key's holds, else its tenant's, else the
newest. Within a train (the name after the date) answers only gain fields. The code knows the newest version: requests of older ones are brought
forwards through each change below, answers backwards (`api/http/versions/`).
"""


def made() -> Mapping[str, bytes]:
    """Each file's content by its path in the repository."""
    documents = {f"{DOCUMENTS}/{version}.json": encoded(version) + b"\n" for version in versions.LIVE}
    return {**documents, CHANGELOG: changelog().encode()}


def encoded(version: str) -> bytes:
    """A version's document as it is served and kept."""
    return msgspec.json.format(msgspec.json.encode(document(version)), indent=1)


def changelog() -> str:
    """The changes, newest train first."""
    parts = [_INTRODUCTION]
    changes = versions.changelog()
    for train in versions.TRAINS:
        releases = ", ".join(f"`{one}` ([OpenAPI](openapi/{one}.json))" for one in train.releases)
        parts.append(f"\n## {train.name}\n{releases}\n")
        told = [f"- `{kind}`: {words}\n" for name, kind, words in changes if name == train.name]
        parts.extend(["\n", *told] if told else ["\nThe oldest that lives.\n"])
    return "".join(parts)


def behind(root: Path) -> list[str]:
    """Files that are not as the code makes them, and those that it does not make."""
    wanted = made()
    kept = {str(path.relative_to(root)) for path in (root / DOCUMENTS).glob("*.json")}
    wrong = [name for name, text in wanted.items() if not (root / name).exists() or (root / name).read_bytes() != text]
    return sorted({*wrong, *(kept - set(wanted))})


def write(root: Path) -> list[str]:
    """Make them current; says which were not."""
    wanted, stale = made(), behind(root)
    for name in stale:
        path = root / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[name])
        else:
            path.unlink()
    return stale
