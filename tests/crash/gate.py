"""Stands between a test run and its local cloud, and holds one call so that somebody can be killed at that moment."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from harness.localcloud.api import Request
from harness.localcloud.operations import identify

Side = Literal["asked", "answered"]
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class Gate:
    """A proxy that holds the first call of one operation. A context manager.

    Args:
        endpoint_url: The cloud.
        operation: Such as ``iam.CreateRole``; None holds nothing.
        side: ``asked`` holds the call before the cloud has it; ``answered`` when the cloud has carried it out, and
            only the caller doesn't know.
    """

    def __init__(self, endpoint_url: str, operation: str | None, side: Side) -> None:
        self.reached = threading.Event()
        self.calls: Counter[str] = Counter()
        self._cloud = urlsplit(endpoint_url)
        self._held = (operation, side)
        self._release = threading.Event()
        self._lock = threading.Lock()
        self._open = 0
        self._idle = threading.Condition(self._lock)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gate = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint_url(self) -> str:
        """Where it answers in the cloud's place."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def release(self) -> None:
        """Let the held call go on, and wait until the cloud has carried out all that was on its way."""
        self._release.set()
        with self._idle:
            self._idle.wait_for(lambda: self._open == 0, timeout=60)

    def pass_on(self, handler: _Handler) -> tuple[int, list[tuple[str, str]], bytes]:
        """Carry one call to the cloud, or hold it."""
        path, _, query = handler.path.partition("?")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        operation = str(
            identify(Request(handler.command, path, parse_qs(query, keep_blank_values=True), headers, body))
        )
        with self._lock:
            self._open += 1
        try:
            held = self._is_held(operation)
            if held == "asked":
                self._hold()
            answer = self._forward(handler, body)
            if held == "answered":
                self._hold()
            return answer
        finally:
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    def _is_held(self, operation: str) -> Side | None:
        with self._lock:
            self.calls[operation] += 1
            wanted, side = self._held
            return side if operation == wanted and self.calls[operation] == 1 else None

    def _hold(self) -> None:
        self.reached.set()
        self._release.wait()

    def _forward(self, handler: _Handler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._cloud.hostname or "", self._cloud.port or 80, timeout=120)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(handler.command, handler.path, body, headers)
            response = connection.getresponse()
            kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
            return response.status, kept, response.read()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    gate: Gate

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a caller that was killed doesn't take its answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Together they make one packet of an answer; otherwise each costs 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _answer(self) -> None:
        status, headers, body = self.server.gate.pass_on(self)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _answer  # noqa: N815
