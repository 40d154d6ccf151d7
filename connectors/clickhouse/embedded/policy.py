"""Which statements a role may run, judged on the engine's own rendering of the parsed statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from connectors.clickhouse.embedded import errors
from connectors.clickhouse.embedded._lexer import STRING, WORD, Token, tokens
from connectors.clickhouse.embedded.users import ADMIN, READER, User

# The string setting that carries our mark of a running query, by which it is found and killed. It does nothing
# without parallel replicas, which need a cluster.
MARK_SETTING: Final = "cluster_for_parallel_replicas"

_READS: Final = frozenset({"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})
_WRITES: Final = _READS | frozenset(
    {
        "INSERT",
        "CREATE",
        "ALTER",
        "DROP",
        "TRUNCATE",
        "RENAME",
        "EXCHANGE",
        "OPTIMIZE",
        "DELETE",
        "UPDATE",
        "USE",
        "SET",
        "CHECK",
        "UNDROP",
    }
)
# What may be created, altered and dropped: no users, named collections, dictionaries (their sources read files and servers), …
_OBJECTS: Final = frozenset({"TABLE", "TABLES", "TEMPORARY", "VIEW", "MATERIALIZED", "OR", "DATABASE", "FUNCTION"})
_OBJECT_VERBS: Final = frozenset({"CREATE", "ALTER", "DROP", "RENAME", "EXCHANGE", "UNDROP"})

TABLE_ENGINES: Final = frozenset(
    [
        "MergeTree",
        "ReplacingMergeTree",
        "SummingMergeTree",
        "AggregatingMergeTree",
        "CollapsingMergeTree",
        "VersionedCollapsingMergeTree",
        "CoalescingMergeTree",
        "GraphiteMergeTree",
        "Memory",
        "Log",
        "TinyLog",
        "StripeLog",
        "Null",
        "View",
        "MaterializedView",
        "Join",
        "Set",
        "Atomic",
    ]
)

# Table functions that make rows out of nothing but their arguments. All others of the engine read files, servers or other tables.
TABLE_FUNCTIONS: Final = frozenset(
    [
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "primes",
        "values",
        "sqlstandardvalues",
        "generaterandom",
        "generateseries",
        "generate_series",
        "null",
        "format",
        "input",
        "view",
        "fuzzjson",
    ]
)
# Functions (not of tables) that reach outside of the rows they are given.
_REACHING: Final = frozenset(
    [
        "file",
        "eval",
        "fuzzquery",
        "catboostevaluate",
        "joinget",
        "joingetornull",
        "evalmlmethod",
        "getclienthttpheader",
        "currentrequesturl",
        "getserverport",
        "tcpport",
        "getserversetting",
        "showcertificate",
        "lemmatize",
        "synonyms",
        "disk",
        "transactionid",
    ]
)
_REACHING_PREFIXES: Final = (
    "dictget",
    "dicthas",
    "dictisin",
    "ai",
    "naivebayes",
    "addressto",
    "filesystem",
    "zookeeper",
)

# Settings that no query sets for itself: they change the language, or what this server relies on.
_LOCKED_FOR_ALL: Final = frozenset({"dialect", MARK_SETTING})
_LOCKED: Final = _LOCKED_FOR_ALL | frozenset(
    [
        "implicit_select",
        "database",
        "allow_introspection_functions",
        "max_memory_usage",
        "max_memory_usage_for_user",
        "readonly",
    ]
)
_PARAMETER: Final = "param_"  # parameters come with the request, where their values are checked
_STORAGE_SETTINGS: Final = frozenset({"disk", "storage_policy", "table_disk"})
_TEMPORARY_DATABASE: Final = "_temporary_and_external_tables"
OVERLAY_DATABASE: Final = "default"  # in chDB an overlay over the file system: default.`/etc/passwd` is that file


class Policy:
    """Judges statements, knowing all functions of the engine: a table function that a new engine brings is refused until allowed."""

    def __init__(self, *, table_functions: Collection[str], functions: Collection[str]) -> None:
        reaching = {name.lower() for name in functions if name.lower().startswith(_REACHING_PREFIXES)}
        self._refused = {name.lower() for name in table_functions} - TABLE_FUNCTIONS | _REACHING | reaching

    def check(self, user: User, rendered: str, *, reads_only: bool) -> None:
        """Refuse what `user` may not run, given the statement as the engine renders it. Raises QueryError 164, 452, 497 or 62."""
        found = list(tokens(rendered.encode("utf-8", "surrogateescape")))
        check_settings(user, _settings(found))
        if user.role == ADMIN:
            return
        self._check_verb(user, found, reads_only=reads_only)
        _check_engines(user, found)
        _check_view(user, found)
        for token, after in pairwise(found):
            self._check_pair(user, token, after)

    def check_parameters(self, user: User, parameters: Mapping[str, str], rendered: str) -> None:
        """Refuse parameters that name what could not be named in the text. Raises QueryError 497."""
        if user.role == ADMIN or "Identifier" not in rendered:
            return
        for name, value in parameters.items():
            if (
                "\\" in value
                or value.strip('`"').startswith(OVERLAY_DATABASE + ".")
                or value == OVERLAY_DATABASE
                or _TEMPORARY_DATABASE in value
            ):
                raise _denied(user, f"parameter {name} may not name {value!r}")

    def _check_verb(self, user: User, found: Sequence[Token], *, reads_only: bool) -> None:
        words = [token.text.upper() for token in found if not token.mark("(")]
        verb, target = words[0] if words else "", words[1] if len(words) > 1 else ""
        if user.role == READER and (verb not in _READS or not reads_only):
            raise errors.QueryError(errors.READONLY, f"{user.name}: Cannot execute query in readonly mode")
        if (
            verb not in _WRITES
            or (verb in _OBJECT_VERBS and target not in _OBJECTS)
            or (verb == "SET" and target in ("ROLE", "DEFAULT"))
        ):
            raise _denied(user, f"{verb} {target if verb in _OBJECT_VERBS else ''}".strip() + " needs an admin")

    def _check_pair(self, user: User, token: Token, after: Token) -> None:
        name = token.text.lower()
        if token.name and after.mark("(") and name in self._refused:
            raise _denied(user, f"function {token.text} reads files, other servers or other tables' data")
        if token.word("INTO") and after.word("OUTFILE"):
            raise _denied(user, "INTO OUTFILE writes a file of the server")
        if token.word("INFILE") and after.kind == STRING:
            raise _denied(user, "FROM INFILE reads a file of the server")
        if token.word("LANGUAGE") and after.name:
            raise _denied(user, "a function in another language is a program")
        if token.word("PARALLEL") and after.word("WITH"):
            raise _denied(user, "PARALLEL WITH runs several statements")
        if (token.name and token.text == OVERLAY_DATABASE and after.mark(".")) or (
            token.word("DATABASE", "USE") and after.name and after.text == OVERLAY_DATABASE
        ):
            raise _denied(user, f"the database {OVERLAY_DATABASE} is the server's file system")
        if token.name and token.text == _TEMPORARY_DATABASE:
            raise _denied(user, "temporary tables belong to their sessions")
        if token.name and name in _STORAGE_SETTINGS and after.mark("="):
            raise _denied(user, f"{name} names files or other servers")


def _check_engines(user: User, found: Sequence[Token]) -> None:
    """Refuse table and database engines that read or write elsewhere. Raises QueryError 497."""
    if not found or not found[0].word("CREATE", "ALTER"):
        return
    for token, equals, engine in zip(found, found[1:], found[2:], strict=False):
        if token.word("ENGINE") and equals.mark("=") and engine.name and engine.text not in TABLE_ENGINES:
            raise _denied(user, f"engine {engine.text} reads or writes outside of the warehouse")


def _check_view(user: User, found: Sequence[Token]) -> None:
    """Refuse a view that takes the name of its table as a parameter: nobody would judge the name. Raises QueryError 497."""
    if not (found and found[0].word("CREATE") and any(token.word("VIEW") for token in found)):
        return
    if any(colon.mark(":") and kind.word("IDENTIFIER") for colon, kind in pairwise(found)):
        raise _denied(user, "a view may not take a name as its parameter")


def check_settings(user: User, names: Iterable[str]) -> None:
    """Refuse settings that this user may not change. Raises QueryError 452."""
    for name in names:
        locked = name in _LOCKED or name.startswith(_PARAMETER)
        if name in _LOCKED_FOR_ALL or user.locks(name) or (user.role != ADMIN and locked):
            raise errors.QueryError(
                errors.SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should not be changed by {user.name}"
            )


def _settings(found: Sequence[Token]) -> Iterator[str]:
    """Yield the names set by SETTINGS clauses anywhere, and by a SET statement."""
    for at, token in enumerate(found):
        if not (token.word("SETTINGS") or (at == 0 and token.word("SET"))):
            continue
        place = at + 1
        while place + 1 < len(found) and found[place].name and found[place + 1].mark("="):
            yield found[place].text.lower() if found[place].kind == WORD else found[place].text
            depth = found[place].depth
            place += 2
            while place < len(found) and not (found[place].mark(",") and found[place].depth == depth):
                if found[place].depth < depth:
                    break
                place += 1
            place += 1


def _denied(user: User, what: str) -> errors.QueryError:
    return errors.QueryError(errors.ACCESS_DENIED, f"{user.name}: Not enough privileges: {what}")
