"""GET /health: what the landing does, as JSON; 200 while it lands, 503 while it starts or waits for Kafka or ClickHouse."""

from __future__ import annotations

import http.server
import threading
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.clickhouse.landing._landing import Status


def serve(status: Status, port: int) -> int:
    """Answer on 127.0.0.1 from a thread of its own; returns the port. Raises `OSError` when it is in use."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/health"
            code = (
                HTTPStatus.NOT_FOUND
                if not known
                else HTTPStatus.OK
                if status.healthy
                else HTTPStatus.SERVICE_UNAVAILABLE
            )
            body = msgspec.json.encode(status) if known else b"{}"
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Health is asked every second; that is no event."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return int(server.server_address[1])
