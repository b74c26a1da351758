"""The records that Lambda itself adds to a function's log.

Text: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html; JSON:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html, with the schemas of
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html. Which event has which level, and so is
dropped below a function's system log level, is in
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from harness.localcloud.runtime.output import LEVELS, Record, now_microseconds

if TYPE_CHECKING:
    from harness.localcloud.api import ResolvedFunction

Status = Literal["success", "error", "failure", "timeout"]

_RUNTIME_VERSION = f"python:{sys.version_info.major}.{sys.version_info.minor}.v{sys.version_info.micro}"
_RUNTIME_HASH = hashlib.sha256(sys.version.encode()).hexdigest()


@dataclass(frozen=True)
class Measurements:
    """What one invocation took.

    Attributes:
        duration_ms: In the handler.
        init_ms: Starting the environment; None on a warm one.
        max_memory_bytes: The most it had resident; None if the system doesn't tell.
    """

    duration_ms: float
    init_ms: float | None
    max_memory_bytes: int | None

    @property
    def billed_ms(self) -> int:
        """Whole milliseconds, initialization included, as Lambda bills since August 2025."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0))

    @property
    def max_memory_mb(self) -> int | None:
        """MiB, rounded up."""
        return None if self.max_memory_bytes is None else math.ceil(self.max_memory_bytes / 1024**2)


class PlatformLog:
    """Makes a function's platform records in its log format."""

    def __init__(self, function: ResolvedFunction) -> None:
        self._function = function
        self._json = function.log_format == "JSON"
        self._least = LEVELS.index(function.system_log_level or "INFO") if self._json else 0

    def init_start(self, at: int) -> list[Record]:
        """The environment is being started; ``at`` is in microseconds since the epoch."""
        arn = f"arn:aws:lambda:{self._function.region}::runtime:{_RUNTIME_HASH}"
        if not self._json:
            return [Record(at, f"INIT_START Runtime Version: {_RUNTIME_VERSION}\tRuntime Version ARN: {arn}\n")]
        record = {
            "initializationType": "on-demand",
            "phase": "init",
            "runtimeVersion": _RUNTIME_VERSION,
            "runtimeVersionArn": arn,
            "functionName": self._function.name,
            "functionVersion": self._function.version,
        }
        return self._event("platform.initStart", "INFO", record, at)

    def init_failed(self, init_ms: float, status: Status, error_type: str | None) -> list[Record]:
        """Starting the environment failed."""
        if not self._json:
            error = f"\tError Type: {error_type}" if error_type else ""
            text = f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {status}{error}\n"
            return [Record(now_microseconds(), text)]
        record: dict[str, Any] = {
            "initializationType": "on-demand",
            "phase": "init",
            "status": status,
            "metrics": {"durationMs": round(init_ms, 3)},
        }
        if error_type:
            record["errorType"] = error_type
        return self._event("platform.initReport", "WARN", record)

    def start(self, request_id: str, at: int) -> list[Record]:
        """An invocation begins; ``at`` is in microseconds since the epoch."""
        version = self._function.version
        if not self._json:
            return [Record(at, f"START RequestId: {request_id} Version: {version}\n")]
        return self._event("platform.start", "INFO", {"requestId": request_id, "version": version}, at)

    def fault(self, request_id: str, error_type: str, message: str) -> list[Record]:
        """The process died or was killed; the JSON format tells it in the report alone."""
        if self._json:
            return []
        now = now_microseconds()
        if error_type == "Sandbox.Timedout":
            text = f"{_iso(now)} {request_id} {message.partition(' Error: ')[2]}\n\n"
        else:
            text = f"{message}\n{error_type}\n"
        return [Record(now, text)]

    def end(
        self, request_id: str, measured: Measurements, status: Status, error_type: str | None, trace: str
    ) -> list[Record]:
        """An invocation ended: END and REPORT, or runtimeDone (at DEBUG) and report."""
        return (self._end_json if self._json else self._end_text)(request_id, measured, status, error_type, trace)

    def _end_text(
        self, request_id: str, measured: Measurements, status: Status, error_type: str | None, _trace: str
    ) -> list[Record]:
        parts = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {measured.duration_ms:.2f} ms",
            f"Billed Duration: {measured.billed_ms} ms",
            f"Memory Size: {self._function.memory_size} MB",
        ]
        if measured.max_memory_mb is not None:
            parts.append(f"Max Memory Used: {measured.max_memory_mb} MB")
        if measured.init_ms is not None:
            parts.append(f"Init Duration: {measured.init_ms:.2f} ms")
        # An error that the handler raised is the handler's own affair: the platform reports only its own faults.
        if status in {"timeout", "failure"}:
            parts.append(f"Status: {'timeout' if status == 'timeout' else 'error'}")
            if status == "failure" and error_type:
                parts.append(f"Error Type: {error_type}")
        now = now_microseconds()
        report = "\t".join(parts) + "\t\n"
        return [Record(now, f"END RequestId: {request_id}\n"), Record(now, report)]

    def _end_json(
        self, request_id: str, measured: Measurements, status: Status, error_type: str | None, trace: str
    ) -> list[Record]:
        metrics: dict[str, Any] = {
            "durationMs": round(measured.duration_ms, 3),
            "billedDurationMs": measured.billed_ms,
            "memorySizeMB": self._function.memory_size,
        }
        if measured.max_memory_mb is not None:
            metrics["maxMemoryUsedMB"] = measured.max_memory_mb
        if measured.init_ms is not None:
            metrics["initDurationMs"] = round(measured.init_ms, 3)
        outcome: dict[str, Any] = {"status": status}
        if error_type and status != "success":
            outcome["errorType"] = error_type
        level = "INFO" if status == "success" else "WARN"
        done = {"requestId": request_id, "metrics": {"durationMs": round(measured.duration_ms, 3)}, **outcome}
        report = {
            "requestId": request_id,
            "metrics": metrics,
            **outcome,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": trace},
        }
        return [
            *self._event("platform.runtimeDone", "DEBUG" if status == "success" else "WARN", done),
            *self._event("platform.report", level, report),
        ]

    def _event(self, kind: str, level: str, record: dict[str, Any], at: int | None = None) -> list[Record]:
        if LEVELS.index(level) < self._least:
            return []
        at = now_microseconds() if at is None else at
        value = {"time": _iso(at), "type": kind, "record": record}
        return [Record(at, json.dumps(value, separators=(",", ":")) + "\n", level)]


def _iso(microseconds: int) -> str:
    at = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
