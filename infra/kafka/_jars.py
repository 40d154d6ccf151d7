"""Fetches Kafka's jars from Maven Central once per user, and hands out only those whose checksums are committed here."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.kafka.errors import JarsUnavailable

# Not newer for now: in 4.3.1 and 4.4.0 a coordinator that sends commit markers while a partition has no leader takes the
# partition for deleted (KAFKA-20734), so a broker killed and restarted at the wrong moment leaves a partition that
# readers of committed data never get past. docs/decisions/0001 tells more.
KAFKA_VERSION = "4.2.2"
# Resolved one by one, since log4j's own dependency management would downgrade Kafka's jars. Without the second, log4j
# has no binding and the broker says nothing.
ENDPOINTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")
DOWNLOAD_TIMEOUT_S = 60
DOWNLOAD_TRIES = 3
MANIFEST = Path(__file__).with_name("jars.sha256")


def cache_dir() -> Path:
    """Where the jars of this version live: `$XDG_CACHE_HOME/clearline/kafka-4.2.2`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clearline" / f"kafka-{KAFKA_VERSION}"


def manifest() -> dict[str, str]:
    """The committed SHA-256 of every jar, by file name."""
    pairs = (line.split() for line in MANIFEST.read_text(encoding="ascii").splitlines() if line)
    return {name: digest for digest, name in pairs}


def ensure_jars(directory: Path | None = None) -> Path:
    """The directory that holds every jar, whole and verified; fetches it if need be.

    Several processes may ask at once: one fetches, the others wait for it. The directory appears by a rename, and what
    is damaged (cut off, altered, missing) is fetched anew.

    Raises JarsUnavailable.
    """
    target = directory or cache_dir()
    try:
        if not damaged(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f"{target.name}.lock")):
            if damaged(target):  # nobody fetched it while we waited for the lock
                _fetch_into(target)
    except OSError as error:
        raise JarsUnavailable(target, str(error)) from error
    return target


def damaged(directory: Path) -> list[str]:
    """The names of jars that are missing from `directory` or differ from the committed checksum."""
    return [name for name, digest in manifest().items() if _sha256(directory / name) != digest]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the kernel even if we are killed
        yield


def _fetch_into(target: Path) -> None:
    for leftover in target.parent.glob(f".{target.name}-*"):  # of a process that was killed while fetching
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        ready = staging / "ready"
        ready.mkdir()
        wanted = manifest()
        for jar in _resolve(target, staging):
            if jar.name in wanted:  # what two endpoints share comes twice, and is the same or refused below
                jar.replace(ready / jar.name)
        if wrong := damaged(ready):
            raise JarsUnavailable(target, f"missing or different from its checksum: {', '.join(sorted(wrong))}")
        if target.exists():
            target.rename(staging / "old")
        ready.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _resolve(target: Path, staging: Path) -> list[Path]:
    """Resolves and downloads everything below `staging`, touching nobody's Maven repository."""
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    central = os.environ.get("CLEARLINE_MAVEN") or MAVEN_CENTRAL_URL
    reason = ""
    for attempt in range(DOWNLOAD_TRIES):
        work = staging / f"try-{attempt}"  # a cut-off jar of the last try must not be taken for whole
        context = MavenContext(
            repo_cache=work / "repository", remote_repos={"central": central}, timeout=DOWNLOAD_TIMEOUT_S
        )
        builder = EnvironmentBuilder(context=context, cache_dir=work / "env", link_strategy=LinkStrategy.HARD)
        try:
            found = [Path(builder.from_endpoint(endpoint).path) for endpoint in ENDPOINTS]
        except Exception as error:  # noqa: BLE001 - the resolver raises whatever its HTTP and XML libraries raise
            reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        else:
            return sorted(jar for environment in found for jar in environment.rglob("*.jar"))
    raise JarsUnavailable(target, reason)
