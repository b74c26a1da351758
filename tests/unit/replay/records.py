"""Executions written down by hand, as the service would have recorded them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.durable import ErrorInfo, Execution, History

NONE = object()


class Record:
    """An execution and its history, operation by operation."""

    def __init__(self, given: object = None, name: str = "run-1") -> None:
        self.given = given
        self.name = name
        self.arn = f"arn:aws:lambda:us-east-1:123456789012:function:f:1/durable-execution/{name}/{name}-id"
        self._events: list[dict[str, Any]] = []
        self._counts: Counter[str | None] = Counter()

    def _id(self, parent: str | None) -> str:
        self._counts[parent] += 1
        number = self._counts[parent]
        return hashlib.blake2b((f"{parent}-{number}" if parent else str(number)).encode()).hexdigest()[:64]

    def _event(  # noqa: PLR0917 - an event's members, in one line each where it is used
        self, kind: str, key: str, name: str, parent: str | None, sub_type: str, details: object
    ) -> None:
        self._events.append(
            {
                "EventId": len(self._events) + 1,
                "EventType": kind,
                "EventTimestamp": datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self._events)),
                "Name": name,
                "Id": key,
                **({"ParentId": parent} if parent else {}),
                "SubType": sub_type,
                f"{kind}Details": details,
            }
        )

    def step(
        self,
        name: str,
        result: object = None,
        *,
        error: str | None = None,
        message: str = "no",
        retried: Sequence[str] = (),
        parent: str | None = None,
        ended: bool = True,
    ) -> Record:
        """A step; ``retried`` are the types of the errors that its first attempts ended in."""
        key = self._id(parent)
        for number, kind in enumerate(retried, 1):
            self._event("StepStarted", key, name, parent, "Step", {})
            failed = {"Payload": {"ErrorType": kind, "ErrorMessage": message}}
            retry = {"CurrentAttempt": number, "NextAttemptDelaySeconds": 1}
            self._event("StepFailed", key, name, parent, "Step", {"Error": failed, "RetryDetails": retry})
        self._event("StepStarted", key, name, parent, "Step", {})
        retry = {"CurrentAttempt": len(retried) + 1}
        if not ended:
            return self
        if error is None:
            ok = {"Result": {"Payload": json.dumps(result)}, "RetryDetails": retry}
            self._event("StepSucceeded", key, name, parent, "Step", ok)
        else:
            failed = {"Payload": {"ErrorType": error, "ErrorMessage": message}}
            self._event("StepFailed", key, name, parent, "Step", {"Error": failed, "RetryDetails": retry})
        return self

    def wait(self, name: str) -> Record:
        key = self._id(None)
        self._event("WaitStarted", key, name, None, "Wait", {})
        self._event("WaitSucceeded", key, name, None, "Wait", {})
        return self

    def open_context(self, name: str) -> str:
        """A child context begins; gives its id, the parent of what is inside."""
        key = self._id(None)
        self._event("ContextStarted", key, name, None, "RunInChildContext", {})
        return key

    def close_context(self, key: str, name: str, result: object) -> Record:
        done = {"Result": {"Payload": json.dumps(result)}}
        self._event("ContextSucceeded", key, name, None, "RunInChildContext", done)
        return self

    def truncate(self) -> Record:
        self._events[-1][f"{self._events[-1]['EventType']}Details"]["Result"]["Truncated"] = True
        return self

    def ends(
        self, result: object = NONE, *, error: str | None = None, message: str = "no", status: str | None = None
    ) -> tuple[Execution, History]:
        """The end of it all."""
        start = datetime(2030, 1, 1, tzinfo=UTC)
        failed = None if error is None else ErrorInfo(error, message)
        kind = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "STOPPED": "Stopped", "TIMED_OUT": "TimedOut"}
        status = status or ("FAILED" if error else "SUCCEEDED")
        self._event("ExecutionStarted", self.arn, self.name, None, "", {"Input": {"Payload": json.dumps(self.given)}})
        self._events.insert(0, self._events.pop())
        if status in kind:
            details: dict[str, object] = {}
            if result is not NONE:
                details["Result"] = {"Payload": json.dumps(result)}
            if failed is not None:
                details["Error"] = {"Payload": {"ErrorType": error, "ErrorMessage": message}}
            self._event(f"Execution{kind[status]}", self.arn, self.name, None, "", details)
        execution = Execution(
            arn=self.arn,
            name=self.name,
            status=status,
            function_arn="arn:aws:lambda:us-east-1:123456789012:function:f:1",
            version="1",
            started=start,
            ended=start + timedelta(minutes=1),
            raw_input=json.dumps(self.given),
            raw_result=None if result is NONE else json.dumps(result),
            error=failed,
        )
        return execution, History.of(self._events)


def function(folder: Path, body: str, **modules: str) -> Path:
    """A function's folder with a ``handler.py`` that begins with the usual imports."""
    folder.mkdir(parents=True, exist_ok=True)
    head = (
        "import os, random, socket, uuid\n"
        "from aws_durable_execution_sdk_python import DurableContext, StepError, durable_execution\n"
        "from aws_durable_execution_sdk_python.config import Duration, StepConfig\n"
        "from aws_durable_execution_sdk_python.retries import (\n"
        "    RetryDecision, RetryStrategyConfig, create_retry_strategy)\n"
        "NO_RETRY = StepConfig(retry_strategy=lambda error, attempt: RetryDecision.no_retry())\n"
    )
    (folder / "handler.py").write_text(head + body, encoding="utf-8")
    for name, content in modules.items():
        (folder / f"{name}.py").write_text(content, encoding="utf-8")
    return folder
