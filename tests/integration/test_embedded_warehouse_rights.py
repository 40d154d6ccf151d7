"""Who may do what in the embedded warehouse: roles, functions and files refused, in every spelling that could hide them."""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests._warehouse import OWNER, PASSWORDS, WarehouseProcess

SECRET = "SECRET"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    """One warehouse for the module, with a table."""
    process = WarehouseProcess(tmp_path_factory.mktemp("warehouse"))
    process.start()
    assert process.ask("CREATE TABLE t (a Int32, b String) ENGINE = MergeTree ORDER BY a").status == 200
    assert process.ask("CREATE TABLE filtered (tenant String, a Int32) ENGINE = MergeTree ORDER BY a").status == 200
    assert process.ask("INSERT INTO filtered VALUES ('acme', 1), ('other', 2)").status == 200
    yield process
    process.kill()


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A file that nobody but an admin may read."""
    path = tmp_path_factory.mktemp("outside") / "secret.csv"
    path.write_text(f"{SECRET},2\n")
    return path


# FILE stands for the secret file, NEW for one that must not come into being.
REFUSED = [
    "SELECT * FROM file('FILE')",
    "SELECT/**/ * FROM /* ' */ `file`  /*(*/ ('FILE')",
    'SELECT * FROM -- x\n "file"\n($$FILE$$)',
    "SELECT * FROM FILE($a$FILE$a$)",
    "SELECT file('FILE')",
    "SELECT * FROM numbers(1) WHERE file('FILE') != ''",
    "WITH (SELECT file('FILE')) AS x SELECT x",
    "EXPLAIN SELECT * FROM file('FILE')",
    "DESCRIBE file('FILE')",
    "SELECT * FROM default.`FILE`",
    'SELECT * FROM `default`/**/. "FILE"',
    "DESCRIBE default.`FILE`",
    "EXISTS default.`FILE`",
    "INSERT INTO t (b) SELECT * FROM default.`FILE`",
    "INSERT INTO default.`NEW` SELECT 1",
    "INSERT INTO default.`NEW` FORMAT CSV\n1",
    "INSERT INTO FUNCTION file('NEW', 'CSV', 'a Int32') VALUES (1)",
    "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a Int32') VALUES (1)",
    "INSERT INTO t FROM INFILE 'FILE' FORMAT CSV",
    "SELECT 1 INTO OUTFILE 'NEW'",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int32')",
    "SELECT * FROM s3('http://127.0.0.1:1/', 'CSV', 'a Int32')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM executable('x', 'CSV', 'a Int32', (SELECT 1))",
    "SELECT * FROM python('x')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM merge('default', '.*')",
    "SELECT * FROM merge(clearline, 't')",
    "SELECT * FROM loop(clearline.t)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mergeTreeIndex(clearline, t)",
    "SELECT dictGet('a', 'b', 1)",
    "SELECT aiGenerate('x')",
    "SELECT * FROM _temporary_and_external_tables.x",
    "CREATE VIEW v AS SELECT * FROM file('FILE')",
    "CREATE VIEW v AS SELECT * FROM {name:Identifier}",
    "CREATE TABLE e (a Int32) ENGINE = File(CSV)",
    "CREATE TABLE e (a Int32) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
    "CREATE TABLE e (a Int32) ENGINE Merge(default, '.*')",
    "CREATE TABLE e (a Int32) ENGINE = Distributed(x, default, t)",
    "CREATE TABLE e (a Int32) ENGINE = Buffer(default, `NEW`, 1, 1, 1, 1, 1, 1, 1)",
    "CREATE TABLE e (a String DEFAULT file('FILE')) ENGINE = Memory",
    "CREATE TABLE e (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = 'NEW')",
    "CREATE TABLE e (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
    "CREATE TABLE y (a Int32) ENGINE = Memory PARALLEL WITH CREATE TABLE z (a Int32) ENGINE = Memory",
    "ALTER TABLE t ATTACH PARTITION ALL FROM default.x",
    "ATTACH TABLE q FROM '/tmp' (a Int32) ENGINE = Log",
    "DETACH TABLE t",
    "CREATE DATABASE o ENGINE = Overlay('default')",
    "CREATE DATABASE o ENGINE = Filesystem('/')",
    "DROP DATABASE default",
    "USE default",
    "CREATE DICTIONARY d (a Int32) PRIMARY KEY a SOURCE(FILE(PATH 'FILE' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(1)",
    "CREATE FUNCTION f AS x -> file(x)",
    "CREATE USER u",
    "CREATE NAMED COLLECTION x AS a = 1",
    "GRANT ALL ON *.* TO u",
    "EXECUTE AS root SELECT 1",
    "SYSTEM SHUTDOWN",
    "SYSTEM RELOAD CONFIG",
    "BACKUP TABLE t TO File('NEW')",
    "KILL QUERY WHERE 1",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_refused_to_a_writer(warehouse, secret, sql):
    """Files, other servers, other databases' tables and the server itself are out of a writer's reach: error 497, status 403."""
    new = secret.parent / "new"
    answer = warehouse.ask(
        sql.replace("FILE'", f"{secret}'")
        .replace("FILE`", f"{secret}`")
        .replace('FILE"', f'{secret}"')
        .replace("FILE$", f"{secret}$")
        .replace("NEW", str(new))
    )
    assert (answer.status, answer.code) == (403, "497"), answer.text
    assert SECRET not in answer.text
    assert not new.exists()


@pytest.mark.parametrize(
    "query",
    [
        {"sql": "SELECT * FROM `FILE`"},
        {"sql": "SELECT * FROM 'FILE'"},
        {"sql": "SELECT * FROM `FILE`", "database": "default"},
        {"sql": "SELECT * FROM {t:Identifier}", "param_t": "FILE"},
        {"sql": "SELECT * FROM {t:Identifier}", "param_t": "default.FILE"},
        {"sql": "SELECT * FROM {t:Identifier}", "param_t": "default.`FILE`"},
        {"sql": "SELECT * FROM {d:Identifier}.{t:Identifier}", "param_d": "default", "param_t": "FILE"},
        {"sql": "SELECT * FROM {d:Identifier}.{t:Identifier}", "param_d": "d\\x65fault", "param_t": "FILE"},
        {"sql": "SET param_d = 'default', param_t = 'FILE'"},
        {"sql": "SELECT * FROM clearline.`FILE`"},
        {"sql": "SELECT 1; SELECT * FROM file('FILE')"},
    ],
)
@pytest.mark.parametrize("user", [OWNER, "reader"])
def test_a_path_is_no_table(warehouse, secret, query, user):
    """chDB's own database `default` shows every file as a table; nothing but an admin's text reaches it."""
    answer = warehouse.ask(user=user, **{name: value.replace("FILE", str(secret)) for name, value in query.items()})
    assert answer.status >= 400
    assert f"{SECRET}\t2" not in answer.text


def test_an_admin_may_read_files(warehouse, secret):
    """The refusals are the role's: an admin reads the file."""
    assert warehouse.ask(f"SELECT * FROM file('{secret}')", user="root").text == f"{SECRET}\t2\n"


