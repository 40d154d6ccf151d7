"""ClickHouse's errors as ours: where rows were sent, no row is repeated."""

from __future__ import annotations

import clickhouse_connect.driver.exceptions as outside
import pytest

from connectors.clickhouse import client
from connectors.clickhouse.errors import AccessDenied, StatementRefused, Unavailable
from schemas import logs

VALUE = "zq-value-of-a-row"
TEXT = (
    f"Code: {{}}. DB::Exception: Cannot parse input: expected ',' before: '{VALUE}': (at row 1). ({{}}) (version 25.8)"
)


def refusal(code: int, name: str, *, rows: bool) -> BaseException:
    """What a statement raises whose answer is this error of ClickHouse."""
    error = outside.DatabaseError(TEXT.format(code, name))
    error.code = code
    with pytest.raises((AccessDenied, StatementRefused, Unavailable)) as raised, client._mapped("h:1", rows=rows):
        raise error
    return raised.value


@pytest.mark.parametrize(("code", "kind"), [(27, StatementRefused), (497, AccessDenied), (241, Unavailable)])
def test_no_row_is_in_an_error_of_an_insert(code, kind) -> None:
    """Number and name are told, in the text and in the traceback; what the rows held is not."""
    error = refusal(code, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", rows=True)
    assert isinstance(error, kind)
    assert f"code {code} (CANNOT_PARSE_INPUT_ASSERTION_FAILED)" in str(error)
    assert VALUE not in str(error)
    assert VALUE not in logs.trace(error)


def test_a_querys_error_is_told_whole() -> None:
    """Whoever wrote the statement needs to see where it is wrong."""
    assert VALUE in str(refusal(62, "SYNTAX_ERROR", rows=False))


def test_an_error_without_a_name_is_one_all_the_same() -> None:
    """A proxy's page has none."""
    assert client.error_name("<html>Bad Gateway</html>") == "no name"
