"""How what a requirement expects is compared with what an execution shows.

The language is that of AWS's runner: ``*`` and ``{}`` accept anything, ``${/pattern/}`` is a regular expression,
``${NAME}`` captures what it meets first and from then on means just that, mappings name the members that matter, and
anything else is meant literally. An event that isn't listed isn't compared.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

_GENERATED = re.compile(r"\$\{GEN_STR:(\d+)\}")
_PATTERN = re.compile(r"\$\{/(.+)/\}", re.DOTALL)
_NAME = re.compile(r"\$\{(\w+)\}")
_ALPHABET = string.ascii_lowercase + string.digits


class Captures:
    """The names of one run of a requirement: its variables, and what the comparison has captured.

    Args:
        variables: The requirement's ``Variables``; ``${GEN_STR:8}`` stands for eight random characters.
    """

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = {}
        for name, value in (variables or {}).items():
            generated = _GENERATED.fullmatch(str(value))
            self.values[name] = _random(int(generated[1])) if generated else str(value)

    def fill(self, value: Any) -> Any:
        """``value`` with every known name in its strings replaced."""
        if isinstance(value, str):
            return _NAME.sub(lambda found: str(self.values.get(found[1], found[0])), value)
        if isinstance(value, Mapping):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value


def differences(expected: Any, actual: Any, captures: Captures, where: str) -> list[str]:
    """What is wrong with ``actual``; empty when it is as expected."""
    if expected in ("*", {}):
        return []
    if isinstance(expected, str):
        if pattern := _PATTERN.fullmatch(expected):
            return [] if re.search(pattern[1], str(actual)) else [f"{where}: {actual!r} doesn't match /{pattern[1]}/"]
        if name := _NAME.fullmatch(expected):
            captured = captures.values.setdefault(name[1], actual)
            return [] if captured == actual else [f"{where}: {actual!r}, but {expected} is {captured!r}"]
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        problems = [f"{where}.{key}: missing" for key in expected if key not in actual]
        for key in expected:
            if key in actual:
                problems += differences(expected[key], actual[key], captures, f"{where}.{key}")
        return problems
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for at, (one, other) in pairs for line in differences(one, other, captures, f"{where}[{at}]")]
    literal = captures.fill(expected)
    return [] if literal == actual else [f"{where}: {actual!r} instead of {literal!r}"]


def history_differences(
    expected: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], captures: Captures
) -> list[str]:
    """What is wrong with a history; listed events are found by their ``EventId``."""
    by_id = {event["EventId"]: event for event in events}
    problems = []
    for wanted in expected:
        number = wanted["EventId"]
        if number in by_id:
            problems += differences(wanted, by_id[number], captures, f"event {number}")
        else:
            problems.append(f"event {number}: no {wanted['EventType']}, the history has {len(events)} events")
    return problems


def log_differences(
    expected: Sequence[Mapping[str, Any]], messages: Sequence[str], execution_arn: str, captures: Captures
) -> list[str]:
    """What is wrong with the JSON log records of one execution, given in their order.

    An entry says how often (``count``, ``min_count``, ``max_count``, by default once at least) a record occurs whose
    members ``match``, and before or after which others.
    """
    records = [record for record in map(_record, messages) if execution_arn in _arns(record)]
    problems = []
    for raw in expected:
        wanted = captures.fill(raw)
        unknown = sorted(set(wanted) - {"match", "count", "min_count", "max_count", "before", "after"})
        if unknown:
            problems.append(f"log: no comparison is known for {', '.join(unknown)}")
        found = _places(wanted["match"], records)
        least = wanted.get("count", wanted.get("min_count", 0 if "max_count" in wanted else 1))
        most = wanted.get("count", wanted.get("max_count", len(found)))
        if not least <= len(found) <= most:
            problems.append(f"log: {wanted['match']} occurs {len(found)} times, not {least} to {most} times")
        for direction in ("before", "after"):
            anchors = wanted.get(direction) or []
            for anchor in anchors if isinstance(anchors, list) else [anchors]:
                there = _places(anchor, records)
                ordered = there and (
                    not found or (found[-1] <= there[0] if direction == "before" else found[0] >= there[-1])
                )
                if not ordered:
                    problems.append(f"log: {wanted['match']} doesn't come {direction} {anchor}")
    return problems


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _record(message: str) -> dict[str, Any]:
    try:
        parsed = json.loads(message)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {"message": message.strip()}


def _arns(record: Mapping[str, Any]) -> tuple[Any, Any]:
    return record.get("executionArn"), record.get("durableExecutionArn")


def _places(wanted: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[int]:
    return [
        at
        for at, record in enumerate(records)
        if all(key in record and _member_matches(value, record[key]) for key, value in wanted.items())
    ]


def _member_matches(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, str) and len(wanted) > 1 and wanted.startswith("/") and wanted.endswith("/"):
        return re.search(wanted[1:-1], str(actual)) is not None
    return str(wanted).strip() == str(actual).strip()
