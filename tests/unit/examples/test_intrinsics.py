"""The intrinsic functions one by one: what they give, and what they refuse."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.unit.examples.loading import Example

intrinsics: Any = Example("intrinsic_showcase").intrinsics

GIVES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("format_text", ("Hi {}, you are {}, {} and {}", "Ada", 36, True, None), "Hi Ada, you are 36, true and null"),
    ("format_text", ("no holes",), "no holes"),
    ("format_text", (r"\{\} \' \\ {}", "x"), r"{} ' \ x"),
    ("format_text", ("{}", "{}"), "{}"),
    ("string_to_json", ('{"a": [1, null]}',), {"a": [1, None]}),
    ("json_to_string", ({"a": [1, None], "b": "ü"},), '{"a":[1,null],"b":"ü"}'),
    ("array", (), []),
    ("array", (1, "a", [2]), [1, "a", [2]]),
    ("array_partition", ([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]),
    ("array_partition", ([], 2), []),
    ("array_partition", ([1, 2, 3], 1.5), [[1, 2], [3]]),
    ("array_contains", ([1, "a"], "a"), True),
    ("array_contains", ([{"a": 1}], {"a": 1.0}), True),
    ("array_contains", ([1], True), False),
    ("array_range", (1, 9, 2), [1, 3, 5, 7, 9]),
    ("array_range", (3, 1, -1), [3, 2, 1]),
    ("array_range", (1, 0, 1), []),
    ("array_range", (1, 1000, 1), list(range(1, 1001))),
    ("array_get_item", (["a", "b"], 1), "b"),
    ("array_length", ([1, 2],), 2),
    ("array_unique", ([3, 1, 3, 1.0, True, "1"],), [3, 1, True, "1"]),
    ("base64_encode", ("Data to encode",), "RGF0YSB0byBlbmNvZGU="),
    ("base64_encode", ("x" * 10_000,), "eHh4" * 3333 + "eA=="),
    ("base64_decode", ("RGVjb2RlZCBkYXRh",), "Decoded data"),
    ("hash_value", ("input data", "SHA-1"), "aaff4a450a104cd177d28d18d74485e8cae074b7"),
    ("hash_value", ("", "MD5"), "d41d8cd98f00b204e9800998ecf8427e"),
    ("json_merge", ({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}}, False), {"a": {"y": 2}, "b": 1}),
    ("math_add", (111, -1), 110),
    ("math_add", (1.5, 2.4), 4),
    ("math_add", (-0.5, 0), 0),
    ("math_add", (2**31 - 1, 0), 2**31 - 1),
    ("math_random", (1, 2), 1),
    ("string_split", ("1,2,3,4,5", ","), ["1", "2", "3", "4", "5"]),
    ("string_split", ("This.is+a,test=string", ".+,="), ["This", "is", "a", "test", "string"]),
    ("string_split", (",,a,", ","), ["a"]),
    ("string_split", ("abc", ""), ["abc"]),
]

REFUSES: list[tuple[str, tuple[Any, ...], str]] = [
    ("format_text", ("{} {}", 1), "2 placeholders for 1 values"),
    ("format_text", ("{}", 1, 2), "1 placeholders for 2 values"),
    ("format_text", (1,), "needs text as its template, not a number"),
    ("format_text", ("{}", [1]), "can't insert an array"),
    ("format_text", ("a { b",), "unescaped { at 2"),
    ("format_text", ("tail \\",), "unescaped"),
    ("format_text", (r"\n",), "unescaped"),
    ("string_to_json", ("{",), "can't parse"),
    ("string_to_json", ("NaN",), "NaN isn't JSON"),
    ("string_to_json", ({},), "needs text"),
    ("json_to_string", (float("nan"),), "can't write"),
    ("json_to_string", ({1, 2},), "can't write"),
    ("array_partition", ([1], 0), "at least 1, not 0"),
    ("array_partition", ("abc", 1), "needs an array, not text"),
    ("array_partition", (["x" * 300_000], 1), "at most 256 KiB"),
    ("array_contains", ({}, 1), "needs an array, not an object"),
    ("array_range", (1, 1001, 1), "at most 1000 numbers, not 1001"),
    ("array_range", (1, 9, 0), "increment other than 0"),
    ("array_range", ("1", 9, 1), "needs a number as its first number"),
    ("array_get_item", ([1], 1), "no index 1 in an array of 1"),
    ("array_get_item", ([1], -1), "no index -1"),
    ("array_length", (None,), "needs an array, not null"),
    ("array_unique", ("aa",), "needs an array"),
    ("base64_encode", ("x" * 10_001,), "at most 10,000 characters"),
    ("base64_encode", (b"x",), "needs text"),
    ("base64_decode", ("%%%",), "can't decode"),
    ("base64_decode", ("/w==",), "can't decode"),
    ("base64_decode", ("eHh4" * 2501,), "at most 10,000 characters"),
    ("hash_value", ("x", "SHA-3"), "knows MD5"),
    ("hash_value", ("x", ["MD5"]), "knows MD5"),
    ("hash_value", ("x" * 10_001, "MD5"), "at most 10,000 characters"),
    ("json_merge", ({}, [], False), "needs objects, not an array"),
    ("json_merge", ({}, {}, True), "must be false"),
    ("math_random", (2, 2), "start below its end"),
    ("math_random", (0, 2**31), "from -2147483648 to 2147483647"),
    ("math_random", (1, 2, "seed"), "needs a number as its seed"),
    ("math_add", (2**31 - 1, 1), "not 2147483648"),
    ("math_add", (True, 1), "needs a number as its number, not a boolean"),
    ("math_add", (float("inf"), 1), "needs a number"),
    ("string_split", (1, ","), "needs text"),
    ("string_split", ("a", None), "needs text as its separator, not null"),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), GIVES)
def test_gives(function: str, arguments: tuple[Any, ...], expected: Any) -> None:
    result = getattr(intrinsics, function)(*arguments)
    # repr tells 1, 1.0 and True apart.
    assert repr(result) == repr(expected)


@pytest.mark.parametrize(("function", "arguments", "complaint"), REFUSES)
def test_refuses(function: str, arguments: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(intrinsics.IntrinsicFailure, match=complaint):
        getattr(intrinsics, function)(*arguments)


def test_hashing_an_object_hashes_its_json() -> None:
    assert intrinsics.hash_value({"a": 1}, "SHA-256") == intrinsics.hash_value('{"a":1}', "SHA-256")


def test_random_numbers_stay_below_the_end() -> None:
    assert {intrinsics.math_random(1, 4) for _ in range(200)} == {1, 2, 3}


def test_a_seed_gives_the_same_number_again() -> None:
    numbers = [intrinsics.math_random(1, 10**9, seed) for seed in (7, 7, 8)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_uuids_are_fresh_and_of_version_4() -> None:
    first, second = uuid.UUID(intrinsics.new_uuid()), uuid.UUID(intrinsics.new_uuid())
    assert (first.version, second.version) == (4, 4)
    assert first != second


def test_there_are_eighteen() -> None:
    public = {
        name
        for name, value in vars(intrinsics).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == "intrinsics"
    }
    assert len(public - {"IntrinsicFailure"}) == 18
