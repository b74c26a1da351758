"""Evaluates expressions on one row."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from harness.localcloud.insights import nodes
from harness.localcloud.insights.aggregates import AGGREGATES
from harness.localcloud.insights.functions import FUNCTIONS, Argument, arithmetic
from harness.localcloud.insights.values import Period, Value, equal, less, to_text

# A search that takes longer backtracks without end: one log line is short.
REGEX_SECONDS = 2.0


class Row(Protocol):
    """What an expression is evaluated on."""

    def get(self, name: str) -> Value:
        """The value of a field, None if the row lacks it."""
        ...

    def aggregate(self, call: nodes.Call) -> Value:
        """The value of an aggregation function over the row's group."""
        ...


class Evaluator:
    """Evaluates expressions as of one point in time.

    Args:
        now: What the query function ``now()`` answers.
    """

    def __init__(self, now: datetime) -> None:
        self._now = int(now.timestamp())

    def value(self, expression: nodes.Expression, row: Row) -> Value:
        """An expression's value, None when it has none.

        Raises:
            TimeoutError: A regular expression backtracked for longer than `REGEX_SECONDS`.
        """
        match expression:
            case nodes.Literal(value):
                return None if isinstance(value, Period) else value
            case nodes.Field(name, _):
                return row.get(name)
            case nodes.Call(name, arguments):
                if name in AGGREGATES:
                    return row.aggregate(expression)
                if name == "now":
                    return self._now
                return FUNCTIONS[name]([self._argument(argument, row) for argument in arguments])
            case nodes.Arithmetic(left, rest):
                result = self.value(left, row)
                for operator, operand in rest:
                    result = arithmetic(operator, result, self.value(operand, row))
                return result
            case _:
                return int(self.holds(expression, row))

    def holds(self, condition: nodes.Expression, row: Row) -> bool:
        """Whether a condition holds. A missing field equals, contains and is below nothing; it differs from all.

        Raises:
            TimeoutError: As `value`.
        """
        match condition:
            case nodes.Junction(True, conditions):
                return all(self.holds(item, row) for item in conditions)
            case nodes.Junction(False, conditions):
                return any(self.holds(item, row) for item in conditions)
            case nodes.Not(inner):
                return not self.holds(inner, row)
            case nodes.Comparison(operator, left, right):
                return _compare(operator, self.value(left, row), self.value(right, row))
            case nodes.Match(operand, pattern):
                value = self.value(operand, row)
                if value is None:
                    return False
                if isinstance(pattern, str):
                    return pattern in to_text(value)
                return pattern.search(to_text(value), timeout=REGEX_SECONDS) is not None
            case nodes.Membership(operand, options):
                value = self.value(operand, row)
                return any(equal(value, self.value(option, row)) for option in options)
            case _:
                return self.value(condition, row) not in (None, 0, "")

    def _argument(self, expression: nodes.Expression, row: Row) -> Argument:
        if isinstance(expression, nodes.Literal):
            return expression.value
        return self.value(expression, row)


def _compare(operator: str, left: Value, right: Value) -> bool:
    if operator == "=":
        return equal(left, right)
    if operator == "!=":
        return not equal(left, right)
    if operator == "<":
        return less(left, right)
    if operator == ">":
        return less(right, left)
    if operator == "<=":
        return less(left, right) or equal(left, right)
    return less(right, left) or equal(left, right)
