"""The 18 intrinsic functions of the Amazon States Language, in plain Python.

They take and give JSON values and follow the language's limits; all fail with IntrinsicFailure, as the language's own
fail with States.IntrinsicFailure. MathRandom without a seed and UUID give another value on every call, so a durable
function calls them in a step.
https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import random
import re
import uuid
from typing import Any

from failures import Failure

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_TEXT = 10_000
MAX_RANGE = 1000
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
HASH_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}

_FORMAT_TOKEN = re.compile(r"\\(.)|(\{\})|([{}\\])", re.DOTALL)


class IntrinsicFailure(Failure):
    """An intrinsic function can't do what it is asked to."""


def format_text(template: Any, *values: Any) -> str:
    r"""States.Format: the template with each ``{}`` replaced by the next value.

    ``\{``, ``\}``, ``\'`` and ``\\`` stand for the character itself. Values are text, numbers, booleans or null.
    """
    text = _text(template, "Format", "template")
    if (holes := sum(1 for match in _FORMAT_TOKEN.finditer(text) if match[2])) != len(values):
        raise IntrinsicFailure(f"Format has {holes} placeholders for {len(values)} values")
    remaining = iter(values)

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return _interpolated(next(remaining))
        if match[1] and match[1] in "{}'\\":
            return match[1]
        raise IntrinsicFailure(f"Format has an unescaped {match[0]} at {match.start()}")

    return _FORMAT_TOKEN.sub(replace, text)


def string_to_json(text: Any) -> Any:
    """States.StringToJson: the value that a JSON text stands for."""
    try:
        return json.loads(_text(text, "StringToJson", "argument"), parse_constant=_refuse_constant)
    # harness: unreachable because the workflow parses only what JsonToString has written
    except ValueError as error:
        raise IntrinsicFailure(f"StringToJson can't parse its argument: {error}") from error


def json_to_string(value: Any) -> str:
    """States.JsonToString: the value as JSON text without spaces."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # harness: unreachable because the workflow writes only what came as JSON
    except (TypeError, ValueError) as error:
        raise IntrinsicFailure(f"JsonToString can't write its argument: {error}") from error


def array(*values: Any) -> list[Any]:
    """States.Array: the arguments as an array."""
    return list(values)


def array_partition(values: Any, size: Any) -> list[list[Any]]:
    """States.ArrayPartition: the array in chunks of ``size``, the last one with what is left."""
    items = _array(values, "ArrayPartition")
    chunk = _integer(size, "ArrayPartition", "chunk size")
    if chunk < 1:
        raise IntrinsicFailure(f"ArrayPartition needs a chunk size of at least 1, not {chunk}")
    return [items[start : start + chunk] for start in range(0, len(items), chunk)]


def array_contains(values: Any, wanted: Any) -> bool:
    """States.ArrayContains: whether a value is in the array. True isn't 1, as in JSON."""
    return any(_identity(item) == _identity(wanted) for item in _array(values, "ArrayContains"))


def array_range(first: Any, last: Any, step: Any) -> list[int]:
    """States.ArrayRange: the numbers from ``first`` to ``last``, both included, ``step`` apart; at most 1000."""
    start, end, increment = (
        _integer(value, "ArrayRange", name)
        for value, name in ((first, "first number"), (last, "last number"), (step, "increment"))
    )
    if increment == 0:
        raise IntrinsicFailure("ArrayRange needs an increment other than 0")
    numbers = range(start, end + (1 if increment > 0 else -1), increment)
    if len(numbers) > MAX_RANGE:
        raise IntrinsicFailure(f"ArrayRange gives at most {MAX_RANGE} numbers, not {len(numbers)}")
    return list(numbers)


def array_get_item(values: Any, index: Any) -> Any:
    """States.ArrayGetItem: the item at an index from 0."""
    items = _array(values, "ArrayGetItem")
    position = _integer(index, "ArrayGetItem", "index")
    if not 0 <= position < len(items):
        raise IntrinsicFailure(f"ArrayGetItem has no index {position} in an array of {len(items)}")
    return items[position]


def array_length(values: Any) -> int:
    """States.ArrayLength: how many items an array has."""
    return len(_array(values, "ArrayLength"))


def array_unique(values: Any) -> list[Any]:
    """States.ArrayUnique: the array without repetitions, in the order of first occurrence."""
    first_ones: dict[str, Any] = {}
    for item in _array(values, "ArrayUnique"):
        first_ones.setdefault(_identity(item), item)
    return list(first_ones.values())


