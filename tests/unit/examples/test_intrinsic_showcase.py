"""intrinsic_showcase: its whole handler without any cloud."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.examples.loading import Example
from tests.unit.examples.running import run

ADA: dict[str, Any] = {
    "name": "Ada Lovelace",
    "tags": ["vip", "math", "vip"],
    "numbers": [10, 20, 30, 50],
    "seed": 7,
}
BOB: dict[str, Any] = {"name": "Bob", "tags": [], "numbers": [-1]}


@pytest.fixture(scope="module")
def example() -> Example:
    return Example("intrinsic_showcase")


def test_computes_everything_for_ada(example: Example) -> None:
    done = run(example.handler.handler, ADA)
    identifier = done.result["prepared"].pop("id")
    assert len(identifier) == 36
    assert done.result == {
        "prepared": {
            "pair": ["Ada Lovelace", 3],
            "record_text": '{"name":"Ada Lovelace","tags":["vip","math","vip"]}',
            "record": {"name": "Ada Lovelace", "tags": ["vip", "math", "vip"]},
        },
        "strings": {
            "greeting": "Hello, Ada Lovelace! You have 3 tags.",
            "encoded": "QWRhIExvdmVsYWNl",
            "decoded": "Ada Lovelace",
            "hash": "76740216171591903cdbd18fbc770df447c5b1671005ca0020922a465bba0172",
            "words": ["Ada", "Lovelace"],
        },
        "arrays": {
            "partitions": [[10, 20], [30, 50]],
            "has_vip": True,
            "range": [1, 2, 3, 4],
            "first": 10,
            "length": 4,
            "unique_tags": ["vip", "math"],
        },
        "math": {"total": 110, "random": 332, "merged": {"name": "Ada Lovelace", "total": 110}},
        "verdict": "110 is high",
    }
    assert done.names() == ["PrepareData", "StringOperations", "ArrayOperations", "MathAndJsonOps", "HighTotal"]


def test_computes_everything_for_bob(example: Example) -> None:
    done = run(example.handler.handler, BOB)
    assert done.result["strings"]["greeting"] == "Hello, Bob! You have 0 tags."
    assert done.result["strings"]["encoded"] == "Qm9i"
    assert done.result["arrays"] == {
        "partitions": [[-1]],
        "has_vip": False,
        "range": [1],
        "first": -1,
        "length": 1,
        "unique_tags": [],
    }
    assert done.result["math"]["merged"] == {"name": "Bob", "total": -1}
    assert 1 <= done.result["math"]["random"] < 1000
    assert done.result["verdict"] == "-1 is low"
    assert done.names()[-1] == "LowTotal"


def test_a_replay_gives_back_what_was_random_and_fresh(example: Example) -> None:
    done = run(example.handler.handler, {**BOB, "wait_seconds": 60})
    invocations = [event for event in done.events if event["EventType"] == "InvocationCompleted"]
    assert len(invocations) == 2
    assert done.names("WaitStarted") == ["WaitBeforeChoice"]
    kept = [
        event["StepSucceededDetails"]["Result"]["Payload"]
        for event in done.events
        if event["EventType"] == "StepSucceeded"
    ]
    assert done.result["prepared"]["id"] in kept[0]
    assert f'"random":{{"t":"i","v":{done.result["math"]["random"]}}}' in kept[3]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": 1},
        {"tags": None},
        {"tags": [1]},
        {"numbers": []},
        {"numbers": ["1"]},
        {"numbers": [True]},
        {"numbers": [1.5]},
        {"seed": "x"},
        {"wait_seconds": -1},
        {"wait_seconds": "1"},
    ],
)
def test_refuses_a_bad_input(example: Example, change: dict[str, Any]) -> None:
    with pytest.raises(example.showcase.InvalidInputError):
        example.showcase.parse_input({**ADA, **change})


def test_a_bad_input_fails_the_execution_at_once(example: Example) -> None:
    done = run(example.handler.handler, [])
    assert (done.status, done.error_type) == ("FAILED", "InvalidInputError")
    assert done.attempts("PrepareData") == 1


def test_a_limit_of_the_language_fails_the_execution(example: Example) -> None:
    done = run(example.handler.handler, {**BOB, "numbers": [2**31 - 1, 1]})
    assert (done.status, done.error_type) == ("FAILED", "IntrinsicFailure")
    assert done.names()[-1] == "MathAndJsonOps"
