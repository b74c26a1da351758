"""What each step of the showcase computes, with the intrinsic functions alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import intrinsics as states
from failures import Failure

HIGH_TOTAL = 100
MAX_WAIT = 31622400


class InvalidInputError(Failure):
    """The input isn't a name, tags and numbers."""


@dataclass(frozen=True)
class Input:
    """A valid input.

    Attributes:
        name: Text, not empty.
        tags: Texts.
        numbers: Whole numbers, at least one.
        seed: Seed of MathRandom, None for another number every time.
        wait_seconds: Seconds to wait once the random values are made, 0 for not at all.
    """

    name: str
    tags: list[str]
    numbers: list[int]
    seed: int | None
    wait_seconds: int


def parse_input(event: Any) -> Input:
    """The showcase's input.

    Raises:
        InvalidInputError: Something is missing or of the wrong type; the message says what.
    """
    if not isinstance(event, dict):
        raise InvalidInputError("the input must be an object")
    name, tags, numbers = event.get("name"), event.get("tags"), event.get("numbers")
    if not isinstance(name, str) or not name:
        raise InvalidInputError("name must be non-empty text")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidInputError("tags must be a list of texts")
    if not isinstance(numbers, list) or not numbers or not all(_is_whole(number) for number in numbers):
        raise InvalidInputError("numbers must be a list of whole numbers, at least one")
    seed = event.get("seed")
    if seed is not None and not _is_whole(seed):
        raise InvalidInputError("seed must be a whole number")
    wait_seconds = event.get("wait_seconds", 0)
    if not _is_whole(wait_seconds) or not 0 <= wait_seconds <= MAX_WAIT:
        raise InvalidInputError(f"wait_seconds must be a whole number between 0 and {MAX_WAIT}")
    return Input(name=name, tags=tags, numbers=numbers, seed=seed, wait_seconds=wait_seconds)


def prepare_data(given: Input) -> dict[str, Any]:
    """Array, ArrayLength, JsonToString, StringToJson, UUID."""
    record = {"name": given.name, "tags": given.tags}
    as_text = states.json_to_string(record)
    return {
        "id": states.new_uuid(),
        "pair": states.array(given.name, states.array_length(given.tags)),
        "record_text": as_text,
        "record": states.string_to_json(as_text),
    }


def string_operations(given: Input) -> dict[str, Any]:
    """Format, Base64Encode, Base64Decode, Hash, StringSplit."""
    encoded = states.base64_encode(given.name)
    return {
        "greeting": states.format_text("Hello, {}! You have {} tags.", given.name, states.array_length(given.tags)),
        "encoded": encoded,
        "decoded": states.base64_decode(encoded),
        "hash": states.hash_value(given.name, "SHA-256"),
        "words": states.string_split(given.name, " -"),
    }


def array_operations(given: Input) -> dict[str, Any]:
    """ArrayPartition, ArrayContains, ArrayRange, ArrayGetItem, ArrayLength, ArrayUnique."""
    count = states.array_length(given.numbers)
    return {
        "partitions": states.array_partition(given.numbers, 2),
        "has_vip": states.array_contains(given.tags, "vip"),
        "range": states.array_range(1, count, 1),
        "first": states.array_get_item(given.numbers, 0),
        "length": count,
        "unique_tags": states.array_unique(given.tags),
    }


def math_and_json_operations(given: Input) -> dict[str, Any]:
    """MathAdd, MathRandom, JsonMerge."""
    total = 0
    for number in given.numbers:
        total = states.math_add(total, number)
    return {
        "total": total,
        "random": states.math_random(1, 1000, given.seed),
        "merged": states.json_merge({"name": given.name, "total": 0}, {"total": total}, False),
    }


def is_high(total: int) -> bool:
    """The choice: whether a total goes the way of the high ones."""
    return total > HIGH_TOTAL


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
