"""Runs a query's commands, one after the other, over log events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from harness.localcloud.insights import nodes
from harness.localcloud.insights.aggregates import AGGREGATES
from harness.localcloud.insights.evaluate import REGEX_SECONDS, Evaluator, Row
from harness.localcloud.insights.fields import LogEvent, discover
from harness.localcloud.insights.values import SortKey, Value, sort_key, to_number, to_text

_DEFAULT_COLUMNS = ("@timestamp", "@message")


@dataclass(frozen=True)
class QueryOutcome:
    """What a query found.

    Attributes:
        rows: The results: per row its fields, in order, as pairs of name and text. Missing fields are left out.
        matched: How many log events passed the filters.
        scanned: How many log events were in the groups and the time range.
        bytes_scanned: How many bytes their messages have in UTF-8.
    """

    rows: tuple[tuple[tuple[str, str], ...], ...]
    matched: int
    scanned: int
    bytes_scanned: int


class _EventRow:
    """A log event with the fields that it has and those that the query computed."""

    def __init__(self, event: LogEvent) -> None:
        self._event = event
        self._discovered: dict[str, Value] | None = None
        self.computed: dict[str, Value] = {}

    def get(self, name: str) -> Value:
        if name in self.computed:
            return self.computed[name]
        if self._discovered is None:
            self._discovered = discover(self._event)
        return self._discovered.get(name)

    def aggregate(self, call: nodes.Call) -> Value:
        raise AssertionError(f"{call.name} outside stats")  # refused by the check


class _GroupRow:
    """One row of ``stats``: its group's keys, then its aggregates."""

    def __init__(self, keys: dict[str, Value], members: Sequence[_AnyRow], evaluator: Evaluator) -> None:
        self.computed = keys
        self._members = members
        self._evaluator = evaluator

    def get(self, name: str) -> Value:
        return self.computed.get(name)

    def aggregate(self, call: nodes.Call) -> Value:
        aggregate = AGGREGATES[call.name]
        if not call.arguments:
            return len(self._members)
        members = self._members
        if aggregate.by_time:
            members = sorted(members, key=lambda row: sort_key(row.get("@timestamp")))
        values = [self._evaluator.value(call.arguments[0], row) for row in members]
        percent = to_number(self._evaluator.value(call.arguments[-1], self)) if aggregate.arguments > 1 else None
        return aggregate.call([value for value in values if value is not None], percent or 0)

    def release(self) -> None:
        """Forget the group's members: results outlive the query by far."""
        self._members = ()


_AnyRow: TypeAlias = "_EventRow | _GroupRow"


