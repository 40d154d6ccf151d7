"""The embedded warehouse as a process: start, stop, kill -9, limits under load, clients that leave."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
import uuid

import pytest

from connectors.clickhouse.embedded import limits
from tests._warehouse import OWNER, PASSWORDS, WarehouseProcess

DEADLINE_S = 120
ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000) SETTINGS max_threads = 1"


@pytest.fixture
def warehouse(tmp_path):
    """A warehouse of the test's own."""
    process = WarehouseProcess(tmp_path / "data")
    process.start()
    yield process
    process.kill()


def eventually(condition):
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def health(warehouse):
    """What /health says."""
    return json.loads(warehouse.ask(method="GET", path="/health", user=None).body)


def begin(warehouse, sql, *, length=None):
    """Send a request and leave its answer."""
    connection = socket.create_connection(("127.0.0.1", warehouse.port), timeout=DEADLINE_S)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {OWNER}\r\nX-ClickHouse-Key: {PASSWORDS[OWNER]}\r\nContent-Length: {length or len(sql)}\r\n\r\n"
    connection.sendall(head.encode() + sql.encode())
    return connection


def test_sigterm(warehouse):
    """SIGTERM ends it with status 0; what was inserted is there at the next start."""
    warehouse.ask("CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a")
    warehouse.ask("INSERT INTO t VALUES (1), (2)")
    assert warehouse.stop() == 0
    assert "stopped" in warehouse.log[-1]
    warehouse.start()
    assert warehouse.ask("SELECT count() FROM t").text == "2\n"


def test_sigterm_ends_running_queries(warehouse):
    """A query without end does not hold the process up: it is stopped with an error and the status is 0."""
    with contextlib.closing(begin(warehouse, ENDLESS)):
        eventually(lambda: health(warehouse)["queries"] == 1)
        assert warehouse.stop() == 0


def test_a_directory_in_use(warehouse):
    """A second process on the same directory says who has it, and ends with a status other than 0."""
    second = WarehouseProcess(warehouse.data)
    second.launch()
    assert second.wait() != 0
    assert f"is in use by process {warehouse.process.pid}" in second.log[-1]
    assert warehouse.ask("SELECT 1").status == 200


