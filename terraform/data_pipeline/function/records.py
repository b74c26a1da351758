"""Records and what is done to each: plain functions of their arguments, without any AWS call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from failures import Failure

DEFAULT_COUNT = 6
MAX_COUNT = 1000
BATCH_SIZE = 25  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html

T = TypeVar("T")


class InvalidPipelineInput(Failure):
    """The input isn't what a pipeline can run on."""


class InvalidRecordError(Failure):
    """A record has no usable id or value."""


class PipelineFailed(Failure):
    """More records are bad than the pipeline tolerates."""


class UnprocessedItemsError(Failure):
    """The table took only a part of what it was given; trying again may help."""


@dataclass(frozen=True)
class PipelineInput:
    """A valid input.

    Attributes:
        pipeline_id: The run's id, or None to have one made.
        count: How many records there are to fetch.
        tolerated_failures: How many of them may be bad.
        bad_records: Numbers, from 1, of the records that are fetched without a value.
        unprocessed_attempts: Attempts of StoreResults that leave one record unprocessed.
    """

    pipeline_id: str | None
    count: int
    tolerated_failures: int
    bad_records: frozenset[int]
    unprocessed_attempts: int


def parse_input(event: Any) -> PipelineInput:
    """The pipeline's input; everything in it is optional.

    Raises:
        InvalidPipelineInput: Something is of the wrong type; the message says what.
    """
    if not isinstance(event, dict):
        raise InvalidPipelineInput("the input must be an object")
    pipeline_id = event.get("pipeline_id")
    if pipeline_id is not None and (not isinstance(pipeline_id, str) or not pipeline_id):
        raise InvalidPipelineInput("pipeline_id must be a non-empty string")
    simulate = event.get("simulate", {})
    if not isinstance(simulate, dict):
        raise InvalidPipelineInput("simulate must be an object")
    if unknown := simulate.keys() - {"bad_records", "unprocessed_attempts"}:
        raise InvalidPipelineInput(f"simulate.{min(unknown)} is unknown")
    bad_records = simulate.get("bad_records", [])
    if not isinstance(bad_records, list) or not all(_is_whole(number) for number in bad_records):
        raise InvalidPipelineInput("simulate.bad_records must be a list of record numbers")
    return PipelineInput(
        pipeline_id=pipeline_id,
        count=_whole(event, "count", DEFAULT_COUNT, MAX_COUNT),
        tolerated_failures=_whole(event, "tolerated_failures", 1, MAX_COUNT),
        bad_records=frozenset(bad_records),
        unprocessed_attempts=_whole(simulate, "unprocessed_attempts", 0, MAX_COUNT),
    )


def fetch(count: int, bad_records: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    """The records ``rec-1`` to ``rec-{count}`` of the source; their value is their number times 10, or none if bad."""
    return [
        {"id": f"rec-{number}", "value": None if number in bad_records else number * 10}
        for number in range(1, count + 1)
    ]


def validate(record: dict[str, Any]) -> dict[str, Any]:
    """The record itself, if it has an id and a number as its value.

    Raises:
        InvalidRecordError: It hasn't.
    """
    identifier, value = record.get("id"), record.get("value")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidRecordError(f"a record has the id {identifier!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecordError(f"{identifier} has the value {value!r}")
    return record


def enrich(record: dict[str, Any], enriched_at: str) -> dict[str, Any]:
    """The record with the time of its enrichment and a hash: 16 hex digits of the SHA-256 of its sorted JSON."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
    return {**record, "enrichedAt": enriched_at, "hash": digest}


def batches(items: Sequence[T], size: int = BATCH_SIZE) -> Iterator[Sequence[T]]:
    """The items in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def check_tolerance(failed: int, total: int, tolerated: int) -> None:
    """Fail the pipeline if too many records failed.

    Raises:
        PipelineFailed: ``failed`` is more than ``tolerated``.
    """
    if failed > tolerated:
        raise PipelineFailed(f"{failed} of {total} records failed, {tolerated} tolerated")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(values: dict[str, Any], name: str, default: int, largest: int) -> int:
    value = values.get(name, default)
    if not _is_whole(value) or not 0 <= value <= largest:
        raise InvalidPipelineInput(f"{name} must be a whole number between 0 and {largest}")
    return int(value)
