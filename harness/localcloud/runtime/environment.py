"""One execution environment: one process of one function version, running one invocation at a time.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.localcloud.api import InvokeOutcome
from harness.localcloud.runtime.output import (
    LEVELS,
    OutputPipes,
    Record,
    memory_high_water_bytes,
    now_microseconds,
)
from harness.localcloud.runtime.platform_logs import Measurements, PlatformLog, Status
from harness.localcloud.runtime.runtime_api import Posted, RuntimeApi
from harness.localcloud.runtime.sandbox import Sandbox, application_log_level, trace_header

if TYPE_CHECKING:
    from pathlib import Path

    from harness.localcloud.api import ResolvedFunction
    from harness.localcloud.runtime.spawner import ExitStatus, Process

INIT_SECONDS = 10.0
"""What Lambda grants the initialization before it counts on the function's own timeout."""

_TAIL_BYTES = 4096
# awslambdaric ends by itself after an initialization error; it has said all by then.
_EXIT_SECONDS = 2.0

Start = Callable[[Sandbox, str, list[int]], "Process"]
"""Starts the process, given its surroundings, the Runtime API's address and three descriptors."""


class NotDeliveredError(Exception):
    """The environment had ended before it took the invocation: another one can."""


@dataclass
class Invocation:
    """One invocation on its way.

    Attributes:
        records: What it has logged and nobody has fetched yet.
        log_stream: Where that belongs; set once an environment has it.
    """

    function: ResolvedFunction
    payload: bytes
    request_id: str
    client_context: str | None
    tenant_id: str | None
    records: list[Record] = field(default_factory=list)
    log_stream: str = ""
    environment: Environment | None = None
    _tail: bytes = b""

    def add(self, records: list[Record]) -> None:
        """Take records over."""
        self.records.extend(records)
        end = b""
        for record in reversed(records):
            if len(end) >= _TAIL_BYTES:
                break
            end = record.message.encode() + end
        self._tail = (self._tail + end)[-_TAIL_BYTES:]

    def tail(self) -> bytes:
        """The last 4 KiB of its log."""
        return self._tail


@dataclass(frozen=True)
class _Ending:
    """How an attempt ended: with something posted, the process's end, or too late."""

    posted: Posted | None = None
    exit_status: ExitStatus | None = None


