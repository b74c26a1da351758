"""intrinsic_showcase: the 18 intrinsic functions of the Amazon States Language, each value computed from the input."""

from __future__ import annotations

from typing import Any

import pytest

from harness.assertions import Capture, assert_that, between, including, regex
from harness.durable import DurableFunction, ExecutionResult

pytestmark = pytest.mark.integration

STEPS = ("PrepareData", "StringOperations", "ArrayOperations", "MathAndJsonOps")
UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

ADA = {"name": "Ada Lovelace", "tags": ["vip", "math", "vip"], "numbers": [10, 20, 30, 50]}
ADAS = {
    "prepared": {
        "id": regex(UUID4),
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
    "math": {"total": 110, "random": between(1, 999), "merged": {"name": "Ada Lovelace", "total": 110}},
    "verdict": "110 is high",
}

RENE = {"name": "René-Émile", "tags": [], "numbers": [-5, 0, 7]}
RENES = {
    "prepared": {
        "id": regex(UUID4),
        "pair": ["René-Émile", 0],
        "record_text": '{"name":"René-Émile","tags":[]}',
        "record": {"name": "René-Émile", "tags": []},
    },
    "strings": {
        "greeting": "Hello, René-Émile! You have 0 tags.",
        "encoded": "UmVuw6ktw4ltaWxl",
        "decoded": "René-Émile",
        "hash": "16fae2323e2682cc6c74218b0d18e1e4be9cf012c0c31c281fe7164aea2d7031",
        "words": ["René", "Émile"],
    },
    "arrays": {
        "partitions": [[-5, 0], [7]],
        "has_vip": False,
        "range": [1, 2, 3],
        "first": -5,
        "length": 3,
        "unique_tags": [],
    },
    "math": {"total": 2, "random": between(1, 999), "merged": {"name": "René-Émile", "total": 2}},
    "verdict": "2 is low",
}


def given(**changes: Any) -> dict[str, Any]:
    return ADA | changes


def execution(**changes: Any) -> pytest.MarkDecorator:
    return pytest.mark.execution(given(**changes))


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param(ADAS, id="ada", marks=pytest.mark.execution(ADA)),
        pytest.param(RENES, id="rene", marks=pytest.mark.execution(RENE)),
    ],
)
def test_every_value_is_computed_from_the_input(run: ExecutionResult, expected: dict[str, Any]) -> None:
    assert_that(run).succeeded(expected)


@pytest.mark.execution(ADA)
def test_the_steps_run_one_after_the_other_and_give_what_the_result_is_made_of(run: ExecutionResult) -> None:
    assert_that(run).ran_in_order(*STEPS, "HighTotal").waited()
    for step, key in zip(STEPS, ("prepared", "strings", "arrays", "math"), strict=True):
        assert_that(run).step(step).succeeded(run.result[key], attempts=1)
    assert_that(run).step("HighTotal").succeeded(run.result["verdict"], attempts=1)


@pytest.mark.parametrize(
    ("numbers", "arm", "other"),
    [
        pytest.param(numbers, arm, other, id=str(sum(numbers)), marks=execution(numbers=numbers))
        for numbers, arm, other in (([100], "LowTotal", "HighTotal"), ([100, 1], "HighTotal", "LowTotal"))
    ],
)
def test_a_total_over_100_goes_the_high_way(run: ExecutionResult, numbers: list[int], arm: str, other: str) -> None:
    verdict = f"{sum(numbers)} is {arm.removesuffix('Total').lower()}"

    assert_that(run).succeeded(including({"verdict": verdict})).never_ran(other).step(arm).succeeded(verdict)


@execution(wait_seconds=30)
def test_what_is_random_or_fresh_is_the_same_after_a_wait(run: ExecutionResult) -> None:
    uuid, random = Capture("UUID", regex(UUID4)), Capture("MathRandom", between(1, 999))

    # After the wait the handler has run from its top again: these steps gave back what the first run recorded.
    assert_that(run).ran_in_order(*STEPS, "WaitBeforeChoice", "HighTotal").waited(30)
    assert_that(run).step("PrepareData").succeeded(including({"id": uuid}), attempts=1)
    assert_that(run).step("MathAndJsonOps").succeeded(including({"random": random}), attempts=1)
    assert_that(run).succeeded(including({"prepared": including({"id": uuid}), "math": including({"random": random})}))
    assert len(run.history.by_type("InvocationCompleted")) >= 2


