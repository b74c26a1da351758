"""The HTTP/1.1 server in front of the dispatcher: one socket on 127.0.0.1, one thread per connection.

Why not a WSGI server off the shelf. Werkzeug's and wsgiref's close every connection. waitress and cheroot run requests
on a pool of fixed size, and here that is a deadlock: synchronous invokes wait for minutes, and what they wait for
(checkpoints, callbacks, calls of the function's own) arrives as further requests, which a full pool never serves. Both
also can't close a connection without an answer, which simulated faults need. So this is the standard library's
threading server with moto's request handler (Werkzeug's WSGI environment, with the raw path, chunked bodies and S3's
odd header names), and only the part that writes the answer is our own.
Neither was faster in a trial with keep-alive connections.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from http.server import ThreadingHTTPServer
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

_log = logging.getLogger(__name__)
Application = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]

# Rests of bodies that an application didn't read are read up to here; a longer one costs the connection.
_DRAIN_LIMIT = 16 * 1024 * 1024


class CloudServer(ThreadingHTTPServer):
    """Listens as soon as it is made, answers once `serve_forever` runs.

    Args:
        port: The TCP port on 127.0.0.1; 0 for a free one.
    """

    daemon_threads = True
    # server_close() must not wait for connections that are kept alive.
    block_on_close = False
    # A thousand executions started at once open their connections at once.
    request_queue_size = 1024
    allow_reuse_address = True

    # What Werkzeug's request handler reads off its server.
    ssl_context = None
    multithread = True
    multiprocess = False
    _server_version = "durable-functions-harness"

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.application: Application | None = None

    def server_bind(self) -> None:
        """Bind without asking the resolver for the machine's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()
        self.server_address = (host, port)
        self.server_name, self.server_port = host, port

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.server_port)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Log what broke a connection; a client that went away is nobody's failure."""
        _log.debug("Connection from %s ended", client_address, exc_info=True)


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto publishes no types
    protocol_version = "HTTP/1.1"
    # Without these two, every answer that takes two writes waits 40 ms for a delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: CloudServer

    def log_request(self, *_: Any) -> None:
        """The dispatcher logs calls, by AWS's names."""

    def log_message(self, form: str, *arguments: Any) -> None:
        """Malformed requests, mostly."""
        _log.info(form, *arguments)

    def handle_expect_100(self) -> bool:
        """Tell the client to send its body, now: it waits a second otherwise."""
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()
        return True

    def run_wsgi(self) -> None:
        """Answer one request and keep the connection."""
        environ = self.make_environ()
        body = _Body(environ["wsgi.input"], self.headers, chunked=bool(environ.get("wsgi.input_terminated")))
        environ["wsgi.input"] = body
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            head[:] = [status, headers]

        application = self.server.application
        if application is None:
            self.close_connection = True
            return
        try:
            content = b"".join(application(environ, start_response))
        except ConnectionError:
            # A simulated fault, or a client that is gone: no answer.
            self.close_connection = True
            return
        status, headers = head
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for key, value in headers:
            if key.lower() != "connection":
                self.send_header(key, value)
        if not body.drain(_DRAIN_LIMIT):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()


class _Body:
    """A request's body, which knows how much of it is left: the next request begins after it."""

    def __init__(self, stream: Any, headers: Any, *, chunked: bool) -> None:
        self._stream = stream
        self._chunked = chunked
        self._left = 0 if chunked else max(int(headers.get("Content-Length") or 0), 0)
        self._ended = not chunked and self._left == 0

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, or all that is left."""
        if self._ended:
            return b""
        if self._chunked:
            content = bytes(self._stream.read(size) if size >= 0 else self._stream.read())
            self._ended = size < 0 or len(content) < size
            return content
        content = bytes(self._stream.read(self._left if size < 0 else min(size, self._left)))
        self._left -= len(content)
        self._ended = self._left == 0 or not content
        return content

    def drain(self, limit: int) -> bool:
        """Read what is left, up to a limit, and say whether that was all."""
        while not self._ended and limit > 0:
            limit -= len(self.read(min(limit, 1 << 16)))
        return self._ended and self._left == 0
