"""Assertions on steps, waits, callbacks, contexts and invokes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.assertions import ANY, assert_that, between, including, regex
from tests.unit.assertions.support import Story, error_details, failure, result_details

RETRIED = (("ValidationTimeout", 2), ("ValidationTimeout", 4))


def test_a_step_succeeded_with_a_result() -> None:
    assert_that(Story().step("A", result={"x": [1, 2]}).succeeded()).step("A").succeeded({"x": [1, ANY]})


def test_the_sdk_s_envelope_is_not_part_of_a_result() -> None:
    assert_that(Story().step("A", result={"t": "m", "v": {"x": 1}}).succeeded()).step("A").succeeded({"x": 1})


def test_a_step_took_attempts_with_delays_and_errors() -> None:
    result = Story().step("ValidateOrder", failures=RETRIED).succeeded()

    assert_that(result).step("ValidateOrder").succeeded(attempts=3, delays=[2, 4], errors=["ValidationTimeout"] * 2)


def test_delays_may_be_ranges() -> None:
    result = Story().step("A", failures=RETRIED).succeeded()

    assert_that(result).step("A").succeeded(delays=[between(0, 2), between(0, 4)])


def test_a_step_without_retries_has_one_attempt_and_no_delays() -> None:
    assert_that(Story().step("A").succeeded()).step("A").succeeded(attempts=1, delays=[], errors=[])


def test_a_retry_without_delay_counts_as_a_delay_of_0() -> None:
    assert_that(Story().step("A", failures=[("E", 0)]).succeeded()).step("A").succeeded(attempts=2, delays=[0])


@pytest.mark.parametrize(
    ("arguments", "expected", "found"),
    [
        ({"attempts": 2}, "step 'A' has attempts 2", "attempts: expected 2, found 3"),
        ({"delays": [2, 5]}, "step 'A' has delays [2, 5]", "delays[1]: expected 5, found 4.0"),
        ({"delays": [2]}, "step 'A' has delays [2]", "delays: expected 1 items, found 2: [2.0, 4.0]"),
        (
            {"errors": ["X", ANY]},
            "step 'A' has errors ['X', ANY]",
            "errors[0]: expected 'X', found 'ValidationTimeout'",
        ),
        ({"result": 2}, "step 'A' has result 2", "result: expected 2, found 1"),
    ],
)
def test_what_differs_is_told(arguments: dict[str, Any], expected: str, found: str) -> None:
    result = Story().step("A", failures=RETRIED, result=1).succeeded()

    error = failure(lambda: assert_that(result).step("A").succeeded(**arguments))

    assert (error.expected, error.found) == (expected, found)


def test_a_step_failed_for_good_with_its_error() -> None:
    result = Story().step("Pay", failures=[("Declined", 1)], error="Declined").failed("Declined")

    step = assert_that(result).step("Pay")
    step.failed("Declined", regex("happened"), attempts=2, delays=[1], errors=["Declined", "Declined"])


def test_another_error_is_told() -> None:
    result = Story().step("Pay", error="Declined").failed("Declined")

    assert failure(lambda: assert_that(result).step("Pay").failed("Other")).found == (
        "error type: expected 'Other', found 'Declined'"
    )


def test_a_failed_step_has_not_succeeded() -> None:
    result = Story().step("Pay", error="Declined").failed("Declined")

    error = failure(lambda: assert_that(result).step("Pay").succeeded())

    assert error.expected == "step 'Pay' ended as SUCCEEDED"
    assert error.found == "it is FAILED with Declined: Declined happened"


def test_a_step_that_failed_and_recovered_has_not_failed() -> None:
    result = Story().step("A", failures=RETRIED).succeeded()

    assert failure(lambda: assert_that(result).step("A").failed()).found == "it is SUCCEEDED"


def test_a_step_between_two_attempts_is_open() -> None:
    retry = {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 5}
    story = Story().tell("StepStarted", "A", operation_id="a")
    story.tell("StepFailed", "A", operation_id="a", **error_details("E"), RetryDetails=retry)

    assert_that(story.history).step("A").is_open()
    assert failure(lambda: assert_that(story.history).step("A").failed()).found == "it is STARTED"


def test_a_step_that_is_not_there_is_told_with_those_that_are() -> None:
    result = Story().step("A").step("B").step("A").wait(1, "W").succeeded()

    error = failure(lambda: assert_that(result).step("C").succeeded())

    assert error.found == "no such operation; there are: 'A', 'B'"


def test_a_wait_is_not_a_step() -> None:
    assert_that(Story().wait(1, "W").succeeded()).step("W").never_ran()


def test_a_step_never_ran() -> None:
    result = Story().step("A").succeeded()

    assert_that(result).step("B").never_ran()
    assert failure(lambda: assert_that(result).step("A").never_ran()).found == "it ran, and is SUCCEEDED"


def test_a_step_ran_however_it_ended_and_so_often() -> None:
    result = Story().step("A").step("A", error="E").failed("E")

    assert_that(result).step("A").ran().ran(2).ran(between(1, 3))
    assert failure(lambda: assert_that(result).step("A").ran(3)).found == "it ran 2 times"
    assert "no such operation" in failure(lambda: assert_that(result).step("B").ran()).found


def test_one_of_several_must_be_chosen() -> None:
    result = Story().step("A").step("A", error="E").failed("E")

    error = failure(lambda: assert_that(result).step("A").succeeded())

    assert error.found == (
        "there are 2 of that name, 1 SUCCEEDED, 1 FAILED: say which with nth=..., or mean all of them with each_..."
    )


def test_one_of_several_is_chosen_by_its_number() -> None:
    result = Story().step("A").step("A", error="E").failed("E")

    assert_that(result).step("A", nth=0).succeeded()
    assert_that(result).step("A", nth=-1).failed("E")


@pytest.mark.parametrize("nth", [2, -3])
def test_a_number_beyond_the_last_is_no_operation(nth: int) -> None:
    result = Story().step("A").step("A").succeeded()

    error = failure(lambda: assert_that(result).step("A", nth=nth).succeeded())

    assert error.expected == f"step 'A' (nth={nth} of 2) ended as SUCCEEDED"


def test_each_step_of_a_map_is_asserted_at_once() -> None:
    result = Story().branches("Map", "Item", "Item", "Item").succeeded()

    assert_that(result).each_step("Item", count=3).succeeded(attempts=1)


def test_the_one_of_each_that_differs_is_told_by_its_number() -> None:
    result = Story().step("Item").step("Item", error="Bad").step("Item").succeeded()

    assert failure(lambda: assert_that(result).each_step("Item").succeeded()).found == (
        "number 1 of them: it is FAILED with Bad: Bad happened"
    )


def test_each_of_none_is_a_failure() -> None:
    assert "no such operation" in failure(lambda: assert_that(Story().succeeded()).each_step("Item")).found


def test_each_must_be_as_many_as_expected() -> None:
    result = Story().step("Item").succeeded()

    assert failure(lambda: assert_that(result).each_step("Item", count=6)).expected == "each step 'Item' ran 6 times"


def test_a_wait_waited_as_long_as_the_function_asked() -> None:
    result = Story().wait(3600, "CoolDown").succeeded()

    assert_that(result).wait("CoolDown").waited(3600)
    assert failure(lambda: assert_that(result).wait("CoolDown").waited(5)).found == "seconds: expected 5, found 3600.0"


def test_a_wait_was_cancelled() -> None:
    assert_that(Story().wait(5, "W", status="Cancelled").succeeded()).wait("W").cancelled()


def test_a_callback_is_found_by_the_name_of_its_wait_for_callback() -> None:
    result = Story().callback("AwaitDecision", "Succeeded", **result_details({"approved": True})).succeeded()

    assert_that(result).callback("AwaitDecision").succeeded(including({"approved": True}))


def test_a_callback_is_found_by_its_own_name() -> None:
    story = Story().tell("CallbackStarted", "Signal", operation_id="c", CallbackId="id")

    assert_that(story.history).callback("Signal").is_open()


def test_a_callback_failed_with_the_approver_s_error() -> None:
    result = Story().callback("AwaitDecision", "Failed", **error_details("Rejected", "no")).failed("Rejected")

    assert_that(result).callback("AwaitDecision").failed("Rejected", "no")


def test_a_callback_timed_out() -> None:
    result = Story().callback("AwaitDecision", "TimedOut", **error_details("Callback.Timeout")).succeeded()

    assert_that(result).callback("AwaitDecision").timed_out()


def test_a_callback_that_is_not_there_is_told_with_those_that_are() -> None:
    result = Story().callback("AwaitDecision", "TimedOut").succeeded()

    error = failure(lambda: assert_that(result).callback("Other").timed_out())

    assert error.found == "no such operation; there are: 'AwaitDecision'"


def test_a_context_succeeded() -> None:
    assert_that(Story().branches("Parallel", "A", "B").succeeded()).context("Fork").succeeded()


@pytest.mark.parametrize(
    ("end", "check"), [("TimedOut", "timed_out"), ("Stopped", "stopped"), ("Succeeded", "succeeded")]
)
def test_an_invoke_ended(end: str, check: str) -> None:
    story = Story().tell("ChainedInvokeStarted", "Child", operation_id="i")
    story.tell(f"ChainedInvoke{end}", "Child", operation_id="i")

    getattr(assert_that(story.history).invoke("Child"), check)()


def test_any_kind_of_operation_is_found_by_name() -> None:
    result = Story().wait(5, "W").step("W").succeeded()

    assert_that(result).operation("W", kind="Wait").waited(5)
    assert len(assert_that(result).operation("W").operations) == 2