def test_a_seed_makes_the_random_number_the_same_in_every_execution(durable: DurableFunction) -> None:
    random = Capture("MathRandom", between(1, 999))
    first, second = durable.start(given(seed=7)), durable.start(given(seed=7))

    for running in (first, second):
        assert_that(running.wait()).succeeded(including({"math": including({"random": random})}))


def test_without_a_seed_random_numbers_and_ids_differ_from_execution_to_execution(durable: DurableFunction) -> None:
    runs = [running.wait() for running in [durable.start(ADA) for _ in range(4)]]

    assert len({run.result["prepared"]["id"] for run in runs}) == 4
    # Four times the same of 999 numbers comes once in a billion runs.
    assert len({run.result["math"]["random"] for run in runs}) > 1


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        pytest.param(step, complaint, id=test_id, marks=execution(**changes))
        for test_id, changes, step, complaint in (
            ("long-name", {"name": "a" * 10_001}, "StringOperations", "Base64Encode takes at most 10,000 characters"),
            (
                "long-in-base64",
                {"name": "a" * 7501},
                "StringOperations",
                "Base64Decode takes at most 10,000 characters",
            ),
            ("many-numbers", {"numbers": [0] * 1001}, "ArrayOperations", "ArrayRange gives at most 1000 numbers"),
            ("large-total", {"numbers": [2**31 - 1, 1]}, "MathAndJsonOps", "MathAdd takes and gives numbers"),
        )
    ],
)
def test_what_exceeds_a_limit_of_the_language_is_an_intrinsic_failure(
    run: ExecutionResult, step: str, complaint: str
) -> None:
    assert_that(run).failed("IntrinsicFailure", regex(f"^{complaint}")).never_ran("HighTotal", "LowTotal")
    assert_that(run).step(step).failed("IntrinsicFailure", attempts=1)


@execution(name="a" * 7500, numbers=[2**31 - 1] + [0] * 999)
def test_the_limits_themselves_are_within_the_language(run: ExecutionResult) -> None:
    assert_that(run).succeeded(including({"verdict": f"{2**31 - 1} is high"}))


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ([], "object"),
        ({}, "name"),
        (given(name=""), "name"),
        (given(tags="vip"), "tags"),
        (given(tags=[1]), "tags"),
        (given(numbers=[]), "numbers"),
        (given(numbers=[1.5]), "numbers"),
        (given(numbers=[True]), "numbers"),
        (given(seed="7"), "seed"),
        (given(wait_seconds=-1), "wait_seconds"),
    ],
    ids=["list", "empty", "no-name", "text-tags", "number-tag", "no-numbers", "fraction", "boolean", "text-seed",
         "negative-wait"],
)  # fmt: skip
def test_a_malformed_input_is_invalid_and_never_retried(
    durable: DurableFunction, payload: object, complaint: str
) -> None:
    run = durable.run(payload)

    assert_that(run).failed("InvalidInputError", regex(complaint)).never_ran(*STEPS[1:], "HighTotal", "LowTotal")
    assert_that(run).step("PrepareData").failed("InvalidInputError", attempts=1)


def test_the_logs_tell_of_each_step_once_across_a_wait_and_of_this_execution_only(durable: DurableFunction) -> None:
    other = durable.run(ADA)
    running = durable.start(given(wait_seconds=10))
    run = running.wait()

    expected = [f"Data {run.result['prepared']['id']} prepared", "Total 110 is high"]
    rows = running.logs(until=lambda rows: all(any(message in row.message for row in rows) for message in expected))

    told = [str(row.record["message"]) for row in rows if "prepared" in row.message or "is high" in row.message]
    assert sorted(told) == sorted(expected)
    assert not any(other.result["prepared"]["id"] in row.message for row in rows)
