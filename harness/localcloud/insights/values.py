"""The values of the query language: conversion, comparison, order and the text that results carry.

A value is a number, a string or a `Timestamp`; None is a field that isn't there. Booleans are the numbers 1 and 0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond it integers are compared and shown as doubles, as the service's numbers are.
_LARGEST_INTEGER = 2**63


class Timestamp(int):
    """A point in time, in milliseconds since the epoch; shown as a date, otherwise a number."""

    __slots__ = ()


Value: TypeAlias = "str | int | float | Timestamp | None"

_MILLISECONDS = {
    "ms": 1,
    "msec": 1,
    "millisecond": 1,
    "s": 1000,
    "sec": 1000,
    "second": 1000,
    "m": 60_000,
    "min": 60_000,
    "minute": 60_000,
    "h": 3_600_000,
    "hr": 3_600_000,
    "hour": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "w": 604_800_000,
    "week": 604_800_000,
}
_MONTHS = {"mo": 1, "mon": 1, "month": 1, "q": 3, "qtr": 3, "quarter": 3, "y": 12, "yr": 12, "year": 12}
# Weeks start on a Monday; the epoch was a Thursday.
_FIRST_MONDAY = 4 * 86_400_000


@dataclass(frozen=True)
class Period:
    """A span of time such as ``5m``.

    Attributes:
        amount: How many units, at least 1.
        unit: A unit's full name or abbreviation, in lower case and singular.
    """

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read a period.

        Raises:
            ValueError: The unit isn't one, or the amount is 0 or absurdly large.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html
        """
        digits = len(text) - len(text.lstrip("0123456789"))
        unit = text[digits:].strip().lower()
        if unit not in _MILLISECONDS and unit not in _MONTHS and len(unit) > 2:
            unit = unit.removesuffix("s")
        if unit not in _MILLISECONDS and unit not in _MONTHS:
            raise ValueError(f"'{text}' isn't a period: its unit must be one of ms, s, m, h, d, w, mo, q, y")
        if digits > 9 or int(text[:digits]) == 0:
            raise ValueError(f"'{text}' isn't a period: its amount must be 1 to 999999999")
        return cls(int(text[:digits]), unit)

    def floor(self, timestamp: int) -> Timestamp | None:
        """The start of the period that a time is in, or None beyond the calendar."""
        if self.unit in _MILLISECONDS:
            length = self.amount * _MILLISECONDS[self.unit]
            origin = _FIRST_MONDAY if self.unit in ("w", "week") else 0
            return Timestamp((timestamp - origin) // length * length + origin)
        length = self.amount * _MONTHS[self.unit]
        try:
            moment = _EPOCH + timedelta(milliseconds=timestamp)
            months = (moment.year * 12 + moment.month - 1) // length * length
            start = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        except (OverflowError, ValueError):
            return None
        return Timestamp((start - _EPOCH) // timedelta(milliseconds=1))

    def ceil(self, timestamp: int) -> Timestamp | None:
        """The start of the next period, or the time itself if a period starts with it."""
        start = self.floor(timestamp)
        if start is None or start == timestamp:
            return start
        if self.unit in _MILLISECONDS:
            return Timestamp(start + self.amount * _MILLISECONDS[self.unit])
        moment = _EPOCH + timedelta(milliseconds=start)
        months = moment.year * 12 + moment.month - 1 + self.amount * _MONTHS[self.unit]
        try:
            end = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        except (OverflowError, ValueError):
            return None
        return Timestamp((end - _EPOCH) // timedelta(milliseconds=1))


def to_number(value: Value) -> int | float | None:
    """The number that a value is or spells, or None."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        # Python refuses to read integers of thousands of digits; a double reads any.
        value = int(value) if value.lstrip("+-").isdigit() and len(value) < 20 else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or abs(value) < _LARGEST_INTEGER:
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def to_text(value: Value) -> str:
    """A value as results show it; a missing one as the empty string.

    Timestamps are UTC, ``YYYY-MM-DD HH:MM:SS.mmm``; whole numbers carry no fraction.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Timestamp):
        try:
            moment = _EPOCH + timedelta(milliseconds=int(value))
        except OverflowError:
            return str(int(value))
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def equal(left: Value, right: Value) -> bool:
    """Whether two values are equal: as numbers if both are, as text otherwise. Nothing equals a missing one."""
    if left is None or right is None:
        return False
    numbers = to_number(left), to_number(right)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return to_text(left) == to_text(right)


def less(left: Value, right: Value) -> bool:
    """Whether ``left`` is below ``right``; False when one is missing or only one of the two is a number."""
    if left is None or right is None:
        return False
    first, second = to_number(left), to_number(right)
    if first is not None and second is not None:
        return first < second
    if first is None and second is None:
        return to_text(left) < to_text(right)
    return False


SortKey: TypeAlias = "tuple[int, float, tuple[tuple[str, int, str], ...]]"


def sort_key(value: Value) -> SortKey:
    """The key of the documented ascending order: missing, then text in natural order, then numbers.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Sort.html
    """
    if value is None:
        return (0, 0.0, ())
    number = to_number(value)
    if number is not None:
        return (2, number, ())
    return (1, 0.0, tuple(_natural_chunks(to_text(value))))


def _natural_chunks(text: str) -> list[tuple[str, int, str]]:
    chunks: list[tuple[str, int, str]] = []
    start = 0
    while start < len(text):
        end = start
        while end < len(text) and "0" <= text[end] <= "9":
            end += 1
        if end > start:
            # A run of digits stands where the digit 0 stands in Unicode, then orders by length, then by value.
            chunks.append(("0", end - start, text[start:end]))
            start = end
        else:
            chunks.append((text[start], 0, ""))
            start += 1
    return chunks
