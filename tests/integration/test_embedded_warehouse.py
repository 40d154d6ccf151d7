"""The embedded warehouse, driven by clickhouse_connect as applications drive it, and by plain HTTP as curl does."""

import datetime as dt
import decimal
import gzip
import json
import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import lz4.block
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from connectors.clickhouse.embedded._compression import encoder, plain_chunks
from tests._warehouse import WarehouseProcess

ROWS = 1_000_000
SEVERAL_BLOCKS = 200_000  # the engine's blocks have 65,409 rows


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """One warehouse for the module."""
    process = WarehouseProcess(tmp_path_factory.mktemp("warehouse"))
    process.start()
    yield process
    process.kill()


@pytest.fixture
def table():
    """A name that no other test uses."""
    return "t_" + uuid.uuid4().hex


# --- clickhouse_connect


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_types_come_back_as_they_went_in(warehouse, table, compress):
    """Integers, strings, LowCardinality, DateTime64, Nullable, Array, Map, UUID and Decimal survive, in every compression."""
    client = warehouse.client(compress=compress)
    client.command(
        f"CREATE TABLE {table} (a Int64, s String, l LowCardinality(String), d DateTime64(3, 'UTC'), n Nullable(Int32), r Array(String),"
        " m Map(String, UInt8), u UUID, x Decimal(18, 4)) ENGINE = MergeTree ORDER BY a"
    )
    rows = [
        (
            2**62 - number,
            f"s{number}'\\\n\t\0ü",
            f"l{number % 3}",
            dt.datetime(2024, 2, 29, 1, 2, 3, 4000, tzinfo=dt.UTC) + dt.timedelta(days=number),
            None if number % 2 else number,
            [f"a{number}", ""],
            {"k": number % 7},
            uuid.UUID(int=number),
            decimal.Decimal(number) / 4,
        )
        for number in range(1000)
    ]
    summary = client.insert(table, rows, column_names=list("asldnrmux"))
    assert summary.written_rows == len(rows)
    read = client.query(f"SELECT * FROM {table} ORDER BY a DESC", query_tz="UTC", tz_mode="aware").result_rows
    assert read == rows


def test_a_million_rows_stream(warehouse):
    """A large answer comes in blocks with the right sums, over many more than one block of the engine."""
    rows, total, texts = 0, 0, 0
    with warehouse.client().query_row_block_stream(f"SELECT number, toString(number) FROM numbers({ROWS})") as stream:
        for block in stream:
            rows += len(block)
            total += sum(row[0] for row in block)
            texts += sum(int(row[1]) for row in block)
    assert (rows, total, texts) == (ROWS, ROWS * (ROWS - 1) // 2, ROWS * (ROWS - 1) // 2)


def test_a_million_rows_are_inserted(warehouse, table):
    """A large insert in one request lands whole."""
    client = warehouse.client()
    client.command(f"CREATE TABLE {table} (a Int64, s String) ENGINE = MergeTree ORDER BY a")
    client.insert(
        table, [range(ROWS), [f"s{number}" for number in range(ROWS)]], column_names=["a", "s"], column_oriented=True
    )
    assert client.query(f"SELECT count(), sum(a), uniqExact(s) FROM {table}").result_rows == [
        (ROWS, ROWS * (ROWS - 1) // 2, ROWS)
    ]


def test_parameters(warehouse):
    """Parameters arrive as values, whatever is in them."""
    nasty = "'; DROP TABLE x; --\n\t\\ ü {a:Int8}"
    read = warehouse.client().query(
        "SELECT {a:Int32} + 1, {s:String}, {r:Array(String)}", parameters={"a": 41, "s": nasty, "r": [nasty, ""]}
    )
    assert read.result_rows == [(42, nasty, [nasty, ""])]


def test_settings(warehouse):
    """A setting holds for its query; an unknown one is error 115."""
    client = warehouse.client(autogenerate_session_id=False)
    assert client.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 12345}) == 12345
    assert client.command("SELECT getSetting('max_block_size')") != 12345
    answer = warehouse.ask("SELECT 1", no_such_setting=1)
    assert (answer.status, answer.code) == (404, "115")


def test_errors(warehouse):
    """An error has the engine's code, name and text; the next query on the client is well."""
    client = warehouse.client()
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as raised:
        client.query("SELECT * FROM no_such_table")
    assert raised.value.code == 60
    assert client.command("SELECT 7") == 7