def test_a_port_in_use(tmp_path):
    """A port in use is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = WarehouseProcess(tmp_path / "data", arguments=("--port", str(port)))
        process.launch()
        assert process.wait() != 0
    assert f"can't listen on 127.0.0.1:{port}" in process.log[-1]
    assert "--port" in process.log[-1]


@pytest.mark.parametrize(
    ("arguments", "users", "expected"),
    [
        (("--host", "0.0.0.0"), None, "--allow-remote"),
        (("--host", "0.0.0.0", "--allow-remote"), [{"name": "open"}], "have no password: open"),
        (("--host", "nonsense"), None, "is not an address"),
        (("--port", "0"), "{", "CLEARLINE_WAREHOUSE_USERS"),
    ],
)
def test_unsafe_starts(tmp_path, arguments, users, expected):
    """An address that others can reach needs an option of its own and passwords; bad users are refused."""
    process = WarehouseProcess(tmp_path / "data", arguments=("--port", "0", *arguments), users=users)
    process.launch()
    assert process.wait() != 0
    assert expected in process.log[-1]


@pytest.mark.parametrize("conditional", [False, True])
def test_kill_nine_during_inserts(warehouse, conditional):
    """After kill -9 in a loop of inserts, what was acknowledged is there, at most one batch more, and each batch whole."""
    batch, rounds = 500, 3
    acknowledged = 0
    warehouse.ask("CREATE TABLE t (batch Int64, row Int32, s String) ENGINE = MergeTree ORDER BY (batch, row)")
    source = (
        f"SELECT * FROM input('batch Int64, row Int32, s String') WHERE batch >= (SELECT count() / {batch} FROM t)"
        if conditional
        else ""
    )
    for _ in range(rounds):
        enough = threading.Event()

        def insert(enough=enough):
            nonlocal acknowledged
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:
                    rows = b"".join(struct.pack("<qi", acknowledged, row) + b"\x01x" for row in range(batch))
                    answer = warehouse.ask(f"INSERT INTO t {source} FORMAT RowBinary\n".encode() + rows)
                    assert answer.status == 200, answer.text
                    acknowledged += 1
                    if acknowledged % 15 == 0:
                        enough.set()

        thread = threading.Thread(target=insert)
        thread.start()
        assert enough.wait(DEADLINE_S)
        warehouse.kill()
        thread.join()
        warehouse.start()
        count, batches, least, highest = map(
            int,
            warehouse.ask(
                "SELECT sum(n), count(), min(n), max(batch) FROM (SELECT batch, count() AS n FROM t GROUP BY batch)"
            ).text.split(),
        )
        assert count == batches * batch
        assert least == batch
        assert batches in (acknowledged, acknowledged + 1)
        acknowledged = highest + 1
    checked = [line.split("\t")[1] for line in warehouse.ask("CHECK TABLE t").text.splitlines()]
    assert checked == ["1"] * len(checked) != []


def test_a_client_that_leaves_stops_its_query(warehouse):
    """When a client closes its connection its SELECT is stopped, and the place is free again."""
    connection = begin(warehouse, ENDLESS)
    eventually(lambda: health(warehouse)["queries"] == 1)
    connection.close()
    eventually(lambda: health(warehouse)["queries"] == 0)
    assert (
        warehouse.ask(
            "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'"
        ).text
        == "0\n"
    )


def test_a_client_that_leaves_in_the_middle_of_its_answer(warehouse):
    """A stream that nobody reads any more ends."""
    connection = begin(warehouse, "SELECT number, randomPrintableASCII(100) FROM numbers(100000000)")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    connection.close()
    eventually(lambda: health(warehouse)["queries"] == 0)


def test_half_a_request_inserts_nothing(warehouse):
    """A client that dies in the middle of its body has inserted nothing."""
    warehouse.ask("CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a")
    connection = begin(warehouse, "INSERT INTO t FORMAT CSV\n" + "1\n" * 1000, length=1_000_000)
    connection.close()
    assert warehouse.ask("SELECT 1").status == 200
    assert warehouse.stop() == 0
    warehouse.start()
    assert warehouse.ask("SELECT count() FROM t").text == "0\n"


def test_more_queries_than_places(warehouse):
    """Beyond the queries that run and wait, a client is told at once to come back: 503, code 202, Retry-After."""
    with contextlib.ExitStack() as stack:
        for _ in range(limits.CONCURRENT_QUERIES_MAX + limits.QUEUED_QUERIES_MAX):
            stack.enter_context(contextlib.closing(begin(warehouse, ENDLESS)))
        eventually(
            lambda: (
                (health(warehouse)["queries"], health(warehouse)["queued"])
                == (limits.CONCURRENT_QUERIES_MAX, limits.QUEUED_QUERIES_MAX)
            )
        )
        answer = warehouse.ask("SELECT 1")
        assert (answer.status, answer.code) == (503, "202")
        assert int(answer.headers["retry-after"]) > 0
    eventually(lambda: health(warehouse)["queries"] == 0)
    assert warehouse.ask("SELECT 1").body == b"1\n"


def test_query_time(warehouse):
    """max_execution_time ends a query with error 159, status 408."""
    answer = warehouse.ask(ENDLESS, max_execution_time=1)
    assert (answer.status, answer.code) == (408, "159")


def test_a_session_is_used_by_one_request_at_a_time(warehouse):
    """A second request of a busy session is error 373; another session goes on."""
    name = uuid.uuid4().hex
    connection = socket.create_connection(("127.0.0.1", warehouse.port), timeout=DEADLINE_S)
    with contextlib.closing(connection):
        head = f"POST /?session_id={name} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {OWNER}\r\nX-ClickHouse-Key: {PASSWORDS[OWNER]}\r\nContent-Length: {len(ENDLESS)}\r\n\r\n"
        connection.sendall(head.encode() + ENDLESS.encode())
        eventually(lambda: health(warehouse)["queries"] == 1)
        assert warehouse.ask("SELECT 1", session_id=name).code == "373"
        assert warehouse.ask("SELECT 1", session_id=name + "x").status == 200
    eventually(lambda: health(warehouse)["queries"] == 0)


def test_a_statement_that_is_too_long(warehouse):
    """A statement's text has a limit; inserted data does not count."""
    answer = warehouse.ask("SELECT 1 /*" + "x" * limits.QUERY_BYTES_MAX + "*/")
    assert (answer.status, answer.code) == (400, "62")
    warehouse.ask("CREATE TABLE t (a String) ENGINE = Memory")
    assert warehouse.ask("INSERT INTO t VALUES ('" + "x" * 3 * limits.QUERY_BYTES_MAX + "')").status == 200


def test_sessions_are_bounded(warehouse):
    """There are at most so many sessions; the next one is told to come back."""
    for number in range(limits.SESSIONS_MAX):
        assert warehouse.ask("SELECT 1", session_id=f"s{number}", session_timeout=600).status == 200
    assert warehouse.ask("SELECT 1", session_id="one-more").code == "202"
    assert warehouse.ask("SELECT 1", session_id="s0", close_session=1).status == 200
    assert warehouse.ask("SELECT 1", session_id="one-more").status == 200
