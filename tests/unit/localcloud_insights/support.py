"""Log events and queries for these tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.localcloud.api import ApiError
from harness.localcloud.insights import LogEvent, QueryOutcome, parse_query, run_query

START_MS = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
NOW = datetime(2023, 11, 14, 23, 0, tzinfo=UTC)


def log_events(*messages: str, group: str = "/app", step_ms: int = 1000) -> list[LogEvent]:
    """One event per message, a second apart unless told otherwise."""
    return [
        LogEvent(group, "stream", START_MS + index * step_ms, START_MS + index * step_ms + 5, message, str(index))
        for index, message in enumerate(messages)
    ]


def run(query: str, *messages: str, group: str = "/app", step_ms: int = 1000, limit: int = 10_000) -> QueryOutcome:
    return run_query(parse_query(query), log_events(*messages, group=group, step_ms=step_ms), now=NOW, limit=limit)


def rows(query: str, *messages: str, group: str = "/app", step_ms: int = 1000) -> list[dict[str, str]]:
    """The results as dicts, without @ptr."""
    outcome = run(query, *messages, group=group, step_ms=step_ms)
    return [{name: value for name, value in row if name != "@ptr"} for row in outcome.rows]


def column(name: str, found: Iterable[dict[str, str]]) -> list[str | None]:
    return [row.get(name) for row in found]


def value_of(expression: str, message: str = "{}") -> str | None:
    """What an expression is on one event, None when it is missing."""
    return rows(f"fields {expression} as it", message)[0].get("it")


def malformed(query: str) -> tuple[str, int, int]:
    """The message and the offsets of the MalformedQueryException that a query gets."""
    with pytest.raises(ApiError) as caught:
        parse_query(query)
    assert caught.value.code == "MalformedQueryException"
    assert caught.value.status == 400
    compile_error: dict[str, Any] = caught.value.members["queryCompileError"]
    location = compile_error["location"]
    assert compile_error["message"] == caught.value.message
    return caught.value.message, location["startCharOffset"], location["endCharOffset"]