def test_an_error_after_the_first_blocks(warehouse):
    """A query that fails when much of its answer has been sent fails at the client too, with the engine's reason."""
    with (
        pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        warehouse.client().query_row_block_stream(
            f"SELECT throwIf(number = {ROWS - 1}) FROM numbers({ROWS})"
        ) as stream,
    ):
        for _ in stream:
            pass


def test_sessions(warehouse):
    """Temporary tables and SET live in their session, and in no other one; a query's own settings do not stay."""
    one, two = warehouse.client(session_id=uuid.uuid4().hex), warehouse.client(session_id=uuid.uuid4().hex)
    one.command("CREATE TEMPORARY TABLE mine (a Int32)")
    one.insert("mine", [[1], [2]], column_names=["a"])
    one.command("SET max_block_size = 777")
    assert one.command("SELECT getSetting('max_block_size')", settings={"max_block_size": 778}) == 778
    assert one.command("SELECT getSetting('max_block_size')") == 777
    assert one.command("SELECT sum(a) FROM mine") == 3
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        two.query("SELECT * FROM mine")
    assert two.command("SELECT getSetting('max_block_size')") != 777
    with pytest.raises(DatabaseError):
        one.query("SELECT throwIf(number = 5) FROM numbers(10)")
    assert one.command("SELECT sum(a) FROM mine") == 3


def test_session_rules(warehouse):
    """A session that must exist, a time-out out of range and another user's session of the same name behave as on a server."""
    name = uuid.uuid4().hex
    assert warehouse.ask("SELECT 1", session_id=name, session_check=1).code == "372"
    assert warehouse.ask("SELECT 1", session_id=name, session_timeout=100_000).code == "374"
    assert warehouse.ask("CREATE TEMPORARY TABLE mine (a Int32)", session_id=name).status == 200
    assert warehouse.ask("SELECT count() FROM mine", session_id=name, session_check=1).text == "0\n"
    assert warehouse.ask("SELECT count() FROM mine", session_id=name, user="root").code == "60"
    assert warehouse.ask("SELECT 1", session_id=name, close_session=1).status == 200
    assert warehouse.ask("SELECT 1", session_id=name, session_check=1).code == "372"


def test_no_answer_is_ever_mixed_with_another(warehouse):
    """Sixteen threads run good and failing queries; every answer carries its own marker and nothing else.

    chDB puts the partial output of a failed query in front of the next answer on the same connection.
    """
    session = uuid.uuid4().hex

    def ask(number):
        mark = f"mark-{number}-{uuid.uuid4().hex}"
        kind = number % 5
        if kind == 0:  # fails after it has produced output, in a format that the engine writes as a whole
            answer = warehouse.ask(f"SELECT '{mark}', throwIf(number = 300000) FROM numbers(400000) FORMAT JSONCompact")
            return answer.status == 500 and answer.code == "395" and b"mark-" not in answer.body
        if kind == 1:  # the same where blocks stream: what came is this query's
            answer = warehouse.ask(f"SELECT '{mark}', throwIf(number = 60000) FROM numbers(70000) FORMAT TSV")
            return answer.code == "395" and b"mark-" not in answer.body
        if kind == 2:
            answer = warehouse.ask(f"SELECT '{mark}' FROM numbers(100000) FORMAT JSONEachRow")
            lines = answer.text.splitlines()
            return len(lines) == 100000 and all(mark in line for line in lines)
        if kind == 3:  # a session's connection goes on after its errors
            answer = warehouse.ask(
                f"SELECT '{mark}' AS m FORMAT JSONCompact", session_id=f"{session}-{threading.get_ident()}"
            )
            return answer.status == 200 and json.loads(answer.body)["data"] == [[mark]]
        answer = warehouse.ask(
            f"SELECT '{mark}', throwIf(number = 300000) FROM numbers(400000) FORMAT JSONCompact",
            session_id=f"{session}-{threading.get_ident()}",
        )
        return answer.code == "395" and b"mark-" not in answer.body

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(200)))
    assert answers.count(True) == len(answers), [number for number, right in enumerate(answers) if not right]


# --- formats


