"""The scalar functions of the query language.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from harness.localcloud.insights.values import Period, Timestamp, Value, sort_key, to_number, to_text

Argument: TypeAlias = "Value | Period"


@dataclass(frozen=True)
class Function:
    """A scalar function.

    Attributes:
        call: Computes the value from the arguments.
        least: How many arguments it needs.
        most: How many it takes, None for any number.
        condition: Whether it answers true or false, so that ``filter`` takes it as it is.
        takes_missing: Whether it is called with missing arguments; the others are missing themselves then.
        periods: Which arguments are periods.
    """

    call: Callable[[Sequence[Any]], Value]
    least: int
    most: int | None
    condition: bool = False
    takes_missing: bool = False
    periods: frozenset[int] = frozenset()

    def __call__(self, arguments: Sequence[Argument]) -> Value:
        """The function's value, None when it has none for these arguments."""
        if not self.takes_missing and any(argument is None for argument in arguments):
            return None
        try:
            return self.call(arguments)
        except (ArithmeticError, ValueError):
            return None


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """``left operator right`` on numbers; None when one isn't a number or the result isn't one.

    ``%`` takes the sign of the dividend, as Java's does.
    """
    first, second = to_number(left), to_number(right)
    if first is None or second is None:
        return None
    try:
        result = _OPERATORS[operator](first, second)
    except (ArithmeticError, ValueError):
        return None
    return to_number(result) if isinstance(result, int | float) else None


def _remainder(left: float, right: float) -> float:
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (1 if left >= 0 else -1)
    return math.fmod(left, right)


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": _remainder,
    # In doubles: an exact power of two large integers would take all memory.
    "^": lambda left, right: float(left) ** float(right),
}


def _numeric(compute: Callable[[float], Value]) -> Callable[[Sequence[Value]], Value]:
    def call(arguments: Sequence[Value]) -> Value:
        number = to_number(arguments[0])
        return None if number is None else compute(number)

    return call


def _extreme(choose: Callable[..., Any]) -> Callable[[Sequence[Value]], Value]:
    def call(arguments: Sequence[Value]) -> Value:
        numbers = [to_number(argument) for argument in arguments]
        return None if None in numbers else cast("Value", choose(numbers, key=sort_key))

    return call


def _text(compute: Callable[..., Value]) -> Callable[[Sequence[Value]], Value]:
    return lambda arguments: compute(*(to_text(argument) for argument in arguments))


def _substr(arguments: Sequence[Value]) -> Value:
    text, start, *rest = arguments
    first, length = to_number(start), to_number(rest[0]) if rest else len(to_text(text))
    if first is None or length is None or first < 0 or length < 0:
        return None
    return to_text(text)[int(first) : int(first) + int(length)]


def _coalesce(arguments: Sequence[Value]) -> Value:
    return next((argument for argument in arguments if argument is not None), None)


def _rounded(rounding: Callable[[Period, int], Value]) -> Callable[[Sequence[Any]], Value]:
    def call(arguments: Sequence[Any]) -> Value:
        timestamp, period = arguments
        number = to_number(timestamp)
        return None if number is None else rounding(period, int(number))

    return call


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(_numeric(abs), 1, 1),
    "ceil": Function(_numeric(math.ceil), 1, 1),
    "floor": Function(_numeric(math.floor), 1, 1),
    "sqrt": Function(_numeric(math.sqrt), 1, 1),
    "log": Function(_numeric(math.log), 1, 1),
    "greatest": Function(_extreme(max), 1, None),
    "least": Function(_extreme(min), 1, None),
    "ispresent": Function(lambda items: int(items[0] is not None), 1, 1, condition=True, takes_missing=True),
    "coalesce": Function(_coalesce, 1, None, takes_missing=True),
    "isempty": Function(lambda items: int(not to_text(items[0])), 1, 1, condition=True, takes_missing=True),
    "isblank": Function(lambda items: int(not to_text(items[0]).strip()), 1, 1, condition=True, takes_missing=True),
    "concat": Function(lambda items: "".join(map(to_text, items)), 1, None, takes_missing=True),
    "trim": Function(_text(str.strip), 1, 2),
    "ltrim": Function(_text(str.lstrip), 1, 2),
    "rtrim": Function(_text(str.rstrip), 1, 2),
    "strlen": Function(_text(len), 1, 1),
    "toupper": Function(_text(str.upper), 1, 1),
    "tolower": Function(_text(str.lower), 1, 1),
    "substr": Function(_substr, 2, 3),
    "replace": Function(_text(str.replace), 3, 3),
    "strcontains": Function(_text(lambda text, part: int(part in text)), 2, 2, condition=True),
    "datefloor": Function(_rounded(Period.floor), 2, 2, periods=frozenset({1})),
    "dateceil": Function(_rounded(Period.ceil), 2, 2, periods=frozenset({1})),
    "frommillis": Function(_numeric(lambda number: Timestamp(int(number))), 1, 1),
    "tomillis": Function(_numeric(int), 1, 1),
}
