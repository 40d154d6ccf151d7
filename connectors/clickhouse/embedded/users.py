"""Who may ask: users, their roles, and what of theirs can't be overridden."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from connectors.clickhouse.embedded import errors, limits

Role = Literal["admin", "writer", "reader"]

ADMIN: Final = "admin"  # whatever the engine can, files and other servers included
WRITER: Final = "writer"  # tables, views and rows; no files, no other servers, no system commands
READER: Final = "reader"  # SELECT, SHOW, DESCRIBE, EXPLAIN

DEFAULT_READER: Final = "reader"


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user. `settings` are set for each query and can't be changed by it; `locked` names more that can't.

    `table_filters` are SQL conditions by `database.table`: the engine adds them to every read of that table
    (additional_table_filters), which is how a tenant's user sees only its own rows.
    """

    name: str
    password: str = ""
    role: Role = READER
    settings: dict[str, str] = {}
    locked: tuple[str, ...] = ()
    table_filters: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show who it is, never the password."""
        return f"User(name={self.name!r}, role={self.role!r})"

    def locks(self, setting: str) -> bool:
        """Whether a query of this user may not change this setting."""
        return (
            setting in self.settings
            or setting in self.locked
            or (setting == "additional_table_filters" and bool(self.table_filters))
        )


class Users:
    """All users of one server, by name."""

    def __init__(self, users: Mapping[str, User]) -> None:
        if len(users) > limits.USERS_MAX:
            raise errors.StartError(f"{len(users)} users are configured; the limit is {limits.USERS_MAX}")
        self._users = dict(users)

    def authenticate(self, name: str, password: str) -> User:
        """Return the user. Raises QueryError 516, with the same text and the same work for a wrong name and a wrong password."""
        user = self._users.get(name)
        known = _digest(user.password if user is not None else "")
        matches = hmac.compare_digest(known, _digest(password))
        if user is None or not matches:
            raise errors.QueryError(
                errors.AUTHENTICATION_FAILED,
                f"{name}: Authentication failed: password is incorrect, or there is no user with such name",
            )
        return user

    def without_password(self) -> list[str]:
        """Names of users that need no password."""
        return sorted(name for name, user in self._users.items() if not user.password)


def read_users(*, owner: str, password: str, configured: str) -> Users:
    """Make the users: the URL's (a writer), a reader with the same password, and those of the JSON list `configured`.

    The list may redefine both. Raises StartError.
    """
    users = {
        DEFAULT_READER: User(name=DEFAULT_READER, password=password, role="reader"),
        owner: User(name=owner, password=password, role="writer"),
    }
    if configured.strip():
        try:
            listed = msgspec.json.decode(configured, type=list[User])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            # The text may hold passwords: only the place of the fault is repeated.
            raise errors.StartError(
                f"CLEARLINE_WAREHOUSE_USERS can't be read ({error}); give a JSON list such as "
                '[{"name": "auditor", "password": "…", "role": "reader"}]'
            ) from None
        users |= {user.name: user for user in listed}
    return Users(users)


def credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str] | None:
    """Take name and password from X-ClickHouse-User/-Key, basic authentication or ?user=&password=, in that order.

    None when the request brings none. Raises QueryError 516 when it brings two kinds at once or an unreadable one.
    """
    name, key, basic = headers.get("X-ClickHouse-User"), headers.get("X-ClickHouse-Key"), headers.get("Authorization")
    if name is not None or key is not None:
        if basic is not None:
            raise errors.QueryError(
                errors.AUTHENTICATION_FAILED,
                "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers and Authorization HTTP header simultaneously",
            )
        return name or "default", key or ""
    if basic is not None:
        return _basic(basic)
    if "user" in query or "password" in query:
        return query.get("user", "default"), query.get("password", "")
    return None


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    refusal = errors.QueryError(
        errors.AUTHENTICATION_FAILED, "Invalid authentication: only 'Basic' HTTP authentication is supported"
    )
    if scheme.lower() != "basic":
        raise refusal
    try:
        name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise refusal from None
    return name or "default", password


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogateescape")).digest()
