"""Every limit of the embedded warehouse, in one place, each with its reason."""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024

QUERY_BYTES_MAX: Final = 1 * MIB  # SQL text, without inserted data; ClickHouse's own default is 256 KiB
BODY_BYTES_MAX: Final = 1024 * MIB  # one request's body after decompression, so a zip bomb meets it as well
SPOOLED_BYTES_MAX: Final = 4 * 1024 * MIB  # all bodies and whole-document answers on disk at one time
SPOOL_MEMORY_BYTES: Final = 4 * MIB  # a body up to this size never touches the disk
HEADER_LINE_BYTES_MAX: Final = 1 * MIB + 64 * 1024  # `?query=` carries SQL in the request line
DOCUMENT_BYTES_MAX: Final = 512 * MIB  # an answer in a format that can't be cut into blocks (JSON, Parquet, …)
SMALL_ANSWER_BYTES_MAX: Final = 64 * MIB  # answers of statements that are not SELECT: SHOW, DESCRIBE, EXPLAIN

CONCURRENT_QUERIES_MAX: Final = 8  # two cores: more only adds memory
QUEUED_QUERIES_MAX: Final = 64  # beyond it: 503, code 202, at once
QUEUE_WAIT_S: Final = 30.0  # then 503, code 202
RETRY_AFTER_S: Final = 1
QUERY_TIME_MAX_S: Final = 600  # a user's max_execution_time can only be shorter
KILL_GRACE_S: Final = 5.0  # how long after its time the engine may take to notice by itself
STALLED_CLIENT_S: Final = 60.0  # a client that takes no byte of its answer for so long is dropped
QUERY_MEMORY_BYTES_MAX: Final = 4 * 1024 * MIB

SESSIONS_MAX: Final = 100
SESSION_TIMEOUT_DEFAULT_S: Final = 60  # as ClickHouse's default_session_timeout
SESSION_TIMEOUT_MAX_S: Final = 3600  # as ClickHouse's max_session_timeout
SESSION_ID_CHARS_MAX: Final = 256
QUERY_ID_CHARS_MAX: Final = 256
PARAMETERS_MAX: Final = 1000

USERS_MAX: Final = 1000
CHECKED_STATEMENTS_MAX: Final = 2048  # verdicts remembered, by role and text
CHECKED_STATEMENT_CHARS: Final = 16 * 1024  # longer statements are checked every time instead of remembered

INSERT_CHUNK_BYTES: Final = 1 * MIB
ANSWER_CHUNK_BYTES: Final = 1 * MIB
ANSWER_CHUNKS_AHEAD: Final = 4  # chunks a query may run ahead of its client

DRAIN_WAIT_S: Final = 3.0  # SIGTERM: how long what runs may still take; then it is killed
CLOSE_WAIT_S: Final = 3.0  # and how long the engine may take to stop it
LEAVE_WAIT_S: Final = 0.5  # and how long a client may take its last bytes
