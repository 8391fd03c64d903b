"""A small shop on the loopback: it keeps what was ordered under a key, and can be told to be busy, slow or gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Shop(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.orders: dict[str, int] = {}
        self.troubles: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Shop

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.rfile.read(length)
        key = self.headers.get("idempotency-key", "")
        self._note()
        number = self.server.orders.setdefault(key, len(self.server.orders) + 1)
        trouble = self.server.troubles.pop(0) if self.server.troubles else ""
        if trouble == "gone":  # it was ordered, and nobody hears of it
            self.close_connection = True
            self.connection.close()
        elif trouble == "busy":
            self._answer(503, b"busy", {"Retry-After": "0"})
        else:
            self._answer(201, json.dumps({"order": number}).encode(), {"Set-Cookie": f"session={number}"})

    def do_GET(self) -> None:
        self._note()
        if self.path == "/slow":
            time.sleep(2.0)
        if self.path == "/moved":
            self._answer(302, b"", {"Location": "/large"})
        else:
            self._answer(200, b"x" * 200_000 if self.path == "/large" else b"here", {})

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers))

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def open_shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        shop.shutdown()
        shop.server_close()
        thread.join()
