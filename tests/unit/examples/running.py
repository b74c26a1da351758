"""Runs a whole handler without any cloud: AWS's testing SDK plays the service, and durable time is skipped.

https://github.com/aws/aws-durable-execution-sdk-python-testing
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner

Approver = Callable[[DurableFunctionTestRunner, str], None]


@dataclass(frozen=True)
class Run:
    """A finished execution."""

    status: str
    result: Any
    error_type: str | None
    error_message: str | None
    events: list[dict[str, Any]]

    def names(self, event_type: str = "StepStarted") -> list[str]:
        """Names of the operations with events of a type, in order and without an operation's repetitions."""
        found = {event["Id"]: event["Name"] for event in self.events if event["EventType"] == event_type}
        return list(found.values())

    def attempts(self, step: str) -> int:
        """How often a step was tried."""
        ended = {"StepSucceeded", "StepFailed"}
        return sum(1 for event in self.events if event.get("Name") == step and event["EventType"] in ended)

    def delays(self, step: str) -> list[int]:
        """The recorded seconds before each retry of a step."""
        return [
            details["RetryDetails"]["NextAttemptDelaySeconds"]
            for event in self.events
            if event.get("Name") == step
            for details in [event.get("StepFailedDetails") or event.get("StepSucceededDetails") or {}]
            # The engine records 0 for an attempt that no other follows.
            if (details.get("RetryDetails") or {}).get("NextAttemptDelaySeconds")
        ]

    def failures(self, step: str) -> list[str]:
        """The recorded error type of each failed attempt of a step."""
        return [
            event["StepFailedDetails"]["Error"]["Payload"]["ErrorType"]
            for event in self.events
            if event["EventType"] == "StepFailed" and event["Name"] == step
        ]


def run(handler: Callable[..., Any], event: Any, *, during: Approver | None = None) -> Run:
    """Run an execution to its end.

    Args:
        handler: The decorated handler.
        event: Its input.
        during: What to do while it runs, such as sending a callback; gets the runner and the execution's ARN.
    """
    with DurableFunctionTestRunner(handler, poll_interval=0.01) as runner:
        arn = runner.run_async(input=json.dumps(event))
        if during:
            during(runner, arn)
        result = runner.wait_for_result(arn)
        history = runner.get_execution_history(arn, include_execution_data=True)
    return Run(
        status=result.status.value,
        result=json.loads(result.result) if result.result else None,
        error_type=result.error.type if result.error else None,
        error_message=result.error.message if result.error else None,
        events=[event.to_dict() for event in history.events],
    )
