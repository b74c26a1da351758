"""Replaying recorded executions: what is the same passes, what differs is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.replay import ReplayError, ReplayReport, check_replay, replay

from .records import Record, function

TWO_STEPS = """
@durable_execution
def handler(event, context):
    first = context.step(lambda _: event["n"] + 1, name="First")
    context.wait(Duration.from_seconds(60), name="Pause")
    return context.step(lambda _: first * 2, name="Second")
"""


def two_steps(*, result: int = 4) -> Record:
    return Record({"n": 1}).step("First", 2).wait("Pause").step("Second", result)


def test_a_deterministic_handler_comes_to_the_same(tmp_path: Path) -> None:
    report = check_replay(function(tmp_path, TWO_STEPS), "handler.handler", *two_steps().ends(4))

    assert report.same
    assert report.operations == 3
    assert {(site.method, site.name) for site in report.sites} == {
        ("step", "First"),
        ("wait", "Pause"),
        ("step", "Second"),
    }


def test_what_steps_returned_is_given_back_and_not_computed_again(tmp_path: Path) -> None:
    # 99 is not what the step's body would return.
    check_replay(function(tmp_path, TWO_STEPS), "handler.handler", *two_steps(result=99).ends(99))


def problem_of(folder: Path, ended: tuple[object, object]) -> str:
    with pytest.raises(AssertionError) as raised:
        check_replay(folder, "handler.handler", *ended)  # type: ignore[arg-type]
    return str(raised.value)


def test_another_name_is_the_first_operation_that_differs(tmp_path: Path) -> None:
    code = TWO_STEPS.replace('name="Second"', 'name=f"Second-{uuid.uuid4()}"')

    problem = problem_of(function(tmp_path, code), two_steps().ends(4))

    assert "STEP 'Second-" in problem
    assert "at handler.py:" in problem
    assert "comes where the history has STEP 'Second'" in problem
    assert "into a step" in problem


def test_another_order_is_found(tmp_path: Path) -> None:
    swapped = Record({"n": 1}).wait("Pause").step("First", 2).step("Second", 4)

    problem = problem_of(function(tmp_path, TWO_STEPS), swapped.ends(4))

    assert "STEP 'First'" in problem
    assert "history has WAIT 'Pause'" in problem


def test_a_step_that_the_history_lacks_is_found_and_its_body_not_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    code = f"""
@durable_execution
def handler(event, context):
    context.step(lambda _: 1, name="Known", config=NO_RETRY)
    return context.step(lambda _: open({str(touched)!r}, "w").close(), name="Unknown", config=NO_RETRY)
"""
    problem = problem_of(function(tmp_path / "f", code), Record().step("Known", 1).ends(None))

    assert "STEP 'Unknown'" in problem
    assert "is not in the history" in problem
    assert not touched.exists()


def test_a_wait_that_the_history_lacks_is_found(tmp_path: Path) -> None:
    problem = problem_of(function(tmp_path, TWO_STEPS), Record({"n": 1}).step("First", 2).ends(4))

    assert "WAIT 'Pause'" in problem
    assert "is not in the history" in problem


def test_an_operation_that_the_handler_no_longer_asks_for_is_found(tmp_path: Path) -> None:
    problem = problem_of(function(tmp_path, TWO_STEPS), two_steps().step("Third", 1).ends(4))

    assert "STEP 'Third' is in the history, but the handler never came to it" in problem


def test_another_result_is_found_and_not_shown(tmp_path: Path) -> None:
    code = TWO_STEPS.replace("return context.step", "return random.random() + context.step")

    problem = problem_of(function(tmp_path, code), two_steps().ends(4))

    assert "the execution has another result than in the history" in problem


def test_a_failed_step_fails_again_and_the_catch_decides_as_it_did(tmp_path: Path) -> None:
    code = """
@durable_execution
def handler(event, context):
    try:
        return context.step(lambda _: 1, name="Main")
    except StepError as error:
        if error.error_type != "Down":
            raise ValueError(error.message)
        return context.step(lambda _: 2, name="Instead")
"""
    folder = function(tmp_path, code)

    check_replay(folder, "handler.handler", *Record().step("Main", error="Down").step("Instead", 2).ends(2))
    check_replay(folder, "handler.handler", *Record().step("Main", error="Other").ends(error="ValueError"))
    problem = problem_of(folder, Record().step("Main", error="Other").ends(error="KeyError"))
    assert "failed with ValueError, the history says KeyError" in problem


def test_what_happens_inside_a_context_is_compared_too(tmp_path: Path) -> None:
    code = """
