"""StartQuery, GetQueryResults, StopQuery and DescribeQueries.

Requests and answers are the members of AWS's JSON 1.1 shapes, as dicts. Decisions where AWS leaves a choice:

- A query runs when it is started, on the events that are visible then, so a syntax error or an unknown group is
  StartQuery's error. Its results are held back: the first ``running_polls`` GetQueryResults calls answer ``Running``
  (``Scheduled`` at first if there are several) without rows, until ``running_seconds`` have passed on the clock.
- Both ends of the time range are inclusive, to the second: an event 1 ms after ``endTime`` is outside.
- At most 10,000 rows by default, as many as 100,000 with ``limit``; the query's own ``limit`` can only lower it. One
  answer holds at most 10,000 rows; ``nextToken`` brings the rest.
- Only Logs Insights QL (CWLI) is run; log groups are named in the request, not by SOURCE.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from harness.localcloud.insights.errors import logs_error
from harness.localcloud.insights.fields import LogEvent
from harness.localcloud.insights.parser import MAX_LIMIT, MAX_QUERY_LENGTH, parse_query
from harness.localcloud.insights.pipeline import QueryOutcome, run_query

Fetch: TypeAlias = Callable[[list[str], int, int], Iterable[LogEvent]]

_DEFAULT_LIMIT = 10_000
_PAGE = 10_000
_MAX_GROUPS = 50
# Finished queries that are remembered. AWS keeps them for 7 days; here memory sets the bound.
_REMEMBERED = 1000
_STATUSES = ("Scheduled", "Running", "Complete", "Failed", "Cancelled", "Timeout", "Unknown")


@dataclass
class _Query:
    query_id: str
    text: str
    groups: list[str]
    created: datetime
    outcome: QueryOutcome | None
    ended_as: str
    seconds: float
    polls: int = 0
    cancelled: bool = False


class InsightsService:
    """Runs queries over a log store and keeps their results.

    Args:
        fetch: Called with log group names, start and end in seconds since the epoch, both inclusive; returns the
            events that are visible there, in the order of their arrival. Raises ApiError ResourceNotFoundException
            for an unknown group, whatever the range.
        clock: The present, in UTC.
        running_polls: How many GetQueryResults calls answer Scheduled or Running before Complete; 0 completes at once.
        running_seconds: After this time on the clock a query is complete, however seldom it was asked for.
        max_concurrent: How many queries may run at once; the next is refused with LimitExceededException. AWS's
            quota is 100, in older accounts 30.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], datetime] | None = None,
        running_polls: int = 1,
        running_seconds: float = 1.0,
        max_concurrent: int = 30,
    ) -> None:
        self._fetch = fetch
        self._clock = clock or _utc_now
        self._running_polls = running_polls
        self._running = timedelta(seconds=running_seconds)
        self._max_concurrent = max_concurrent
        self._lock = threading.Lock()
        self._queries: dict[str, _Query] = {}

    def handle(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an operation by its name in the service model, such as ``StartQuery``.

        Raises:
            KeyError: It isn't one of the four.
            ApiError: What the operation raises.
        """
        operations = {
            "StartQuery": self.start_query,
            "GetQueryResults": self.get_query_results,
            "StopQuery": self.stop_query,
            "DescribeQueries": self.describe_queries,
        }
        return operations[operation](request)

    def start_query(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Start a query: ``{queryId}``.

        Raises:
            ApiError: InvalidParameterException, MalformedQueryException, ResourceNotFoundException (a log group) or
                LimitExceededException (queries at once).
        """
        groups = _log_groups(request)
        start, end = _integer(request, "startTime", 0), _integer(request, "endTime", 0)
        if start is None or end is None:
            raise _invalid("startTime and endTime are required")
        if start > end:
            raise _invalid(f"startTime ({start}) must not be after endTime ({end})")
        limit = _integer(request, "limit", 1, MAX_LIMIT) or _DEFAULT_LIMIT
        text = _string(request, "queryString", 0, MAX_QUERY_LENGTH)
        if text is None:
            raise _invalid("queryString is required")
        if request.get("queryLanguage") not in (None, "CWLI"):
            raise _invalid(f"queryLanguage must be CWLI, not {request['queryLanguage']}: the local cloud runs no other")
        query = parse_query(text)
        now = self._clock()
        with self._lock:
            if sum(self._is_running(item, now) for item in self._queries.values()) >= self._max_concurrent:
                raise logs_error(
                    "LimitExceededException",
                    f"at most {self._max_concurrent} queries can run at once; stop one or wait",
                )
        found = (item for item in self._fetch(groups, start, end) if start * 1000 <= item.timestamp <= end * 1000)
        try:
            outcome, ended_as = run_query(query, found, now=now, limit=limit), "Complete"
        except TimeoutError:
            outcome, ended_as = None, "Timeout"
        seconds = (self._clock() - now).total_seconds()
        entry = _Query(str(uuid.uuid4()), text, groups, now, outcome, ended_as, seconds)
        with self._lock:
            self._queries[entry.query_id] = entry
            self._forget(now)
        return {"queryId": entry.query_id}

    def get_query_results(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What a query found: ``{results, statistics, status, queryLanguage}``, and ``nextToken`` if there is more.

        Raises:
            ApiError: InvalidParameterException or ResourceNotFoundException.
        """
        with self._lock:
            query = self._find(request)
            offset = _offset(request, query.query_id)
            size = _integer(request, "maxItems", 0, _PAGE) or _PAGE
            query.polls += 1
            status = self._status(query)
        outcome = query.outcome if status == "Complete" else None
        rows = outcome.rows if outcome else ()
        answer: dict[str, Any] = {
            "queryLanguage": "CWLI",
            "results": [
                [{"field": name, "value": value} for name, value in row] for row in rows[offset : offset + size]
            ],
            "statistics": _statistics(outcome, len(query.groups)),
            "status": status,
        }
        if offset + size < len(rows):
            answer["nextToken"] = f"{query.query_id}:{offset + size}"
        return answer

    def stop_query(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Cancel a running query: ``{success: True}``.

        Raises:
            ApiError: ResourceNotFoundException, or InvalidParameterException when the query has ended already.
        """
        with self._lock:
            query = self._find(request)
            if not self._is_running(query, self._clock()):
                raise _invalid(f"Query with ID {query.query_id} is not running: it is {self._status(query)}")
            query.cancelled = True
            query.outcome = None
        return {"success": True}

    def describe_queries(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The queries that run or have run lately, newest first: ``{queries}``, and ``nextToken`` if there are more.

        Raises:
            ApiError: InvalidParameterException, or ResourceNotFoundException for an unknown log group.
        """
        group = _string(request, "logGroupName", 1, 512)
        wanted = request.get("status")
        if wanted is not None and wanted not in _STATUSES:
            raise _invalid(f"status must be one of {', '.join(_STATUSES)}, not {wanted}")
        size = _integer(request, "maxResults", 1, 1000) or 1000
        offset = _offset(request, "queries")
        if group is not None:
            # For its error alone: an unknown group isn't one without queries.
            list(self._fetch([group], 0, 0))
        with self._lock:
            found = [
                (query, status)
                for query in reversed(self._queries.values())
                if (status := self._status(query)) == (wanted or status) and (group is None or group in query.groups)
            ]
        answer: dict[str, Any] = {
            "queries": [_describe(query, status) for query, status in found[offset : offset + size]]
        }
        if offset + size < len(found):
            answer["nextToken"] = f"queries:{offset + size}"
        return answer

    def _find(self, request: Mapping[str, Any]) -> _Query:
        query_id = _string(request, "queryId", 1, 256)
        if query_id is None:
            raise _invalid("queryId is required")
        if query_id not in self._queries:
            raise logs_error("ResourceNotFoundException", f"The specified query does not exist: {query_id}")
        return self._queries[query_id]

    def _is_running(self, query: _Query, now: datetime) -> bool:
        # A poll counts itself before it asks: with one running poll, the first one still sees a running query.
        held_back = 0 < self._running_polls >= query.polls and now - query.created < self._running
        return held_back and not query.cancelled

    def _status(self, query: _Query) -> str:
        if query.cancelled:
            return "Cancelled"
        if not self._is_running(query, self._clock()):
            return query.ended_as
        return "Scheduled" if query.polls <= 1 < self._running_polls else "Running"

    def _forget(self, now: datetime) -> None:
        ended = [item.query_id for item in self._queries.values() if not self._is_running(item, now)]
        for query_id in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._queries[query_id]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _log_groups(request: Mapping[str, Any]) -> list[str]:
    given = [key for key in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if request.get(key)]
    if len(given) != 1:
        raise _invalid("exactly one of logGroupName, logGroupNames and logGroupIdentifiers is required")
    value = request[given[0]]
    names = [value] if given[0] == "logGroupName" else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _invalid(f"{given[0]} has the wrong type")
    if len(names) > _MAX_GROUPS:
        raise _invalid(f"{given[0]} names {len(names)} log groups, more than {_MAX_GROUPS}")
    if given[0] == "logGroupIdentifiers":
        names = [_name_of(identifier) for identifier in names]
    return list(dict.fromkeys(names))


def _name_of(identifier: str) -> str:
    if not identifier.startswith("arn:"):
        return identifier
    parts = identifier.split(":")
    if len(parts) != 7 or parts[2] != "logs" or parts[5] != "log-group" or not parts[6]:
        raise _invalid(f"{identifier} isn't a log group's ARN (it must not end with :*)")
    return parts[6]


def _string(request: Mapping[str, Any], key: str, least: int, most: int) -> str | None:
    value = request.get(key)
    if value is not None and not (isinstance(value, str) and least <= len(value) <= most):
        raise _invalid(f"{key} must be a string of {least} to {most} characters")
    return value


def _integer(request: Mapping[str, Any], key: str, least: int, most: int | None = None) -> int | None:
    value = request.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        raise _invalid(f"{key} must be a whole number {f'from {least} to {most}' if most else f'of at least {least}'}")
    return value


def _offset(request: Mapping[str, Any], owner: str) -> int:
    token = request.get("nextToken")
    if token is None:
        return 0
    prefix, _, offset = str(token).rpartition(":")
    if prefix != owner or not (offset.isascii() and offset.isdigit()):
        raise _invalid("nextToken isn't one that this operation gave")
    return int(offset)


def _statistics(outcome: QueryOutcome | None, groups: int) -> dict[str, float]:
    return {
        "recordsMatched": float(outcome.matched) if outcome else 0.0,
        "recordsScanned": float(outcome.scanned) if outcome else 0.0,
        "estimatedRecordsSkipped": 0.0,
        "bytesScanned": float(outcome.bytes_scanned) if outcome else 0.0,
        "estimatedBytesSkipped": 0.0,
        "logGroupsScanned": float(groups) if outcome else 0.0,
        "resultCount": float(len(outcome.rows)) if outcome else 0.0,
    }


def _describe(query: _Query, status: str) -> dict[str, Any]:
    return {
        "queryLanguage": "CWLI",
        "queryId": query.query_id,
        "queryString": query.text,
        "status": status,
        "createTime": int(query.created.timestamp() * 1000),
        "logGroupName": query.groups[0],
        "queryDuration": int(query.seconds * 1000),
        "bytesScanned": _statistics(query.outcome, 0)["bytesScanned"],
    }


def _invalid(message: str) -> Exception:
    return logs_error("InvalidParameterException", message)