class _Run:
    """The state of one run: the rows, and the columns that its results show."""

    def __init__(self, events: Iterable[LogEvent], now: datetime) -> None:
        listed = list(events)
        # Results come newest first unless the query sorts them; of equal times the later one comes first.
        newest_first = sorted(range(len(listed)), key=lambda index: (listed[index].timestamp, index), reverse=True)
        self.rows: list[_AnyRow] = [_EventRow(listed[index]) for index in newest_first]
        self.columns: list[str] | None = None
        self.displayed: list[str] | None = None
        self.grouped = False
        self.matched = self.scanned = len(listed)
        self.bytes_scanned = sum(len(event.message.encode("utf-8", "surrogatepass")) for event in listed)
        self._evaluator = Evaluator(now)

    def apply(self, command: nodes.Command) -> None:
        match command:
            case nodes.Fields(columns):
                self._compute(columns)
                self._show(column.name for column in columns)
            case nodes.Display(fields):
                self.displayed = [field.name for field in fields]
            case nodes.Filter(condition):
                self.rows = [row for row in self.rows if self._evaluator.holds(condition, row)]
                if not self.grouped:
                    self.matched = len(self.rows)
            case nodes.ParseGlob(source, parts, names, _):
                self._extract(names, ((row, _glob(to_text(row.get(source.name)), parts)) for row in self.rows))
            case nodes.ParseRegex():
                self._extract(command.names, ((row, _groups(row, command)) for row in self.rows))
            case nodes.Stats():
                self._group(command)
            case nodes.Sort(keys):
                # From the last key to the first: Python's sort keeps the order of equals, descending too.
                for field, descending in reversed(keys):
                    self._sort(field.name, descending=descending)
            case nodes.Limit(count):
                del self.rows[count:]
            case nodes.Dedup(fields, _):
                self._dedup([field.name for field in fields])

    def results(self, limit: int) -> tuple[tuple[tuple[str, str], ...], ...]:
        columns = self.displayed or list(dict.fromkeys(self.columns or _DEFAULT_COLUMNS))
        if not self.grouped and "@ptr" not in columns:
            columns = [*columns, "@ptr"]
        return tuple(
            tuple((name, to_text(value)) for name in columns if (value := row.get(name)) is not None)
            for row in self.rows[:limit]
        )

    def _sort(self, name: str, *, descending: bool) -> None:
        self.rows.sort(key=lambda row: sort_key(row.get(name)), reverse=descending)

    def _show(self, names: Iterable[str]) -> None:
        self.columns = [*(self.columns or ()), *names]

    def _compute(self, columns: Iterable[nodes.Column]) -> None:
        for column in columns:
            if column.computed:
                for row in self.rows:
                    row.computed[column.name] = self._evaluator.value(column.expression, row)

    def _extract(self, names: Sequence[str], found: Iterable[tuple[_AnyRow, Sequence[Value] | None]]) -> None:
        for row, values in found:
            if values is not None:
                row.computed.update(zip(names, values, strict=True))
        if self.columns is None and not self.grouped:
            self._show(_DEFAULT_COLUMNS)
        self._show(names)

    def _group(self, stats: nodes.Stats) -> None:
        groups: dict[tuple[SortKey, ...], tuple[dict[str, Value], list[_AnyRow]]] = {}
        for row in self.rows:
            keys = {column.name: self._evaluator.value(column.expression, row) for column in stats.by}
            key = tuple(sort_key(value) for value in keys.values())
            groups.setdefault(key, (keys, []))[1].append(row)
        grouped = [_GroupRow(keys, members, self._evaluator) for keys, members in groups.values()]
        for group in grouped:
            # A further column must not see the ones before it: `stats max(x) as x, min(x)` is about the log's x.
            computed = {column.name: self._evaluator.value(column.expression, group) for column in stats.columns}
            group.computed = {**group.computed, **computed}
            group.release()
        self.rows = [*grouped]
        self.grouped = True
        self.columns = [column.name for column in (*stats.by, *stats.columns)]
        self.displayed = None

    def _dedup(self, names: Sequence[str]) -> None:
        seen: set[tuple[SortKey, ...]] = set()
        kept: list[_AnyRow] = []
        for row in self.rows:
            values = [row.get(name) for name in names]
            key = tuple(sort_key(value) for value in values)
            # "Null values are not considered duplicates for evaluation."
            if None in values or key not in seen:
                kept.append(row)
            seen.add(key)
        self.rows = kept


def run_query(
    query: nodes.Query, events: Iterable[LogEvent], *, now: datetime | None = None, limit: int = 10_000
) -> QueryOutcome:
    """Run a query over log events.

    Args:
        query: The parsed query.
        events: All events of the log groups in the time range, in the order of their arrival.
        now: The time that the query runs at, by default the present.
        limit: The most rows to return; a ``limit`` command in the query can only lower it.

    Raises:
        TimeoutError: A regular expression of the query backtracks without end on one of the events.
    """
    run = _Run(events, now or datetime.now(UTC))
    for command in query.commands:
        run.apply(command)
    return QueryOutcome(run.results(limit), run.matched, run.scanned, run.bytes_scanned)


def _glob(text: str, parts: Sequence[str]) -> Sequence[Value] | None:
    position = text.find(parts[0])
    if position < 0:
        return None
    position += len(parts[0])
    values: list[Value] = []
    for index, part in enumerate(parts[1:], start=1):
        # A wildcard takes as little as it can, the last one of a glob that ends with it everything.
        end = text.find(part, position) if part else (len(text) if index == len(parts) - 1 else position)
        if end < 0:
            return None
        values.append(text[position:end])
        position = end + len(part)
    return values


def _groups(row: Row, command: nodes.ParseRegex) -> Sequence[Value] | None:
    found = command.pattern.search(to_text(row.get(command.source.name)), timeout=REGEX_SECONDS)
    return None if found is None else [found.group(name) for name in command.names]
