"""Log events and the fields that CloudWatch Logs Insights discovers in them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.localcloud.insights.values import Timestamp, Value, to_number

# "Logs Insights can extract a maximum of 200 log event fields from a JSON log."
MAX_JSON_FIELDS = 200
_LAMBDA_PREFIX = "/aws/lambda/"
_REPORT_FIELDS = {
    "Duration": "@duration",
    "Billed Duration": "@billedDuration",
    "Init Duration": "@initDuration",
    "Memory Size": "@memorySize",
    "Max Memory Used": "@maxMemoryUsed",
}
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class LogEvent:
    """One log event of a log group.

    Attributes:
        log_group: The log group's name.
        log_stream: The log stream's name.
        timestamp: When it happened, in milliseconds since the epoch.
        ingestion_time: When CloudWatch Logs took it, in milliseconds since the epoch.
        message: The raw message.
        event_id: What tells it from other events of its stream.
        account_id: The account that the log group is in; part of ``@log``.
    """

    log_group: str
    log_stream: str
    timestamp: int
    ingestion_time: int
    message: str
    event_id: str = ""
    account_id: str = "123456789012"

    @property
    def pointer(self) -> str:
        """The opaque ``@ptr`` of this event."""
        parts = (self.account_id, self.log_group, self.log_stream, str(self.timestamp), self.event_id)
        return base64.urlsafe_b64encode("\0".join(parts).encode()).decode().rstrip("=")


def discover(event: LogEvent) -> dict[str, Value]:
    """Every field of an event: the system's, the JSON message's, and those of Lambda's own lines.

    JSON objects and arrays are flattened with dots (``a.b``, ``a.0.b``); true and false become 1 and 0; null is
    absent; a key that starts with @ gets another one. In ``/aws/lambda/`` groups the first JSON object inside a
    text line counts too, and START, END and REPORT lines have ``@type``, ``@requestId``, ``@duration``,
    ``@billedDuration``, ``@initDuration`` (ms), ``@memorySize`` and ``@maxMemoryUsed`` (bytes).
    """
    message = event.message
    fields: dict[str, Value] = {}
    is_lambda = event.log_group.startswith(_LAMBDA_PREFIX)
    document = _json_object(message, anywhere=is_lambda)
    if document is not None:
        for count, (name, value) in enumerate(_flatten(document)):
            if count == MAX_JSON_FIELDS:
                break
            fields[f"@{name}" if name.startswith("@") else name] = value
    if is_lambda:
        fields.update(_lambda_fields(message))
    fields.update(
        {
            "@timestamp": Timestamp(event.timestamp),
            "@ingestionTime": Timestamp(event.ingestion_time),
            "@message": message,
            "@logStream": event.log_stream,
            "@log": f"{event.account_id}:{event.log_group}",
            "@ptr": event.pointer,
        }
    )
    return fields


def _json_object(message: str, *, anywhere: bool) -> Mapping[str, Any] | None:
    start = message.find("{")
    if start < 0 or (message[:start].strip() and not anywhere):
        return None
    while start >= 0:
        try:
            document, end = _DECODER.raw_decode(message, start)
        except (ValueError, RecursionError):
            # ValueError, not its subclass for syntax alone: an integer of thousands of digits raises it as well.
            document, end = None, start + 1
        if isinstance(document, dict) and (anywhere or not message[end:].strip()):
            return document
        start = message.find("{", end) if anywhere else -1
    return None


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Value]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, bool):
        yield prefix, int(value)
    elif value is not None:
        yield prefix, value


def _lambda_fields(message: str) -> Iterator[tuple[str, Value]]:
    word, _, rest = message.partition(" RequestId: ")
    if word in ("START", "END", "REPORT"):
        request_id, *columns = rest.split("\t")
        yield "@type", word
        yield "@requestId", request_id.split()[0] if request_id.split() else None
        for column in columns if word == "REPORT" else ():
            yield from _report_field(column)
        return
    # Application lines of the text format are tab-separated: level, time, request id, message.
    for column in message.split("\t", 4)[:4]:
        if len(column) == 36 and _is_uuid(column):
            yield "@requestId", column
            return


def _report_field(column: str) -> Iterator[tuple[str, Value]]:
    name, _, measure = column.strip().partition(": ")
    amount, _, unit = measure.partition(" ")
    number = to_number(amount)
    if name == "XRAY TraceId":
        yield "@xrayTraceId", measure
    elif name in _REPORT_FIELDS and number is not None:
        # "max(@memorySize / 1000 / 1000) as provisonedMemoryMB" is AWS's own sample: megabytes of 10^6 bytes.
        yield _REPORT_FIELDS[name], number * 1_000_000 if unit == "MB" else number


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
