"""Which paths a source has, and which of them executions reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.paths import PathReport, examine
from tests.unit.replay.records import Record, function

RECOVERY = """
class GatewayError(Exception):
    __module__ = "builtins"

class Down(Exception):
    __module__ = "builtins"

def only(*kinds, retries):
    def decide(error, attempt):
        retry = isinstance(error, kinds) and attempt <= retries
        return RetryDecision.retry(Duration.from_seconds(1)) if retry else RetryDecision.no_retry()
    return StepConfig(retry_strategy=decide)

PAY = only(GatewayError, retries=2)

@durable_execution
def handler(event, context):
    try:
        return pay(event, context)
    except StepError as error:
        if error.error_type == "Down":
            return context.step(lambda _: 2, name="PayElsewhere", config=NO_RETRY)
        raise ValueError(error.error_type)

def pay(event, context):
    return context.step(lambda _: 1, name="Pay", config=PAY)
"""

PAID = Record(name="paid").step("Pay", 1).ends(1)
RETRIED = Record(name="retried").step("Pay", 1, retried=["GatewayError"]).ends(1)
EXHAUSTED = (
    Record(name="exhausted")
    .step("Pay", error="GatewayError", retried=["GatewayError", "GatewayError"])
    .ends(error="ValueError", message="GatewayError")
)
DOWN = Record(name="down").step("Pay", error="Down").step("PayElsewhere", 2).ends(2)


def look(folder: Path, *executions: object) -> PathReport:
    return examine(folder, "handler.handler", executions)  # type: ignore[arg-type]


def counts(report: PathReport) -> dict[tuple[str, str], int]:
    return {(path.kind, path.label): path.executions for path in report.paths}


def dead(report: PathReport) -> list[tuple[str, str]]:
    return [(path.kind, path.label) for path in report.dead]


def test_every_path_of_a_source_is_counted_by_executions(tmp_path: Path) -> None:
    report = look(function(tmp_path, RECOVERY), PAID, RETRIED, EXHAUSTED, DOWN)

    assert counts(report) == {
        ("operation", "Pay"): 4,
        ("retry", "Pay on GatewayError"): 2,
        ("exhausted", "Pay on GatewayError"): 1,
        ("operation", "PayElsewhere"): 1,
        ("catch", "except StepError"): 2,
        ("branch", "if error.error_type == 'Down'"): 1,
        ("branch", "if not (error.error_type == 'Down')"): 1,
    }
    assert report.passed
    assert report.problems() == []


@pytest.mark.parametrize(
    ("left_out", "missed"),
    [
        (RETRIED, []),
        (EXHAUSTED, [("exhausted", "Pay on GatewayError"), ("branch", "if not (error.error_type == 'Down')")]),
        (DOWN, [("operation", "PayElsewhere"), ("branch", "if error.error_type == 'Down'")]),
    ],
    ids=["retried-is-in-exhausted-too", "exhausted", "down"],
)
def test_a_path_that_no_execution_reaches_is_dead(
    tmp_path: Path, left_out: object, missed: list[tuple[str, str]]
) -> None:
    executions = [one for one in (PAID, RETRIED, EXHAUSTED, DOWN) if one is not left_out]

    report = look(function(tmp_path, RECOVERY), *executions)

    assert sorted(dead(report)) == sorted(missed)
    assert report.passed is not bool(missed)


def test_a_catch_that_names_the_wrong_error_is_dead_however_often_the_step_fails(tmp_path: Path) -> None:
    # The SDK raises StepError, never the step's own error: this recovery has never run.
    code = RECOVERY.replace("except StepError as error:", "except Down as error:")
    failed = Record().step("Pay", error="Down").ends(error="aws_durable_execution_sdk_python.exceptions.StepError")

    report = look(function(tmp_path, code), failed)

    assert ("catch", "except Down") in dead(report)
    assert ("operation", "PayElsewhere") in dead(report)
    assert "DEAD" in report.table()
    assert "dead path: catch except Down (handler.py:26)" in report.problems()


def test_a_function_without_any_execution_is_dead_all_over(tmp_path: Path) -> None:
    report = look(function(tmp_path, RECOVERY))

    assert ("operation", "Pay") in dead(report)
    assert not report.passed


def test_a_replay_that_differs_fails_although_every_path_is_reached(tmp_path: Path) -> None:
    code = "@durable_execution\ndef handler(e, context):\n    return context.step(lambda _: 1, name='One') + 1\n"

    report = look(function(tmp_path, code), Record().step("One", 1).ends(1))

    assert dead(report) == []
    assert not report.passed
    assert report.problems() == ["not deterministic: run-1: the execution has another result than in the history"]


def test_a_retry_of_another_step_is_no_evidence(tmp_path: Path) -> None:
    code = """
TWICE = StepConfig(retry_strategy=create_retry_strategy(RetryStrategyConfig(max_attempts=2)))

@durable_execution
def handler(event, context):
    context.step(lambda _: 1, name="A", config=TWICE)
    context.step(lambda _: 1, name="B", config=TWICE)
