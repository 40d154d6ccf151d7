"""A TCP proxy that refuses, throttles, or lets everything through, as it is told at the moment."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CHUNK_BYTES = 16 * 1024
LOOK_S = 0.05


class Proxy:
    """Listens on `port` of 127.0.0.1 and speaks to another port there. `rate` in bytes/s towards it; None: no limit."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.rate: int | None = None
        self.refusing = False
        self.passed = 0
        self._closed = threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(LOOK_S)
        self.port = int(self._door.getsockname()[1])
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection."""
        self._closed.set()
        for thread in self._threads:
            thread.join(30)
        self._door.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._door.accept()
            except TimeoutError:
                continue
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=30)
            except OSError:
                client.close()
                continue
            for source, sink, counted in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pump, args=(source, sink, counted), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        source.settimeout(LOOK_S)
        with contextlib.suppress(OSError):
            while not self._closed.is_set() and not self.refusing:
                try:
                    chunk = source.recv(CHUNK_BYTES)
                except TimeoutError:
                    continue
                if not chunk:
                    break
                if counted:
                    if self.rate is not None:
                        time.sleep(len(chunk) / self.rate)
                    self.passed += len(chunk)
                sink.settimeout(None)
                sink.sendall(chunk)
                sink.settimeout(LOOK_S)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
