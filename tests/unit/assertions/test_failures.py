"""What a failed assertion shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.assertions import assert_that, timeline_table
from harness.durable import History
from tests.unit.assertions.support import Story, error_details, failure, result_details


def test_a_failure_shows_expectation_finding_and_timeline() -> None:
    result = Story().step("ValidateOrder", failures=[("ValidationTimeout", 2)]).succeeded()

    error = failure(lambda: assert_that(result).step("ValidateOrder").succeeded(attempts=3, delays=[2, 4]))

    assert str(error) == (
        """\
expected: step 'ValidateOrder' has attempts 3
found:    attempts: expected 3, found 2
execution order-1 (SUCCEEDED):
     time  event               name           attempt  delay  error
  +0.000s  ExecutionStarted
  +1.000s  StepStarted         ValidateOrder
  +2.000s  StepFailed          ValidateOrder  1        2s     ValidationTimeout
  +3.000s  StepStarted         ValidateOrder
  +4.000s  StepSucceeded       ValidateOrder  2
  +5.000s  ExecutionSucceeded"""
    )


def test_a_failure_is_an_assertion_error() -> None:
    with pytest.raises(AssertionError):
        assert_that(Story().succeeded()).failed()


def test_a_failure_names_the_execution_s_error() -> None:
    error = failure(lambda: assert_that(Story().failed("Boom")).step("A").succeeded())

    assert "execution order-1 (FAILED, Boom):" in str(error)


def test_a_failure_without_history_says_so() -> None:
    error = failure(lambda: assert_that(Story().succeeded().execution).failed())

    assert error.timeline == "  (no history was given)"


def test_names_are_indented_below_what_they_are_part_of() -> None:
    table = timeline_table(Story().branches("Parallel", "A").history)

    assert "  Fork" in table
    assert "      A" in table


def test_an_error_without_a_type_is_still_shown() -> None:
    story = Story().tell("StepFailed", "A", operation_id="a", Error={"Payload": {"ErrorMessage": "secret"}})

    assert timeline_table(story.history).splitlines()[-1].endswith("(no type)")


def test_payloads_and_error_messages_stay_out_of_the_timeline() -> None:
    story = Story().step("A", result="hunter2")
    story.tell("StepFailed", "B", operation_id="b", **error_details("E", "hunter2"))
    story.tell("ContextSucceeded", "C", operation_id="c", **result_details("hunter2"))

    assert "hunter2" not in timeline_table(story.history)


def test_a_long_history_is_shortened_in_the_middle() -> None:
    story = Story()
    for number in range(100):
        story.step(f"Step{number}")

    lines = timeline_table(story.history, most=10).splitlines()

    assert len(lines) == 12
    assert lines[6] == "  ... 191 events left out ..."
    assert "Step99" in lines[-1]
    assert "ExecutionStarted" in lines[1]


def test_an_empty_history_has_an_empty_table() -> None:
    assert timeline_table(History(())) == "  (no events)"


def test_parents_that_go_in_a_circle_do_no_harm() -> None:
    story = Story().tell("ContextStarted", "A", operation_id="a", parent="b")
    story.tell("ContextStarted", "B", operation_id="b", parent="a")

    assert "A" in timeline_table(story.history)


def test_the_traceback_that_pytest_shows_ends_in_the_test() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_that(Story().step("A").succeeded()).step("A").succeeded(attempts=2)

    assert [Path(entry.path) for entry in caught.traceback.filter(caught)] == [Path(__file__)]
