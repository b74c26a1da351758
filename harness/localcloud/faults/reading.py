"""Reads fault plans: TOML files, presets by name, and mappings; strictly, so that a typing error is no calm day."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ConfigurationError

from .plan import (
    ERROR_STATUSES,
    THROTTLE_REASONS,
    Caller,
    Drop,
    Executions,
    FaultPlan,
    Iam,
    Latency,
    Logs,
    Moment,
    Rule,
    ServerError,
    Span,
    Throttle,
)
from .presets import PRESETS

T = TypeVar("T")
#: A plan, a preset's name, a plan's file, or a mapping as its file has it.
PlanLike = FaultPlan | str | Path | Mapping[str, Any]

# A day: longer is a unit mixed up.
_LONGEST = 86_400.0
_PATTERN = re.compile(r"\*|[a-z0-9*?-]+\.[A-Za-z0-9*?]+")
_CALLERS: tuple[Caller, ...] = ("any", "client", "function")
_MOMENTS: tuple[Moment, ...] = ("request", "answer")


def load_plan(given: PlanLike) -> FaultPlan:
    """The plan that somebody named.

    Args:
        given: A plan, a preset's name (``calm``, ``realistic``, ``storm``), a TOML file's path, or a mapping.

    Raises:
        ConfigurationError: There is no such preset or file, or it can't be used; the message names the key.
    """
    if isinstance(given, FaultPlan):
        return given
    if isinstance(given, Mapping):
        return parse_plan(given)
    if isinstance(given, str) and given in PRESETS:
        return PRESETS[given]
    path = Path(given)
    try:
        members = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no fault plan {str(given)!r}",
            where=str(path.resolve()),
            hint=f"Name a preset ({', '.join(PRESETS)}) or a TOML file; docs/local-cloud.md has a sample.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The fault plan can't be read: {error}", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The fault plan is no TOML: {error}", where=str(path)) from error
    return parse_plan({"name": path.stem, **members}, where=str(path))


def parse_plan(members: Mapping[str, Any], *, where: str = "the fault plan") -> FaultPlan:
    """Read a plan's members.

    Args:
        members: As `FaultPlan.as_mapping` writes them, and as a TOML file has them.
        where: Where they come from, for errors.

    Raises:
        ConfigurationError: A key is unknown, or a value impossible.
    """
    table = _Table(members, "", where)
    plan = FaultPlan(
        name=table.take("name", "custom", table.text),
        iam=table.take("iam", Iam(), lambda key, value: _iam(table.inner(key, value))),
        logs=table.take("logs", Logs(), lambda key, value: _logs(table.inner(key, value))),
        executions=table.take("executions", Executions(), lambda key, value: _executions(table.inner(key, value))),
        throttle=table.take("throttle", (), lambda key, value: table.each(key, value, _throttle)),
        error=table.take("error", (), lambda key, value: table.each(key, value, _error)),
        drop=table.take("drop", (), lambda key, value: table.each(key, value, _drop)),
        latency=table.take("latency", (), lambda key, value: table.each(key, value, _latency)),
    )
    table.end()
    return plan


class _Table:
    """A TOML table that is read key by key; what nobody took is an error."""

    def __init__(self, members: Mapping[str, Any], prefix: str, where: str) -> None:
        self._left = dict(members)
        self._known: list[str] = []
        self.prefix = prefix
        self._where = where

    def take(self, name: str, default: T, read: Callable[[str, Any], T]) -> T:
        self._known.append(name)
        return read(f"{self.prefix}{name}", self._left.pop(name)) if name in self._left else default

    def end(self) -> None:
        for name in self._left:
            near = difflib.get_close_matches(name, self._known, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise ConfigurationError(
                f"There is no {self.prefix}{name} in a fault plan",
                where=self._where,
                hint=f"{meant}Known here: {', '.join(self._known)}.",
            )

    def refuse(self, key: str, value: Any, allowed: str) -> ConfigurationError:
        return ConfigurationError(f"{key} is {value!r}", where=self._where, hint=f"It must be {allowed}.")

    def inner(self, key: str, value: Any) -> _Table:
        if not isinstance(value, Mapping):
            raise self.refuse(key, value, f"a table, such as [{key}]")
        return _Table(value, f"{key}.", self._where)

    def each(self, key: str, value: Any, read: Callable[[_Table], T]) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise self.refuse(key, value, f"a list of tables, such as [[{key}]]")
        return tuple(read(self.inner(f"{key}[{position}]", rule)) for position, rule in enumerate(value))

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refuse(key, value, "a text")
        return value

    def flag(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self.refuse(key, value, "true or false")
        return value

    def part(self, key: str, value: Any) -> float:
        if not _is_number(value) or not 0 <= value <= 1:
            raise self.refuse(key, value, "a number from 0 to 1, such as 0.02 for 2 %")
        return float(value)

    def count(self, key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refuse(key, value, "a whole number from 1")
        return value

    def one_of(self, allowed: Sequence[T]) -> Callable[[str, Any], T]:
        def read(key: str, value: Any) -> T:
            for candidate in allowed:
                if value == candidate and type(value) is type(candidate):
                    return candidate
            raise self.refuse(key, value, f"one of {', '.join(map(str, allowed))}")

        return read

    def span(self, key: str, value: Any) -> Span:
        bounds = value if isinstance(value, list | tuple) else [value, value]
        if (
            len(bounds) != 2
            or not all(_is_number(bound) for bound in bounds)
            or not 0 <= bounds[0] <= bounds[1] <= _LONGEST
        ):
            raise self.refuse(key, value, f"seconds, 0 to {_LONGEST:g}, or [shortest, longest]")
        return Span(float(bounds[0]), float(bounds[1]))

    def patterns(self, key: str, value: Any) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not items:
            raise self.refuse(key, value, 'a list of patterns, such as ["lambda.Invoke", "logs.*"]')
        for item in items:
            if not isinstance(item, str) or not _PATTERN.fullmatch(item):
                raise self.refuse(key, item, 'service.Operation in boto3\'s names, such as "lambda.Invoke", or "*"')
        return tuple(items)

    def rule(self) -> dict[str, Any]:
        """What all rules have."""
        rate: float | None = self.take("rate", None, self.part)
        first: int | None = self.take("first", None, self.count)
        if (rate is None) == (first is None):
            raise ConfigurationError(
                f"{self.prefix.rstrip('.')} has {'neither rate nor first' if rate is None else 'both rate and first'}",
                where=self._where,
                hint="Give one: rate = 0.02 for 2 % of the calls, or first = 3 for the first three.",
            )
        return {
            "operations": self.take("operations", Rule.operations, self.patterns),
            "rate": rate,
            "first": first,
            "callers": self.take("callers", Rule.callers, self.one_of(_CALLERS)),
        }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _iam(table: _Table) -> Iam:
    found = Iam(role=table.take("role", Iam.role, table.span), policy=table.take("policy", Iam.policy, table.span))
    table.end()
    return found


def _logs(table: _Table) -> Logs:
    late: Span | None = table.take("late", None, table.span)
    found = Logs(
        ingestion=table.take("ingestion", Logs.ingestion, table.span),
        late=late,
        late_rate=table.take("late_rate", Logs.late_rate, table.part),
        late_needs_permission=table.take("late_needs_permission", Logs.late_needs_permission, table.flag),
    )
    table.end()
    return found


def _executions(table: _Table) -> Executions:
    found = Executions(visibility=table.take("visibility", Executions.visibility, table.span))
    table.end()
    return found


def _throttle(table: _Table) -> Throttle:
    rule = Throttle(
        **table.rule(),
        reason=table.take("reason", Throttle.reason, table.one_of(THROTTLE_REASONS)),
        retry_after=table.take("retry_after", Throttle.retry_after, table.span),
    )
    table.end()
    return rule


def _error(table: _Table) -> ServerError:
    rule = ServerError(**table.rule(), status=table.take("status", ServerError.status, table.one_of(ERROR_STATUSES)))
    table.end()
    return rule


def _drop(table: _Table) -> Drop:
    rule = Drop(**table.rule(), moment=table.take("moment", Drop.moment, table.one_of(_MOMENTS)))
    table.end()
    return rule


def _latency(table: _Table) -> Latency:
    rule = Latency(**table.rule(), seconds=table.take("seconds", Latency.seconds, table.span))
    table.end()
    if rule.seconds.high == 0:
        # A rule that does nothing is a key that was forgotten.
        raise table.refuse(f"{table.prefix}seconds", rule.seconds.value(), "more than 0, such as [0.1, 0.5]")
    return rule