ALLOWED = [
    "SELECT 1 AS file, 2 AS url",
    "SELECT count() FROM t WHERE b = 'file('",
    "SELECT format('{} {}', 'a', 'b')",
    "SELECT * FROM format(CSV, '1,2')",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "FROM t SELECT count()",
    "EXPLAIN SELECT 1",
    "SHOW TABLES",
    "SHOW DATABASES",
    "SHOW CREATE TABLE t",
    "DESCRIBE t",
    "EXISTS t",
    "SELECT * FROM system.one -- file('x')",
    "SELECT 1 /* url('x') */",
    "SELECT name FROM system.tables WHERE engine = 'File'",
    "SELECT * FROM values('a Int32', 1, 2)",
    "SELECT input FROM (SELECT 1 AS input)",
    "SELECT domain('http://x/'), formatDateTime(now(), '%Y')",
    "SELECT 1 SETTINGS max_threads = 2",
]


@pytest.mark.parametrize("sql", ALLOWED)
@pytest.mark.parametrize("user", [OWNER, "reader"])
def test_what_only_looks_like_it_is_allowed(warehouse, sql, user):
    """Strings, comments, aliases and harmless functions of similar names are not refused, to a reader neither."""
    answer = warehouse.ask(sql, user=user)
    assert answer.status == 200, answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1, 'x')",
        "INSERT INTO t (a, b) FORMAT CSV\n1,x",
        "INSERT INTO t SELECT 1, 'x'",
        "INSERT INTO t SELECT * FROM input('a Int32, b String') FORMAT CSV\n1,x",
        "CREATE TABLE x (a Int32) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a Int32)",
        "CREATE VIEW x AS SELECT 1",
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "DELETE FROM t WHERE 1",
        "OPTIMIZE TABLE t",
        "RENAME TABLE t TO u",
        "SET max_threads = 1",
        "USE system",
        "KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
    ],
)
def test_a_reader_only_reads(warehouse, sql):
    """Everything but SELECT, SHOW, DESCRIBE and EXPLAIN is error 164 for a reader."""
    answer = warehouse.ask(sql, user="reader")
    assert (answer.status, answer.code) == (500, "164")
    assert warehouse.ask("SELECT count() FROM t").text == "0\n"


