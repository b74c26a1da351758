"""CloudWatch Logs Insights: ask, wait for the answer, and ask again while the logs are still on their way.

Insights has been seen empty for a minute and more after the write, so a query is repeated until rows come or a
predicate holds. Prefer an execution's history (`harness.durable`) to its logs where it tells the same.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AnalyzingLogData.html
"""

from __future__ import annotations

import functools
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.errors import HarnessError
from harness.waiters import (
    LOGS,
    THROTTLE,
    Deadline,
    Delay,
    Failure,
    Policy,
    WaitTimeout,
    call,
    is_not_found,
    wait_until,
)

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

    from harness.waiters import Clock

_log = logging.getLogger(__name__)

__all__ = [
    "LogGroupNotFoundError",
    "LogsError",
    "QueryFailedError",
    "QueryRejectedError",
    "QueryTooLargeError",
    "Row",
    "query_logs",
]

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
MAX_ROWS = 10_000

_ENDED_BADLY = frozenset({"Failed", "Cancelled", "Timeout"})
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`|/(?:\\.|[^/\\\n])+/|#[^\n]*")


class LogsError(HarnessError):
    """CloudWatch Logs can't give what was asked for."""


class LogGroupNotFoundError(LogsError):
    """There is no such log group."""


class QueryFailedError(LogsError):
    """A query ended as Failed, Cancelled or Timeout."""


class QueryRejectedError(QueryFailedError):
    """Logs Insights doesn't understand the query."""


class QueryTooLargeError(LogsError):
    """A query has more rows than can be fetched."""


class Row(Mapping[str, str]):
    """One row of a query's answer: the fields' names and texts, without Insights' own ``@ptr``.

    Attributes:
        pointer: Insights' ``@ptr``, by which GetLogRecord finds the whole record, or None.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.pointer = fields.get("@ptr")
        self._fields = {name: value for name, value in fields.items() if name != "@ptr"}

    @classmethod
    def of(cls, fields: Sequence[Mapping[str, str]]) -> Row:
        """Read a row as boto3 has it: a list of field and value."""
        return cls({item["field"]: item.get("value", "") for item in fields})

    def __getitem__(self, name: str) -> str:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Row({self._fields!r})"

    @property
    def message(self) -> str:
        """``@message``; empty if the query doesn't ask for it."""
        return self._fields.get("@message", "")

    @property
    def timestamp(self) -> datetime | None:
        """``@timestamp``, aware; None if the query doesn't ask for it."""
        text = self._fields.get("@timestamp")
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)

    @property
    def record(self) -> Mapping[str, Any]:
        """``@message`` parsed, if it is a JSON object, as in JSON logging; else empty."""
        try:
            parsed = json.loads(self.message)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


def query_logs(  # noqa: PLR0917 - the public signature
    logs_client: CloudWatchLogsClient,
    log_group: str,
    query: str,
    start_time: datetime | float,
    end_time: datetime | float | None = None,
    wait_seconds: float = 15,
    *,
    execution_arn: str | None = None,
    until: Callable[[Sequence[Row]], bool] | None = None,
    tries: int = 5,
    interval: float | Delay = 5.0,
    clock: Clock | None = None,
    policy: Policy = LOGS,
    throttle: Policy = THROTTLE,
    deadline: Deadline | None = None,
) -> list[Row]:
    """Ask Logs Insights once the logs had time to arrive, and again until rows come.

    Args:
        logs_client: boto3's, made without retries of its own.
        log_group: The group's name.
        query: In Logs Insights QL. It may be run several times.
            https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
        start_time: From when on, aware or in epoch seconds; Insights takes whole seconds, so it is rounded down.
        end_time: Until when, likewise, rounded up; None is the moment of each try.
        wait_seconds: Seconds to wait before the first try, for the logs to arrive.
        execution_arn: Only records of this durable execution: those whose JSON has it as ``executionArn``, as
            ``context.logger`` writes it, and those whose text contains it.
        until: What the rows must fulfil; by default that there are any.
        tries: How often to ask at most.
        interval: Seconds between an answer and the next try.
        clock: Where time comes from, rather than the policies'.
        policy: Its observers are told of each try; pace and number are ``interval`` and ``tries``.
        throttle: For the single calls.
        deadline: Of something larger that this is a part of.

    Returns:
        The rows. More than the 10,000 that one query gives are fetched by splitting the time range. An empty list
        says that in all tries there were none.

    Raises:
        WaitTimeout: There is an ``until`` and no try's rows fulfilled it.
        LogGroupNotFoundError: There is no such log group.
        QueryRejectedError: Insights doesn't understand the query.
        QueryFailedError: Insights couldn't complete the query.
        QueryTooLargeError: There are more rows than 10,000, and the time range can't be split for this query.
        ValueError: A time is naive, they are in the wrong order, or the ARN can't stand in a query.
    """
    if clock is not None:
        policy, throttle = policy.with_clock(clock), throttle.with_clock(clock)
    if deadline is not None:
        policy, throttle = policy.with_clock(deadline.clock), throttle.with_clock(deadline.clock)
    start = math.floor(_epoch(start_time, "start_time"))
    end = None if end_time is None else math.ceil(_epoch(end_time, "end_time"))
    if end is not None and end < start:
        raise ValueError(f"end_time ({end}) lies before start_time ({start})")
    asked = _Query(logs_client, log_group, _scoped(query, execution_arn), throttle, deadline)
    if wait_seconds > 0:
        within = wait_seconds if deadline is None else min(wait_seconds, deadline.remaining())
        _log.info("Waiting %g s for the logs of %s to arrive", within, log_group)
        policy.clock.sleep(within)

    def ask() -> list[Row]:
        now = math.ceil(policy.clock.now().timestamp())
        return asked.rows(start, max(start, now) if end is None else end)

    enough: Callable[[list[Row]], bool] = bool if until is None else until
    rows: list[Row] = []
    try:
        rows = wait_until(
            ask,
            enough,
            policy=policy.with_max_attempts(tries).with_interval(interval),
            deadline=deadline,
            what=f"logs in {log_group}",
            describe=lambda rows: f"{len(rows)} rows",
        )
    except WaitTimeout as timed_out:
        # What a single call gave up on is an error; only "asked, and there were none" is an answer.
        if until is not None or timed_out.policy != policy.name or timed_out.last_error is not None:
            raise
    return rows


def _epoch(moment: datetime | float, name: str) -> float:
    if not isinstance(moment, datetime):
        return float(moment)
    if moment.tzinfo is None:
        raise ValueError(f"{name} is naive; give an aware datetime, such as datetime.now(UTC), or epoch seconds")
    return moment.timestamp()


def _scoped(query: str, execution_arn: str | None) -> str:
    if not query.strip():
        raise ValueError('the query is empty; "fields @timestamp, @message" asks for everything')
    if execution_arn is None:
        return query
    if re.search(r"[\"'\\\s|]", execution_arn):
        raise ValueError(f"{execution_arn!r} isn't an ARN")
    return f'filter executionArn = "{execution_arn}" or @message like "{execution_arn}" | {query}'


def _commands(query: str) -> list[str]:
    """The query's commands, each without its quoted parts, in lower case."""
    return [command.strip().lower() for command in _QUOTED.sub("''", query).split("|")]


@dataclass(frozen=True)
class _Query:
    """One query's text against one group."""

    client: CloudWatchLogsClient
    log_group: str
    text: str
    policy: Policy
    deadline: Deadline | None

    def rows(self, start: int, end: int) -> list[Row]:
        """All rows between two moments in epoch seconds, both inclusive."""
        rows = self._page(start, end)
        if len(rows) < MAX_ROWS or self._limited():
            return rows
        newest_first = self._order()
        if newest_first is None or start >= end:
            raise QueryTooLargeError(
                f"The query has more than {MAX_ROWS} rows",
                where=f"log group {self.log_group}, {start} to {end} (epoch seconds)",
                hint="narrow the time range or the filter; rows can be fetched in parts only for a query without "
                "stats and dedup that sorts by @timestamp or not at all",
            )
        middle = (start + end) // 2
        older, newer = (start, middle), (middle + 1, end)
        first, second = (newer, older) if newest_first else (older, newer)
        return self.rows(*first) + self.rows(*second)

    def _limited(self) -> bool:
        return any(re.match(r"(limit|head|tail)\b", command) for command in _commands(self.text))

    def _order(self) -> bool | None:
        """Whether rows come newest first, which is Insights' default; None if parts can't be put together."""
        newest_first = True
        for command in _commands(self.text):
            if re.match(r"(stats|dedup|pattern|diff|anomaly)\b", command):
                return None
            if re.match(r"sort\b", command):
                match = re.fullmatch(r"sort\s+@timestamp(\s+(asc|desc))?", command)
                if match is None:
                    return None
                # Without a direction, Insights sorts downwards.
                newest_first = match[2] != "asc"
        return newest_first

    def _page(self, start: int, end: int) -> list[Row]:
        query_id = self._start(start, end)
        status: str | None = None
        try:
            answer = wait_until(
                functools.partial(self.client.get_query_results, queryId=query_id),
                lambda answer: answer["status"] == "Complete" or answer["status"] in _ENDED_BADLY,
                # An answer takes a second or so; the throttles in between are another matter.
                policy=self.policy.with_interval(Delay(0.5, factor=1.5, maximum=5.0)),
                deadline=self.deadline,
                what=f"the answer to a query on {self.log_group}",
                describe=lambda answer: answer["status"],
            )
            status = answer["status"]
        finally:
            if status is None:
                self._stop(query_id)
        if status != "Complete":
            raise QueryFailedError(
                f"The query ended as {status}",
                where=f"log group {self.log_group}, query {query_id}",
                hint="narrow the time range or the filter; Timeout means that it took too long, Cancelled that "
                "somebody stopped it",
            )
        return [Row.of(fields) for fields in answer.get("results", ())]  # type: ignore[arg-type]

    def _start(self, start: int, end: int) -> str:
        begin = functools.partial(
            self.client.start_query,
            logGroupName=self.log_group,
            startTime=start,
            endTime=end,
            queryString=self.text,
            limit=MAX_ROWS,
        )
        # Here LimitExceeded is the limit of concurrent queries, which others' ends make room under.
        patient = self.policy.with_not_yet(lambda error: Failure.of(error).code == "LimitExceededException")
        try:
            answer = call(begin, policy=patient, deadline=self.deadline, what=f"a query on {self.log_group}")
            return answer["queryId"]
        except ClientError as error:
            failure = Failure.of(error)
            if is_not_found(error):
                raise LogGroupNotFoundError(
                    "There is no such log group",
                    where=self.log_group,
                    hint="compare with the deployment's output log_group_name, and the client's region",
                ) from error
            if failure.code in ("MalformedQueryException", "InvalidParameterException"):
                raise QueryRejectedError(
                    f"Logs Insights doesn't accept the query: {failure.message}",
                    where=f"log group {self.log_group}, query: {self.text}",
                    hint="https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html",
                ) from error
            raise

    def _stop(self, query_id: str) -> None:
        """Stop the query, so that it doesn't count against the limit of concurrent ones; once, as well as it goes."""
        try:
            self.client.stop_query(queryId=query_id)
        except (ClientError, BotoCoreError) as error:
            _log.debug("The query %s couldn't be stopped: %s", query_id, Failure.of(error).code)
