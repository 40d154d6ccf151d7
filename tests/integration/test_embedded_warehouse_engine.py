"""The engine under the embedded warehouse, in this process: what chDB leaves behind after an error, and the watchdog."""

import contextlib
import uuid

import pytest

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.engine import Engine, quoted_text
from connectors.clickhouse.embedded.policy import MARK_SETTING

ENDLESS = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000) SETTINGS max_threads = 1"
FAILS_LATE = "SELECT 'left-behind', throwIf(number = 300000) FROM numbers(400000)"


@pytest.fixture
def engine(tmp_path):
    """An engine on a directory of its own."""
    opened = Engine(tmp_path / "data", database="clearline")
    yield opened
    opened.close()


def test_what_an_error_leaves_behind(engine):
    """A connection's next answer after a late error is not its own, which is why `drained` is there; another connection's is."""
    with contextlib.closing(engine.connect()) as connection, contextlib.closing(engine.connect()) as other:
        polluted = False
        for _ in range(5):
            with pytest.raises(errors.QueryError, match="throwIf"):
                connection.run(FAILS_LATE)
            assert other.run("SELECT 'mine'").body == b"mine\n"
            polluted = polluted or connection.run("SELECT 'mine'").body != b"mine\n"
        assert polluted, "chDB has stopped leaving output behind: draining and this test can go"
        for _ in range(5):
            with pytest.raises(errors.QueryError, match="throwIf"):
                connection.run(FAILS_LATE)
            assert connection.drained()
            assert connection.run("SELECT 'mine'").body == b"mine\n"


def test_a_late_error_in_a_stream_leaves_nothing_behind(engine):
    """Streams that fail, or are closed half-way, leave the connection clean."""
    with contextlib.closing(engine.connect()) as connection:
        for _ in range(5):
            with pytest.raises(errors.QueryError, match="throwIf"):
                list(connection.stream(FAILS_LATE, fmt="TabSeparated", parameters={}))
            assert connection.run("SELECT 'mine'").body == b"mine\n"
            blocks = connection.stream("SELECT 'left-behind' FROM numbers(1000000)", fmt="TabSeparated", parameters={})
            assert next(blocks).startswith(b"left-behind")
            blocks.close()
            assert connection.run("SELECT 'mine'").body == b"mine\n"


def test_the_watchdog_stops_what_takes_too_long(engine):
    """A query is killed after its time even if its own settings would let it go on."""
    with contextlib.closing(engine.connect()) as connection, engine.watched(seconds=0.3) as running:
        connection.run(f"SET {MARK_SETTING} = '{running.mark}'")
        with pytest.raises(errors.QueryError) as raised:
            connection.run(ENDLESS)
        assert raised.value.code == 394
        assert running.killed is not None
        assert running.killed.code == 159


def test_the_watchdog_stops_what_grows_too_large(engine, monkeypatch):
    """A whole-document answer that outgrows its limit is killed while it is written."""
    monkeypatch.setattr(limits, "DOCUMENT_BYTES_MAX", 1_000_000)
    path = engine.spool / uuid.uuid4().hex
    with contextlib.closing(engine.connect()) as connection, engine.watched(seconds=600, path=path) as running:
        connection.run(f"SET {MARK_SETTING} = '{running.mark}'")
        with pytest.raises(errors.QueryError):
            connection.run(
                f"SELECT number FROM numbers(100000000000) INTO OUTFILE {quoted_text(str(path))} FORMAT JSON SETTINGS max_threads = 1"
            )
        assert running.killed is not None
        assert running.killed.code == 396


def test_nothing_begins_after_the_end(engine):
    """After kill_all no query comes under watch any more."""
    engine.kill_all()
    with pytest.raises(errors.QueryError, match="shutting down"), engine.watched(seconds=1):
        pass


def test_one_engine_per_directory(engine, tmp_path):
    """A directory that is open can't be opened again."""
    with pytest.raises(errors.StartError, match="is in use by process"):
        Engine(tmp_path / "data", database="clearline")


def test_paths_that_the_engine_would_expand(tmp_path):
    """A data directory with a wildcard in its path is refused: the engine would read other files."""
    with pytest.raises(errors.StartError, match="in its path"):
        Engine(tmp_path / "da*ta", database="clearline")
