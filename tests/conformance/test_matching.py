"""How requirements are compared with executions: a comparison that can't fail would let everything pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from . import fetch, template
from .matching import Captures, differences, history_differences, log_differences

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/n/1"


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("*", None),
        ({}, "anything"),
        ("${/^[0-5]$/}", 3),
        ("literal", "literal"),
        ({"a": 1}, {"a": 1, "b": 2}),
        (["*", 2], [1, 2]),
        ('"${NAME}"', '"known"'),
    ],
)
def test_what_is_as_expected_has_no_differences(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, Captures({"NAME": "known"}), "value") == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ("${/^[0-5]$/}", 6),
        ("literal", "another"),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 2}),
        (["*", 2], [1]),
        ('"${NAME}"', '"other"'),
        ("${NAME}", "other"),
        (None, "something"),
    ],
)
def test_what_is_not_as_expected_is_named(expected: Any, actual: Any) -> None:
    assert differences(expected, actual, Captures({"NAME": "known"}), "value")[0].startswith("value")


def test_a_name_means_what_it_met_first() -> None:
    captures = Captures()
    assert differences("${ID1}", "x", captures, "first") == []
    assert differences("${ID1}", "x", captures, "again") == []
    assert differences("${ID1}", "y", captures, "then") == ["then: 'y', but ${ID1} is 'x'"]


def test_generated_variables_are_random_and_as_long_as_asked_for() -> None:
    values = {Captures({"A": "${GEN_STR:8}"}).fill("${A}") for _ in range(5)}
    assert len(values) == 5
    assert {len(value) for value in values} == {8}


def test_an_event_that_is_missing_is_named() -> None:
    [problem] = history_differences([{"EventId": 2, "EventType": "StepStarted"}], [{"EventId": 1}], Captures())
    assert problem.startswith("event 2: no StepStarted")


def _record(message: str, arn: str = ARN) -> str:
    return json.dumps({"message": message, "executionArn": arn})


def test_log_records_of_other_executions_do_not_count() -> None:
    expected = [{"match": {"message": "/hello/"}, "count": 1}]
    assert log_differences(expected, [_record("hello"), _record("hello", "other"), "hello"], ARN, Captures()) == []
    assert "occurs 2 times" in log_differences(expected, [_record("hello")] * 2, ARN, Captures())[0]
    assert "occurs 0 times" in log_differences(expected, [], ARN, Captures())[0]


def test_log_records_have_an_order() -> None:
    expected = [{"match": {"message": "second"}, "count": 1, "after": {"message": "first"}}]
    assert log_differences(expected, [_record("first"), _record("second")], ARN, Captures()) == []
    assert log_differences(expected, [_record("second"), _record("first")], ARN, Captures())
    assert log_differences(expected, [_record("second")], ARN, Captures())


def test_templates_are_read_as_awss_runner_reads_them(tmp_path: Path) -> None:
    (tmp_path / "template_x.yaml").write_text(
        """
Globals: {Function: {Runtime: python3.13, Timeout: 5, CodeUri: code/}}
Resources:
  Role: {Type: "AWS::IAM::Role"}
  Target: {Type: "AWS::Serverless::Function", Properties: {Handler: t.h}}
  Caller:
    Type: AWS::Serverless::Function
    TestingMetadata: {TestDescription: ["5-1", "5-2"]}
    Properties:
      Handler: c.h
      Timeout: 7
      Role: !GetAtt Role.Arn
      Environment:
        Variables: {A: !Sub "${Target.Arn}:$LATEST", B: !GetAtt Target.Arn, C: !Ref Target, D: plain}
"""
    )
    functions = template.read(tmp_path)
    caller = functions["Caller"]
    assert sorted(functions) == ["Caller", "Target"]
    assert (caller.entry, caller.code, caller.requirements) == ("c.h", tmp_path / "code", ("5-1", "5-2"))
    assert (caller.properties["Runtime"], caller.properties["Timeout"]) == ("python3.13", 7)
    assert caller.references == {"Target"}
    arn = "arn:aws:lambda:eu-west-1:1:function:t"
    assert caller.environment({"Target": arn}) == {"A": f"{arn}:$LATEST", "B": arn, "C": "t", "D": "plain"}


def test_a_folder_without_handlers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"template\*\.yaml"):
        template.read(tmp_path)


def test_requirements_that_are_not_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fetch.SETTING, str(tmp_path / "wheel.whl"))
    with pytest.raises(fetch.RequirementsMissingError, match=r"tests\.conformance\.fetch"):
        fetch.wheel()
    (tmp_path / "wheel.whl").write_bytes(b"something else")
    with pytest.raises(fetch.RequirementsMissingError, match="pinned"):
        fetch.wheel()
