"""The embedded warehouse as a process of its own, for tests."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect

OWNER, PASSWORD = "clearline", "correct horse"
USERS = [
    {"name": "root", "password": "root's", "role": "admin"},
    {"name": "reader", "password": "reader's", "role": "reader"},
    {
        "name": "acme",
        "password": "acme's",
        "role": "reader",
        "table_filters": {"clearline.filtered": "tenant = 'acme'"},
        "settings": {"max_threads": "1"},
    },
]
PASSWORDS = {OWNER: PASSWORD, **{str(user["name"]): str(user["password"]) for user in USERS}}
READY_S = 120


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """ClickHouse's code of the error, empty when there is none."""
        return self.headers.get("x-clickhouse-exception-code", "")

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class WarehouseProcess:
    """`python -m connectors.clickhouse.embedded` on a port that the system chose."""

    def __init__(self, data: Path, *, arguments: tuple[str, ...] = ("--port", "0"), users: Any = None) -> None:
        self.data, self.arguments, self.users = data, arguments, USERS if users is None else users
        self.port = 0
        self.log: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises AssertionError with its log when it ends instead."""
        self.launch()
        deadline = time.monotonic() + READY_S
        while not self.port:
            assert self.process is not None
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.02)

    def launch(self) -> None:
        """Start it and read its log in the background."""
        self.port = 0
        environ = os.environ | {
            "CLEARLINE_CLICKHOUSE": f"http://{OWNER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:8123/clearline",
            "CLEARLINE_WAREHOUSE_USERS": self.users if isinstance(self.users, str) else json.dumps(self.users),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "connectors.clickhouse.embedded", "--data", str(self.data), *self.arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.log.append(line)
            if (ready := re.search(r"ready on http://[^ ]*:(\d+),", line)) is not None:
                self.port = int(ready.group(1))

    def wait(self) -> int:
        """Wait for its end; return its status."""
        assert self.process is not None
        status = self.process.wait(120)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """End it with SIGKILL, if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.wait()

    def stop(self) -> int:
        """End it with SIGTERM; return its status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def client(self, *, user: str = OWNER, **options: Any) -> Any:
        """A clickhouse_connect client."""
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=user, password=PASSWORDS[user], query_retries=0, **options
        )

    def ask(
        self,
        sql: str | bytes = b"",
        *,
        user: str | None = OWNER,
        headers: dict[str, str] | None = None,
        method: str = "POST",
        path: str = "/",
        **query: Any,
    ) -> Answer:
        """One plain HTTP request, as curl would make it."""
        body = sql.encode() if isinstance(sql, str) else sql
        sent = dict(headers or {})
        if user is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(
                method, path + ("?" + urlencode(query) if query else ""), body=body or None, headers=sent
            )
            response = connection.getresponse()
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=response.read(),
            )
