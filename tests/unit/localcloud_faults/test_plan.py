"""What a fault plan can say, and what it says when it can't be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.localcloud.faults import PRESETS, FaultPlan, Latency, Span, Throttle, load_plan, parse_plan
from harness.localcloud.faults.vocabulary import check_operations

DOCS = Path(__file__).parents[3] / "docs" / "local-cloud.md"


def test_a_plan_that_says_nothing_does_nothing() -> None:
    plan = parse_plan({})
    assert plan == FaultPlan()
    assert list(plan.rules()) == []
    assert (plan.waits.iam, plan.waits.logs, plan.waits.executions) == (0, 0, 0)


def test_calm_is_no_fault_at_all() -> None:
    assert load_plan("calm") == FaultPlan(name="calm")


def test_realistic_is_an_ordinary_day_on_aws() -> None:
    plan = load_plan("realistic")
    assert plan.iam.role == plan.iam.policy == Span(3, 12)
    assert plan.logs.ingestion == Span(2, 20)
    assert plan.logs.late is not None
    assert plan.executions.visibility == Span(1, 1)
    (throttle,) = plan.throttle
    assert (throttle.operations, throttle.rate) == (("*",), 0.02)
    assert not plan.error + plan.drop


def test_storm_fails_more_than_a_third_of_all_calls_and_has_the_ordinary_delays() -> None:
    storm, realistic = load_plan("storm"), load_plan("realistic")
    rates = [rule.rate for rule in (*storm.throttle, *storm.error, *storm.drop)]
    assert rates == [0.30, 0.05, 0.02]
    assert (storm.iam, storm.logs, storm.executions) == (realistic.iam, realistic.logs, realistic.executions)


@pytest.mark.parametrize("name", PRESETS)
def test_a_plan_can_be_written_down_and_read_back(name: str) -> None:
    assert parse_plan(PRESETS[name].as_mapping()) == PRESETS[name]


def test_a_file_is_read_under_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "rough.toml"
    file.write_text('[[throttle]]\noperations = "lambda.Invoke"\nfirst = 2\nretry_after = [1, 3]\n')
    plan = load_plan(file)
    assert plan.name == "rough"
    assert plan.throttle == (Throttle(operations=("lambda.Invoke",), first=2, retry_after=Span(1, 3)),)
    assert load_plan(str(file)) == plan


def test_the_waits_are_the_longest_that_a_delay_can_take() -> None:
    plan = parse_plan({"iam": {"role": [3, 12], "policy": 40}, "logs": {"ingestion": [2, 20], "late": [1, 30]}})
    assert (plan.waits.iam, plan.waits.logs) == (40, 30)
    assert plan.waits.divided(10).logs == 3


def test_the_sample_in_the_documentation_is_a_plan_that_aws_could_follow() -> None:
    (sample,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    plan = parse_plan(tomllib.loads(sample))
    check_operations(plan)
    # It shows every table.
    assert all((plan.throttle, plan.error, plan.drop, plan.latency))
    assert FaultPlan.iam != plan.iam
    assert FaultPlan.logs != plan.logs
    assert FaultPlan.executions != plan.executions


@pytest.mark.parametrize(
    ("text", "complaint", "allowed"),
    [
        ("[iamm]\nrole = 3", "There is no iamm", "Did you mean iam"),
        ("[iam]\nroles = 3", "There is no iam.roles", "Did you mean role"),
        ("[logs]\nlate_ratio = 0.5", "There is no logs.late_ratio", "late_rate"),
        ("[[throttle]]\nrate = 0.1\nstatus = 500", r"There is no throttle\[0\].status", "retry_after"),
        ("iam = 3", "iam is 3", r"a table, such as \[iam\]"),
        ("[throttle]\nrate = 0.1", "throttle is", r"such as \[\[throttle\]\]"),
        ('[iam]\nrole = "3"', "iam.role is '3'", "seconds"),
        ("[iam]\nrole = -1", "iam.role is -1", "seconds"),
        ("[iam]\nrole = nan", "iam.role is nan", "seconds"),
        ("[iam]\nrole = true", "iam.role is True", "seconds"),
        ("[iam]\nrole = [12, 3]", r"iam.role is \[12, 3\]", "shortest, longest"),
        ("[iam]\nrole = [1, 2, 3]", r"iam.role is \[1, 2, 3\]", "shortest, longest"),
        ("[iam]\nrole = 100000", "iam.role is 100000", "86400"),
        ("[logs]\nlate_rate = 2", "logs.late_rate is 2", "from 0 to 1"),
        ("[logs]\nlate_needs_permission = 1", "late_needs_permission is 1", "true or false"),
        ("[[throttle]]\nrate = 2", r"throttle\[0\].rate is 2", "from 0 to 1"),
        ("[[throttle]]\nrate = 0.1\n[[throttle]]\nrate = 20", r"throttle\[1\].rate is 20", "0.02 for 2 %"),
        ("[[throttle]]", r"throttle\[0\] has neither rate nor first", "first = 3"),
        ("[[drop]]\nrate = 0.1\nfirst = 2", r"drop\[0\] has both rate and first", "one"),
        ("[[drop]]\nfirst = 0", r"drop\[0\].first is 0", "whole number from 1"),
        ("[[drop]]\nfirst = 1.5", r"drop\[0\].first is 1.5", "whole number from 1"),
        ('[[drop]]\nfirst = 1\nmoment = "later"', "moment is 'later'", "request, answer"),
        ("[[error]]\nfirst = 1\nstatus = 404", "status is 404", "500, 502, 503, 504"),
        ("[[error]]\nfirst = 1\nstatus = true", "status is True", "500"),
        ('[[throttle]]\nrate = 0.1\nreason = "Busy"', "reason is 'Busy'", "CallerRateLimitExceeded"),
        ('[[throttle]]\nrate = 0.1\noperations = "Invoke"', "operations is 'Invoke'", "service.Operation"),
        ("[[throttle]]\nrate = 0.1\noperations = []", r"operations is \[\]", "list of patterns"),
        ('[[throttle]]\nrate = 0.1\ncallers = "me"', "callers is 'me'", "any, client, function"),
        ("[[latency]]\nrate = 0.1", r"latency\[0\].seconds is", "more than 0"),
        ("name = 3", "name is 3", "text"),
        ("iam = = 3", "is no TOML", "line 1"),
    ],
)
def test_what_a_plan_cannot_say_is_refused_with_the_key_the_file_and_what_is_allowed(
    tmp_path: Path, text: str, complaint: str, allowed: str
) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        load_plan(file)
    assert re.search(allowed, str(caught.value))
    assert "plan.toml" in str(caught.value)


def test_a_name_that_is_neither_preset_nor_file_lists_the_presets() -> None:
    with pytest.raises(ConfigurationError, match="calm, realistic, storm"):
        load_plan("strom")


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_plan(tmp_path)


@pytest.mark.parametrize("pattern", ["lambda.Invoke", "lambda.*DurableExecution*", "logs.*", "*.List*", "*"])
def test_rules_name_operations_as_botocore_does(pattern: str) -> None:
    check_operations(FaultPlan(throttle=(Throttle(operations=(pattern,), rate=1.0),)))


@pytest.mark.parametrize(
    ("pattern", "near"),
    [("lambda.Invok", "Invoke"), ("lambda.invoke", "Invoke"), ("lamda.Invoke", "lambda"), ("logs.Nothing*", "none")],
)
def test_an_operation_that_aws_does_not_have_is_refused(pattern: str, near: str) -> None:
    plan = FaultPlan(latency=(Latency(operations=(pattern,), rate=1.0, seconds=Span(1, 1)),))
    with pytest.raises(ConfigurationError, match=near):
        check_operations(plan)
