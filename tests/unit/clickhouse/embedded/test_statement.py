"""Finding the statement, its format and the start of its data in the bytes of a request."""

import pytest

from connectors.clickhouse.embedded import errors
from connectors.clickhouse.embedded.statement import parse


@pytest.mark.parametrize(
    ("text", "fmt", "before"),
    [
        (b"SELECT 1", None, b"SELECT 1"),
        (b"SELECT 1 FORMAT JSON", "JSON", b"SELECT 1"),
        (b"SELECT 1 format JSON ;", "JSON", b"SELECT 1"),
        (b"SELECT 1 -- FORMAT CSV\n FORMAT JSON -- end", "JSON", b"SELECT 1 -- FORMAT CSV"),
        (b"SELECT 'FORMAT CSV'", None, b"SELECT 'FORMAT CSV'"),
        (b"SELECT 'it''s \\' FORMAT CSV' FORMAT TSV", "TSV", b"SELECT 'it''s \\' FORMAT CSV'"),
        (b"SELECT $x$ FORMAT CSV $x$ FORMAT TSV", "TSV", b"SELECT $x$ FORMAT CSV $x$"),
        (b"SELECT /* a /* nested */ FORMAT CSV */ 1 FORMAT TSV", "TSV", b"SELECT /* a /* nested */ FORMAT CSV */ 1"),
        (b"SELECT format FROM t", None, b"SELECT format FROM t"),
        (b"SELECT t.format x FROM t", None, b"SELECT t.format x FROM t"),
        (b"SELECT * FROM (SELECT 1) FORMAT Native SETTINGS max_threads = 1", "Native", b"SELECT * FROM (SELECT 1)"),
        (b"SELECT format('{}', 1) FORMAT `Null`", "Null", b"SELECT format('{}', 1)"),
        ("SELECT 'ä€' FORMAT CSV".encode(), "CSV", "SELECT 'ä€'".encode()),
        (b"(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV", "CSV", b"(SELECT 1) UNION ALL (SELECT 2)"),
    ],
)
def test_format_clause(text, fmt, before):
    """The FORMAT clause is the one at the end, outside of strings, comments and brackets; a column of that name is none."""
    asked = parse(text)
    assert (asked.format, asked.without_format()) == (fmt, before)
    assert asked.streams


@pytest.mark.parametrize(
    ("text", "fmt", "before", "data"),
    [
        (b"INSERT INTO t FORMAT RowBinary\n\n\x00'", "RowBinary", b"INSERT INTO t", b"\n\x00'"),
        (b"INSERT INTO t FORMAT CSV \r\n1,2", "CSV", b"INSERT INTO t", b"1,2"),
        (b"INSERT INTO t (a, `values`) FORMAT Native\nFORMAT x", "Native", b"INSERT INTO t (a, `values`)", b"FORMAT x"),
        (b"INSERT INTO t VALUES (1), ('select')", "Values", b"INSERT INTO t", b" (1), ('select')"),
        (b"insert into values values(1)", "Values", b"insert into values", b"(1)"),
        (b"INSERT INTO t FORMAT Values (1)", "Values", b"INSERT INTO t", b"(1)"),
        (b"INSERT INTO t", "Values", b"INSERT INTO t", b""),
        (
            b"INSERT INTO t SETTINGS async_insert = 1 FORMAT CSV\n1",
            "CSV",
            b"INSERT INTO t SETTINGS async_insert = 1",
            b"1",
        ),
        (b"INSERT INTO format FORMAT CSV\n1", "CSV", b"INSERT INTO format", b"1"),
        (
            b"/* INSERT */ INSERT INTO t -- FORMAT X\n FORMAT CSV\n1",
            "CSV",
            b"/* INSERT */ INSERT INTO t -- FORMAT X",
            b"1",
        ),
    ],
)
def test_inserted_data(text, fmt, before, data):
    """Data begins after the format's name and one line end, and is taken byte for byte, whatever it looks like."""
    asked = parse(text)
    assert asked.inserts_data
    assert (asked.format, asked.without_format(), text[asked.data_at :]) == (fmt, before, data)


def test_insert_select_takes_no_data():
    """INSERT … SELECT has no data of its own, even where it names values() and FORMAT."""
    asked = parse(b"INSERT INTO t SELECT format FROM values('a String', 'x')")
    assert not asked.inserts_data
    assert not asked.streams


def test_input_function():
    """The table function input() makes the bytes after FORMAT its rows, and its place is known."""
    text = b"INSERT INTO t SELECT a FROM input('a Int64, b Map(String, Array(String))') WHERE a > (SELECT max(a) FROM t) FORMAT CSV\n7,x"
    asked = parse(text)
    assert asked.inserts_data
    assert text[asked.data_at :] == b"7,x"
    ((name, bracket, end),) = asked.input_spans
    assert text[name:end] == b"input('a Int64, b Map(String, Array(String))')"
    assert text[bracket:].startswith(b"'a Int64")


def test_input_as_a_column_is_not_the_function():
    """A column called input, or the word in a string, is no call of the table function."""
    assert parse(b"INSERT INTO t SELECT input, 'input(' FROM u").input_spans == ()


@pytest.mark.parametrize("text", [b"", b"  -- only a comment", b";", b"/* open"])
def test_empty(text):
    """A request without a statement is a syntax error, as on a server."""
    with pytest.raises(errors.QueryError, match="Empty query") as raised:
        parse(text)
    assert raised.value.code == 62


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 GROUP BY a WITH TOTALS",
        b"SELECT 1 SETTINGS extremes = 1",
        b"SELECT 1 SETTINGS output_format_json_array_of_rows = 1",
    ],
)
def test_answers_that_must_stay_whole(text):
    """Totals, extremes and format settings make an answer that is not its blocks in a row."""
    assert parse(text).whole
