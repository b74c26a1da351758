"""The Lambda Runtime API of one environment.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. ``AWS_LAMBDA_RUNTIME_API`` is a host and a port with
no room for a path, so every environment has a listener of its own, all served by one event loop: a waiting ``/next``
costs nothing, asyncio turns Nagle's algorithm off, and each answer is one write.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import h11

RESPONSE_LIMIT = 6_291_556
"""Bytes that a response may have: 6 MiB and 100, as the service's own error message says."""

_PREFIX = "/2018-06-01/runtime"
_TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."


@dataclass(frozen=True)
class Posted:
    """What the function's process posted as the end of its initialization or of an invocation.

    Attributes:
        body: The body.
        error_type: The error's type; None for a response.
        process_lost: The runtime client doesn't go on after this answer.
    """

    body: bytes
    error_type: str | None = None
    process_lost: bool = False


class RuntimeApi:
    """A Runtime API server; belongs to the event loop that it is started on.

    Args:
        before_answer: Called when an end is posted, before the process may go on: whatever it had logged until then
            can be read.
    """

    def __init__(self, before_answer: Callable[[], None]) -> None:
        self._before_answer = before_answer
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._waiting: _Connection | None = None
        self._request_id: str | None = None
        self._posted: asyncio.Future[Posted] | None = None
        loop = asyncio.get_running_loop()
        self.init_error: asyncio.Future[Posted] = loop.create_future()
        self._polled = asyncio.Event()

    async def start(self) -> str:
        """Listen, and return ``host:port``."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    async def wait_for_next(self) -> None:
        """Wait until the process asks for its next invocation."""
        await self._polled.wait()

    def deliver(self, request_id: str, headers: Sequence[tuple[str, str]], payload: bytes) -> asyncio.Future[Posted]:
        """Answer the waiting ``/next`` and return the future of what will be posted."""
        if self._waiting is None:
            raise RuntimeError("No /next is waiting; await wait_for_next() first.")
        self._request_id = request_id
        self._posted = asyncio.get_running_loop().create_future()
        connection, self._waiting = self._waiting, None
        self._polled.clear()
        connection.reply(200, payload, [("Lambda-Runtime-Aws-Request-Id", request_id), *headers])
        return self._posted

    def peer_is_gone(self) -> bool:
        """Whether the process that waits for its next invocation has died.

        The loop may not have come to the end of its connection yet; the socket knows.
        """
        return self._waiting is not None and self._waiting.peer_has_closed()

    def connected(self, connection: _Connection) -> None:
        """A connection was made."""
        self._connections.add(connection)

    def disconnected(self, connection: _Connection) -> None:
        """A connection ended."""
        self._connections.discard(connection)
        if self._waiting is connection:
            self._waiting = None
            self._polled.clear()

    def handle(self, connection: _Connection, method: str, path: str, error_type: str | None, body: bytes) -> None:
        """Answer a request, at once or, for ``/next``, later."""
        if method == "GET" and path == f"{_PREFIX}/invocation/next":
            self._waiting = connection
            self._polled.set()
            return
        if method == "POST" and path == f"{_PREFIX}/init/error":
            if not self.init_error.done():
                self._before_answer()
                self.init_error.set_result(Posted(body, error_type or "Runtime.Unknown"))
            connection.reply_json(202, {"status": "OK"})
            return
        parts = path.removeprefix(f"{_PREFIX}/invocation/").split("/")
        if method != "POST" or not path.startswith(f"{_PREFIX}/invocation/") or len(parts) != 2:
            connection.reply_json(404, {"errorMessage": f"No such path: {path}", "errorType": "InvalidPath"})
            return
        request_id, action = parts
        posted = self._posted
        if request_id != self._request_id or posted is None or posted.done():
            message = f"There is no running invocation {request_id}"
            connection.reply_json(400, {"errorMessage": message, "errorType": "InvalidRequestID"})
            return
        self._before_answer()
        if action == "error":
            posted.set_result(Posted(body, error_type or "Unhandled"))
            connection.reply_json(202, {"status": "OK"})
        elif len(body) > RESPONSE_LIMIT:
            error = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": _TOO_LARGE}
            # awslambdaric ends on this answer, as it does on AWS.
            posted.set_result(Posted(json.dumps(error).encode(), error["errorType"], process_lost=True))
            connection.reply_json(413, error)
        else:
            posted.set_result(Posted(body))
            connection.reply_json(202, {"status": "OK"})


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        # awslambdaric sends a fault's X-Ray cause as a header of up to 1 MiB.
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * 1024 * 1024)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server always makes
        self._transport = transport
        self._api.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._api.disconnected(self)

    def peer_has_closed(self) -> bool:
        transport_socket = self._transport and self._transport.get_extra_info("socket")
        if not transport_socket or transport_socket.fileno() < 0:
            return True
        # asyncio's own view of the socket can't be read from; its duplicate can.
        with transport_socket.dup() as peeked:
            try:
                return bool(peeked.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
            except BlockingIOError:
                return False
            except OSError:
                return True

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def _advance(self) -> None:
        try:
            while True:
                event = self._http.next_event()
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                if isinstance(event, h11.Request):
                    self._request = event
                    self._body.clear()
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._dispatch()
                    return
                else:
                    return
        except h11.RemoteProtocolError:
            self.abort()

    def _dispatch(self) -> None:
        request = self._request
        if request is None:
            return
        headers = dict(request.headers)
        error_type = headers.get(b"lambda-runtime-function-error-type")
        self._api.handle(
            self,
            request.method.decode(),
            request.target.decode().partition("?")[0],
            error_type.decode() if error_type else None,
            bytes(self._body),
        )

    def reply_json(self, status: int, value: dict[str, str]) -> None:
        self.reply(status, json.dumps(value).encode(), [])

    def reply(self, status: int, body: bytes, headers: Sequence[tuple[str, str]]) -> None:
        response = h11.Response(
            status_code=status,
            headers=[("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers],
        )
        self._send(response, h11.Data(data=body), h11.EndOfMessage())
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._advance()
        elif self._http.our_state is h11.MUST_CLOSE and self._transport is not None:
            self._transport.close()

    def _send(self, *events: h11.Event) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._http.send(event) or b"" for event in events))
