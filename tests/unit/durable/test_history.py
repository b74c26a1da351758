from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aws_durable_execution_sdk_python.serdes import ExtendedTypeSerDes

from harness.durable import ErrorInfo, Execution, History
from tests.unit.durable.samples import ARN, EVENTS, NAME, START, event, got, step, succeeded


@pytest.fixture
def history() -> History:
    return History.of(EVENTS)


def test_it_is_a_sequence_of_events_oldest_first(history: History) -> None:
    assert len(history) == 15
    assert history[0].type == "ExecutionStarted"
    assert history[-1].type == "ExecutionFailed"
    assert history[:2].types == ("ExecutionStarted", "StepStarted")
    assert history == History.of(EVENTS)
    assert history != History.of(EVENTS[1:])


def test_events_are_found_by_name_and_type(history: History) -> None:
    assert [e.id for e in history.by_name("charge")] == [2, 3, 5, 6, 7, 8]
    assert [e.id for e in history.by_type("StepFailed", "ExecutionFailed")] == [3, 6, 14, 15]


def test_steps_come_in_the_order_in_which_they_started(history: History) -> None:
    assert [(s.name, s.status) for s in history.steps()] == [("charge", "SUCCEEDED"), ("ship", "FAILED")]
    assert [o.kind for o in history.operations()] == ["Step", "Context", "Callback", "Step"]


def test_attempts_have_their_outcome_and_the_delay_that_follows(history: History) -> None:
    attempts = history.attempts("charge")
    assert [(a.number, a.status, a.next_delay) for a in attempts] == [
        (1, "FAILED", 5.0),
        (2, "FAILED", 10.0),
        (3, "SUCCEEDED", None),
    ]
    assert attempts[0].error == ErrorInfo("CardError", "hunter2")
    assert attempts[2].error is None
    assert attempts[1].started == START + timedelta(seconds=7)
    assert attempts[1].ended == START + timedelta(seconds=8)


def test_a_last_failure_has_no_next_delay(history: History) -> None:
    (attempt,) = history.attempts("ship")
    assert (attempt.status, attempt.next_delay) == ("FAILED", None)
    assert history.operation("ship").error == ErrorInfo("ShipError", "hunter2")


def test_an_attempt_that_runs_is_told() -> None:
    history = History.of(EVENTS[:5])
    assert [(a.number, a.status, a.ended) for a in history.attempts("charge")][1] == (2, "STARTED", None)
    assert history.operation("charge").status == "STARTED"


def test_a_step_that_waits_for_its_retry_has_not_ended() -> None:
    charge = History.of(EVENTS[:3]).operation("charge")
    assert (charge.status, charge.ended, charge.error) == ("STARTED", None, None)


def test_a_wait_for_a_condition_goes_on_while_it_has_a_next_delay() -> None:
    checked: dict[str, Any] = {"Result": {}, "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 3}}
    events = [step(1, "StepStarted", 0, "ready"), step(2, "StepSucceeded", 0, "ready", **checked)]
    assert History.of(events).operation("ready").status == "STARTED"
    events += [step(3, "StepStarted", 3, "ready"), step(4, "StepSucceeded", 3, "ready", **succeeded(2, 2))]
    ready = History.of(events).operation("ready")
    assert (ready.status, ready.result) == ("SUCCEEDED", 2)
    assert [a.next_delay for a in ready.attempts] == [3.0, None]


def test_a_result_reads_as_the_step_returned_it(history: History) -> None:
    assert history.operation("charge").result == {"paid": Decimal("9.50")}


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [1, 2.5, True, [None]],
        {"t": "not an envelope", "v": [1, {"deep": (1, "2")}]},
        {"when": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\x00\xff", "day": START.date()},
    ],
)
def test_the_sdks_envelope_is_taken_off_whatever_it_holds(value: object) -> None:
    payload = ExtendedTypeSerDes().serialize(value)  # type: ignore[no-untyped-call]
    history = History.of([step(1, "StepSucceeded", 0, "s", Result={"Payload": payload})])
    assert history.operation("s").result == value


def test_a_callbacks_answer_that_is_no_json_stays_text(history: History) -> None:
    assert history.operation("approval create callback id").result == "yes, go"


