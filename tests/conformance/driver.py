"""Runs requirements against a cloud through boto3: deploys handlers, starts executions, acts as the outside world."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.packaging import build_zip

from .matching import Captures, history_differences, log_differences
from .requirements import Requirement
from .template import Handler

POLL_SECONDS = 0.02
# Without a new event for so long, an execution is stuck.
PATIENCE_SECONDS = 60.0
SUSPENSION_SECONDS = 5.0
TERMINAL = {"SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
# Lets functions make their log groups.
_LOGS_POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


@dataclass
class Driver:
    """Runs requirements on the handlers of one folder.

    Attributes:
        functions: A boto3 client of Lambda, without retries, with a connection for each worker.
        logs: A boto3 client of CloudWatch Logs.
        iam: A boto3 client of IAM.
        handlers: The folder's functions, by their logical ids.
        time_scale: How many times faster than on AWS waits pass; the delays of callbacks are divided by it.
        work: Where zips are kept.
        workers: How many requirements run at once.
    """

    functions: Any
    logs: Any
    iam: Any
    handlers: Mapping[str, Handler]
    time_scale: float
    work: Path
    workers: int = 4
    _arns: dict[str, Future[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _role: str = ""

    def run_all(self, requirements: Mapping[str, Requirement], ids: list[str]) -> dict[str, list[str]]:
        """Run requirements side by side; gives what is wrong with each."""
        role = self.iam.create_role(RoleName="conformance", AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]
        self.iam.attach_role_policy(RoleName="conformance", PolicyArn=_LOGS_POLICY)
        self._role = role["Arn"]
        by_requirement = {one: handler for handler in self.handlers.values() for one in handler.requirements}

        def checked(one: str) -> list[str]:
            try:
                return self.run(requirements[one], by_requirement[one])
            except Exception as error:  # noqa: BLE001 - one broken case must not hide the others
                return [f"{type(error).__name__}: {error}"]

        with ThreadPoolExecutor(self.workers) as pool:
            return dict(zip(ids, pool.map(checked, ids), strict=True))

    def run(self, requirement: Requirement, handler: Handler) -> list[str]:
        """Run one requirement; gives what is wrong."""
        document = requirement.document
        captures = Captures(document.get("Variables"))
        self.deploy(handler)
        answer = self.functions.invoke(
            FunctionName=_physical(handler),
            Qualifier="$LATEST",
            InvocationType="Event" if document.get("AsyncInvoke") else "RequestResponse",
            Payload=json.dumps(captures.fill(document.get("Input"))),
        )
        arn = answer["DurableExecutionArn"]
        problems, events = self._follow(arn, document, captures)
        if "ExpectedResult" in document:
            problems += history_differences(document["ExpectedExecutionHistory"], events, captures)
            problems += self._result_differences(arn, document["ExpectedResult"], captures)
        else:
            self.functions.stop_durable_execution(DurableExecutionArn=arn)
        if document.get("ExpectedLogs"):
            pages = self.logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/lambda/{_physical(handler)}"
            )
            found = sorted((event for page in pages for event in page["events"]), key=lambda one: one["timestamp"])
            messages = [event["message"] for event in found]
            problems += log_differences(document["ExpectedLogs"], messages, arn, captures)
        if problems:
            problems.append("history: " + " ".join(f"{one['EventId']} {one['EventType']}" for one in events))
        return problems

    def deploy(self, handler: Handler) -> str:
        """Deploy a function, once, and what it refers to; gives its ARN."""
        with self._lock:
            deployed = self._arns.get(handler.name)
            mine = deployed is None
            if deployed is None:
                deployed = self._arns[handler.name] = Future()
        if mine:
            try:
                deployed.set_result(self._create(handler))
            except BaseException as error:
                deployed.set_exception(error)
                raise
        return deployed.result()

    def _create(self, handler: Handler) -> str:
        arns = {name: self.deploy(self.handlers[name]) for name in handler.references}
        with self._lock:
            package = build_zip(handler.code, cache_dir=self.work)
        properties = dict(handler.properties)
        if "Environment" in properties:
            properties["Environment"] = {"Variables": handler.environment(arns)}
        created: dict[str, str] = self.functions.create_function(
            FunctionName=_physical(handler),
            Role=self._role,
            Handler=handler.entry,
            Code={"ZipFile": package.path.read_bytes()},
            **properties,
        )
        return created["FunctionArn"]

    def _follow(
        self, arn: str, document: Mapping[str, Any], captures: Captures
    ) -> tuple[list[str], list[dict[str, Any]]]:
        """Follow an execution to its end, or to all that is expected of it, and complete its callbacks."""
        actions = list(document.get("CallbackActions") or [])
        answered: set[str] = set()
        problems: list[str] = []
        seen, last_news = -1, datetime.now(UTC)
        pause = threading.Event()
        while True:
            status = self.functions.get_durable_execution(DurableExecutionArn=arn)["Status"]
            events = self._history(arn)
            if status in TERMINAL:
                return problems, events
            if "ExpectedResult" not in document and not history_differences(
                document["ExpectedExecutionHistory"], events, captures
            ):
                return problems, events
            if len(events) > seen:
                seen, last_news = len(events), datetime.now(UTC)
            elif datetime.now(UTC) - last_news > timedelta(seconds=PATIENCE_SECONDS):
                return [*problems, f"it is {status}, and nothing has happened for {PATIENCE_SECONDS:g} s"], events
            for event in events:
                if event["EventType"] == "CallbackStarted":
                    problems += self._answer(
                        arn, event, actions, answered, captures, expected=bool(document.get("CallbackActions"))
                    )
            pause.wait(POLL_SECONDS)

    def _answer(
        self,
        arn: str,
        event: Mapping[str, Any],
        actions: list[dict[str, Any]],
        answered: set[str],
        captures: Captures,
        *,
        expected: bool,
    ) -> list[str]:
        """Do the first action that is meant for a callback that isn't completed; gives what is wrong."""
        callback = event["CallbackStartedDetails"]["CallbackId"]
        if callback in answered:
            return []
        for action in actions:
            if not _meant_for(captures.fill(action["CallbackName"]), event.get("Name", "")):
                continue
            actions.remove(action)
            if action["Operation"].lower() != "heartbeat":
                answered.add(callback)
            if delay := float(action.get("Delay", 0)):
                threading.Event().wait(delay / self.time_scale)
                self._wait_for_suspension(arn, event["EventId"])
            self._send(callback, action["Operation"].lower(), captures.fill(action.get("Payload")))
            return []
        answered.add(callback)
        # A requirement without any action means its callbacks to time out.
        return [f"no action is meant for the callback {event.get('Name')!r}"] if expected else []

    def _wait_for_suspension(self, arn: str, event_id: int) -> None:
        """Wait until the invocation that created a callback has returned, unless it has more to do.

        A delay of a second means that; scaled, it may be over before.
        """
        pause = threading.Event()
        limit = datetime.now(UTC) + timedelta(seconds=SUSPENSION_SECONDS)
        while datetime.now(UTC) < limit:
            later = [event["EventType"] for event in self._history(arn) if event["EventId"] > event_id]
            if "InvocationCompleted" in later:
                return
            pause.wait(POLL_SECONDS)

    def _send(self, callback: str, operation: str, payload: Any) -> None:
        if operation == "heartbeat":
            self.functions.send_durable_execution_callback_heartbeat(CallbackId=callback)
        elif operation == "failure":
            given = {} if payload is None else {"Error": payload}
            self.functions.send_durable_execution_callback_failure(CallbackId=callback, **given)
        else:
            result = {} if payload is None else {"Result": json.dumps(payload).encode()}
            self.functions.send_durable_execution_callback_success(CallbackId=callback, **result)

    def _history(self, arn: str) -> list[dict[str, Any]]:
        pages = self.functions.get_paginator("get_durable_execution_history").paginate(
            DurableExecutionArn=arn, IncludeExecutionData=True
        )
        return [event for page in pages for event in page["Events"]]

    def _result_differences(self, arn: str, expected: Mapping[str, Any], captures: Captures) -> list[str]:
        execution = self.functions.get_durable_execution(DurableExecutionArn=arn)
        status, wanted = execution["Status"], expected.get("ExecutionStatus", execution["Status"])
        if status != wanted:
            return [f"status: {status} instead of {wanted}, {execution.get('Error')}"]
        if status != "SUCCEEDED" or "Result" not in expected:
            return []
        text = execution.get("Result")
        try:
            actual = None if text is None else json.loads(text)
        except ValueError:
            actual = text
        result = captures.fill(expected["Result"])
        return [] if actual == result else [f"result: {actual!r} instead of {result!r}"]


def _physical(handler: Handler) -> str:
    return f"conformance-{handler.name}"


def _meant_for(name: str, actual: str) -> bool:
    pattern = re.fullmatch(r"\$\{/(.+)/\}", name)
    return name in ("*", actual) or (pattern is not None and re.search(pattern[1], actual) is not None)
