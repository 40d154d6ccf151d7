"""Sessions: connections that keep temporary tables and SET between requests, for a bounded time and in a bounded number."""

from __future__ import annotations

import time
from dataclasses import dataclass

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.engine import Connection, Engine


@dataclass(kw_only=True, slots=True)
class Session:
    """One session of one user."""

    key: tuple[str, str]
    connection: Connection
    timeout_s: float
    used_at: float
    busy: bool = False
    broken: bool = False


class Sessions:
    """All sessions of a server. Called from the event loop only, but for `connection`s, which threads use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def take(self, *, user: str, session_id: str, timeout_s: float, must_exist: bool) -> Session:
        """Take a session for one request, made if need be. Raises QueryError 372, 373, 374 or 202."""
        if not 0 < timeout_s <= limits.SESSION_TIMEOUT_MAX_S:
            raise errors.QueryError(
                errors.INVALID_SESSION_TIMEOUT,
                f"Session timeout {timeout_s:g} is out of range: more than 0, at most {limits.SESSION_TIMEOUT_MAX_S} seconds",
            )
        if len(session_id) > limits.SESSION_ID_CHARS_MAX:
            raise errors.QueryError(
                errors.BAD_ARGUMENTS, f"session_id is longer than {limits.SESSION_ID_CHARS_MAX} characters"
            )
        self.expire()
        key = (user, session_id)
        session = self._sessions.get(key)
        if session is None:
            if must_exist:
                raise errors.QueryError(errors.SESSION_NOT_FOUND, f"Session {session_id} not found")
            if len(self._sessions) >= limits.SESSIONS_MAX:
                raise errors.TooBusyError(
                    f"{limits.SESSIONS_MAX} sessions are open, which is the limit; close some or wait"
                )
            session = Session(key=key, connection=self._engine.connect(), timeout_s=timeout_s, used_at=time.monotonic())
            self._sessions[key] = session
        if session.busy:
            raise errors.QueryError(errors.SESSION_IS_LOCKED, f"Session {session_id} is locked by a concurrent client")
        session.busy, session.timeout_s = True, timeout_s
        return session

    def give_back(self, session: Session, *, close: bool = False) -> None:
        """End a request's use of a session."""
        session.busy, session.used_at = False, time.monotonic()
        if close or session.broken:
            self._drop(session)

    def expire(self) -> None:
        """Close the sessions that nobody used for their time."""
        now = time.monotonic()
        for session in [one for one in self._sessions.values() if not one.busy and now - one.used_at > one.timeout_s]:
            self._drop(session)

    def close(self) -> None:
        """Close all that are not in use."""
        for session in [one for one in self._sessions.values() if not one.busy]:
            self._drop(session)

    def _drop(self, session: Session) -> None:
        if self._sessions.pop(session.key, None) is not None:
            session.connection.close()
