"""What an environment writes, as log records.

Three pipes come out of an environment: the telemetry frames of awslambdaric (one frame per logged record, so records
of several lines stay whole), the frames in which `bootstrap` wraps what Python code prints, and the bare standard
output and error, which only other programs and C code still use. Frames carry the time they were written at, which
puts the records back in order; bare output counts from the moment it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from harness.localcloud.runtime.bootstrap import STDERR_FRAME, STDOUT_FRAME

MAX_RECORD_BYTES = 1024 * 1024 - 26
"""A CloudWatch Logs event takes 1 MiB, 26 bytes of which are overhead:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"""

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

_HEADER = struct.Struct(">IIQ")
_MAGIC = b"\xa5\x5a"
_READ_BYTES = 1024 * 1024
# A process that keeps writing after its invocation ended must not hold the invocation's end up.
_DRAIN_READS = 64


@dataclass(frozen=True)
class Record:
    """One log record.

    Attributes:
        microseconds: When it was written, since the epoch.
        message: Its text, with a closing newline if it had one.
        level: The level that its frame states, None for printed lines.
    """

    microseconds: int
    message: str
    level: str | None = None


def now_microseconds() -> int:
    """Wall-clock time since the epoch, as frames carry it."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


@dataclass(frozen=True)
class Frame:
    """A telemetry frame as it came."""

    kind: int
    microseconds: int
    data: bytes

    @property
    def level(self) -> str | None:
        """The level that awslambdaric wrote into the frame's kind, if it wrote one."""
        level = (self.kind & 0xFF) >> 2
        return LEVELS[level - 1] if 1 <= level <= len(LEVELS) else None


class FrameDecoder:
    """Takes a stream of ``>IIQ`` frames apart; bytes between frames come out as frames of kind 0."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes."""
        self._buffer += data
        while self._buffer:
            start = self._buffer.find(_MAGIC)
            if start != 0:
                # Two threads that log at once may break each other's frames: show what came, find the next one.
                end = len(self._buffer) if start < 0 else start
                if start < 0 and self._buffer[-1] == _MAGIC[0]:
                    end -= 1
                if end:
                    yield Frame(0, now_microseconds(), bytes(self._buffer[:end]))
                    del self._buffer[:end]
                if start < 0:
                    return
            if len(self._buffer) < _HEADER.size:
                return
            kind, size, microseconds = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < _HEADER.size + size:
                return
            yield Frame(kind, microseconds, bytes(self._buffer[_HEADER.size : _HEADER.size + size]))
            del self._buffer[: _HEADER.size + size]


class LineAssembler:
    """Makes lines of chunks; a line has the time of its first byte."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._microseconds = 0

    def feed(self, data: bytes, microseconds: int) -> Iterator[Record]:
        """Yield the lines that ``data`` completes."""
        for piece in data.splitlines(keepends=True) if b"\r" not in data else _split_at_newlines(data):
            if not self._line:
                self._microseconds = microseconds
            self._line += piece
            if piece.endswith(b"\n"):
                yield from self.flush()

    def flush(self) -> Iterator[Record]:
        """Yield what is there of an unfinished line."""
        line, self._line = self._line, bytearray()
        for part in split_record(bytes(line)):
            yield Record(self._microseconds, part)


def _split_at_newlines(data: bytes) -> Iterator[bytes]:
    # A carriage return is how functions keep several lines in one record.
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def split_record(data: bytes) -> Iterator[str]:
    """Cut a message into texts that CloudWatch Logs takes, never within a character."""
    start = 0
    while start < len(data):
        end = min(start + MAX_RECORD_BYTES, len(data))
        while end < len(data) and end > start + 1 and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end].decode("utf-8", "replace")
        start = end


class OutputPipes:
    """The reading ends of an environment's pipes, on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._records: list[Record] = []
        self._frames = {"output": FrameDecoder(), "telemetry": FrameDecoder()}
        self._lines = {"raw": LineAssembler(), "stdout": LineAssembler(), "stderr": LineAssembler()}
        self._reading: dict[int, Literal["raw", "output", "telemetry"]] = {}
        self.child_ends: list[int] = []
        for name in ("raw", "output", "telemetry"):
            mine, theirs = os.pipe()
            os.set_blocking(mine, False)
            self._reading[mine] = name
            self.child_ends.append(theirs)
            loop.add_reader(mine, self._read, mine)

    def close_child_ends(self) -> None:
        """Close the ends that the environment has got by now."""
        while self.child_ends:
            os.close(self.child_ends.pop())

    def close(self) -> None:
        """Read what is left and close everything."""
        self.close_child_ends()
        self.drain()
        for descriptor in list(self._reading):
            self._drop(descriptor)

    def drain(self) -> None:
        """Read all that has been written so far."""
        for descriptor in list(self._reading):
            for _ in range(_DRAIN_READS):
                if not self._read(descriptor):
                    break

    def take(self, *, until: int | None = None, flush: bool = True) -> list[Record]:
        """Remove and return the records so far, in the order they were written.

        Args:
            until: Leave what is younger than this (microseconds since the epoch).
            flush: Also return unfinished lines.
        """
        if flush:
            for assembler in self._lines.values():
                self._records.extend(assembler.flush())
        self._records.sort(key=lambda record: record.microseconds)
        if until is None:
            taken, self._records = self._records, []
        else:
            taken = [record for record in self._records if record.microseconds <= until]
            self._records = self._records[len(taken) :]
        return taken

    def _drop(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        del self._reading[descriptor]
        os.close(descriptor)

    def _read(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._drop(descriptor)
            return False
        name = self._reading[descriptor]
        if name == "raw":
            self._records.extend(self._lines["raw"].feed(data, now_microseconds()))
            return True
        for frame in self._frames[name].feed(data):
            if frame.kind == STDOUT_FRAME or (frame.kind == 0 and name == "output"):
                self._records.extend(self._lines["stdout"].feed(frame.data, frame.microseconds))
            elif frame.kind == STDERR_FRAME:
                self._records.extend(self._lines["stderr"].feed(frame.data, frame.microseconds))
            else:
                self._records.extend(Record(frame.microseconds, text, frame.level) for text in split_record(frame.data))
        return True


def memory_high_water_bytes(pid: int) -> int | None:
    """The most memory that a process has had resident; None where the system doesn't tell (other than Linux)."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