def test_a_callback_is_found_by_its_own_name_and_by_the_wait_around_it(history: History) -> None:
    by_wait, by_own = history.callback("approval"), history.callback("approval create callback id")
    assert by_wait is not None
    assert by_wait == by_own
    assert by_wait.callback_id == "Y2I="
    assert history.callback("nobody's") is None


def test_open_callbacks_are_those_without_an_answer(history: History) -> None:
    assert history.open_callbacks() == ()
    assert [c.callback_id for c in History.of(EVENTS[:10]).open_callbacks()] == ["Y2I="]


def test_children_are_the_operations_directly_inside(history: History) -> None:
    context = history.operation("approval")
    assert [child.name for child in history.children(context)] == ["approval create callback id"]


def test_an_unknown_name_is_told_with_those_there_are(history: History) -> None:
    with pytest.raises(LookupError, match="no operation is named 'chrage'; there are: 'charge', 'approval'"):
        history.attempts("chrage")


def test_a_name_that_several_operations_have_is_ambiguous() -> None:
    history = History.of([step(n, "StepStarted", n, "item", operation=f"op{n}") for n in (1, 2, 3)])
    with pytest.raises(LookupError, match="3 operations are named 'item'; take operations"):
        history.operation("item")
    assert len(history.operations(name="item")) == 3


def test_an_event_type_of_the_future_is_kept() -> None:
    history = History.of([event(1, "QuantumEntangled", 0, Id="q")])
    assert (history[0].kind, history[0].status) == ("QuantumEntangled", "")
    assert "QuantumEntangled" in history.timeline()


def test_the_timeline_tells_times_nesting_errors_and_delays_but_no_payloads(history: History) -> None:
    timeline = history.timeline()
    lines = timeline.splitlines()
    assert lines[2] == "    2.000 s  #3 StepFailed 'charge' (CardError) attempt 1, next in 5 s"
    assert lines[9] == "   21.000 s    #10 CallbackStarted 'approval create callback id'"
    assert len(lines) == 15
    assert "hunter2" not in timeline + repr(history) + repr(history[0])
    assert history.timeline(last=2).splitlines() == lines[-2:]
    assert History(()).timeline() == "(no events)"


def test_a_history_that_names_an_operation_its_own_ancestor_still_has_a_timeline() -> None:
    looped = event(1, "ContextStarted", 0, Id="a", ParentId="a", Name="loop")
    assert "loop" in History.of([looped]).timeline()


class TestExecution:
    def test_it_reads_what_the_get_call_answers(self) -> None:
        execution = Execution.of(got("SUCCEEDED", InputPayload='{"a": 1}', Result="[2]"))
        assert (execution.arn, execution.name, execution.version) == (ARN, NAME, "3")
        assert (execution.input, execution.result, execution.error) == ({"a": 1}, [2], None)
        assert (execution.succeeded, execution.is_terminal, execution.seconds) == (True, True, 42.0)

    def test_it_reads_an_item_of_the_list_call_with_the_version_from_the_arn(self) -> None:
        members = got("RUNNING")
        del members["Version"]
        execution = Execution.of(members)
        assert (execution.version, execution.is_terminal, execution.seconds) == ("3", False, None)
        assert (execution.input, execution.result) == (None, None)

    def test_its_error_has_type_message_data_and_trace(self) -> None:
        told = {"ErrorType": "E", "ErrorMessage": "m", "ErrorData": "d", "StackTrace": ["a", "b"]}
        execution = Execution.of(got("FAILED", Error=told))
        assert execution.error == ErrorInfo("E", "m", "d", ("a", "b"))
        assert execution.error.to_boto() == told
        assert str(execution.error) == "E: m"

    def test_payloads_are_not_shown(self) -> None:
        execution = Execution.of(got("SUCCEEDED", InputPayload=json.dumps("hunter2"), Result='"hunter2"'))
        assert execution.input == "hunter2"
        assert "hunter2" not in repr(execution)

    @pytest.mark.parametrize("status", ["RUNNING", "PAUSING", "PAUSED", "DELETING", "BRAND_NEW"])
    def test_only_the_four_are_terminal(self, status: str) -> None:
        assert not Execution.of(got(status)).is_terminal