@pytest.mark.parametrize(
    "fmt",
    [
        "Native",
        "RowBinary",
        "TabSeparated",
        "TabSeparatedRaw",
        "CSV",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
    ],
)
def test_streamed_formats_are_their_blocks_in_a_row(warehouse, fmt):
    """A streamed answer reads back as the same rows as the one that the engine writes as a whole."""
    sql = f"SELECT number, toString(number) AS s, if(number % 3 = 0, NULL, number) AS n FROM numbers({SEVERAL_BLOCKS}) FORMAT {fmt}"
    streamed, whole = warehouse.ask(sql), warehouse.ask(sql, wait_end_of_query=1)
    assert streamed.headers["x-clickhouse-format"] == fmt
    if fmt != "Native":  # whose blocks may be cut elsewhere
        assert streamed.body == whole.body
    table = "t_" + uuid.uuid4().hex
    warehouse.ask(f"CREATE TABLE {table} (number UInt64, s String, n Nullable(UInt64)) ENGINE = Memory")
    back = warehouse.ask(f"INSERT INTO {table} FORMAT {fmt}\n".encode() + streamed.body)
    assert back.status == 200, back.text
    sums = warehouse.ask(f"SELECT count(), sum(number), uniqExact(s), sum(n), countIf(n IS NULL) FROM {table}").text
    expected = warehouse.ask(
        f"SELECT count(), sum(number), uniqExact(toString(number)), sumIf(number, number % 3 != 0), countIf(number % 3 = 0) FROM numbers({SEVERAL_BLOCKS})"
    ).text
    assert sums == expected


@pytest.mark.parametrize(
    "fmt",
    [
        "RowBinaryWithNamesAndTypes",
        "CSVWithNames",
        "TabSeparatedWithNamesAndTypes",
        "JSON",
        "JSONCompact",
        "Parquet",
        "Arrow",
        "ArrowStream",
        "JSONColumns",
    ],
)
def test_formats_with_a_header_are_right_past_one_block(warehouse, table, fmt):
    """A format with a header or a frame around the whole has it once, however many blocks there are."""
    answer = warehouse.ask(f"SELECT number, toString(number) AS s FROM numbers({SEVERAL_BLOCKS}) FORMAT {fmt}")
    assert answer.status == 200
    warehouse.ask(f"CREATE TABLE {table} (number UInt64, s String) ENGINE = Memory")
    back = warehouse.ask(f"INSERT INTO {table} FORMAT {fmt}\n".encode() + answer.body)
    assert back.status == 200, back.text
    assert (
        warehouse.ask(f"SELECT count(), sum(number), uniqExact(s) FROM {table}").text
        == f"{SEVERAL_BLOCKS}\t{SEVERAL_BLOCKS * (SEVERAL_BLOCKS - 1) // 2}\t{SEVERAL_BLOCKS}\n"
    )


def test_totals_are_not_lost(warehouse):
    """WITH TOTALS has its totals in formats that would otherwise be streamed."""
    answer = warehouse.ask("SELECT number % 2 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k")
    assert answer.text == "0\t5\n1\t5\n\n0\t10\n"


@pytest.mark.parametrize(
    ("headers", "query"), [({"X-ClickHouse-Format": "JSONCompact"}, {}), ({}, {"default_format": "JSONCompact"})]
)
def test_default_format(warehouse, headers, query):
    """The default format comes from the header or the URL, and gives way to FORMAT in the statement."""
    answer = warehouse.ask("SELECT 1 AS a", headers=headers, **query)
    assert json.loads(answer.body)["data"] == [[1]]
    assert answer.headers["content-type"].startswith("application/json")
    assert warehouse.ask("SELECT 1 AS a FORMAT CSV", headers=headers, **query).body == b"1\n"


def test_unknown_format(warehouse):
    """A format that does not exist is error 73, status 404."""
    for query in ({"sql": "SELECT 1 FORMAT Nonsense"}, {"sql": "SELECT 1", "default_format": "Nonsense"}):
        answer = warehouse.ask(**query)
        assert (answer.status, answer.code) == (404, "73")


# --- plain HTTP


def test_ping_and_health(warehouse):
    """GET /ping and GET / answer Ok. without credentials; /health says that the engine answers."""
    for path in ("/ping", "/"):
        answer = warehouse.ask(method="GET", path=path, user=None)
        assert (answer.status, answer.body) == (200, b"Ok.\n")
    health = warehouse.ask(method="GET", path="/health", user=None)
    assert (health.status, json.loads(health.body)["status"]) == (200, "ok")