def base64_encode(text: Any) -> str:
    """States.Base64Encode: text of at most 10,000 characters in Base64 of its UTF-8 bytes."""
    return base64.b64encode(_short(text, "Base64Encode").encode()).decode()


def base64_decode(text: Any) -> str:
    """States.Base64Decode: the text in at most 10,000 characters of Base64."""
    try:
        return base64.b64decode(_short(text, "Base64Decode"), validate=True).decode()
    # harness: unreachable because the workflow decodes only what Base64Encode has encoded
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise IntrinsicFailure(f"Base64Decode can't decode its argument: {error}") from error


def hash_value(value: Any, algorithm: Any) -> str:
    """States.Hash: hex digest of text, or of any other value's JSON text, of at most 10,000 characters."""
    if not isinstance(algorithm, str) or algorithm not in HASH_ALGORITHMS:
        raise IntrinsicFailure(f"Hash knows {', '.join(HASH_ALGORITHMS)}, not {algorithm!r}")
    text = _short(value if isinstance(value, str) else json_to_string(value), "Hash")
    return hashlib.new(HASH_ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def json_merge(left: Any, right: Any, deep: Any) -> dict[str, Any]:
    """States.JsonMerge: both objects' members, the second one's winning; shallow, which is all the language has."""
    for value in (left, right):
        if not isinstance(value, dict):
            raise IntrinsicFailure(f"JsonMerge needs objects, not {_kind(value)}")
    if deep is not False:
        raise IntrinsicFailure("JsonMerge merges shallowly only: its third argument must be false")
    return {**left, **right}


def math_random(start: Any, end: Any, seed: Any = None) -> int:
    """States.MathRandom: a whole number from ``start`` up to, but without, ``end``; with a seed always the same."""
    low = _int32(_integer(start, "MathRandom", "start"), "MathRandom")
    high = _int32(_integer(end, "MathRandom", "end"), "MathRandom")
    if low >= high:
        raise IntrinsicFailure(f"MathRandom needs a start below its end, not {low} and {high}")
    # Random numbers of a workflow aren't secrets, and a seed is wanted here.
    source = random.Random(None if seed is None else _integer(seed, "MathRandom", "seed"))  # noqa: S311
    return source.randrange(low, high)


def math_add(left: Any, right: Any) -> int:
    """States.MathAdd: the sum of two whole numbers; both and the sum have 32 bits."""
    numbers = [_int32(_integer(value, "MathAdd", "number"), "MathAdd") for value in (left, right)]
    return _int32(sum(numbers), "MathAdd")


def string_split(text: Any, separators: Any) -> list[str]:
    """States.StringSplit: what lies between any of the separator characters; empty parts are left out."""
    value = _text(text, "StringSplit", "text")
    characters = _text(separators, "StringSplit", "separator")
    parts = re.split("|".join(map(re.escape, characters)), value) if characters else [value]
    return [part for part in parts if part]


def new_uuid() -> str:
    """States.UUID: a fresh version 4 UUID."""
    return str(uuid.uuid4())


def _array(value: Any, function: str) -> list[Any]:
    if not isinstance(value, list):
        raise IntrinsicFailure(f"{function} needs an array, not {_kind(value)}")
    if len(json_to_string(value).encode()) > MAX_PAYLOAD_BYTES:
        raise IntrinsicFailure(f"{function} takes arrays of at most 256 KiB")
    return value


def _text(value: Any, function: str, name: str) -> str:
    if not isinstance(value, str):
        raise IntrinsicFailure(f"{function} needs text as its {name}, not {_kind(value)}")
    return value


def _short(value: Any, function: str) -> str:
    text = _text(value, function, "argument")
    if len(text) > MAX_TEXT:
        raise IntrinsicFailure(f"{function} takes at most 10,000 characters, not {len(text)}")
    return text


def _integer(value: Any, function: str, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise IntrinsicFailure(f"{function} needs a number as its {name}, not {_kind(value)}")
    # The language rounds to the nearest integer; Python's round would send a half to the even one.
    return value if isinstance(value, int) else math.floor(value + 0.5)


def _int32(value: int, function: str) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise IntrinsicFailure(f"{function} takes and gives numbers from {INT_MIN} to {INT_MAX}, not {value}")
    return value


def _interpolated(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float)):
        return json_to_string(value)
    raise IntrinsicFailure(f"Format can't insert {_kind(value)}")


def _identity(value: Any) -> str:
    # In JSON 1 and 1.0 are the same number, and true is none.
    return json.dumps(json.loads(json.dumps(value), parse_float=_whole_if_it_is), sort_keys=True)


def _whole_if_it_is(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "text", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} isn't JSON")
