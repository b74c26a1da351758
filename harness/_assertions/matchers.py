"""Matchers: what an expected value may hold in place of the exact one."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SHOWN = 300


class Matcher(ABC):
    """Stands for every value that it matches, at any depth of an expected value. Its ``repr`` describes it."""

    @abstractmethod
    def mismatch(self, value: object, path: str) -> str | None:
        """Why ``value``, found at ``path``, doesn't match; None if it does."""

    def parts(self) -> Sequence[object]:
        """The expected values that it is made of."""
        return ()


class _Any(Matcher):
    def mismatch(self, value: object, path: str) -> str | None:  # noqa: ARG002 - whatever it is
        return None

    def __repr__(self) -> str:
        return "ANY"


ANY: Matcher = _Any()
"""Matches every value, None as well; a key that is missing isn't a value."""


class _Regex(Matcher):
    def __init__(self, pattern: str, flags: int) -> None:
        self._pattern = re.compile(pattern, flags)

    def mismatch(self, value: object, path: str) -> str | None:
        if isinstance(value, str) and self._pattern.search(value):
            return None
        return difference(path, self, value)

    def __repr__(self) -> str:
        return f"regex({self._pattern.pattern!r})"


def regex(pattern: str, flags: int = 0) -> Matcher:
    """Matches a string in which the regular expression is found, as `re.search` does; anchor it for the whole.

    Raises:
        re.error: It isn't a regular expression.
    """
    return _Regex(pattern, flags)


class _Range(Matcher):
    def __init__(self, low: float, high: float, text: str) -> None:
        self._low, self._high, self._text = low, high, text

    def mismatch(self, value: object, path: str) -> str | None:
        if isinstance(value, int | float) and not isinstance(value, bool) and self._low <= value <= self._high:
            return None
        return difference(path, self, value)

    def __repr__(self) -> str:
        return self._text


def between(low: float, high: float) -> Matcher:
    """Matches a number from ``low`` to ``high``, both included, such as a delay with jitter.

    Raises:
        ValueError: ``low`` is above ``high``.
    """
    if not low <= high:
        raise ValueError(f"between({low!r}, {high!r}) matches nothing: the lower bound comes first")
    return _Range(low, high, f"between({low!r}, {high!r})")


def approx(number: float, *, rel: float = 1e-6, abs: float = 1e-12) -> Matcher:  # noqa: A002 - as math.isclose, pytest
    """Matches a number that differs from ``number`` by no more than the larger of the two tolerances.

    Args:
        number: The number.
        rel: A tolerance relative to ``number``.
        abs: An absolute one.
    """
    margin = max(rel * math.fabs(number), abs)
    return _Range(number - margin, number + margin, f"approx({number!r})")


class _OneOf(Matcher):
    def __init__(self, options: tuple[object, ...]) -> None:
        self._options = options

    def mismatch(self, value: object, path: str) -> str | None:
        if any(mismatch(option, value, path) is None for option in self._options):
            return None
        return difference(path, self, value)

    def parts(self) -> Sequence[object]:
        return self._options

    def __repr__(self) -> str:
        return f"one_of({', '.join(map(repr, self._options))})"


def one_of(*options: object) -> Matcher:
    """Matches a value that matches one of the options, which may be matchers themselves."""
    return _OneOf(options)


class _IsA(Matcher):
    def __init__(self, kinds: tuple[type, ...]) -> None:
        self._kinds = kinds

    def mismatch(self, value: object, path: str) -> str | None:
        if isinstance(value, self._kinds) and (not isinstance(value, bool) or bool in self._kinds):
            return None
        return difference(path, self, value)

    def __repr__(self) -> str:
        return f"is_a({', '.join(kind.__name__ for kind in self._kinds)})"


def is_a(*kinds: type) -> Matcher:
    """Matches a value of one of these types; a boolean only if ``bool`` is one of them."""
    return _IsA(kinds)