def test_answer_headers(warehouse):
    """Answers carry the headers that clients read."""
    answer = warehouse.ask("SELECT 1", query_id="my-query")
    assert answer.headers["x-clickhouse-query-id"] == "my-query"
    assert answer.headers["x-clickhouse-format"] == "TabSeparated"
    assert answer.headers["x-clickhouse-timezone"]
    assert answer.headers["x-clickhouse-server-display-name"]
    assert set(json.loads(answer.headers["x-clickhouse-summary"])) >= {
        "read_rows",
        "written_rows",
        "result_rows",
        "elapsed_ns",
    }
    assert uuid.UUID(warehouse.ask("SELECT 1").headers["x-clickhouse-query-id"])


def test_query_in_the_url(warehouse, table):
    """SQL in ?query= takes the body as its data, or as the rest of its text; GET only reads."""
    assert warehouse.ask(method="GET", query="SELECT 1 + 1").body == b"2\n"
    assert warehouse.ask("+ 1", query="SELECT 1").body == b"2\n"
    assert warehouse.ask(query=f"CREATE TABLE {table} (a Int32, b String) ENGINE = Memory").status == 200
    insert = warehouse.ask("1,x\n2,y\n", query=f"INSERT INTO {table} FORMAT CSV")
    assert json.loads(insert.headers["x-clickhouse-summary"])["written_rows"] == "2"
    assert "x-clickhouse-format" not in insert.headers
    assert warehouse.ask("(3, 'z')", query=f"INSERT INTO {table} VALUES").status == 200
    assert warehouse.ask(f"SELECT * FROM {table} ORDER BY a").text == "1\tx\n2\ty\n3\tz\n"
    refused = warehouse.ask(method="GET", query=f"INSERT INTO {table} VALUES (4, '')")
    assert (refused.status, refused.code) == (500, "164")


def test_names_as_parameters_of_an_insert(warehouse, table):
    """A table's name can be a parameter of an INSERT with data."""
    warehouse.ask(f"CREATE TABLE {table} (a Int32) ENGINE = Memory")
    assert warehouse.ask("INSERT INTO {table:Identifier} FORMAT CSV\n5", param_table=table).status == 200
    assert warehouse.ask(f"SELECT a FROM {table}").body == b"5\n"


