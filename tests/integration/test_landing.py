"""Landing against a real Kafka and a real ClickHouse engine: landed once, whatever is killed, stopped or run twice.

With CLEARLINE_TEST_CLICKHOUSE=http://user:password@host:8123 the same bodies run against that server; what needs to kill
the server is skipped then.
"""

import os
import random
import shutil
import threading
import time
import urllib.error
import urllib.request
import uuid
from itertools import count

import msgspec
import pytest

from connectors.clickhouse import migrate, verify
from connectors.clickhouse.client import connect
from connectors.clickhouse.errors import PositionLost, RowsDiffer
from connectors.clickhouse.landing import Landing, _landing, _rows, _source
from connectors.clickhouse.landing._log import Log
from connectors.clickhouse.landing._rows import Place, Raw
from infra.kafka import Broker
from schemas import environment
from tests._landing import (
    SIGCONT,
    SIGSTOP,
    Produced,
    WarehouseProcess,
    connected,
    create_topics,
    landing_process,
    payments,
    send,
    wait_for,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

SERVER = os.environ.get("CLEARLINE_TEST_CLICKHOUSE", "").rstrip("/")
POINTS = (
    "collected",
    "claimed",
    "appended:payment_events",
    "appended:ledger_entries",
    "appended:settlement_events",
    "appended:payment_inputs",
    "appended:rejections",
    "booked",
    "appended:landed_ranges",
    "landed",
)
_numbers = count(0, 10_000)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker of this module's own, with the landed topics."""
    directory = tmp_path_factory.mktemp("kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        create_topics(broker.bootstrap)
        send(broker.bootstrap, payments(150, first=next(_numbers)), transactions_of=100)
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """An embedded ClickHouse for the tests of this module; None when a server was named."""
    if SERVER:
        yield None
        return
    process = WarehouseProcess(tmp_path_factory.mktemp("warehouse"))
    try:
        process.start()
        yield process
    finally:
        process.kill()


@pytest.fixture
def url(warehouse):
    """A database of this test's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    url = warehouse.url(name) if warehouse else f"{SERVER}/{name}"
    client = migrate.open_database(environment.warehouse(url))
    migrate.apply(client)
    yield url
    client.execute(f"DROP DATABASE IF EXISTS {name}")
    client.close()


class Thread:
    """A landing in a thread of this process."""

    def __init__(self, broker, url, **options):
        self.landing = Landing(connect=lambda: connect(url), bootstrap=broker.bootstrap, **options)
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.landing.run()
        except Exception as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self.landing

    def __exit__(self, *_):
        self.landing.stop()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def join(self):
        """Wait until it ends by itself."""
        self._thread.start()
        self._thread.join(120)
        assert not self._thread.is_alive()


def all_landed(broker, client):
    """Whether nothing on the topics lies beyond what is landed."""
    return verify.unlanded(broker.bootstrap, client) == 0


def landed(broker, url):
    """Returns when everything on the topics is landed."""
    with connected(url) as client:
        wait_for("everything landed", lambda: all_landed(broker, client))


def check(broker, url):
    """Everything on the topics is in the tables once, and every proof holds."""
    with connected(url) as client:
        wait_for("everything landed", lambda: all_landed(broker, client))
        assert verify.compare(broker.bootstrap, client) == []
        assert client.rows("SELECT * FROM proof_landed WHERE NOT holds") == []
        assert client.rows("SELECT * FROM proof_balanced") == []
        assert client.rows("SELECT * FROM proof_balances") == []
        assert client.rows("SELECT * FROM proof_settled WHERE NOT holds") == []
        assert client.value("SELECT count() FROM proof_settled") == 6
        # Every topic has all its partitions in the proof, but for those that nothing was keyed to.
        assert set(client.rows("SELECT DISTINCT topic FROM proof_landed")) == {(topic.name,) for topic in verify.TOPICS}


def test_everything_is_landed_once_and_a_restart_lands_nothing_again(broker, url):
    """Holes of aborted transactions and markers tile; the second start finds its positions in the data alone."""
    with Thread(broker, url):
        check(broker, url)
    with connected(url) as client:
        before = client.rows("SELECT * FROM landed_ranges ORDER BY _topic, _partition, from_offset")
        gaps = client.value("SELECT sum(next_offset - from_offset) - sum(records) - sum(skipped) FROM landed_ranges")
        assert gaps > 0, "the topics have no holes, so this test proves less than it says"
        with Thread(broker, url) as again:
            wait_for("landing resumed", lambda: again.status.state == "landing")
            send(broker.bootstrap, payments(4, first=next(_numbers)))
            check(broker, url)
        after = client.rows("SELECT * FROM landed_ranges ORDER BY _topic, _partition, from_offset")
    assert set(before) < set(after)


def test_a_crash_at_any_point_loses_and_doubles_nothing(broker, url):
    """A landing that dies at a named point is followed by one that completes what it had claimed."""

    class Crash(Exception):
        pass

    for point in POINTS:
        send(broker.bootstrap, payments(8, first=next(_numbers)))
        reached = []

        def fault(name, point=point, reached=reached):
            if name == point:
                reached.append(name)
                raise Crash

        died = Thread(broker, url, fault=fault)
        died.join()
        assert isinstance(died.error, Crash), f"{point}: {died.error!r}"
        assert reached
    with Thread(broker, url):
        check(broker, url)


@pytest.mark.parametrize(
    "points",
    [("claimed", "appended:ledger_entries", "booked"), pytest.param(POINTS, marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_zombie_that_wakes_up_at_any_point_changes_nothing(broker, url, monkeypatch, points):
    """A landing halted at a named point is overtaken by another, wakes up, goes on as if nothing had been, and does no harm."""
    monkeypatch.setattr(_landing, "STANDBY_S", 0.2)
    for point in points:
        send(broker.bootstrap, payments(8, first=next(_numbers)))
        halted, wake = threading.Event(), threading.Event()

        def fault(name, point=point, halted=halted, wake=wake):
            if name == point and not halted.is_set():
                halted.set()
                assert wake.wait(120)

        zombie = Thread(broker, url, fault=fault)
        with zombie:
            try:
                assert halted.wait(120), f"{point} was not reached"
                with Thread(broker, url):
                    landed(broker, url)
                    send(broker.bootstrap, payments(8, first=next(_numbers)))
                    landed(broker, url)
            finally:
                wake.set()
            send(broker.bootstrap, payments(8, first=next(_numbers)))
            landed(broker, url)
        assert zombie.error is None
    check(broker, url)


def test_landings_that_race_for_every_batch_lose_and_double_nothing(url):  # noqa: C901 - four writers in one picture
    """Four writers claim and complete batches of the same partitions at once, each append twice: the ranges tile, one row each."""
    places = [Place("payments.inputs", 0), Place("payments.events", 0)]
    source = {place: [] for place in places}
    for one in payments(300):
        place = Place(one.topic, 0)
        if place in source:
            source[place].append(Raw(place, len(source[place]), 1, one.key, one.value))
    errors, lost = [], []

    def build(spans):
        return _rows.build({place: source[place][first:after] for place, (first, after) in spans.items()})

    def write(seed):
        chance = random.Random(seed)
        client = connect(url)
        try:
            log = Log(client, writer=f"writer-{seed}")
            while True:
                for claim in log.refresh():
                    log.complete(claim, build(claim.spans), fault=lambda _point: None)
                at = log.positions()
                spans = {
                    place: (at.get(place, 0), min(at.get(place, 0) + chance.randint(1, 60), len(source[place])))
                    for place in places
                    if at.get(place, 0) < len(source[place])
                }
                if not spans:
                    return
                claim = log.claim(spans)
                if claim is None:
                    lost.append(seed)
                    continue
                for _ in range(2):
                    log.complete(claim, build(claim.spans), fault=lambda _point: None)
        except Exception as error:
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert errors == []
    assert lost, "no writer ever lost a race, so nothing was tried"
    with connected(url) as client:
        assert client.rows("SELECT * FROM proof_landed WHERE NOT holds") == []
        proved = dict(client.rows("SELECT topic, records FROM proof_landed"))
        assert proved["payments.events"] == len(source[Place("payments.events", 0)])
        assert client.value("SELECT count() FROM landing_claims") == client.value("SELECT count() FROM landed_ranges")


def test_a_token_burnt_by_a_crash_of_the_server_costs_no_row(url):
    """A server that noted a token and died before the rows swallows every insert with it; landing sees that and goes on."""
    with connected(url) as client:
        log = Log(client, writer="w")
        log.refresh()
        place = Place("payments.events", 0)
        raws = [
            Raw(place, offset, 1, one.key, one.value)
            for offset, one in enumerate(payments(5))
            if one.topic == place.topic
        ]
        rows = _rows.build({place: raws})
        span = {place: (raws[0].offset, raws[-1].offset + 1)}
        for table, token in (("landing_claims", "1:1"), ("ledger_entries", "1:1")):
            columns = "seq" if table == "landing_claims" else "_seq"
            burnt = {"insert_deduplication_token": token, "async_insert": 0}
            client.execute(f"INSERT INTO {table} ({columns}) SELECT 999", settings=burnt)
            client.execute(f"ALTER TABLE {table} DELETE WHERE {columns} = 999", settings={"mutations_sync": 1})
            client.execute(f"INSERT INTO {table} ({columns}) SELECT 999", settings=burnt)
            assert client.value(f"SELECT count() FROM {table}") == 0, "the token is not burnt, so nothing is tried"
        claim = log.claim(span)
        assert claim is not None
        log.complete(claim, rows, fault=lambda _point: None)
        assert client.rows("SELECT * FROM proof_landed WHERE NOT holds") == []
        assert client.value("SELECT count() FROM ledger_entries") == len(rows.by_table["ledger_entries"])


def test_kill_9_of_the_landing_process_at_random_moments(broker, url, tmp_path):
    """Five processes die by `kill -9` while records come; what the last one leaves is whole."""
    chance = random.Random(3)
    process = landing_process(broker.bootstrap, url, tmp_path / "landing.log")
    try:
        with connected(url) as client:
            for _ in range(5):
                process.start()
                before = client.value("SELECT max(seq) FROM landing_claims")
                send(broker.bootstrap, payments(60, first=next(_numbers)), transactions_of=50)
                wait_for(
                    "a new claim", lambda before=before: client.value("SELECT max(seq) FROM landing_claims") > before
                )
                time.sleep(chance.uniform(0, 0.2))  # where in the batch it dies is up to chance
                process.kill()
        process.start()
        check(broker, url)
        assert process.end() == 0
    except BaseException:
        print(process.output)
        raise
    finally:
        process.kill()


def test_two_processes_on_the_same_partitions_stopped_and_continued(broker, url, tmp_path):
    """SIGSTOP makes one of two the zombie of the other, again and again; nothing is lost or doubled, and both end cleanly."""
    chance = random.Random(4)
    processes = [landing_process(broker.bootstrap, url, tmp_path / f"landing-{number}.log") for number in range(2)]
    try:
        for process in processes:
            process.start()
        with connected(url) as client:
            for number in range(4):
                sleeper = processes[number % 2]
                send(broker.bootstrap, payments(40, first=next(_numbers)), transactions_of=50)
                time.sleep(chance.uniform(0, 0.3))  # where it is halted is up to chance
                sleeper.signal(SIGSTOP)
                try:
                    send(broker.bootstrap, payments(40, first=next(_numbers)))
                    wait_for("the other goes on", lambda: all_landed(broker, client))
                finally:
                    sleeper.signal(SIGCONT)
        check(broker, url)
        assert [process.end() for process in processes] == [0, 0]
    except BaseException:
        print(*(process.output for process in processes))
        raise
    finally:
        for process in processes:
            process.kill()


def test_kill_9_of_the_warehouse(broker, tmp_path):
    """ClickHouse dies by `kill -9` amid appends and comes back; landing waits, goes on, and nothing is lost or doubled."""
    if SERVER:
        pytest.skip("CLEARLINE_TEST_CLICKHOUSE names a server that is not ours to kill")
    chance = random.Random(5)
    warehouse = WarehouseProcess(tmp_path)
    try:
        warehouse.start()
        url = warehouse.url("clearline")
        runner = Thread(broker, url)
        with runner as landing:
            for _ in range(3):
                batches = landing.status.batches
                send(broker.bootstrap, payments(60, first=next(_numbers)), transactions_of=50)
                wait_for("another batch", lambda batches=batches: landing.status.batches > batches)
                send(broker.bootstrap, payments(60, first=next(_numbers)))
                time.sleep(chance.uniform(0, 0.2))  # where in a statement it dies is up to chance
                warehouse.kill()
                wait_for("landing notices", lambda: landing.status.state == "waiting")
                assert not landing.status.healthy
                warehouse.start()
            check(broker, url)
            wait_for("landing is well", lambda: landing.status.healthy)
        assert runner.error is None
    finally:
        warehouse.kill()


def test_unreadable_records_are_kept_and_their_neighbours_landed(broker, url):
    """Bytes that are no record of their topic are rows of landing_errors, counted by the proof, and stop nothing."""
    garbage = [
        Produced("payments.events", b"g", b"\xff\xfe\x00garbage"),
        Produced("payments.inputs", b"\xff\x00", b"\x00\x00\x00\xff\xff"),
        Produced("settlement.events", b"g", None),
    ]
    good = payments(20, first=next(_numbers))
    send(broker.bootstrap, good[:40] + garbage + good[40:])
    with Thread(broker, url) as landing:
        check(broker, url)
        assert landing.status.errors >= 3
    with connected(url) as client:
        found = set(client.rows("SELECT _topic, reason, hex(key), hex(value), value_is_null FROM landing_errors"))
    assert {
        ("payments.events", "not_avro", "67", b"\xff\xfe\x00garbage".hex().upper(), False),
        ("payments.inputs", "unknown_schema", "FF00", "000000FFFF", False),
        ("settlement.events", "not_avro", "67", "", True),
    } <= found


DAMAGES = {
    "an event doubled": "INSERT INTO payment_events SELECT * FROM payment_events LIMIT 1",
    "an event taken away": "ALTER TABLE payment_events DELETE WHERE event_id = '{event}'",
    "a ledger entry doubled": "INSERT INTO ledger_entries SELECT * FROM ledger_entries LIMIT 1",
    "a whole ledger entry doubled": "INSERT INTO ledger_entries SELECT * FROM ledger_entries WHERE event_id = '{event}'",
    "a ledger entry taken away": "ALTER TABLE ledger_entries DELETE WHERE event_id = '{event}' AND _ordinal = 0",
    "a ledger entry changed": "ALTER TABLE ledger_entries UPDATE amount_minor = amount_minor + 1 WHERE event_id = '{event}' AND _ordinal = 0",
    "a balance transaction doubled": "INSERT INTO balance_transactions SELECT * FROM balance_transactions WHERE event_id = '{event}'",
    "a balance transaction taken away": "ALTER TABLE balance_transactions DELETE WHERE event_id = '{event}'",
    "a balance transaction changed": "ALTER TABLE balance_transactions UPDATE net_minor = net_minor + 1 WHERE event_id = '{event}'",
    "a movement doubled": "INSERT INTO settlement_events SELECT * FROM settlement_events WHERE movement_id != '' LIMIT 1",
    "a command taken away": "ALTER TABLE payment_inputs DELETE WHERE payment_id = '{payment}' AND record = 'PaymentCommand'",
    "a rejection taken away": "ALTER TABLE rejections DELETE WHERE (_partition, _offset) IN (SELECT _partition, _offset FROM rejections LIMIT 1)",
    "an act taken away": "ALTER TABLE identity_events DELETE WHERE object = 'api_key'",
    "a saved method taken away": "ALTER TABLE customer_events DELETE WHERE object = 'payment_method'",
    "a range doubled": "INSERT INTO landed_ranges SELECT * FROM landed_ranges LIMIT 1",
    "a range taken away": "ALTER TABLE landed_ranges DELETE WHERE (_topic, _partition, from_offset) IN "
    "(SELECT _topic, _partition, min(from_offset) FROM landed_ranges WHERE _topic = 'payments.events' GROUP BY _topic, _partition HAVING count() > 1)",
    "a payment's amount changed": "ALTER TABLE payment_events UPDATE amount_received_minor = 7 WHERE event_id = '{event}'",
}
SEEN_BY = {
    "a ledger entry changed": "proof_balanced",
    "a balance transaction doubled": "proof_balances",
    "a balance transaction taken away": "proof_balances",
    "a balance transaction changed": "proof_balances",
    "a payment's amount changed": "proof_settled",
}


def test_the_proofs_and_the_comparison_see_every_damage(broker, url):
    """Each book damaged by hand makes a proof fail, and the comparison with the topics too where rows are concerned."""
    with Thread(broker, url):
        check(broker, url)
        send(broker.bootstrap, payments(60, first=next(_numbers)))
        check(broker, url)
    with connected(url) as client:
        event, payment = client.rows(
            "SELECT event_id, payment_id FROM payment_events WHERE type = 'payment_intent.succeeded' AND refund_id = '' AND payment_id IN (SELECT payment_id FROM payments WHERE amount_refunded_minor = 0) ORDER BY event_id LIMIT 1"
        )[0]
        tables = (
            "payment_events",
            "ledger_entries",
            "balance_transactions",
            "settlement_events",
            "payment_inputs",
            "rejections",
            "identity_events",
            "customer_events",
            "landed_ranges",
        )
        for table in tables:
            client.execute(f"CREATE TABLE sound_{table} AS {table} ENGINE = MergeTree ORDER BY tuple()")
            client.execute(f"INSERT INTO sound_{table} SELECT * FROM {table}", settings={"async_insert": 0})
        for damage, statement in DAMAGES.items():
            client.execute(
                statement.format(event=event, payment=payment),
                settings={"mutations_sync": 1, "async_insert": 0, "insert_deduplicate": 0},
            )
            proof = SEEN_BY.get(damage, "proof_landed")
            assert client.rows(f"SELECT * FROM {proof} WHERE NOT holds"), f"{proof} does not see {damage}"
            if "range" not in damage:
                assert verify.compare(broker.bootstrap, client), f"the comparison does not see {damage}"
            for table in tables:
                client.execute(f"TRUNCATE TABLE {table}")
                client.execute(f"INSERT INTO {table} SELECT * FROM sound_{table}", settings={"async_insert": 0})
            assert client.rows(f"SELECT * FROM {proof} WHERE NOT holds") == []
        assert verify.compare(broker.bootstrap, client) == []
        # Of what customers are no proof tells: there is no sum of it. The comparison does.
        changed = "ALTER TABLE customer_events UPDATE status = 'canceled' WHERE object = 'setup_intent'"
        client.execute(changed, settings={"mutations_sync": 1})
        (difference, *_) = verify.compare(broker.bootstrap, client)
        assert (difference.table, difference.figure) == ("customer_events", "content")
        client.execute("TRUNCATE TABLE customer_events")
        client.execute("INSERT INTO customer_events SELECT * FROM sound_customer_events", settings={"async_insert": 0})


def test_a_table_with_other_rows_than_the_batch_stops_landing(broker, url):
    """A row that no record brought is never taken for one: landing ends with an error that names the table."""
    with connected(url) as client:
        # Which batch is the first with payments' events is up to the broker: other topics may be read before.
        by_hand = "INSERT INTO payment_events (_seq, event_id) SELECT number + 1, 'evt_by_hand' FROM numbers(100)"
        client.execute(by_hand, settings={"async_insert": 0})
        stopped = Thread(broker, url)
        stopped.join()
        assert isinstance(stopped.error, RowsDiffer)
        assert "payment_events holds 1 rows of batch" in str(stopped.error)
        assert client.value("SELECT count() FROM landed_ranges WHERE _topic = 'payments.events'") == 0


def test_a_topic_without_the_position_stops_landing(broker, url):
    """When the topic does not reach what is landed (it was made anew), landing stops and says so instead of skipping."""
    with connected(url) as client:
        for table in ("landing_claims", "landed_ranges"):
            client.execute(
                f"INSERT INTO {table} (seq, _topic, _partition, from_offset, next_offset) SELECT 1, 'payments.events', 0, 0, 900000000",
                settings={"async_insert": 0},
            )
    stopped = Thread(broker, url)
    stopped.join()
    assert isinstance(stopped.error, PositionLost)
    assert "payments.events/0" in str(stopped.error)


def test_batches_are_bounded_and_shares_split_the_partitions(broker, url, monkeypatch):
    """No batch holds more records than its limit, and two shares together land everything, each its own partitions."""
    monkeypatch.setattr(_source, "BATCH_RECORDS_MAX", 400)
    with Thread(broker, url, share=0, shares=2), Thread(broker, url, share=1, shares=2):
        check(broker, url)
    with connected(url) as client:
        assert (
            client.value(
                "SELECT max(total) FROM (SELECT sum(records + skipped) AS total FROM landed_ranges GROUP BY seq)"
            )
            <= 400
        )
        assert client.rows("SELECT seq FROM landed_ranges GROUP BY seq HAVING uniqExact(_partition % 2) > 1") == []
        assert client.value("SELECT uniqExact(writer) FROM landing_claims") == 2


def test_the_process_says_that_it_is_ready_and_well_and_ends_at_sigterm(broker, url, tmp_path):
    """The ready line, GET /health, and status 0 after SIGTERM; nonsense in the environment is status 2 with a remedy."""
    process = landing_process(broker.bootstrap, url, tmp_path / "landing.log", "--health-port", "0")
    try:
        process.start()
        wait_for("the ready line", lambda: " ready: " in process.output)
        address = process.output.split("health at ")[1].split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert msgspec.json.decode(answer.read())["state"] == "landing"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + "/other", timeout=60)
        assert process.end() == 0
        assert "stopped after" in process.output
    finally:
        process.kill()
    confused = landing_process(broker.bootstrap, "ftp://nowhere", tmp_path / "confused.log")
    try:
        confused.start()
        assert confused.running.wait(120) == 2
        assert "CLEARLINE_CLICKHOUSE" in confused.output
        assert "e.g." in confused.output
    finally:
        confused.kill()


def test_sigterm_ends_it_while_clickhouse_is_away(broker, tmp_path):
    """A landing that waits for ClickHouse ends with status 0 all the same, and has said what it waits for."""
    process = landing_process(
        broker.bootstrap, "http://clearline:secret@127.0.0.1:1/clearline", tmp_path / "landing.log"
    )
    try:
        process.start()
        wait_for("the complaint", lambda: "waiting, nothing is lost" in process.output)
        assert process.end() == 0
    finally:
        process.kill()