@pytest.mark.parametrize("user", [OWNER, "reader"])
@pytest.mark.parametrize(
    "query",
    [
        {"sql": "SET dialect = 'kusto'"},
        {"sql": "SELECT 1 SETTINGS dialect = 'prql'"},
        {"sql": "SELECT 1", "dialect": "kusto"},
        {"sql": "SELECT 1 SETTINGS readonly = 0"},
        {"sql": "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)"},
        {"sql": "SELECT 1 SETTINGS max_threads = 1, cluster_for_parallel_replicas = 'x'"},
        {"sql": "SELECT 1", "allow_introspection_functions": "1"},
    ],
)
def test_settings_that_nobody_changes(warehouse, user, query):
    """Settings that change the language, or what the server relies on, are refused in the text and in the URL."""
    answer = warehouse.ask(user=user, **query)
    assert answer.code in ("452", "164"), answer.text


def test_table_filters(warehouse):
    """A user with table filters sees its own rows only, however it asks, and can't take them off."""
    for sql in (
        "SELECT * FROM filtered",
        "SELECT * FROM clearline.filtered AS f",
        "SELECT * FROM (SELECT * FROM filtered)",
        "SELECT f.* FROM filtered f JOIN filtered g ON 1 = 1",
    ):
        assert warehouse.ask(sql, user="acme").text == "acme\t1\n"
    assert warehouse.ask("SELECT count() FROM filtered", user="reader").text == "2\n"
    assert warehouse.ask("SELECT * FROM filtered SETTINGS additional_table_filters = {}", user="acme").code == "452"
    assert warehouse.ask("SELECT * FROM filtered", user="acme", additional_table_filters="{}").code == "452"


def test_user_settings(warehouse):
    """A user's own settings hold and can't be changed."""
    assert warehouse.ask("SELECT getSetting('max_threads')", user="acme").text == "1\n"
    assert warehouse.ask("SELECT 1", user="acme", max_threads=8).code == "452"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"X-ClickHouse-User": "reader", "X-ClickHouse-Key": PASSWORDS["reader"]}, {}),
        ({}, {"user": "reader", "password": PASSWORDS["reader"]}),
    ],
)
def test_ways_to_say_who(warehouse, headers, query):
    """ClickHouse's headers and the URL identify a user as basic authentication does."""
    path = "/?" + urlencode(query)
    assert warehouse.ask("SELECT 1", user=None, headers=headers, path=path).text == "1\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "wrong"}, 403),
        ({"X-ClickHouse-User": "nobody", "X-ClickHouse-Key": ""}, 403),
        ({"X-ClickHouse-User": "default"}, 403),
        ({"Authorization": "Bearer x"}, 403),
    ],
)
def test_who_does_not_get_in(warehouse, headers, status):
    """Without the right password there is error 516 and nothing else; without any, a challenge."""
    answer = warehouse.ask("SELECT 1", user=None, headers=headers)
    assert (answer.status, answer.code) == (status, "516")
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_default_is_another_name_of_the_warehouse(warehouse):
    """Clients that ask for the database `default` get the warehouse's own, and never chDB's view of the file system."""
    assert warehouse.ask("SELECT currentDatabase()", database="default").text == "clearline\n"
    assert warehouse.ask("SELECT 1", database="no_such_database").code == "81"


def test_passwords_are_nowhere(warehouse):
    """No password is in the log or in the data directory's files of ours."""
    for password in PASSWORDS.values():
        assert password not in "".join(warehouse.log)
        assert password not in Path(warehouse.data / "lock").read_text()