@pytest.mark.parametrize(
    ("accepted", "unpack"),
    [
        ("lz4", lz4.frame.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
        ("gzip", gzip.decompress),
    ],
)
def test_compressed_answers(warehouse, accepted, unpack):
    """An answer is compressed as accepted when enable_http_compression=1, and plain otherwise."""
    answer = warehouse.ask(
        "SELECT number FROM numbers(300000)", headers={"Accept-Encoding": accepted}, enable_http_compression=1
    )
    assert answer.headers["content-encoding"] == accepted
    assert unpack(answer.body) == b"".join(b"%d\n" % number for number in range(300000))
    plain = warehouse.ask("SELECT 1", headers={"Accept-Encoding": accepted})
    assert ("content-encoding" in plain.headers, plain.body) == (False, b"1\n")


def test_compressed_blocks(warehouse, table):
    """compress=1 and decompress=1 speak ClickHouse's own compressed blocks, as its JDBC driver does."""
    warehouse.ask(f"CREATE TABLE {table} (a Int64) ENGINE = Memory")
    rows = encoder(accepted="", wanted=False, blocks=True).encode(
        b"".join(struct.pack("<q", number) for number in range(10))
    )
    assert warehouse.ask(rows, query=f"INSERT INTO {table} FORMAT RowBinary", decompress=1).status == 200
    answer = warehouse.ask(f"SELECT sum(a) FROM {table}", compress=1)
    assert (
        lz4.block.decompress(answer.body[25:], uncompressed_size=int.from_bytes(answer.body[21:25], "little"))
        == b"45\n"
    )


def test_block_checksums_are_those_of_the_engine(warehouse, table):
    """The engine's own column files, which have the same blocks, pass our checksum."""
    warehouse.ask(f"CREATE TABLE {table} (a Int64) ENGINE = MergeTree ORDER BY a SETTINGS min_bytes_for_wide_part = 0")
    warehouse.ask(f"INSERT INTO {table} SELECT number FROM numbers(1000)")
    path = warehouse.ask(f"SELECT path FROM system.parts WHERE table = '{table}' AND active").text.strip()
    with open(f"{path}/a.bin", "rb") as file:  # noqa: PTH123
        assert b"".join(plain_chunks(file, encoding="", blocks=True)) == b"".join(
            struct.pack("<q", number) for number in range(1000)
        )


@pytest.mark.parametrize("encoding", ["lz4", "gzip"])
def test_damaged_bodies_insert_nothing(warehouse, table, encoding):
    """A body that is cut off or is not what it says inserts nothing."""
    warehouse.ask(f"CREATE TABLE {table} (a Int64) ENGINE = MergeTree ORDER BY a")
    packed = {"lz4": lz4.frame.compress, "gzip": gzip.compress}[encoding](
        f"INSERT INTO {table} FORMAT CSV\n".encode() + b"1\n" * 100_000
    )
    for body in (packed[:-30], b"rubbish" * 10):
        assert warehouse.ask(body, headers={"Content-Encoding": encoding}).code == "271"
    assert warehouse.ask(f"SELECT count() FROM {table}").body == b"0\n"
    assert warehouse.ask(packed, headers={"Content-Encoding": encoding}).status == 200
    assert warehouse.ask(f"SELECT count() FROM {table}").body == b"100000\n"


def test_a_bad_row_inserts_nothing(warehouse, table):
    """A row that can't be read refuses the whole insert, with status 400."""
    warehouse.ask(f"CREATE TABLE {table} (a Int64) ENGINE = MergeTree ORDER BY a")
    answer = warehouse.ask(f"INSERT INTO {table} FORMAT CSV\n" + "1\n" * 1000 + "x\n")
    assert (answer.status, answer.code) == (400, "117")
    assert warehouse.ask(f"SELECT count() FROM {table}").body == b"0\n"


# --- the landing's conditional append


def rows_of(first, count, *, partition=3):
    """Rows in RowBinary with offsets in a row."""
    return b"".join(struct.pack("<iq", partition, offset) + b"\x01x" for offset in range(first, first + count))


@pytest.mark.parametrize("through", ["client", "body"])
def test_conditional_append(warehouse, table, through):
    """INSERT … SELECT … FROM input(…) WHERE … FORMAT, with rows as the body, inserts only what is new; repeating it is a no-op."""
    warehouse.ask(
        f"CREATE TABLE {table} (_partition Int32, _offset Int64, s String) ENGINE = MergeTree ORDER BY (_partition, _offset)"
    )
    sql = (
        f"INSERT INTO {table} SELECT * FROM input('_partition Int32, _offset Int64, s String')"
        f" WHERE _offset > ifNull((SELECT maxOrNull(_offset) FROM {table} WHERE _partition = 3), -1) FORMAT RowBinary"
    )
    client = warehouse.client()

    def append(rows):
        if through == "client":
            return client.command(sql, data=rows).written_rows
        return int(
            json.loads(warehouse.ask(sql.encode() + b"\n" + rows).headers["x-clickhouse-summary"])["written_rows"]
        )

    assert append(rows_of(0, 5000)) == 5000
    assert append(rows_of(0, 5000)) == 0
    assert append(rows_of(2500, 5000)) == 2500
    assert warehouse.ask(f"SELECT count(), uniqExact(_offset), max(_offset) FROM {table}").text == "7500\t7500\t7499\n"
    assert warehouse.ask(sql.encode() + b"\n" + rows_of(7500, 5000)[:-1]).status in (400, 500)
    assert warehouse.ask(f"SELECT count() FROM {table}").text == "7500\n"


@pytest.mark.parametrize(
    ("fmt", "data"),
    [
        ("JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}'),
        ("CSV", b"1,x\n2,y"),
        ("TabSeparated", b"1\tx\n2\ty\n"),
        ("Values", b"(1,'x'),(2,'y')"),
    ],
)
def test_input_in_other_formats(warehouse, table, fmt, data):
    """input() reads any format, can be used with an alias and expressions, and without rows."""
    warehouse.ask(f"CREATE TABLE {table} (a Int64, b String) ENGINE = Memory")
    sql = f"INSERT INTO {table} (a, b) SELECT i.a * 10, upper(i.b) FROM input('a Int64, b String') AS i WHERE i.a > 1 FORMAT {fmt}\n".encode()
    assert warehouse.ask(sql + data).status == 200
    assert warehouse.ask(sql).status == 200
    assert warehouse.ask(f"SELECT * FROM {table}").text == "20\tY\n"
