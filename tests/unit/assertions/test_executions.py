"""Assertions on an execution as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from harness.assertions import Capture, assert_that, between, including, regex
from harness.durable import ErrorInfo
from tests.unit.assertions.support import Story, failure


def test_a_success_is_asserted_with_its_result() -> None:
    result = Story().succeeded({"status": "ok", "total": 3})

    assert_that(result).succeeded().succeeded({"status": "ok", "total": 3}).succeeded(including({"status": "ok"}))


def test_another_result_is_told_by_its_path() -> None:
    error = failure(lambda: assert_that(Story().succeeded({"a": {"b": 1}})).succeeded({"a": {"b": 2}}))

    assert error.found == "result.a.b: expected 2, found 1"


def test_a_result_of_none_can_be_expected() -> None:
    assert_that(Story().succeeded(None)).succeeded(None)
    assert failure(lambda: assert_that(Story().succeeded(1)).succeeded(None)).found == "result: expected None, found 1"


def test_a_failure_is_asserted_with_error_type_and_message() -> None:
    result = Story().failed("InvalidOrderError", "total is 'abc'")

    assert_that(result).failed().failed("InvalidOrderError").failed(regex("Order"), message=regex("^total"))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("OtherError",), "error type: expected 'OtherError', found 'InvalidOrderError'"),
        ((None, "no"), "error message: expected 'no', found 'bad total'"),
    ],
)
def test_another_error_is_told(arguments: tuple[Any, ...], found: str) -> None:
    result = Story().failed("InvalidOrderError", "bad total")

    assert failure(lambda: assert_that(result).failed(*arguments)).found == found


def test_a_failed_execution_has_not_succeeded_and_the_error_is_told() -> None:
    error = failure(lambda: assert_that(Story().failed("Boom", "at last")).succeeded())

    assert error.expected == "the execution ended as SUCCEEDED"
    assert error.found == "it is FAILED with Boom: at last"


def test_a_timeout_is_asserted() -> None:
    result = Story().ended("TIMED_OUT")

    assert_that(result).timed_out()
    assert failure(lambda: assert_that(result).failed()).found == "it is TIMED_OUT"


def test_a_stop_is_asserted_with_its_error() -> None:
    result = Story().ended("STOPPED", ErrorInfo("Aborted", "by the test"))

    assert_that(result).stopped("Aborted", "by the test")
    assert (
        failure(lambda: assert_that(result).stopped("Other")).found == "error type: expected 'Other', found 'Aborted'"
    )


def test_an_execution_alone_has_status_and_result() -> None:
    assert_that(Story().succeeded(5).execution).succeeded(5)


def test_an_execution_alone_has_no_history_to_assert_on() -> None:
    execution = Story().succeeded().execution

    with pytest.raises(TypeError, match="needs the history"):
        assert_that(execution).step("A")


def test_a_history_alone_tells_how_the_execution_ended() -> None:
    assert_that(Story().succeeded([1]).history).succeeded([1])
    assert_that(Story().failed("Boom").history).failed("Boom")


def test_a_history_that_has_not_ended_is_running() -> None:
    assert failure(lambda: assert_that(Story().history).succeeded()).found == "it is RUNNING"


def test_an_error_that_the_execution_was_read_without_comes_from_the_history() -> None:
    story = Story().step("A", error="Boom").failed("Boom").history

    assert_that(story).failed("Boom")


def test_anything_else_is_refused() -> None:
    target: Any = {"Status": "SUCCEEDED"}

    with pytest.raises(TypeError, match="not dict"):
        assert_that(target)


def test_operations_that_never_ran_are_asserted_by_name() -> None:
    result = Story().step("A").succeeded()

    assert_that(result).never_ran("B", "C")
    assert failure(lambda: assert_that(result).never_ran("B", "A")).expected == "operation 'A' never ran"


def test_all_waits_are_asserted_by_their_length_in_order() -> None:
    result = Story().wait(5).wait(5, "Named").wait(10).succeeded()

    assert_that(result).waited(5, 5, between(9, 11))


def test_a_wait_too_many_is_told() -> None:
    error = failure(lambda: assert_that(Story().wait(5).wait(5).succeeded()).waited(5))

    assert error.found == "waited [5.0, 5.0] seconds (waits: expected 1 items, found 2: [5.0, 5.0])"


def test_a_cancelled_wait_does_not_count() -> None:
    assert_that(Story().wait(5, status="Cancelled").succeeded()).waited()


def test_order_is_asserted_with_others_in_between() -> None:
    assert_that(Story().step("A").step("X").wait(5, "W").step("B").succeeded()).ran_in_order("A", "W", "B")


def test_order_knows_repetitions() -> None:
    result = Story().step("Check").step("Wait").step("Check").succeeded()

    assert_that(result).ran_in_order("Check", "Wait", "Check")
    assert "'Check' didn't start after the end of 'Check'" in (
        failure(lambda: assert_that(result).ran_in_order("Check", "Check", "Check")).found
    )


def test_the_wrong_order_is_told() -> None:
    error = failure(lambda: assert_that(Story().step("B").step("A").succeeded()).ran_in_order("A", "B"))

    assert error.expected == "'A', 'B' ran in this order"
    assert error.found == "'B' didn't start after the end of 'A'; they started in the order 'B', 'A'"


def test_what_overlaps_is_in_no_order() -> None:
    story = Story()
    for event_type, name in [
        ("StepStarted", "A"),
        ("StepStarted", "B"),
        ("StepSucceeded", "A"),
        ("StepSucceeded", "B"),
    ]:
        story.tell(event_type, name, operation_id=name)

    assert "didn't start after the end" in failure(lambda: assert_that(story.history).ran_in_order("A", "B")).found


def test_what_never_ended_is_before_nothing() -> None:
    story = Story().tell("StepStarted", "A", operation_id="a").step("B")

    assert "'B' didn't start" in failure(lambda: assert_that(story.history).ran_in_order("A", "B")).found
    assert_that(story.history).ran_in_order("A")


def test_a_name_that_never_ran_has_no_place_in_the_order() -> None:
    assert "'B' never ran" in failure(lambda: assert_that(Story().step("A").succeeded()).ran_in_order("A", "B")).found


@pytest.mark.parametrize("sub_type", ["Parallel", "Map"])
def test_branches_of_one_fork_ran_in_parallel_however_they_were_recorded(sub_type: str) -> None:
    assert_that(Story().branches(sub_type, "A", "B", "C").succeeded()).ran_in_parallel("A", "B", "C")


def test_what_overlaps_ran_in_parallel() -> None:
    story = Story().tell("StepStarted", "A", operation_id="a").step("B").tell("StepSucceeded", "A", operation_id="a")

    assert_that(story.history).ran_in_parallel("A", "B")


def test_what_ran_one_after_the_other_did_not_run_in_parallel() -> None:
    error = failure(lambda: assert_that(Story().step("A").step("B").succeeded()).ran_in_parallel("A", "B"))

    assert error.found == "'A' and 'B' ran one after the other"


def test_two_steps_of_one_branch_did_not_run_in_parallel() -> None:
    story = Story().tell("ContextStarted", "P", operation_id="p", sub_type="Parallel")
    story.tell("ContextStarted", operation_id="b", parent="p", sub_type="ParallelBranch")
    story.step("A", parent="b").step("B", parent="b")

    failure(lambda: assert_that(story.history).ran_in_parallel("A", "B"))


def test_a_context_does_not_run_in_parallel_to_its_own_steps() -> None:
    result = Story().branches("Parallel", "A").succeeded()

    failure(lambda: assert_that(result).ran_in_parallel("Fork", "A"))


def test_a_name_that_never_ran_did_not_run_in_parallel() -> None:
    assert (
        failure(lambda: assert_that(Story().step("A").succeeded()).ran_in_parallel("A", "B")).found == "'B' never ran"
    )


def _overlapping(at_once: int) -> Story:
    story = Story()
    for number in range(at_once):
        story.tell("StepStarted", "Item", operation_id=f"i{number}")
    for number in range(at_once):
        story.tell("StepSucceeded", "Item", operation_id=f"i{number}")
    return story.step("Item")


def test_the_concurrency_of_a_map_is_asserted() -> None:
    assert_that(_overlapping(3).history).ran_at_once("Item", at_most=3)
    error = failure(lambda: assert_that(_overlapping(3).history).ran_at_once("Item", at_most=2))
    assert error.found == "3 did"


def test_concurrency_of_what_never_ran_is_a_failure() -> None:
    assert failure(lambda: assert_that(Story().succeeded()).ran_at_once("Item", at_most=2)).found == "it never ran"


def test_a_capture_joins_the_result_and_a_step() -> None:
    result = Story().step("SubmitRequest", result={"requestId": "r-7"}).succeeded({"id": "r-7"})
    request_id = Capture("request id")

    assert_that(result).step("SubmitRequest").succeeded({"requestId": request_id})
    assert_that(result).succeeded({"id": request_id})
    assert request_id.value == "r-7"
