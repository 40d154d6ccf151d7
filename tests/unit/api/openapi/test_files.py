from __future__ import annotations

from pathlib import Path

from api.http import versions
from api.openapi import files

ROOT = Path(__file__).resolve().parents[4]


def test_what_is_committed_is_what_the_code_makes() -> None:
    """docs/openapi/ and docs/api-versions.md are current: `python -m api.openapi` writes them."""
    assert files.behind(ROOT) == [], "run `python -m api.openapi` and commit what it wrote"


def test_what_is_behind_is_found_and_written(tmp_path) -> None:
    """A missing file, another one's text and a file of no version are found, and put right."""
    assert set(files.behind(tmp_path)) == set(files.made())
    files.write(tmp_path)
    assert files.behind(tmp_path) == []
    (tmp_path / files.DOCUMENTS / "2020-01-01.json").write_text("{}")
    (tmp_path / files.CHANGELOG).write_text("old")
    assert files.write(tmp_path) == [files.CHANGELOG, f"{files.DOCUMENTS}/2020-01-01.json"]
    assert files.behind(tmp_path) == []


def test_the_changelog_tells_every_release_and_change() -> None:
    """Each live version is named with its document, each change with its object and words."""
    text = files.changelog()
    assert all(f"openapi/{version}.json" in text for version in versions.LIVE)
    assert all(f"- `{kind}`: {words}" in text for _, kind, words in versions.changelog())
