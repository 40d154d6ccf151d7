"""The SQL of README and docs, asked of a real warehouse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors.clickhouse import migrate
from schemas import environment
from tests._landing import WarehouseProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/exactly-once.md", "docs/identity.md", "docs/warehouse.md")


def queries(page: str) -> list[str]:
    """Every SELECT of the page's sql blocks; settings of others (grants, users) are left alone."""
    found = []
    for block in re.findall(r"```sql\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
        text = "\n".join(line.partition("--")[0] for line in block.splitlines())
        # A line that begins with SELECT begins a query; not every one ends with a semicolon.
        statements = re.split(r";|\n(?=SELECT )", text)
        found += [query.strip() for query in statements if query.strip().startswith("SELECT")]
    return found


def test_every_documented_query_is_one_that_the_warehouse_answers(tmp_path):
    """Tables, views and columns that the pages name are there, and on an empty warehouse every proof holds."""
    warehouse = WarehouseProcess(tmp_path)
    warehouse.start()
    try:
        client = migrate.open_database(environment.warehouse(warehouse.url("clearline")))
        migrate.apply(client)
        for page in PAGES:
            asked = queries(page)
            assert asked, page
            for query in asked:
                rows = client.rows(query)
                assert not ("proof_" in query and rows), query
        client.close()
    finally:
        warehouse.kill()
