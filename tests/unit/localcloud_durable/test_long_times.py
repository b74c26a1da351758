"""Hours pass in seconds, and whatever waits for its moment meets it, in whatever order the moments were set."""

from __future__ import annotations

import random
from typing import Any

import pytest
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration, JitterStrategy, MapConfig, StepConfig
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy

from .support import Stage, events

DAY = 86_400


def test_an_hours_wait_with_a_days_timeout_ends(compressed: Stage) -> None:
    compressed.functions.add_durable("f", lambda _event, context: context.wait(Duration.from_hours(1)), timeout=DAY)
    described, history = compressed.run("f")
    assert described["Status"] == "SUCCEEDED"
    assert events(history, "WaitStarted")[0]["WaitStartedDetails"]["Duration"] == 3600


def test_a_days_wait_with_an_hours_timeout_times_out(compressed: Stage) -> None:
    compressed.functions.add_durable("f", lambda _event, context: context.wait(Duration.from_days(1)), timeout=3600)
    assert compressed.run("f")[0]["Status"] == "TIMED_OUT"


@pytest.mark.parametrize("seed", range(2))
def test_waits_of_one_execution_end_in_the_order_of_their_moments(compressed: Stage, seed: int) -> None:
    minutes = [10 * number for number in range(1, 11)]
    random.Random(seed).shuffle(minutes)

    def handler(event: list[int], context: Any) -> Any:
        def branch(child: Any, item: int, *_: Any) -> int:
            child.wait(Duration.from_minutes(item), name=f"{item}")
            return item

        return context.map(event, branch, config=MapConfig()).get_results()

    compressed.functions.add_durable("f", handler)
    arn = compressed.start("f", minutes)
    assert compressed.finish(arn)["Status"] == "SUCCEEDED"
    ended = [int(event["Name"]) for event in events(compressed.history(arn), "WaitSucceeded")]
    assert ended == sorted(minutes)


@pytest.mark.parametrize(
    "order", [("wait", "callback", "retry"), ("callback", "retry", "wait"), ("retry", "wait", "callback")]
)
def test_timers_of_different_kinds_meet_their_moments_in_any_order(
    compressed: Stage, order: tuple[str, str, str]
) -> None:
    """Each kind has its turn at being the first, the second and the last to be due."""
    seconds = {kind: 2400 * place for place, kind in enumerate(order, 1)}
    strategy = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=2,
            initial_delay=Duration.from_seconds(seconds["retry"]),
            max_delay=Duration.from_days(1),
            jitter_strategy=JitterStrategy.NONE,
        )
    )

    def fails_once(step: Any) -> str:
        if step.attempt == 1:
            raise ValueError("the first attempt fails")
        return "retried"

    def times_out(child: Any) -> str:
        config = CallbackConfig(timeout=Duration.from_seconds(seconds["callback"]))
        try:
            child.create_callback(config=config).result()
        except Exception:  # noqa: BLE001 - what it is called is not the point
            return "timed out"
        return "completed"

    def handler(_event: Any, context: Any) -> Any:
        branches = [
            lambda child: child.wait(Duration.from_seconds(seconds["wait"])),
            times_out,
            lambda child: child.step(fails_once, config=StepConfig(retry_strategy=strategy)),
        ]
        return context.parallel(branches).get_results()

    compressed.functions.add_durable("f", handler)
    described, history = compressed.run("f")
    assert described["Status"] == "SUCCEEDED"
    kinds = {"WaitSucceeded": "wait", "CallbackTimedOut": "callback", "StepSucceeded": "retry"}
    assert [kinds[event["EventType"]] for event in history if event["EventType"] in kinds] == list(order)


def test_executions_end_in_the_order_of_their_moments_however_they_were_started(compressed: Stage) -> None:
    compressed.functions.add_durable("f", lambda event, context: context.wait(Duration.from_minutes(event)))
    minutes = [20 * number for number in range(1, 9)]
    started = random.Random(1).sample(minutes, len(minutes))
    arns = {wait: compressed.start("f", wait) for wait in started}
    ends = {}
    for wait, arn in arns.items():
        assert compressed.finish(arn)["Status"] == "SUCCEEDED"
        ends[wait] = events(compressed.history(arn), "WaitSucceeded")[0]["EventTimestamp"]
    assert sorted(minutes, key=lambda wait: ends[wait]) == minutes