class _Including(Matcher):
    def __init__(self, part: Mapping[str, object] | Sequence[object]) -> None:
        self._part = part

    def mismatch(self, value: object, path: str) -> str | None:
        if isinstance(self._part, Mapping):
            if not isinstance(value, Mapping):
                return difference(path, self, value)
            return _mapping_mismatch(self._part, {key: value[key] for key in value if key in self._part}, path)
        if not isinstance(value, list | tuple):
            return difference(path, self, value)
        for item in self._part:
            if all(mismatch(item, found, path) is not None for found in value):
                return f"{path}: expected an item {show(item)}, found none in {show(value)}"
        return None

    def parts(self) -> Sequence[object]:
        return (self._part,)

    def __repr__(self) -> str:
        return f"including({self._part!r})"


def including(part: Mapping[str, object] | Sequence[object]) -> Matcher:
    """Matches a mapping that has these keys with matching values, or a list in which each of these items is found.

    Other keys and items don't matter.
    """
    return _Including(part)


class Capture(Matcher):
    """Matches any value, keeps it, and from then on matches only its like.

    Args:
        name: What failures call it.
        pattern: What the value must match to be kept, by default anything.

    Used twice in one expected value, or in several assertions, it says that the two are the same.
    """

    def __init__(self, name: str = "capture", pattern: object = ANY) -> None:
        self._name = name
        self._pattern = pattern
        self._values: list[Any] = []

    @property
    def captured(self) -> bool:
        """Whether it holds a value."""
        return bool(self._values)

    @property
    def value(self) -> Any:
        """What it matched.

        Raises:
            LookupError: It hasn't matched anything yet.
        """
        if not self._values:
            raise LookupError(f"{self!r} has captured nothing: no assertion that holds it has passed")
        return self._values[0]

    def mismatch(self, value: object, path: str) -> str | None:
        """Why ``value`` doesn't match; a value that does is kept."""
        reason = mismatch(self._values[0] if self._values else self._pattern, value, path)
        if reason is None and not self._values:
            self._values.append(value)
        return reason

    def release(self) -> None:
        """Forget the value."""
        self._values.clear()

    def __repr__(self) -> str:
        return f"Capture({self._name!r}{f' = {self._values[0]!r}' if self._values else ''})"


def mismatch(expected: object, value: object, path: str) -> str | None:
    """Why ``value`` isn't what is expected, with the path of the first difference; None if it is.

    Mappings and lists are compared item by item, so that matchers stand at any depth; tuples count as lists, as in
    JSON; True and False equal no number. Captures made by a comparison that fails in the end are undone.
    """
    fresh = [capture for capture in _captures(expected) if not capture.captured]
    reason = _mismatch(expected, value, path)
    if reason is not None:
        for capture in fresh:
            capture.release()
    return reason


def _mismatch(expected: object, value: object, path: str) -> str | None:
    if isinstance(expected, Matcher):
        return expected.mismatch(value, path)
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        return _mapping_mismatch(expected, value, path)
    if isinstance(expected, list | tuple) and isinstance(value, list | tuple):
        for index, (left, right) in enumerate(zip(expected, value, strict=False)):
            reason = _mismatch(left, right, f"{path}[{index}]")
            if reason is not None:
                return reason
        if len(expected) != len(value):
            return f"{path}: expected {len(expected)} items, found {len(value)}: {show(value)}"
        return None
    if isinstance(expected, bool) != isinstance(value, bool) or expected != value:
        return difference(path, expected, value)
    return None


def _mapping_mismatch(expected: Mapping[Any, object], value: Mapping[Any, object], path: str) -> str | None:
    for key, item in expected.items():
        if key not in value:
            return f"{path}.{key}: expected {show(item)}, but there is no such key"
        reason = _mismatch(item, value[key], f"{path}.{key}")
        if reason is not None:
            return reason
    surplus = [str(key) for key in value if key not in expected]
    if surplus:
        return f"{path}: found further keys {', '.join(surplus)} (expect a part with including(...))"
    return None


def _captures(expected: object) -> list[Capture]:
    if isinstance(expected, Capture):
        return [expected]
    parts: Iterable[object] = ()
    if isinstance(expected, Matcher):
        parts = expected.parts()
    elif isinstance(expected, Mapping):
        parts = expected.values()
    elif isinstance(expected, list | tuple):
        parts = expected
    return [capture for part in parts for capture in _captures(part)]


def difference(path: str, expected: object, value: object) -> str:
    """The sentence that names an expected and a found value."""
    return f"{path}: expected {show(expected)}, found {show(value)}"


def show(value: object) -> str:
    """A value's ``repr``, cut where it gets long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
