"""Assertions on operations: steps, waits, callbacks, contexts, invokes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from harness._assertions.matchers import mismatch, show
from harness._assertions.subject import Subject
from harness.durable import Operation

UNSET: Any = object()


class OperationAssertion:
    """Assertions on the operations of one name; each returns this object, so that they can be chained.

    A failed one raises `ExecutionAssertionError`. Where several operations have the name, as in a map or a loop, the
    assertion is about all of them if it was made by ``each_...``, and fails otherwise.
    """

    def __init__(
        self,
        subject: Subject,
        what: str,
        operations: Sequence[Operation],
        others: Iterable[str],
        *,
        every: bool = False,
    ) -> None:
        self._subject = subject
        self._what = what
        self._operations = tuple(operations)
        self._others = tuple(dict.fromkeys(others))
        self._every = every

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations that it is about, in the order in which they started."""
        return self._operations

    def succeeded(
        self,
        result: object = UNSET,
        *,
        attempts: object = None,
        delays: Sequence[object] | None = None,
        errors: Sequence[object] | None = None,
    ) -> OperationAssertion:
        """It succeeded.

        Args:
            result: Its result, or a matcher.
            attempts: How many attempts it took, or a matcher.
            delays: The seconds before the second and each further attempt, as recorded (NextAttemptDelaySeconds), each
                a number or a matcher such as ``between(0, 2)``.
            errors: The error types of its failed attempts, in order, or matchers.
        """
        __tracebackhide__ = True
        for operation in self._ended("SUCCEEDED"):
            if result is not UNSET:
                self._match("result", result, operation.result)
            self._check_attempts(operation, attempts, delays, errors)
        return self

    def failed(
        self,
        error_type: object = None,
        message: object = None,
        *,
        attempts: object = None,
        delays: Sequence[object] | None = None,
        errors: Sequence[object] | None = None,
    ) -> OperationAssertion:
        """It failed for good.

        Args:
            error_type: The type of the error it ended with, as recorded, or a matcher.
            message: That error's message, or a matcher.
            attempts: As in `succeeded`.
            delays: As in `succeeded`.
            errors: The error types of all its attempts, the last one included.
        """
        __tracebackhide__ = True
        for operation in self._ended("FAILED"):
            self._check_error(operation, error_type, message)
            self._check_attempts(operation, attempts, delays, errors)
        return self

    def timed_out(self) -> OperationAssertion:
        """It timed out: a callback or an invoke."""
        __tracebackhide__ = True
        self._ended("TIMED_OUT")
        return self

    def stopped(self) -> OperationAssertion:
        """It was stopped: an invoke."""
        __tracebackhide__ = True
        self._ended("STOPPED")
        return self

    def cancelled(self) -> OperationAssertion:
        """It was cancelled: a wait."""
        __tracebackhide__ = True
        self._ended("CANCELLED")
        return self

    def is_open(self) -> OperationAssertion:
        """It has started and hasn't ended."""
        __tracebackhide__ = True
        self._ended("STARTED")
        return self

    def waited(self, seconds: object) -> OperationAssertion:
        """It is a wait of this length that ran to its end.

        Args:
            seconds: The length that the function asked for, as recorded, or a matcher. It isn't measured, so that it
                holds in a local cloud that compresses time.
        """
        __tracebackhide__ = True
        for operation in self._ended("SUCCEEDED"):
            self._match("seconds", seconds, wait_seconds(operation))
        return self

    def ran(self, times: object = UNSET) -> OperationAssertion:
        """It started, however it ended.

        Args:
            times: How many operations have its name, or a matcher; by default one or more.
        """
        __tracebackhide__ = True
        if times is UNSET:
            if not self._operations:
                self._fail("ran", self._absence())
        elif mismatch(times, len(self._operations), "times") is not None:
            self._fail(f"ran {show(times)} times", f"it ran {len(self._operations)} times")
        return self

    def never_ran(self) -> None:
        """There is no operation of that name."""
        __tracebackhide__ = True
        if self._operations:
            self._fail("never ran", f"it ran, and is {_statuses(self._operations)}")

    def _ended(self, status: str) -> tuple[Operation, ...]:
        __tracebackhide__ = True
        expected = f"ended as {status}" if status != "STARTED" else "goes on"
        if not self._operations:
            self._fail(expected, self._absence())
        if len(self._operations) > 1 and not self._every:
            self._fail(
                expected,
                f"there are {len(self._operations)} of that name, {_statuses(self._operations)}: "
                "say which with nth=..., or mean all of them with each_...",
            )
        for operation in self._operations:
            if operation.status != status:
                error = f" with {operation.error}" if operation.error else ""
                self._fail(expected, f"{self._which(operation)}it is {operation.status}{error}")
        return self._operations

    def _check_error(self, operation: Operation, error_type: object, message: object) -> None:
        __tracebackhide__ = True
        if error_type is not None:
            self._match("error type", error_type, operation.error.type if operation.error else None)
        if message is not None:
            self._match("error message", message, operation.error.message if operation.error else None)

    def _check_attempts(
        self, operation: Operation, attempts: object, delays: Sequence[object] | None, errors: Sequence[object] | None
    ) -> None:
        __tracebackhide__ = True
        made = operation.attempts
        if attempts is not None:
            self._match("attempts", attempts, len(made))
        if delays is not None:
            self._match("delays", list(delays), [attempt.next_delay or 0.0 for attempt in made[:-1]])
        if errors is not None:
            self._match("errors", list(errors), [attempt.error.type for attempt in made if attempt.error is not None])

    def _match(self, path: str, expected: object, value: object) -> None:
        __tracebackhide__ = True
        reason = mismatch(expected, value, path)
        if reason is not None:
            self._fail(f"has {path} {show(expected)}", reason)

    def _which(self, operation: Operation) -> str:
        return f"number {self._operations.index(operation)} of them: " if len(self._operations) > 1 else ""

    def _absence(self) -> str:
        return f"no such operation; there are: {', '.join(map(repr, self._others)) or 'none'}"

    def _fail(self, expected: str, found: str) -> NoReturn:
        __tracebackhide__ = True
        self._subject.fail(f"{self._what} {expected}", found)


def wait_seconds(operation: Operation) -> float | None:
    """The length of a wait in seconds, as recorded; None if it isn't."""
    durations = [event.details["Duration"] for event in operation.events if "Duration" in event.details]
    return float(durations[0]) if durations else None


def _statuses(operations: Sequence[Operation]) -> str:
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation.status] = counts.get(operation.status, 0) + 1
    if len(operations) == 1:
        return operations[0].status
    return ", ".join(f"{count} {status}" for status, count in counts.items())
