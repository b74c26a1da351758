"""What is asserted on, and the error of an assertion that doesn't hold."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NoReturn

from harness._assertions.timeline import timeline_table
from harness.durable import ErrorInfo, Execution, ExecutionResult, History, Operation


class ExecutionAssertionError(AssertionError):
    """An execution isn't as it was expected.

    Attributes:
        expected: What was expected, as a sentence.
        found: What was found instead.
        timeline: The table of the history.
    """

    # Where it is imported from, in tracebacks too.
    __module__ = "harness.assertions"

    def __init__(self, expected: str, found: str, where: str, timeline: str) -> None:
        self.expected = expected
        self.found = found
        self.timeline = timeline
        super().__init__(f"expected: {expected}\nfound:    {found}\n{where}\n{timeline}")


@dataclass(frozen=True)
class Subject:
    """One execution: how it ended, and its history.

    Attributes:
        execution: The execution, or None if there is a history alone.
        history: Its history, or None if there is the execution alone.
    """

    execution: Execution | None
    history: History | None

    @classmethod
    def of(cls, target: ExecutionResult | Execution | History) -> Subject:
        """Take what a test has.

        Raises:
            TypeError: It is something else.
        """
        if isinstance(target, ExecutionResult):
            return cls(target.execution, target.history)
        if isinstance(target, Execution):
            return cls(target, None)
        if isinstance(target, History):
            return cls(None, target)
        raise TypeError(
            f"assert_that takes an ExecutionResult, an Execution or a History of harness.durable, "
            f"not {type(target).__name__}"
        )

    @property
    def status(self) -> str:
        """Its status; a history's is that of its last event about the execution."""
        if self.execution is not None:
            return self.execution.status
        last = next((event for event in reversed(self.history or ()) if event.kind == "Execution"), None)
        return "RUNNING" if last is None or last.status in ("STARTED", "RESUMED") else last.status

    @property
    def result(self) -> Any:
        """Its result, parsed."""
        if self.execution is not None:
            return self.execution.result
        return next((event.result for event in self.events.by_type("ExecutionSucceeded")), None)

    @property
    def error(self) -> ErrorInfo | None:
        """Its error; from the history where the execution was read without its data."""
        if self.execution is not None and self.execution.error is not None:
            return self.execution.error
        ends = (event for event in self.history or () if event.kind == "Execution")
        return next((event.error for event in ends if event.error is not None), None)

    @property
    def events(self) -> History:
        """Its history.

        Raises:
            TypeError: There is the execution alone.
        """
        if self.history is None:
            raise TypeError("this assertion needs the history: give assert_that an ExecutionResult or a History")
        return self.history

    def span(self, operation: Operation) -> tuple[int, float]:
        """Where in the history an operation starts and where it ends, infinity while it goes on."""
        start, end = self._spans[operation.id]
        return start, float("inf") if operation.status == "STARTED" else end

    @functools.cached_property
    def _spans(self) -> dict[str, tuple[int, int]]:
        spans: dict[str, tuple[int, int]] = {}
        for index, event in enumerate(self.events):
            if event.operation_id is not None:
                spans[event.operation_id] = (spans.get(event.operation_id, (index, index))[0], index)
        return spans

    def fail(self, expected: str, found: str) -> NoReturn:
        """Fail the assertion.

        Raises:
            ExecutionAssertionError: Always.
        """
        __tracebackhide__ = True
        name = f"execution {self.execution.name}" if self.execution is not None else "execution"
        error = f", {self.error.type}" if self.error is not None and self.error.type else ""
        table = "  (no history was given)" if self.history is None else timeline_table(self.history)
        raise ExecutionAssertionError(expected, found, f"{name} ({self.status}{error}):", table)
