"""The aggregation functions of ``stats``.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.localcloud.insights.values import Value, sort_key, to_number


@dataclass(frozen=True)
class Aggregate:
    """An aggregation function.

    Attributes:
        call: Computes it from the values present, in the order of the rows' timestamps, and its further argument.
        arguments: How many arguments it takes.
        by_time: Whether the order of the values matters to it.
    """

    call: Callable[[Sequence[Value], float], Value]
    arguments: int = 1
    by_time: bool = False


def _numbers(values: Sequence[Value]) -> list[float]:
    return [number for number in map(to_number, values) if number is not None]


def _over_numbers(compute: Callable[[list[float]], float]) -> Callable[[Sequence[Value], float], Value]:
    def call(values: Sequence[Value], _: float) -> Value:
        numbers = _numbers(values)
        try:
            return to_number(compute(numbers)) if numbers else None
        except OverflowError:
            return None

    return call


def _percentile(values: Sequence[Value], percent: float) -> Value:
    # The service approximates; the nearest rank is exact, and a value that occurred.
    numbers = sorted(_numbers(values))
    if not numbers:
        return None
    return numbers[max(0, math.ceil(percent / 100 * len(numbers)) - 1)]


AGGREGATES: Mapping[str, Aggregate] = {
    "count": Aggregate(lambda values, _: len(values)),
    "count_distinct": Aggregate(lambda values, _: len({sort_key(value) for value in values})),
    "sum": Aggregate(_over_numbers(sum)),
    "avg": Aggregate(_over_numbers(lambda numbers: sum(numbers) / len(numbers))),
    "stddev": Aggregate(_over_numbers(statistics.pstdev)),
    "min": Aggregate(lambda values, _: min(values, key=sort_key, default=None)),
    "max": Aggregate(lambda values, _: max(values, key=sort_key, default=None)),
    "pct": Aggregate(_percentile, arguments=2),
    "earliest": Aggregate(lambda values, _: values[0] if values else None, by_time=True),
    "latest": Aggregate(lambda values, _: values[-1] if values else None, by_time=True),
    "sortsfirst": Aggregate(lambda values, _: min(values, key=sort_key, default=None)),
    "sortslast": Aggregate(lambda values, _: max(values, key=sort_key, default=None)),
}
