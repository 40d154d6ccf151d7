"""What the engine says, taken apart into ClickHouse's code, name and message."""

import pytest

from connectors.clickhouse.embedded.errors import QueryError, from_engine


@pytest.mark.parametrize(
    ("said", "code", "name", "message"),
    [
        ("Code: 60. DB::Exception: No table t. (UNKNOWN_TABLE)", 60, "UNKNOWN_TABLE", "No table t"),
        (
            "Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'x'. (UNKNOWN_SETTING) (version 26.9.2.1). (UNKNOWN_SETTING)",
            115,
            "UNKNOWN_SETTING",
            "Unknown setting 'x'",
        ),
        (
            "Code: 27. DB::Exception: Bad: (at row 1)\n: While executing X. (CANNOT_PARSE) (version 26.9.2.1)",
            27,
            "CANNOT_PARSE",
            "Bad: (at row 1)\n: While executing X",
        ),
        ("out of luck", 1002, "UNKNOWN_EXCEPTION", "out of luck"),
        ("", 1002, "UNKNOWN_EXCEPTION", "the engine gave no reason"),
    ],
)
def test_from_engine(said, code, name, message):
    """Doubled codes and trailing names and versions are removed, the reason is kept."""
    error = from_engine(said)
    assert (error.code, error.name, error.message) == (code, name, message)


def test_text():
    """An error reads as a ClickHouse server writes it."""
    text = QueryError((60, "UNKNOWN_TABLE"), "No table t").text(version="26.9.2.1")
    assert text == "Code: 60. DB::Exception: No table t. (UNKNOWN_TABLE) (version 26.9.2.1 (official build))"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (62, 400),
        (60, 404),
        (115, 404),
        (497, 403),
        (516, 403),
        (159, 408),
        (202, 503),
        (48, 501),
        (229, 413),
        (164, 500),
        (395, 500),
    ],
)
def test_statuses(code, status):
    """Codes have the HTTP statuses of ClickHouse's own table, but for 202, which clients retry."""
    assert QueryError((code, "X"), "x").status == status
