"""The API of durable executions as boto3 sees it."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python.context import DurableContext
from botocore.exceptions import ClientError

from harness.localcloud.api import Request
from tests.unit.localcloud_durable.support import ACCOUNT, REGION, Stage, events, types

UNKNOWN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:1/durable-execution/x/8e0a"


def quick(event: Any, context: DurableContext) -> Any:
    return context.step(lambda _: event)


def sleepy(event: Any, context: DurableContext) -> Any:
    context.wait(Duration.from_hours(1))
    return event


def failing(event: Any, context: DurableContext) -> Any:
    raise ValueError("no")


class TestInvoke:
    def test_a_synchronous_invoke_gives_the_result(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick, timeout=900)
        answer = stage.client.invoke(FunctionName="f", Qualifier="live", Payload=b'{"n": 1}')
        assert answer["StatusCode"] == 200
        assert json.loads(answer["Payload"].read()) == {"n": 1}
        assert "FunctionError" not in answer
        assert answer["ExecutedVersion"] == "1"
        assert re.fullmatch(
            rf"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:1/durable-execution/[0-9a-f-]{{36}}/[0-9a-f-]{{36}}",
            answer["DurableExecutionArn"],
        )

    def test_a_synchronous_invoke_of_what_fails_says_so(self, stage: Stage) -> None:
        stage.functions.add_durable("f", failing, timeout=900)
        answer = stage.client.invoke(FunctionName="f", Qualifier="live")
        assert answer["StatusCode"] == 200
        assert answer["FunctionError"] == "Unhandled"
        body = json.loads(answer["Payload"].read())
        assert body["errorMessage"] == "no"
        assert body["errorType"].endswith("ValueError")

    def test_a_synchronous_invoke_of_what_is_stopped(self, real_time: Stage) -> None:
        real_time.functions.add_durable("f", sleepy, timeout=900)
        answers: list[Any] = []

        def call() -> None:
            answers.append(real_time.client.invoke(FunctionName="f", Qualifier="live", DurableExecutionName="n"))

        caller = threading.Thread(target=call)
        caller.start()
        execution = real_time.wait_until(lambda: real_time.engine._store.named("f", "n"), "the execution")
        real_time.client.stop_durable_execution(
            DurableExecutionArn=execution.durable_execution_arn, Error={"ErrorMessage": "enough", "ErrorType": "Op"}
        )
        caller.join(60)
        assert answers[0]["FunctionError"] == "Unhandled"
        assert json.loads(answers[0]["Payload"].read()) == {"errorMessage": "enough", "errorType": "Op"}

    def test_an_asynchronous_invoke_gives_the_arn(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        answer = stage.client.invoke(
            FunctionName="f", Qualifier="live", InvocationType="Event", DurableExecutionName="order-1"
        )
        assert answer["StatusCode"] == 202
        assert "/durable-execution/order-1/" in answer["DurableExecutionArn"]

    def test_executions_that_may_take_longer_are_not_invoked_synchronously(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick, timeout=901)
        with pytest.raises(stage.client.exceptions.InvalidParameterValueException, match="15 minutes"):
            stage.client.invoke(FunctionName="f", Qualifier="live")

    def test_an_unqualified_invoke_is_refused(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        with pytest.raises(stage.client.exceptions.InvalidParameterValueException, match="unqualified ARN"):
            stage.client.invoke(FunctionName="f", InvocationType="Event")

    def test_a_name_makes_a_start_idempotent(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick, timeout=900)
        first = stage.start("f", {"a": 1}, execution="once")
        assert stage.start("f", {"a": 1}, execution="once") == first
        stage.finish(first)
        # Also when it has ended, and then the result is there at once.
        again = stage.client.invoke(
            FunctionName="f", Qualifier="live", DurableExecutionName="once", Payload=json.dumps({"a": 1})
        )
        assert again["DurableExecutionArn"] == first
        assert json.loads(again["Payload"].read()) == {"a": 1}
        with pytest.raises(stage.client.exceptions.DurableExecutionAlreadyStartedException) as caught:
            stage.start("f", {"a": 2}, execution="once")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
        assert len(stage.functions.invoked) == 1

    def test_names_are_a_functions_own(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        stage.functions.add_durable("g", quick)
        assert stage.start("f", 1, execution="n") != stage.start("g", 2, execution="n")

    def test_many_callers_of_one_name_start_one_execution(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        arns: list[str] = []
        callers = [
            threading.Thread(target=lambda: arns.append(stage.start("f", 1, execution="same"))) for _ in range(12)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert len(arns) == 12
        assert len(set(arns)) == 1

    @pytest.mark.parametrize("name", ["a b", "x" * 65, "ä", "a/b"])
    def test_bad_names_are_refused(self, stage: Stage, name: str) -> None:
        stage.functions.add_durable("f", quick)
        request = stage.functions.resolve("f", "live")
        with pytest.raises(Exception, match="durableExecutionName"):
            stage.engine.invoke(request, b"{}", invocation_type="Event", execution_name=name)

    def test_a_payload_must_be_json(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        with pytest.raises(stage.client.exceptions.InvalidRequestContentException):
            stage.client.invoke(FunctionName="f", Qualifier="live", InvocationType="Event", Payload=b"{oops")

    def test_no_payload_is_an_empty_object(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick, timeout=900)
        answer = stage.client.invoke(FunctionName="f", Qualifier="live")
        assert json.loads(answer["Payload"].read()) == {}


class TestGet:
    def test_a_running_execution(self, real_time: Stage) -> None:
        real_time.functions.add_durable("f", sleepy, timeout=7200)
        arn = real_time.start("f", {"a": 1}, execution="n")
        got = real_time.client.get_durable_execution(DurableExecutionArn=arn)
        assert got["Status"] == "RUNNING"
        assert got["DurableExecutionName"] == "n"
        assert got["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:1"
        assert json.loads(got["InputPayload"]) == {"a": 1}
        assert got["ExecutionDataIncluded"] is True
        assert got["DurableConfig"] == {"ExecutionTimeout": 7200, "RetentionPeriodInDays": 7}
        assert got["ExpectedExecutionTimeoutTimestamp"] - got["StartTimestamp"] == timedelta(hours=2)
        assert not {"EndTimestamp", "Result", "Error"} & set(got)

    def test_without_its_data(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        stage.functions.add_durable("g", failing)
        for name in ("f", "g"):
            arn = stage.start(name, "secret")
            ended = stage.finish(arn)
            assert ended["EndTimestamp"] >= ended["StartTimestamp"]
            assert "ExpectedExecutionTimeoutTimestamp" not in ended
            bare = stage.client.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)
            assert bare["ExecutionDataIncluded"] is False
            assert not {"InputPayload", "Result", "Error"} & set(bare)

    def test_what_is_not_there(self, stage: Stage) -> None:
        exceptions = stage.client.exceptions
        for call in (
            stage.client.get_durable_execution,
            stage.client.get_durable_execution_history,
            stage.client.stop_durable_execution,
            stage.client.pause_durable_execution,
            stage.client.resume_durable_execution,
            stage.client.delete_durable_execution,
        ):
            with pytest.raises(exceptions.ResourceNotFoundException) as caught:
                call(DurableExecutionArn=UNKNOWN)
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
            with pytest.raises(exceptions.InvalidParameterValueException):
                call(DurableExecutionArn="arn:aws:lambda:nothing")


class TestHistory:
    def test_pages_in_both_orders(self, stage: Stage) -> None:
        def handler(event: Any, context: DurableContext) -> None:
            for _ in range(10):
                context.step(str)

        stage.functions.add_durable("f", handler)
        arn = stage.start("f")
        stage.finish(arn)
        whole = stage.history(arn)
        assert len(whole) == 23
        for size in (1, 7, 23, 1000):
            assert stage.history(arn, PaginationConfig={"PageSize": size}) == whole
            assert stage.history(arn, ReverseOrder=True, PaginationConfig={"PageSize": size}) == whole[::-1]
        page = stage.client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=23)
        assert "NextMarker" not in page

    def test_a_page_has_a_hundred_events_by_default(self, stage: Stage) -> None:
        def handler(event: Any, context: DurableContext) -> None:
            for _ in range(60):
                context.step(str)

        stage.functions.add_durable("f", handler)
        arn = stage.start("f")
        stage.finish(arn)
        for kwargs in ({}, {"MaxItems": 0}):
            page = stage.client.get_durable_execution_history(DurableExecutionArn=arn, **kwargs)
            assert len(page["Events"]) == 100
            assert page["NextMarker"]

    def test_without_its_data(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        arn = stage.start("f", "secret")
        stage.finish(arn)
        bare = stage.history(arn, IncludeExecutionData=False)
        assert "secret" not in json.dumps(bare, default=str)
        [succeeded] = events(bare, "StepSucceeded")
        assert succeeded["StepSucceededDetails"] == {
            "Result": {"Truncated": True},
            "RetryDetails": {"CurrentAttempt": 1},
        }
        assert types(bare) == types(stage.history(arn))

    @pytest.mark.parametrize("marker", ["x", "-1", "0"])
    def test_bad_markers(self, stage: Stage, marker: str) -> None:
        stage.functions.add_durable("f", quick)
        arn = stage.start("f")
        with pytest.raises(stage.client.exceptions.InvalidParameterValueException):
            stage.client.get_durable_execution_history(DurableExecutionArn=arn, Marker=marker)


class TestList:
    def names(self, stage: Stage, **kwargs: Any) -> list[str]:
        pages = stage.client.get_paginator("list_durable_executions_by_function").paginate(FunctionName="f", **kwargs)
        return [item["DurableExecutionName"] for page in pages for item in page["DurableExecutions"]]

    def test_newest_first_and_the_other_way_round(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        for number in range(7):
            stage.start("f", execution=f"e{number}")
        wanted = [f"e{number}" for number in range(7)]
        for size in (1, 3, 7, 1000):
            assert self.names(stage, PaginationConfig={"PageSize": size}) == wanted[::-1]
            assert self.names(stage, PaginationConfig={"PageSize": size}, ReverseOrder=True) == wanted

    def test_a_new_start_doesnt_disturb_the_pages(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        for number in range(4):
            stage.start("f", execution=f"e{number}")
        first = stage.client.list_durable_executions_by_function(FunctionName="f", MaxItems=2)
        stage.start("f", execution="late")
        second = stage.client.list_durable_executions_by_function(FunctionName="f", Marker=first["NextMarker"])
        listed = [item["DurableExecutionName"] for page in (first, second) for item in page["DurableExecutions"]]
        assert listed == ["e3", "e2", "e1", "e0"]

    def test_by_name_status_and_version(self, stage: Stage) -> None:
        stage.functions.add_durable("f", lambda event, context: failing(event, context) if event else None)
        good, bad = stage.start("f", execution="good"), stage.start("f", 1, execution="bad")
        stage.finish(good)
        stage.finish(bad)
        stage.functions.add_durable("f", sleepy, version="2", timeout=31_622_400)
        stage.start("f", execution="two")
        assert self.names(stage, DurableExecutionName="bad") == ["bad"]
        assert self.names(stage, DurableExecutionName="ba") == []
        assert self.names(stage, Statuses=["FAILED"]) == ["bad"]
        assert self.names(stage, Statuses=["SUCCEEDED", "FAILED"], DurableExecutionName="good") == ["good"]
        assert self.names(stage, Qualifier="1") == ["bad", "good"]
        assert self.names(stage, Qualifier="live") == ["two"]
        assert self.names(stage) == ["two", "bad", "good"]

    def test_by_time(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        started = {}
        for number in range(3):
            arn = stage.start("f", execution=f"e{number}")
            started[f"e{number}"] = stage.finish(arn)["StartTimestamp"]
        middle = started["e1"]
        assert self.names(stage, StartedAfter=middle) == ["e2", "e1"]
        assert self.names(stage, StartedBefore=middle) == ["e1", "e0"]
        assert self.names(stage, StartedAfter=middle, StartedBefore=middle) == ["e1"]
        assert self.names(stage, StartedAfter=started["e2"] + timedelta(seconds=1)) == []

    def test_what_an_entry_tells(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        arn = stage.start("f", execution="n")
        got = stage.finish(arn)
        [entry] = stage.client.list_durable_executions_by_function(FunctionName="f")["DurableExecutions"]
        assert entry == {
            member: got[member]
            for member in (
                "DurableExecutionArn",
                "DurableExecutionName",
                "FunctionArn",
                "Status",
                "StartTimestamp",
                "EndTimestamp",
            )
        }

    def test_unknown_functions_and_qualifiers(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        for kwargs in ({"FunctionName": "nope"}, {"FunctionName": "f", "Qualifier": "7"}):
            with pytest.raises(stage.client.exceptions.ResourceNotFoundException):
                stage.client.list_durable_executions_by_function(**kwargs)
        with pytest.raises(stage.client.exceptions.InvalidParameterValueException, match="Statuses"):
            stage.client.list_durable_executions_by_function(FunctionName="f", Statuses=["DONE"])

    def test_functions_by_their_arn(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        stage.start("f", execution="n")
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        listed = stage.client.list_durable_executions_by_function(FunctionName=arn)["DurableExecutions"]
        assert [entry["DurableExecutionName"] for entry in listed] == ["n"]


class TestStop:
    def test_it_keeps_its_error(self, real_time: Stage) -> None:
        real_time.functions.add_durable("f", sleepy)
        arn = real_time.start("f")
        real_time.wait_until_idle(arn)
        error = {"ErrorType": "Operator", "ErrorMessage": "wrong order"}
        stopped = real_time.client.stop_durable_execution(DurableExecutionArn=arn, Error=error)
        described = real_time.finish(arn)
        assert described["Status"] == "STOPPED"
        assert described["Error"] == error
        assert described["EndTimestamp"] == stopped["StopTimestamp"]
        [event] = events(real_time.history(arn), "ExecutionStopped")
        assert event["ExecutionStoppedDetails"]["Error"]["Payload"] == error
        # Once more changes nothing.
        again = real_time.client.stop_durable_execution(DurableExecutionArn=arn, Error={"ErrorMessage": "other"})
        assert again == {**stopped, "ResponseMetadata": again["ResponseMetadata"]}
        assert real_time.finish(arn)["Error"] == error

    def test_a_running_handler_loses_its_right_to_checkpoint(self, real_time: Stage) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def handler(event: Any, context: DurableContext) -> None:
            def work(_: Any) -> None:
                inside.set()
                go_on.wait(60)

            context.step(work)

        real_time.functions.add_durable("f", handler)
        arn = real_time.start("f")
        assert inside.wait(60)
        real_time.client.stop_durable_execution(DurableExecutionArn=arn)
        go_on.set()
        real_time.wait_until_idle(arn)
        history = types(real_time.history(arn))
        # A step's start is checkpointed in the background: it may have been too late already.
        assert [kind for kind in history if kind != "StepStarted"] == [
            "ExecutionStarted",
            "ExecutionStopped",
            "InvocationCompleted",
        ]
        assert len(real_time.functions.invoked) == 1


class TestPause:
    def status(self, stage: Stage, arn: str) -> str:
        return str(stage.client.get_durable_execution(DurableExecutionArn=arn)["Status"])

    def test_a_waiting_execution_pauses_at_once_and_resumes(self, real_time: Stage) -> None:
        stage = real_time

        def handler(event: Any, context: DurableContext) -> Any:
            return context.create_callback("c").result()

        stage.functions.add_durable("f", handler, timeout=3600)
        arn = stage.start("f")
        stage.wait_until_idle(arn)
        answer = stage.client.pause_durable_execution(DurableExecutionArn=arn, Reason="maintenance")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        got = stage.client.get_durable_execution(DurableExecutionArn=arn)
        assert got["Status"] == "PAUSED"
        assert got["PauseDetails"]["Reason"] == "maintenance"
        # The timeout is paused by default: it shows as the longest possible one.
        assert got["PauseDetails"]["ExecutionTimeoutPaused"] is True
        assert got["ExpectedExecutionTimeoutTimestamp"] - got["StartTimestamp"] == timedelta(days=366)
        stage.client.send_durable_execution_callback_success(CallbackId=stage.callback_id(arn), Result=b"1")
        stage.wait_for_event(arn, "CallbackSucceeded")
        assert self.status(stage, arn) == "PAUSED"
        assert len(stage.functions.invoked) == 1
        answer = stage.client.resume_durable_execution(DurableExecutionArn=arn, Reason="done")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert stage.finish(arn)["Status"] == "SUCCEEDED"
        assert types(stage.history(arn))[3:] == [
            "ExecutionPaused",
            "CallbackSucceeded",
            "ExecutionResumed",
            "InvocationCompleted",
            "ExecutionSucceeded",
        ]
        paused, resumed = stage.history(arn)[3], stage.history(arn)[5]
        assert paused["ExecutionPausedDetails"]["Reason"]["Payload"] == "maintenance"
        assert paused["ExecutionPausedDetails"]["PauseRequestTimestamp"] == got["PauseDetails"]["PauseRequestTimestamp"]
        assert resumed["ExecutionResumedDetails"]["Reason"]["Payload"] == "done"
        assert "maintenance" not in json.dumps(stage.history(arn, IncludeExecutionData=False), default=str)

    def test_a_running_invocation_pauses_at_its_next_checkpoint(self, real_time: Stage) -> None:
        stage = real_time
        inside, go_on = threading.Event(), threading.Event()

        def handler(event: Any, context: DurableContext) -> Any:
            def work(_: Any) -> str:
                inside.set()
                go_on.wait(60)
                return "one"

            return context.step(work) + context.step(lambda _: "two")

        stage.functions.add_durable("f", handler)
        arn = stage.start("f")
        assert inside.wait(60)
        stage.client.pause_durable_execution(DurableExecutionArn=arn)
        assert self.status(stage, arn) == "PAUSING"
        go_on.set()
        stage.wait_for_event(arn, "ExecutionPaused")
        assert self.status(stage, arn) == "PAUSED"
        stage.client.resume_durable_execution(DurableExecutionArn=arn)
        assert json.loads(stage.finish(arn)["Result"]) == "onetwo"
        history = types(stage.history(arn))
        assert history.index("InvocationCompleted") < history.index("ExecutionPaused")
        assert history.count("ExecutionResumed") == 1

    def test_a_pause_that_is_taken_back_leaves_no_trace(self, real_time: Stage) -> None:
        stage = real_time
        inside, go_on = threading.Event(), threading.Event()

        def handler(event: Any, context: DurableContext) -> Any:
            def work(_: Any) -> int:
                inside.set()
                go_on.wait(60)
                return 1

            return context.step(work)

        stage.functions.add_durable("f", handler)
        arn = stage.start("f")
        assert inside.wait(60)
        stage.client.pause_durable_execution(DurableExecutionArn=arn)
        stage.client.resume_durable_execution(DurableExecutionArn=arn)
        assert self.status(stage, arn) == "RUNNING"
        go_on.set()
        assert stage.finish(arn)["Status"] == "SUCCEEDED"
        assert not {"ExecutionPaused", "ExecutionResumed"} & set(types(stage.history(arn)))

    def test_conflicts_and_repeated_requests(self, real_time: Stage) -> None:
        stage = real_time
        stage.functions.add_durable("f", sleepy)
        arn = stage.start("f")
        stage.wait_until_idle(arn)
        conflict = stage.client.exceptions.ResourceConflictException
        with pytest.raises(conflict, match="only a paused one"):
            stage.client.resume_durable_execution(DurableExecutionArn=arn)
        stage.client.pause_durable_execution(DurableExecutionArn=arn, ClientToken="t1")
        stage.client.pause_durable_execution(DurableExecutionArn=arn, ClientToken="t1")
        with pytest.raises(conflict, match="PAUSED already"):
            stage.client.pause_durable_execution(DurableExecutionArn=arn, ClientToken="t2")
        stage.client.resume_durable_execution(DurableExecutionArn=arn, ClientToken="t3")
        stage.client.resume_durable_execution(DurableExecutionArn=arn, ClientToken="t3")
        stage.client.stop_durable_execution(DurableExecutionArn=arn)
        for call in (stage.client.pause_durable_execution, stage.client.resume_durable_execution):
            with pytest.raises(conflict, match="STOPPED"):
                call(DurableExecutionArn=arn)
        assert types(stage.history(arn)).count("ExecutionPaused") == 1

    def test_a_pause_that_holds_the_timeout(self, stage: Stage) -> None:
        stage.functions.add_durable("f", sleepy, timeout=3000)
        arn = stage.start("f")
        stage.wait_until_idle(arn)
        stage.client.pause_durable_execution(DurableExecutionArn=arn)
        held = stage.execution(arn).times_out_at
        assert held is not None
        # Beyond its timeout, which is three seconds at this scale.
        stage.wait_until(lambda: stage.engine._clock.now() > held + timedelta(seconds=1), "the timeout's moment")
        assert self.status(stage, arn) == "PAUSED"
        stage.client.resume_durable_execution(DurableExecutionArn=arn)
        assert stage.finish(arn)["Status"] in {"SUCCEEDED", "TIMED_OUT"}

    def test_a_pause_that_doesnt_hold_it(self, stage: Stage) -> None:
        stage.functions.add_durable("f", sleepy, timeout=1000)
        arn = stage.start("f")
        stage.wait_until_idle(arn)
        stage.client.pause_durable_execution(DurableExecutionArn=arn, ExecutionTimeoutPaused=False)
        assert stage.finish(arn)["Status"] == "TIMED_OUT"

    def test_a_paused_execution_can_be_stopped(self, real_time: Stage) -> None:
        real_time.functions.add_durable("f", sleepy)
        arn = real_time.start("f")
        real_time.client.pause_durable_execution(DurableExecutionArn=arn)
        real_time.client.stop_durable_execution(DurableExecutionArn=arn)
        assert real_time.finish(arn)["Status"] == "STOPPED"


class TestDelete:
    def test_one_that_has_ended(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        arn = stage.start("f", 1, execution="n")
        stage.finish(arn)
        answer = stage.client.delete_durable_execution(DurableExecutionArn=arn)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert answer["DeletionRequestTimestamp"]
        with pytest.raises(stage.client.exceptions.ResourceNotFoundException):
            stage.client.get_durable_execution(DurableExecutionArn=arn)
        assert stage.client.list_durable_executions_by_function(FunctionName="f")["DurableExecutions"] == []
        # Its name is free, for another payload too.
        assert stage.start("f", 2, execution="n") != arn

    def test_one_that_runs(self, real_time: Stage) -> None:
        real_time.functions.add_durable("f", sleepy)
        arn = real_time.start("f")
        with pytest.raises(real_time.client.exceptions.ResourceConflictException):
            real_time.client.delete_durable_execution(DurableExecutionArn=arn)


class TestCheckpointAndState:
    def test_tokens_that_are_not_current(self, real_time: Stage) -> None:
        stage = real_time
        stage.functions.add_durable("f", sleepy)
        arn = stage.start("f")
        stage.wait_until_idle(arn)
        token = stage.functions.payloads[0]["CheckpointToken"]
        for target in (arn, UNKNOWN):
            with pytest.raises(
                stage.client.exceptions.InvalidParameterValueException, match="Invalid checkpoint token"
            ):
                stage.client.checkpoint_durable_execution(DurableExecutionArn=target, CheckpointToken=token)
            with pytest.raises(
                stage.client.exceptions.InvalidParameterValueException, match="Invalid checkpoint token"
            ):
                stage.client.get_durable_execution_state(DurableExecutionArn=target, CheckpointToken=token)

    def test_a_handler_of_ones_own(self, real_time: Stage) -> None:
        """The protocol without the SDK: state in pages, checkpoints that are repeated, bad updates."""
        stage = real_time
        seen: dict[str, Any] = {}

        def handler(event: Any, context: Any) -> Any:
            arn, token = event["DurableExecutionArn"], event["CheckpointToken"]
            updates = [
                {"Id": f"s{n}", "Type": "STEP", "SubType": "Step", "Action": action, **payload}
                for n in range(5)
                for action, payload in (("START", {}), ("SUCCEED", {"Payload": str(n)}))
            ]
            call = stage.client.checkpoint_durable_execution
            first = call(DurableExecutionArn=arn, CheckpointToken=token, Updates=updates, ClientToken="c1")
            again = call(DurableExecutionArn=arn, CheckpointToken=token, Updates=updates, ClientToken="c1")
            seen["repeated"] = first["CheckpointToken"] == again["CheckpointToken"]
            seen["returned"] = [operation["Id"] for operation in first["NewExecutionState"]["Operations"]]
            pages = stage.client.get_paginator("get_durable_execution_state").paginate(
                DurableExecutionArn=arn, CheckpointToken=first["CheckpointToken"], PaginationConfig={"PageSize": 2}
            )
            seen["pages"] = [[operation["Type"] for operation in page["Operations"]] for page in pages]
            try:
                call(
                    DurableExecutionArn=arn,
                    CheckpointToken=first["CheckpointToken"],
                    Updates=[{"Id": "x", "Type": "WAIT", "Action": "RETRY"}],
                )
            except ClientError as error:
                seen["error"] = error.response["Error"]["Code"]
            return {"Status": "SUCCEEDED", "Result": '"mine"'}

        stage.functions.add_raw("f", handler, durable=True)
        described, history = stage.run("f")
        assert described["Result"] == '"mine"'
        assert seen == {
            "repeated": True,
            "returned": ["s0", "s1", "s2", "s3", "s4"],
            "pages": [["EXECUTION", "STEP"], ["STEP", "STEP"], ["STEP", "STEP"]],
            "error": "InvalidParameterValueException",
        }
        assert len(events(history, "StepSucceeded")) == 5


class TestFunctionDeletion:
    def test_it_stops_what_runs_and_unlists_it(self, real_time: Stage) -> None:
        stage = real_time
        stage.functions.add_durable("f", sleepy)
        arn = stage.start("f", execution="n")
        stage.engine.delete_function("f")
        stage.functions.remove("f")
        assert stage.finish(arn)["Status"] == "STOPPED"
        assert types(stage.history(arn))[-1] in {"ExecutionStopped", "InvocationCompleted"}
        with pytest.raises(stage.client.exceptions.ResourceNotFoundException):
            stage.client.list_durable_executions_by_function(FunctionName="f")
        # Created anew, it starts from nothing.
        stage.functions.add_durable("f", quick)
        assert stage.client.list_durable_executions_by_function(FunctionName="f")["DurableExecutions"] == []
        assert stage.start("f", 2, execution="n") != arn


class TestRoutes:
    def request(self, method: str, path: str, body: bytes = b"") -> Request:
        return Request(method, path, {}, {}, body)

    def test_unknown_paths(self, stage: Stage) -> None:
        for method, path in (("GET", "/2025-12-01/nothing"), ("PUT", "/2025-12-01/durable-executions/x")):
            response = stage.engine.handle(self.request(method, path))
            assert response.status == 404
            assert response.headers["x-amzn-ErrorType"] == "UnknownOperationException"

    def test_bodies_that_are_no_json(self, stage: Stage) -> None:
        stage.functions.add_durable("f", quick)
        path = "/2025-12-01/durable-executions/" + stage.start("f").replace("/", "%2F")
        for action in ("stop", "pause", "resume", "checkpoint"):
            for body in (b"{", b"[1]", b'{"ErrorMessage": 1, "Reason": 1, "CheckpointToken": 1}'):
                response = stage.engine.handle(self.request("POST", f"{path}/{action}", body))
                assert response.headers["x-amzn-ErrorType"] == "InvalidParameterValueException"
                assert response.status == 400


def test_the_time_scale_changes_only_while_nothing_runs(stage: Stage) -> None:
    stage.functions.add_durable("f", sleepy)
    arn = stage.start("f")
    with pytest.raises(Exception, match="can't change while 1 durable"):
        stage.engine.set_time_scale(10)
    stage.client.stop_durable_execution(DurableExecutionArn=arn)
    started = stage.finish(arn)["StartTimestamp"]
    stage.engine.set_time_scale(10)
    assert stage.engine.time_scale == 10
    assert stage.finish(arn)["StartTimestamp"] == started


def test_after_its_end_the_engine_answers_with_an_error() -> None:
    stage = Stage()
    stage.functions.add_durable("f", sleepy)
    arn = stage.start("f")
    stage.engine.close()
    with pytest.raises(ClientError):
        stage.start("f")
    with pytest.raises(ClientError):
        stage.client.stop_durable_execution(DurableExecutionArn=arn)
    stage.close()
