"""A registry process for tests: the real command on a free port, and the plainest of HTTP clients."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DEADLINE_S = 120


@dataclass
class Answer:
    """Status, content type and JSON of an answer."""

    status: int
    content_type: str
    body: Any


@dataclass
class RegistryProcess:
    """A running registry."""

    process: subprocess.Popen[str]
    url: str

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None) -> Answer:
        """One request; error statuses are answers too."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return Answer(answer.status, answer.headers["Content-Type"], json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers["Content-Type"], json.loads(error.read()))

    def get(self, path: str) -> Any:
        """The JSON of an answer that has to be a success."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body


@contextlib.contextmanager
def serve() -> Iterator[RegistryProcess]:
    """`python -m api.registry --port 0`, ended by SIGTERM."""
    command = [sys.executable, "-m", "api.registry", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " INFO registry ready: " in line, line
            yield RegistryProcess(process, line.split()[-1])
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
