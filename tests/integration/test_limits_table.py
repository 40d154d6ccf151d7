"""
docs/limits.md beside the code: every named limit with its value and its why, and what happens beyond it.

`python -m tests.integration.test_limits_table` writes the table anew: values and reasons come from the code; what happens beyond a
limit is written by hand in the last column, and kept.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "limits.md"
PACKAGES = ("schemas", "streams", "connectors", "api", "infra")
LIMIT = re.compile(r"_?[A-Z0-9_]+_MAX(_[A-Z]+)?")
BEGIN, END = "<!-- table -->", "<!-- /table -->"
ROW = re.compile(
    r"\| `(?P<module>[^`]+)` `(?P<name>[^`]+)` \| `(?P<value>[^`]+)` \| (?P<why>.*?) \| (?P<beyond>.*?) \|"
)
OPEN = "?"


@dataclass(frozen=True)
class Limit:
    """One constant: where it is, what it is in the code's own words, and the comment at it."""

    module: str
    name: str
    value: str
    why: str

    def row(self, beyond: str) -> str:
        """Its line of the table."""
        return f"| `{self.module}` `{self.name}` | `{self.value}` | {self.why} | {beyond} |"


def limits() -> list[Limit]:
    """Every one in the code, module by module."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found += limits_of(path)
    return found


def limits_of(path: Path) -> list[Limit]:
    """Those of one module."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    body = ast.parse(source).body
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found: list[Limit] = []
    for index, node in enumerate(body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        else:
            continue
        if LIMIT.fullmatch(name):
            following = body[index + 1] if index + 1 < len(body) else None
            found.append(Limit(module, name, ast.unparse(value), why_of(node, following, lines)))
    return found


def why_of(node: ast.stmt, following: ast.stmt | None, lines: list[str]) -> str:
    """The comment behind it, the text below it, or the comment above it or above the lines that it stands together with."""
    _, hash_, behind = lines[node.lineno - 1].partition("  # ")
    if hash_ and not behind.startswith(("noqa", "type:")):
        return behind.strip()
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return " ".join(str(following.value.value).split())
    # A comment stands for the lines below it that are about the same thing.
    subject = lines[node.lineno - 1].partition("_")[0]
    above = node.lineno - 2
    while above >= 0 and lines[above].startswith(f"{subject}_"):
        above -= 1
    said: list[str] = []
    while above >= 0 and lines[above].startswith("#") and not lines[above].endswith('"""'):
        said.insert(0, lines[above].lstrip("# "))
        above -= 1
    return " ".join(said)


def table(beyond: dict[tuple[str, str], str]) -> str:
    """The whole table."""
    rows = [limit.row(beyond.get((limit.module, limit.name), OPEN)) for limit in limits()]
    return "\n".join(["| limit | value | why | beyond it |", "|---|---|---|---|", *rows])


def written() -> tuple[str, dict[tuple[str, str], str]]:
    """The page, and the last column of its table."""
    page = PAGE.read_text(encoding="utf-8")
    return page, {(match["module"], match["name"]): match["beyond"] for match in ROW.finditer(page)}


def renewed() -> str:
    """The page with its table made anew."""
    page, beyond = written()
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table(beyond)}\n{END}{rest.partition(END)[2]}"


def test_the_table_is_the_code():
    """Each named limit is in the table with its present value and reason, and nothing else is."""
    page, _ = written()
    assert page == renewed(), "run: python -m tests.integration.test_limits_table"


def test_every_limit_says_what_happens_beyond_it():
    """The last column is filled in."""
    _, beyond = written()
    assert len(beyond) == len(limits()) > 80
    still_open = [".".join(key) for key, text in beyond.items() if text in ("", OPEN)]
    assert not still_open, f"docs/limits.md: what happens beyond {still_open}?"


@pytest.mark.parametrize("changed", ["BATCH_RECORDS_MAX = 7", "NEW_MAX = 3"])
def test_a_change_in_the_code_is_seen(tmp_path, monkeypatch, changed):
    """Another value or a new limit makes the table stale."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "config.py").write_text("# Enough.\nBATCH_RECORDS_MAX = 5\n")
    before = table({})
    assert "| `streams.config` `BATCH_RECORDS_MAX` | `5` | Enough. | ? |" in before
    (tmp_path / "streams" / "config.py").write_text(f"# Enough.\nBATCH_RECORDS_MAX = 5\n\n{changed}\n")
    assert table({}) != before


if __name__ == "__main__":
    PAGE.write_text(renewed(), encoding="utf-8")
