"""Functions' logs land in CloudWatch Logs if the role allows it, and Insights finds them there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.localcloud.api import ResolvedFunction
from harness.localcloud.logsink import MotoLogSink

from .conftest import Lab

Refused = Callable[..., Any]
NOW = int(datetime.now(UTC).timestamp() * 1000)
APPEND = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
EVERYTHING = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}


def _function(lab: Lab, policy: dict[str, Any] | None, *, group: bool) -> ResolvedFunction:
    function = lab.cloud.registry.resolve(lab.function(Role=lab.role(policy)))
    if group:
        lab.client("logs").create_log_group(logGroupName=function.log_group)
    return function


def _put(lab: Lab, function: ResolvedFunction, *messages: str, stream: str = "stream") -> None:
    MotoLogSink(lab.cloud.registry._moto).put(
        function, stream, [(NOW + number, message) for number, message in enumerate(messages)]
    )


def _groups(lab: Lab, function: ResolvedFunction) -> list[str]:
    found = lab.client("logs").describe_log_groups(logGroupNamePrefix=function.log_group)["logGroups"]
    return [group["logGroupName"] for group in found]


def test_records_are_appended_in_order_and_read_back(lab: Lab) -> None:
    function = _function(lab, APPEND, group=True)
    _put(lab, function, "one", "two\nwith a second line")
    _put(lab, function, "three", stream="other")
    logs = lab.client("logs")
    events = logs.get_log_events(logGroupName=function.log_group, logStreamName="stream", startFromHead=True)["events"]
    assert [(event["timestamp"], event["message"]) for event in events] == [
        (NOW, "one"),
        (NOW + 1, "two\nwith a second line"),
    ]
    filtered = logs.filter_log_events(logGroupName=function.log_group)["events"]
    assert sorted(event["message"] for event in filtered) == ["one", "three", "two\nwith a second line"]


def test_a_missing_group_is_made_for_a_role_that_may(lab: Lab) -> None:
    function = _function(lab, EVERYTHING, group=False)
    _put(lab, function, "one")
    assert _groups(lab, function) == [function.log_group]


def test_the_managed_policy_counts(lab: Lab) -> None:
    role = lab.role()
    lab.client("iam").attach_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    )
    function = lab.cloud.registry.resolve(lab.function(Role=role))
    _put(lab, function, "one")
    assert _groups(lab, function) == [function.log_group]


def test_a_missing_group_stays_missing_for_a_role_that_may_not(lab: Lab) -> None:
    function = _function(lab, APPEND, group=False)
    _put(lab, function, "one")
    assert _groups(lab, function) == []


@pytest.mark.parametrize(
    "policy",
    [
        None,
        {**APPEND, "Action": ["logs:CreateLogStream"]},
        {**APPEND, "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/other:*"},
    ],
)
def test_without_permission_logs_are_lost_silently(lab: Lab, policy: dict[str, Any] | None) -> None:
    function = _function(lab, policy, group=True)
    _put(lab, function, "one")
    assert lab.client("logs").filter_log_events(logGroupName=function.log_group)["events"] == []


def test_a_policy_on_the_groups_own_arn_is_enough(lab: Lab) -> None:
    function = _function(lab, None, group=True)
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{function.log_group}:*"
    lab.client("iam").put_role_policy(
        RoleName=function.role_arn.rpartition("/")[2],
        PolicyName="later",
        PolicyDocument=f'{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"logs:*","Resource":"{arn}"}}}}',
    )
    _put(lab, function, "one")
    assert len(lab.client("logs").filter_log_events(logGroupName=function.log_group)["events"]) == 1


def _query(lab: Lab, group: str, query: str) -> list[dict[str, str]]:
    logs = lab.client("logs")
    query_id = logs.start_query(
        logGroupName=group, queryString=query, startTime=NOW // 1000 - 60, endTime=NOW // 1000 + 60
    )["queryId"]
    answer = logs.get_query_results(queryId=query_id)
    while answer["status"] in ("Scheduled", "Running"):
        answer = logs.get_query_results(queryId=query_id)
    assert answer["status"] == "Complete"
    assert query_id in [query["queryId"] for query in logs.describe_queries(logGroupName=group)["queries"]]
    return [{cell["field"]: cell["value"] for cell in row if cell["field"] != "@ptr"} for row in answer["results"]]


def test_insights_answers_queries_over_what_was_logged(lab: Lab) -> None:
    function = _function(lab, APPEND, group=True)
    _put(lab, function, "hello one", "goodbye", '{"level": "ERROR", "n": 3}')
    rows = _query(lab, function.log_group, "fields @message, @logStream, @log | filter @message like /hello/")
    log = f"123456789012:{function.log_group}"
    assert rows == [{"@message": "hello one", "@logStream": "stream", "@log": log}]
    assert _query(lab, function.log_group, "filter level = 'ERROR' | fields n") == [{"n": "3"}]


def test_insights_errors_are_typed(lab: Lab, refused: Refused) -> None:
    start = lab.client("logs").start_query
    arguments = {"startTime": 0, "endTime": 1, "queryString": "fields @message"}
    refused("ResourceNotFoundException", start, logGroupName="/no/such/group", **arguments)
    function = _function(lab, APPEND, group=True)
    refused(
        "MalformedQueryException", start, logGroupName=function.log_group, **{**arguments, "queryString": "no query"}
    )