def inside(child):
    return child.step(lambda _: 1, name="Inner") + 1

@durable_execution
def handler(event, context):
    return context.run_in_child_context(inside, name="Outer")
"""
    folder = function(tmp_path, code)

    def outer(inner: str, result: int) -> Record:
        record = Record()
        context = record.open_context("Outer")
        return record.step(inner, 1, parent=context).close_context(context, "Outer", result)

    check_replay(folder, "handler.handler", *outer("Inner", 2).ends(2))
    assert "history has STEP 'Renamed'" in problem_of(folder, outer("Renamed", 2).ends(2))
    assert "CONTEXT 'Outer' has another result" in problem_of(folder, outer("Inner", 3).ends(2))


def test_an_execution_that_was_stopped_is_compared_as_far_as_it_came(tmp_path: Path) -> None:
    folder = function(tmp_path, TWO_STEPS)
    stopped = Record({"n": 1}).step("First", 2).ends(error="Stopped", status="STOPPED")
    halfway = Record({"n": 1}).step("First", ended=False).ends(status="TIMED_OUT")
    other = Record({"n": 1}).step("Other", 2).ends(error="Stopped", status="STOPPED")

    check_replay(folder, "handler.handler", *stopped)
    check_replay(folder, "handler.handler", *halfway)
    assert "history has STEP 'Other'" in problem_of(folder, other)


def test_a_handler_that_reaches_out_of_its_steps_is_found(tmp_path: Path) -> None:
    code = """
@durable_execution
def handler(event, context):
    socket.create_connection(("127.0.0.1", 9))
    return 1
"""
    assert "reached out of a step (socket." in problem_of(function(tmp_path, code), Record().ends(1))


def test_the_handler_has_its_environment_and_none_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    code = """
@durable_execution
def handler(event, context):
    return [os.environ["TABLE"], os.environ.get("AWS_SECRET_ACCESS_KEY")]
"""
    execution, history = Record().ends(["t1", None])

    check_replay(function(tmp_path, code), "handler.handler", execution, history, environment={"TABLE": "t1"})


def test_functions_of_the_same_module_names_do_not_meet(tmp_path: Path) -> None:
    code = "import part\n@durable_execution\ndef handler(event, context):\n    return part.VALUE\n"
    one = function(tmp_path / "one", code, part="VALUE = 1")
    two = function(tmp_path / "two", code, part="VALUE = 2")

    check_replay(one, "handler.handler", *Record().ends(1))
    check_replay(two, "handler.handler", *Record().ends(2))


def reports(folder: Path, *records: tuple[object, object]) -> list[ReplayReport]:
    return replay(folder, "handler.handler", records)  # type: ignore[arg-type]


def test_many_executions_are_reported_one_by_one(tmp_path: Path) -> None:
    good = Record({"n": 1}, "good").step("First", 2).wait("Pause").step("Second", 4).ends(4)
    bad = Record({"n": 1}, "bad").step("First", 2).wait("Pause").step("Last", 4).ends(4)

    found = reports(function(tmp_path, TWO_STEPS), good, bad)

    assert [(report.execution, report.same) for report in found] == [("good", True), ("bad", False)]


def test_what_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    running = Record({"n": 1}, "running").step("First", 2).ends(status="RUNNING")
    cut = Record({"n": 1}, "cut").step("First", 2).truncate().ends(4)

    first, second = reports(function(tmp_path, TWO_STEPS), running, cut)

    assert first.skipped == "the execution is RUNNING, it hasn't ended"
    assert "truncated" in str(second.skipped)
    with pytest.raises(AssertionError, match="can't be replayed"):
        first.raise_if_different()


def test_a_function_that_cannot_be_imported_is_an_error_that_says_so(tmp_path: Path) -> None:
    folder = function(tmp_path, "import no_such_module_anywhere\n")

    with pytest.raises(ReplayError, match="no_such_module_anywhere"):
        reports(folder, two_steps().ends(4))


def test_a_handler_that_ends_the_process_is_an_error(tmp_path: Path) -> None:
    folder = function(tmp_path, "@durable_execution\ndef handler(event, context):\n    os._exit(3)\n")

    with pytest.raises(ReplayError, match="without an answer"):
        reports(folder, Record().ends(1))
