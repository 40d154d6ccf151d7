"""The broker's jars: fetched once, whole or not at all, and only as their checksums say."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.kafka import JarsUnavailable, _jars

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.example</groupId><artifactId>thing</artifactId><version>1.0</version></project>"""
PATH = "/org/example/thing/1.0/thing-1.0"


@functools.cache
def _jar() -> bytes:
    # Made once: an archive holds the time at which it was made.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
        archive.writestr("content", b"x" * 10_000)
    return buffer.getvalue()


class _Repository:
    """A Maven repository of one artifact, over HTTP, that counts what it is asked."""

    def __init__(self):
        self.files = {f"{PATH}.pom": POM.encode(), f"{PATH}.jar": _jar()}
        self.asked: list[str] = []
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                repository.asked.append(self.path)
                body = repository.files.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def fetches(self) -> int:
        return self.asked.count(f"{PATH}.jar")


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A repository that serves one small jar, and a manifest that names it."""
    repository = _Repository()
    manifest = tmp_path / "jars.sha256"
    manifest.write_text(f"{hashlib.sha256(_jar()).hexdigest()}  thing-1.0.jar\n")
    monkeypatch.setattr(_jars, "MANIFEST", manifest)
    monkeypatch.setattr(_jars, "ENDPOINTS", ("org.example:thing:1.0",))
    monkeypatch.setenv("CLEARLINE_MAVEN", repository.url)
    yield repository
    repository.close()


def test_jars_are_fetched_once(repository, tmp_path):
    """The first call fetches, the second finds them, and nothing else is left beside them."""
    target = tmp_path / "cache" / "jars"
    assert _jars.ensure_jars(target) == target
    assert _jars.ensure_jars(target) == target
    assert repository.fetches() == 1
    assert (target / "thing-1.0.jar").read_bytes() == _jar()
    assert sorted(path.name for path in target.parent.iterdir()) == ["jars", "jars.lock"]


def test_a_cut_off_jar_is_fetched_again(repository, tmp_path):
    """A cache with half a jar is not whole, and is made whole."""
    target = _jars.ensure_jars(tmp_path / "cache" / "jars")
    (target / "thing-1.0.jar").write_bytes(_jar()[:100])
    assert _jars.damaged(target) == ["thing-1.0.jar"]
    _jars.ensure_jars(target)
    assert _jars.damaged(target) == []
    assert repository.fetches() == 2


def test_several_at_once_fetch_once(repository, tmp_path):
    """Of four that ask at the same time one fetches, and all get whole jars."""
    target = tmp_path / "cache" / "jars"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_jars.ensure_jars, [target] * 4)) == [target] * 4
    assert repository.fetches() == 1


def test_what_a_killed_fetch_left_is_removed(repository, tmp_path):
    """The staging directory of a process that was killed does not stay for ever."""
    leftover = tmp_path / "cache" / ".jars-dead"
    leftover.mkdir(parents=True)
    _jars.ensure_jars(tmp_path / "cache" / "jars")
    assert not leftover.exists()


def test_a_jar_of_another_checksum_is_refused(repository, tmp_path):
    """What the repository serves is not run unless it is what was committed."""
    repository.files[f"{PATH}.jar"] = _jar() + b"altered"
    target = tmp_path / "cache" / "jars"
    with pytest.raises(JarsUnavailable, match=r"different from its checksum: thing-1\.0\.jar"):
        _jars.ensure_jars(target)
    assert not target.exists()


def test_no_network_is_a_clear_error(repository, tmp_path):
    """Without a repository the error says where the jars come from and how to do without."""
    repository.close()
    with pytest.raises(JarsUnavailable, match=r"(?s)Maven Central.*proxy.*copy.*CLEARLINE_MAVEN") as caught:
        _jars.ensure_jars(tmp_path / "cache" / "jars")
    assert caught.value.cache_dir == tmp_path / "cache" / "jars"


def test_an_unwritable_cache_is_a_clear_error(repository, tmp_path):
    """A file where the cache directory should be is reported as such, not as a traceback."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(JarsUnavailable, match="cache"):
        _jars.ensure_jars(tmp_path / "cache" / "jars")


def test_the_committed_manifest_names_the_broker():
    """The manifest has the broker, its clients and log4j's binding, each with a SHA-256."""
    manifest = _jars.manifest()
    assert f"kafka_2.13-{_jars.KAFKA_VERSION}.jar" in manifest
    assert f"kafka-clients-{_jars.KAFKA_VERSION}.jar" in manifest
    assert any(name.startswith("log4j-slf4j-impl") for name in manifest)
    assert all(len(digest) == 64 for digest in manifest.values())


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    """XDG_CACHE_HOME moves the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _jars.cache_dir() == tmp_path / "clearline" / f"kafka-{_jars.KAFKA_VERSION}"