"""
    report = look(function(tmp_path, code), Record().step("A", 1, retried=["X"]).step("B", 1).ends(None))

    assert dead(report) == [
        ("exhausted", "A on any error"),
        ("retry", "B on any error"),
        ("exhausted", "B on any error"),
    ]


def test_a_step_that_never_retries_has_no_retry_to_reach(tmp_path: Path) -> None:
    code = "@durable_execution\ndef handler(e, context):\n    context.step(lambda _: 1, name='A', config=NO_RETRY)\n"

    assert counts(look(function(tmp_path, code), Record().step("A", 1).ends(None))) == {("operation", "A"): 1}


def test_names_from_constants_of_other_modules_are_read_and_computed_ones_shown_as_such(tmp_path: Path) -> None:
    code = """
import names
from aws_durable_execution_sdk_python import durable_step

@durable_step
def decorated(step):
    return 1

@durable_execution
def handler(event, context):
    context.step(lambda _: 1, name=names.FIRST)
    context.step(decorated())
    for number in range(2):
        context.wait(Duration.from_seconds(1), name=f"wait-{number}")
"""
    folder = function(tmp_path, code, names="FIRST = 'First'\n")
    run = Record().step("First", 1).step("decorated", 1).wait("wait-0").wait("wait-1").ends(None)

    report = look(folder, run)

    assert counts(report) == {
        ("operation", "First"): 1,
        ("operation", "decorated"): 1,
        ("operation", "(wait named f'wait-{number}')"): 1,
    }


def test_what_only_looks_like_an_operation_is_none(tmp_path: Path) -> None:
    code = """
import threading

@durable_execution
def handler(event, context):
    threading.Event().wait(0)
    list(map(str, []))
    return context.step(lambda _: 1, name="Only")
"""
    assert counts(look(function(tmp_path, code), Record().step("Only", 1).ends(1))) == {("operation", "Only"): 1}


REPAIR = """
import boto3

def repair(text):
    try:
        return int(text)
    except ValueError:
        return 0

def store():
    try:
        boto3.client("dynamodb").list_tables()
    except Exception:
        return "full"
    return "stored"

@durable_execution
def handler(event, context):
    context.step(lambda _: repair(event), name="Repair")
    return context.step(lambda _: store(), name="Store")
"""


def test_a_catch_inside_a_step_is_seen_when_the_step_needs_nobody_else(tmp_path: Path) -> None:
    folder = function(tmp_path, REPAIR)

    repaired = look(folder, Record("x").step("Repair", 0).step("Store", "stored").ends("stored"))
    plain = look(folder, Record("7").step("Repair", 7).step("Store", "stored").ends("stored"))

    assert ("catch", "except ValueError") not in dead(repaired)
    assert ("catch", "except ValueError") in dead(plain)


def test_a_catch_that_only_the_missing_network_leads_to_is_no_evidence(tmp_path: Path) -> None:
    code = REPAIR.replace("boto3.client", "socket.create_connection(('127.0.0.1', 9))\n        boto3.client")

    report = look(function(tmp_path, code), Record("x").step("Repair", 0).step("Store", "full").ends("full"))

    assert ("catch", "except Exception") in dead(report)


def commented(comment: str) -> str:
    """The source with a comment above its catch, and at the end of the lines inside."""
    return (
        RECOVERY.replace("    except StepError as error:", f"    {comment}\n    except StepError as error:")
        .replace('if error.error_type == "Down":', f'if error.error_type == "Down":  {comment}')
        .replace('name="PayElsewhere", config=NO_RETRY)', f'name="PayElsewhere", config=NO_RETRY)  {comment}')
    )


def test_a_comment_with_a_reason_excuses_a_line_and_the_table_shows_it(tmp_path: Path) -> None:
    code = commented("# harness: unreachable because the gateway is never down")

    report = look(function(tmp_path, code), PAID, RETRIED)

    assert dead(report) == [("exhausted", "Pay on GatewayError")]
    assert "0 (unreachable: the gateway is never down)" in report.table()
    assert "4 excused" in report.summary()


def test_a_comment_does_not_hide_that_a_line_is_reached_after_all(tmp_path: Path) -> None:
    report = look(function(tmp_path, commented("# harness: unobservable because nobody looks")), DOWN)

    assert "1 (unobservable: nobody looks)" in report.table()


@pytest.mark.parametrize("comment", ["# harness: unreachable", "# harness: skip", "# harness: unreachable because x"])
def test_a_comment_without_a_reason_is_an_error(tmp_path: Path, comment: str) -> None:
    with pytest.raises(ConfigurationError, match=r"handler\.py:\d+"):
        look(function(tmp_path, commented(comment)), PAID)


def test_a_source_that_is_not_python_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = function(tmp_path, RECOVERY, broken="def (:\n")

    with pytest.raises(ConfigurationError, match=r"broken\.py"):
        look(folder, PAID)