class Environment:
    """An environment; belongs to the event loop that it is made on.

    Args:
        function: The version that it runs.
        root: The folder to make for it.
        endpoint_url: The local cloud's address.
        start: Starts its process.
    """

    def __init__(self, function: ResolvedFunction, *, root: Path, endpoint_url: str, start: Start) -> None:
        self.function = function
        self.sandbox = Sandbox.create(function, root=root, endpoint_url=endpoint_url)
        self._log = PlatformLog(function)
        self._least = LEVELS.index(application_log_level(function) or LEVELS[0])
        self._pipes = OutputPipes(asyncio.get_running_loop())
        self._api = RuntimeApi(self._pipes.drain)
        self._start = start
        self.process: Process | None = None
        self.usable = True
        self._closed = False
        self._current: Invocation | None = None

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._closed or (self.process is not None and self.process.exited.done())

    async def initialize(self, invocation: Invocation, granted: asyncio.Event) -> InvokeOutcome | float:
        """Start the process for its first invocation.

        Args:
            invocation: The invocation that it is started for.
            granted: Set once the initialization is over or has had its 10 seconds.

        Returns:
            Milliseconds that it took, or, if it failed, the invocation's outcome.
        """
        self._assign(invocation)
        began_at = now_microseconds()
        began = time.perf_counter()
        invocation.add(self._log.init_start(began_at))
        address = await self._api.start()
        self.process = self._start(self.sandbox, address, self._pipes.child_ends)
        self._pipes.close_child_ends()
        if not self.usable:
            # It was stopped in the meantime.
            self.process.kill()

        polled = asyncio.ensure_future(self._api.wait_for_next())
        exited = self.process.exited
        first: set[asyncio.Future[Any]] = {polled, self._api.init_error, exited}
        try:
            await asyncio.wait(first, timeout=INIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            granted.set()
            await asyncio.wait(first, timeout=self.function.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            granted.set()
            polled.cancel()
        init_ms = (time.perf_counter() - began) * 1000
        if self._api.init_error.done():
            await asyncio.wait({exited}, timeout=_EXIT_SECONDS)
            ending = _Ending(posted=self._api.init_error.result())
        elif exited.done():
            ending = _Ending(exit_status=exited.result())
        elif polled.done() and not polled.cancelled():
            return init_ms
        else:
            ending = _Ending()
        self.usable = False
        return await self._fail_initialization(invocation, ending, init_ms)

    async def run(self, invocation: Invocation, init_ms: float | None) -> InvokeOutcome:
        """Run one invocation.

        Raises:
            NotDeliveredError: The process had ended since its last invocation.
        """
        self._assign(invocation)
        process = self._running()
        if self._api.peer_is_gone():
            self.usable = False
            raise NotDeliveredError
        polled = asyncio.ensure_future(self._api.wait_for_next())
        waited_for: set[asyncio.Future[Any]] = {polled, process.exited}
        await asyncio.wait(waited_for, timeout=INIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not polled.done():
            polled.cancel()
            self.usable = False
            raise NotDeliveredError

        function = self.function
        # What it wrote since its last invocation belongs before this one's START.
        self._pipes.drain()
        self._collect(invocation)
        started_at = now_microseconds()
        invocation.add(self._log.start(invocation.request_id, started_at))
        trace = trace_header()
        headers = [
            ("Lambda-Runtime-Deadline-Ms", str(started_at // 1000 + function.timeout * 1000)),
            ("Lambda-Runtime-Invoked-Function-Arn", invocation.function.invoked_arn),
            ("Lambda-Runtime-Trace-Id", trace),
        ]
        if invocation.client_context:
            headers.append(("Lambda-Runtime-Client-Context", _one_line(invocation.client_context)))
        if invocation.tenant_id:
            headers.append(("Lambda-Runtime-Aws-Tenant-Id", invocation.tenant_id))
        began = time.perf_counter()
        posted = self._api.deliver(invocation.request_id, headers, invocation.payload)
        waited_for = {posted, process.exited}
        await asyncio.wait(waited_for, timeout=function.timeout, return_when=asyncio.FIRST_COMPLETED)
        duration_ms = (time.perf_counter() - began) * 1000
        if posted.done():
            ending = _Ending(posted=posted.result())
            self.usable = not posted.result().process_lost
        else:
            self.usable = False
            ending = _Ending(exit_status=process.exited.result()) if process.exited.done() else _Ending()
        memory = await self._stop_unless_answered(ending)
        return self._finish(invocation, ending, Measurements(duration_ms, init_ms, memory), trace)

    async def close(self) -> list[Record]:
        """Kill the process, wait until it is gone, and return what it wrote since its last invocation."""
        self.usable = False
        if self._closed:
            return []
        if self.process is not None:
            self.process.kill()
            await asyncio.wait({self.process.exited})
        self._closed = True
        self._api.close()
        self._pipes.close()
        await asyncio.to_thread(self.sandbox.remove)
        return self._kept(self._pipes.take())

    def take_partial(self, invocation: Invocation) -> None:
        """Hand over what a running invocation has logged, but for the last moment, which may not be in order yet."""
        if self._current is invocation:
            invocation.add(self._kept(self._pipes.take(until=now_microseconds() - 100_000, flush=False)))

    def _running(self) -> Process:
        if self.process is None:
            raise NotDeliveredError
        return self.process

    def _assign(self, invocation: Invocation) -> None:
        self._current = invocation
        invocation.environment = self
        invocation.log_stream = self.sandbox.log_stream

    def _collect(self, invocation: Invocation) -> None:
        invocation.add(self._kept(self._pipes.take()))

    def _kept(self, records: list[Record]) -> list[Record]:
        if self.function.log_format != "JSON":
            return records
        return [record for record in records if record.level is None or LEVELS.index(record.level) >= self._least]

    async def _stop_unless_answered(self, ending: _Ending) -> int | None:
        """The most memory that the process had, read before it is gone."""
        process = self._running()
        memory = memory_high_water_bytes(process.pid) if process.pid is not None else None
        if ending.posted is None and not process.exited.done():
            process.kill()
            await asyncio.wait({process.exited})
        if memory is None and process.exited.done():
            memory = process.exited.result().max_memory_bytes
        if not self.usable:
            self._pipes.drain()
        return memory

    async def _fail_initialization(self, invocation: Invocation, ending: _Ending, init_ms: float) -> InvokeOutcome:
        memory = await self._stop_unless_answered(ending)
        self._collect(invocation)
        status: Status = "timeout" if ending == _Ending() else "error"
        error_type = ending.posted.error_type if ending.posted else None
        if ending.exit_status is not None:
            error_type = "Runtime.ExitError"
        invocation.add(self._log.init_failed(init_ms, status, error_type))
        invocation.add(self._log.start(invocation.request_id, now_microseconds()))
        # A failed initialization is repeated, and billed, within the invocation: there is no Init Duration.
        return self._finish(invocation, ending, Measurements(init_ms, None, memory), trace_header())

    def _finish(self, invocation: Invocation, ending: _Ending, measured: Measurements, trace: str) -> InvokeOutcome:
        self._collect(invocation)
        request_id = invocation.request_id
        error_type: str | None
        message: str | None
        if ending.posted is not None:
            payload, error_type = ending.posted.body, ending.posted.error_type
            message = None
            if error_type is not None:
                error_type, message = _error_of(payload, error_type)
            status: Status = "error" if error_type else "success"
        else:
            if ending.exit_status is not None:
                error_type, status = "Runtime.ExitError", "failure"
                message = f"RequestId: {request_id} {ending.exit_status.message()}"
            else:
                error_type, status = "Sandbox.Timedout", "timeout"
                seconds = f"{self.function.timeout:.2f}"
                message = f"RequestId: {request_id} Error: Task timed out after {seconds} seconds"
            payload = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
            invocation.add(self._log.fault(request_id, error_type, message))
        invocation.add(self._log.end(request_id, measured, status, error_type, trace))
        self._current = None
        return InvokeOutcome(
            request_id=request_id,
            payload=payload,
            function_error=None if error_type is None else "Unhandled",
            error_type=error_type,
            error_message=message,
            executed_version=self.function.version,
            log_tail=invocation.tail(),
            duration_ms=measured.duration_ms,
            init_ms=measured.init_ms,
        )


def _error_of(payload: bytes, error_type: str) -> tuple[str, str]:
    """The type and message in an error's JSON; awslambdaric states the type there, and in no header."""
    try:
        error = json.loads(payload)
        return str(error.get("errorType") or error_type), str(error.get("errorMessage", ""))
    except (ValueError, AttributeError):
        return error_type, ""


def _one_line(client_context: str) -> str:
    """A client context as a header can carry it: ASCII, without line breaks."""
    try:
        return json.dumps(json.loads(client_context))
    except ValueError:
        return json.dumps(client_context)[1:-1]
