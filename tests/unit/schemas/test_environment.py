"""The CLEARLINE_* variables: defaults, values taken apart, and errors that name variable, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import environment


def test_defaults_are_those_documented() -> None:
    """With nothing set, a process finds the embedded stack on its default ports."""
    read = environment.read({})
    assert read.kafka == "127.0.0.1:9092"
    assert read.kafka_client() == {"bootstrap.servers": "127.0.0.1:9092"}
    assert (read.warehouse.host, read.warehouse.port, read.warehouse.database) == ("127.0.0.1", 8123, "clearline")
    assert read.data == Path.cwd() / ".clearline"
    assert (read.partitions, read.replication, read.worker) == (8, 1, "worker-0")


def test_an_empty_variable_counts_as_not_set() -> None:
    """`CLEARLINE_KAFKA=` in a shell means the default, not an empty broker list."""
    assert environment.read({"CLEARLINE_KAFKA": " ", "CLEARLINE_PARTITIONS": ""}) == environment.read({})


def test_values_given_are_read() -> None:
    """Every variable reaches its field, with the extra Kafka settings under the bootstrap servers."""
    read = environment.read(
        {
            "CLEARLINE_KAFKA": "a:9092, b:9093",
            "CLEARLINE_KAFKA_CONFIG": '{"security.protocol": "ssl", "retries": 3, "bootstrap.servers": "ignored:1"}',
            "CLEARLINE_CLICKHOUSE": "https://finance:p%40ss@ch.example/books",
            "CLEARLINE_DATA": "/var/lib/clearline",
            "CLEARLINE_PARTITIONS": "32",
            "CLEARLINE_REPLICATION": "3",
            "CLEARLINE_WORKER": "worker-7",
        }
    )
    assert read.kafka_client() == {"bootstrap.servers": "a:9092,b:9093", "security.protocol": "ssl", "retries": 3}
    assert read.warehouse == environment.Warehouse(
        host="ch.example", port=8443, user="finance", password="p@ss", database="books", secure=True
    )
    assert (read.data, read.partitions, read.replication, read.worker) == (
        Path("/var/lib/clearline"),
        32,
        3,
        "worker-7",
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLEARLINE_KAFKA", "localhost"),
        ("CLEARLINE_KAFKA", "localhost:port"),
        ("CLEARLINE_KAFKA", "localhost:70000"),
        ("CLEARLINE_KAFKA", ","),
        ("CLEARLINE_KAFKA_CONFIG", "security.protocol=ssl"),
        ("CLEARLINE_KAFKA_CONFIG", "[]"),
        ("CLEARLINE_KAFKA_CONFIG", '{"sasl.username": null}'),
        ("CLEARLINE_CLICKHOUSE", "clickhouse://127.0.0.1"),
        ("CLEARLINE_CLICKHOUSE", "http:///clearline"),
        ("CLEARLINE_CLICKHOUSE", "http://127.0.0.1:8123/a/b"),
        ("CLEARLINE_CLICKHOUSE", "http://127.0.0.1:eighty/a"),
        ("CLEARLINE_PARTITIONS", "0"),
        ("CLEARLINE_PARTITIONS", "-1"),
        ("CLEARLINE_PARTITIONS", "8.0"),
        ("CLEARLINE_PARTITIONS", "100000"),
        ("CLEARLINE_REPLICATION", "many"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_a_remedy(variable: str, value: str) -> None:
    """The error names the variable and says what to do, and is the only kind of error that leaves."""
    with pytest.raises(environment.VariableError) as caught:
        environment.read({variable: value})
    assert caught.value.variable == variable
    assert variable in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLEARLINE_CLICKHOUSE", "ftp://user:s3cret@host/db"),
        ("CLEARLINE_CLICKHOUSE", "http://user:s3cret@host:x/db"),
        ("CLEARLINE_CLICKHOUSE", "user:s3cret@host:8123/db"),
        ("CLEARLINE_CLICKHOUSE", "http//user:s3cret@host:8123/db"),
        ("CLEARLINE_CLICKHOUSE", "http://host/db?user=u&password=s3cret"),
        ("CLEARLINE_CLICKHOUSE", "http://user:s3cret@/db"),
        ("CLEARLINE_CLICKHOUSE", "http://user:s3cret@more@host/a/b"),
        ("CLEARLINE_KAFKA", "user:s3cret@host"),
        ("CLEARLINE_KAFKA", "host:9092,sasl://user:s3cret@host:none"),
        ("CLEARLINE_KAFKA_CONFIG", '{"sasl.password": "s3cret", broken}'),
        ("CLEARLINE_KAFKA_CONFIG", '{"sasl.password": ["s3cret"]}'),
    ],
)
def test_a_refused_secret_is_not_repeated(variable: str, value: str) -> None:
    """Passwords inside a refused value reach neither the error's text nor its fields."""
    with pytest.raises(environment.VariableError) as caught:
        environment.read({variable: value})
    assert "s3cret" not in f"{caught.value} {caught.value.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://user:s3cret@host:8123/db", "http://…@host:8123/db"),
        ("https://login.example/?client_secret=s3cret", "https://login.example/?…"),
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("many", "many"),
    ],
)
def test_what_is_no_secret_of_a_value_is_shown(value: str, shown: str) -> None:
    """Enough is left to find the mistake."""
    assert environment.masked(value) == shown


def test_the_repr_holds_no_secret() -> None:
    """The value as a whole may be logged: neither password shows in it."""
    read = environment.read(
        {"CLEARLINE_CLICKHOUSE": "http://u:s3cret@h/d", "CLEARLINE_KAFKA_CONFIG": '{"sasl.password": "s3cret"}'}
    )
    assert read.warehouse.password == "s3cret"
    assert "s3cret" not in repr(read)
