"""Logs come late, by whatever call they are read, and one comes after its group was deleted."""

from __future__ import annotations

from typing import Any

import pytest

from harness.localcloud.handle import LocalCloud

from .conftest import World


def _insights(world: World, function: str) -> list[str]:
    logs = world.client("logs")
    now = int(world.clock.now().timestamp())
    query = logs.start_query(
        logGroupName=f"/aws/lambda/{function}",
        startTime=now - 3600,
        endTime=now + 3600,
        queryString="fields @message | sort @timestamp asc",
    )["queryId"]
    answer: Any = {"status": "Running"}
    while answer["status"] in ("Scheduled", "Running"):
        answer = logs.get_query_results(queryId=query)
    return [field["value"] for row in answer["results"] for field in row if field["field"] == "@message"]


def _groups(world: World, function: str) -> list[str]:
    found = world.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{function}")
    return [group["logGroupName"] for group in found["logGroups"]]


def test_logs_cannot_be_read_before_they_are_ingested(world: World) -> None:
    world.plan({"logs": {"ingestion": 20}})
    name = world.logging_function()
    world.log(name, "one", "two")
    logs = world.client("logs")

    assert world.messages(name) == []
    assert _insights(world, name) == []
    assert logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"] == []

    world.clock.advance(2.0)
    assert world.messages(name) == ["one", "two"]
    assert _insights(world, name) == ["one", "two"]
    events = logs.get_log_events(logGroupName=f"/aws/lambda/{name}", logStreamName="stream")["events"]
    assert [event["message"] for event in events] == ["one", "two"]


def test_their_timestamps_are_those_of_the_writing(world: World) -> None:
    world.plan({"logs": {"ingestion": 20}})
    name = world.logging_function()
    written = int(world.clock.now().timestamp() * 1000)
    world.log(name, "one")
    world.clock.advance(5)
    (event,) = world.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert event["timestamp"] == written


def test_a_streams_records_keep_their_order(world: World) -> None:
    world.plan({"logs": {"ingestion": [0, 1000]}})
    name = world.logging_function()
    messages = [f"message {number}" for number in range(20)]
    for message in messages:
        world.log(name, message)
        world.clock.advance(0.001)
    seen: list[str] = []
    for _ in range(100):
        world.clock.advance(1)
        now = world.messages(name)
        assert now == messages[: len(now)]
        seen = now
    assert seen == messages


def test_what_is_late_is_lost_when_the_group_is_gone(world: World) -> None:
    world.plan({"logs": {"ingestion": 20}})
    name = world.logging_function()
    world.log(name, "one")
    world.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(100)
    assert _groups(world, name) == []


def test_a_late_record_creates_the_deleted_group_again_once(world: World) -> None:
    world.plan({"logs": {"late": 15}})
    name = world.logging_function()
    world.log(name, "last words")
    logs = world.client("logs")

    logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")
    assert _groups(world, name) == []
    world.clock.advance(1.5)
    assert _groups(world, name) == [f"/aws/lambda/{name}"]
    assert world.messages(name) == ["last words"]

    logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(100)
    assert _groups(world, name) == []


def test_the_inventory_counts_what_has_come_late(world: World) -> None:
    world.plan({"logs": {"late": 15}})
    name = world.logging_function()
    world.log(name, "last words")
    world.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(1.5)
    attached = LocalCloud.attach(world.cloud.endpoint_url, world.cloud.settings.token)
    assert f"/aws/lambda/{name}" in attached.inventory()["log_groups"]


def test_a_group_that_no_function_logged_to_stays_deleted(world: World) -> None:
    world.plan({"logs": {"late": 15}})
    name = world.logging_function()
    world.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(100)
    assert _groups(world, name) == []


def test_a_late_rate_of_zero_never_happens(world: World) -> None:
    world.plan({"logs": {"late": 15, "late_rate": 0}})
    name = world.logging_function()
    world.log(name, "last words")
    world.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(100)
    assert _groups(world, name) == []


@pytest.mark.parametrize("may_create", [True, False])
def test_it_can_be_left_to_the_role_whether_a_group_comes_back(world: World, may_create: bool) -> None:
    world.plan({"logs": {"late": 15, "late_needs_permission": True}})
    name = world.logging_function(*(["logs:CreateLogGroup"] if may_create else []))
    world.log(name, "last words")
    world.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")
    world.clock.advance(100)
    assert (_groups(world, name) != []) is may_create
