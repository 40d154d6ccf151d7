"""The one way to a ClickHouse server: connects, maps its errors to ours, and repeats nothing behind the caller's back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver import exceptions as outside
from clickhouse_connect.driver.httputil import get_pool_manager

from connectors.clickhouse.errors import AccessDenied, StatementRefused, Unavailable, WarehouseError
from schemas import environment
from schemas.logs import error_name

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 120
BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 5.0

# Numbers from ClickHouse's ErrorCodes.cpp: what passes by itself, or once somebody has made room.
_PASSING = {
    159,  # TIMEOUT_EXCEEDED
    160,  # TOO_SLOW
    164,  # READONLY: a server in read-only mode
    202,  # TOO_MANY_SIMULTANEOUS_QUERIES
    203,  # NO_FREE_CONNECTION
    209,  # SOCKET_TIMEOUT
    210,  # NETWORK_ERROR
    225,  # NO_ZOOKEEPER
    236,  # ABORTED: the server is going down
    241,  # MEMORY_LIMIT_EXCEEDED
    242,  # TABLE_IS_READ_ONLY
    243,  # NOT_ENOUGH_SPACE
    252,  # TOO_MANY_PARTS
    279,  # ALL_CONNECTION_TRIES_FAILED
    285,  # TOO_FEW_LIVE_REPLICAS
    286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289,  # REPLICA_IS_NOT_IN_QUORUM
    298,  # CANNOT_PIPE and its like: out of descriptors
    319,  # UNKNOWN_STATUS_OF_INSERT
    394,  # QUERY_WAS_CANCELLED
    425,  # SYSTEM_ERROR
    439,  # CANNOT_SCHEDULE_TASK
    499,  # S3_ERROR
    745,  # SERVER_OVERLOADED
    999,  # KEEPER_EXCEPTION
}
_DENIED = {192, 193, 194, 195, 291, 492, 497, 516}  # unknown user, wrong password, no rights, authentication failed
_GATEWAY = re.compile(r"HTTP status (429|502|503|504)\b")


class Client:
    """A thread-safe client of one database. Every method raises `Unavailable`, `AccessDenied` or `StatementRefused`."""

    def __init__(self, raw: Any, *, pool: Any, database: str, address: str) -> None:
        self.raw = raw  # clickhouse_connect's client, for what this one has no word for
        self._pool = pool
        self.database = database
        self.address = address

    def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query; `{name:Type}` in it stands for a parameter."""
        with _mapped(self.address):
            result = self.raw.query(sql, parameters=dict(parameters or {}), settings=dict(settings or {}))
            return [tuple(row) for row in result.result_rows]

    def value(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first value of the first row. Raises `StatementRefused` when there is no row."""
        found = self.rows(sql, parameters)
        if not found:
            raise StatementRefused(f"no row answers: {sql.strip()[:200]}")
        return found[0][0]

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        """One statement without an answer."""
        with _mapped(self.address):
            self.raw.command(sql, parameters=dict(parameters) if parameters else None, settings=dict(settings or {}))

    def insert(self, sql: str, data: bytes, *, settings: Mapping[str, Any] | None = None) -> None:
        """One `INSERT ... FORMAT x` statement with its rows in that format."""
        with _mapped(self.address, rows=True):
            self.raw.command(sql, data=data, settings=dict(settings or {}))

    def alive(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self.value("SELECT 1") == 1)
        except WarehouseError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self.raw.close()
        self._pool.clear()


def connect(url: str | environment.Warehouse, *, database: str | None = None, wait_s: float = 0.0) -> Client:
    """A client of the ClickHouse at this URL (CLEARLINE_CLICKHOUSE), waiting up to `wait_s` seconds for it to answer.

    `database` takes the place of the URL's. Raises `schemas.environment.VariableError`, `Unavailable` or `AccessDenied`.
    """
    place = environment.warehouse(url) if isinstance(url, str) else url
    name = place.database if database is None else database
    address = f"{place.host}:{place.port}"
    patience = Backoff(deadline_s=wait_s)
    # A pool of its own: the library's is shared by all clients of a process, and closing one would close the others.
    pool = get_pool_manager(num_pools=1)
    while True:
        try:
            with _mapped(address):
                raw = clickhouse_connect.get_client(
                    host=place.host,
                    port=place.port,
                    username=place.user,
                    password=place.password,
                    database=name,
                    interface="https" if place.secure else "http",
                    connect_timeout=CONNECT_TIMEOUT_S,
                    send_receive_timeout=ANSWER_TIMEOUT_S,
                    autogenerate_session_id=False,  # a session would queue the statements of threads behind one another
                    query_retries=0,  # who calls decides what is repeated
                    pool_mgr=pool,
                )
            return Client(raw, pool=pool, database=name, address=address)
        except Unavailable:
            if not patience.wait():
                raise


class Backoff:
    """Waits twice as long each time, up to a limit, until a deadline. `sleep` is how it waits (a loop may do chores)."""

    def __init__(self, *, deadline_s: float | None, sleep: Callable[[float], Any] = time.sleep) -> None:
        self._ends = None if deadline_s is None else time.monotonic() + deadline_s
        self._next_s = BACKOFF_FIRST_S
        self._sleep = sleep
        self.waits = 0

    def wait(self) -> bool:
        """Sleep; False at once when the deadline has passed."""
        left = BACKOFF_MAX_S if self._ends is None else self._ends - time.monotonic()
        if left <= 0:
            return False
        self._sleep(min(self._next_s, left))
        self._next_s = min(2 * self._next_s, BACKOFF_MAX_S)
        self.waits += 1
        return True


@contextmanager
def _mapped(address: str, *, rows: bool = False) -> Iterator[None]:
    """`rows`: data was sent, which ClickHouse repeats in its errors; then their code and name are all that is told."""
    try:
        yield
    except outside.ClickHouseError as error:
        raise _ours(error, address, rows=rows) from (None if rows else error)
    except OSError as error:  # sockets, name resolution, TLS
        raise Unavailable(f"ClickHouse at {address} is away: {error}") from error
    except Exception as error:
        # urllib3's own errors come through when a connection breaks amid an answer; anything else is a bug to show.
        if type(error).__module__.startswith(("urllib3", "http.client")):
            raise Unavailable(f"ClickHouse at {address} broke off: {error}") from error
        raise


def _ours(error: Exception, address: str, *, rows: bool) -> WarehouseError:
    code = getattr(error, "code", None)
    said = f"rows were not taken: code {code or 'none'} ({error_name(str(error))})" if rows else str(error)
    text = f"ClickHouse at {address}: {said}"
    if code in _DENIED:
        return AccessDenied(f"{text}; check user and password in CLEARLINE_CLICKHOUSE and the user's rights", code=code)
    if code in _PASSING or (code is None and isinstance(error, outside.OperationalError)):
        return Unavailable(text, code=code)
    if code is None and isinstance(error, outside.DatabaseError) and _is_gateway_answer(str(error)):
        return Unavailable(text)
    return StatementRefused(text, code=code)


def _is_gateway_answer(text: str) -> bool:
    """Whether a proxy in front answered, or the server without a code of its own: it is busy or not there."""
    return _GATEWAY.search(text) is not None
