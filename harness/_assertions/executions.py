"""Assertions on an execution as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from harness._assertions.matchers import mismatch, show
from harness._assertions.operations import UNSET, OperationAssertion, wait_seconds
from harness._assertions.subject import Subject
from harness.durable import Execution, ExecutionResult, History, Operation

# SubTypes of the contexts whose children run side by side.
_FORKS = ("Parallel", "Map")


class ExecutionAssertion:
    """Assertions on one execution; made by `assert_that`. Each returns this object, so that they can be chained.

    A failed one raises `ExecutionAssertionError`, which shows what was expected, what was found and the timeline.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def succeeded(self, result: object = UNSET) -> ExecutionAssertion:
        """It ended as SUCCEEDED.

        Args:
            result: Its result, compared as a whole, or a matcher such as ``including({...})``.
        """
        __tracebackhide__ = True
        self._ended("SUCCEEDED")
        if result is not UNSET:
            self._match("result", result, self._subject.result)
        return self

    def failed(self, error_type: object = None, message: object = None) -> ExecutionAssertion:
        """It ended as FAILED.

        Args:
            error_type: Its error's type, as recorded, or a matcher.
            message: Its error's message, or a matcher.
        """
        __tracebackhide__ = True
        return self._ended_with_error("FAILED", error_type, message)

    def timed_out(self) -> ExecutionAssertion:
        """It ended as TIMED_OUT."""
        __tracebackhide__ = True
        return self._ended("TIMED_OUT")

    def stopped(self, error_type: object = None, message: object = None) -> ExecutionAssertion:
        """It ended as STOPPED.

        Args:
            error_type: The type of the error that it was stopped with, or a matcher.
            message: That error's message, or a matcher.
        """
        __tracebackhide__ = True
        return self._ended_with_error("STOPPED", error_type, message)

    def operation(self, name: str, *, kind: str | None = None, nth: int | None = None) -> OperationAssertion:
        """Assertions on the one operation of that name.

        Args:
            name: Its name in the history.
            kind: Step, Wait, Callback, Context or ChainedInvoke; by default any.
            nth: Which one, from 0 in the order in which they started, where several have the name; -1 is the last.
        """
        return self._select(name, kind, nth)

    def step(self, name: str, *, nth: int | None = None) -> OperationAssertion:
        """Assertions on a step, or on a wait for a condition, which is a step with attempts; see `operation`."""
        return self._select(name, "Step", nth)

    def wait(self, name: str, *, nth: int | None = None) -> OperationAssertion:
        """Assertions on a wait; see `operation`."""
        return self._select(name, "Wait", nth)

    def context(self, name: str, *, nth: int | None = None) -> OperationAssertion:
        """Assertions on a child context, a parallel, a map or one of their branches; see `operation`."""
        return self._select(name, "Context", nth)

    def invoke(self, name: str, *, nth: int | None = None) -> OperationAssertion:
        """Assertions on the invoke of another function; see `operation`."""
        return self._select(name, "ChainedInvoke", nth)

    def callback(self, name: str, *, nth: int | None = None) -> OperationAssertion:
        """Assertions on a callback, under the name given to ``create_callback`` or ``wait_for_callback``."""
        history = self._subject.events
        contexts = {o.id for o in history.operations(kind="Context", name=name) if o.sub_type == "WaitForCallback"}
        callbacks = history.operations(kind="Callback")
        found = [o for o in callbacks if o.name == name or o.parent_id in contexts]
        others = [o.name or "" for o in history.operations() if o.kind == "Callback" or o.sub_type == "WaitForCallback"]
        return self._assertion(f"callback {name!r}", found, [other for other in others if other], nth)

    def each_operation(self, name: str, *, kind: str | None = None, count: object = UNSET) -> OperationAssertion:
        """Assertions on all operations of that name, of which there must be one or more.

        Args:
            name: Their name.
            kind: As in `operation`.
            count: How many there must be, or a matcher.
        """
        __tracebackhide__ = True
        found, others = self._find(name, kind)
        assertion = OperationAssertion(self._subject, f"each {_label(kind)} {name!r}", found, others, every=True)
        return assertion.ran(count)

    def each_step(self, name: str, *, count: object = UNSET) -> OperationAssertion:
        """Assertions on all steps of that name, as in a map or a loop; see `each_operation`."""
        __tracebackhide__ = True
        return self.each_operation(name, kind="Step", count=count)

    def never_ran(self, *names: str) -> ExecutionAssertion:
        """There are no operations of these names."""
        __tracebackhide__ = True
        for name in names:
            self.operation(name).never_ran()
        return self

    def waited(self, *seconds: object) -> ExecutionAssertion:
        """It waited so often and so long: the waits of its history that ran to their end, in order.

        Args:
            seconds: The length of each wait as the function asked for it, or a matcher; none at all for no waits.
        """
        __tracebackhide__ = True
        waits = self._subject.events.operations(kind="Wait")
        found = [wait_seconds(operation) for operation in waits if operation.status == "SUCCEEDED"]
        reason = mismatch(list(seconds), found, "waits")
        if reason is not None:
            self._subject.fail(f"waited {show(list(seconds))} seconds", f"waited {show(found)} seconds ({reason})")
        return self

    def ran_in_order(self, *names: str) -> ExecutionAssertion:
        """Operations of these names ran one after the other: each ended before the next one started.

        Others may have run in between. A name may be given several times, as a loop has it.
        """
        __tracebackhide__ = True
        end, previous = -1.0, ""
        for name in names:
            spans = [self._subject.span(operation) for operation in self._all(name)]
            if not spans:
                self._fail_order(names, f"{name!r} never ran")
            # The one that ends first leaves most room for those that follow.
            after = [ended for started, ended in spans if started > end]
            if not after:
                self._fail_order(names, f"{name!r} didn't start after the end of {previous!r}")
            end, previous = min(after), name
        return self

    def ran_in_parallel(self, *names: str) -> ExecutionAssertion:
        """Operations of these names ran side by side, every two of them.

        They did if they are in different branches of one parallel or map, or if each started before the other ended.
        The former doesn't depend on which of two fast branches was recorded first.
        """
        __tracebackhide__ = True
        for name in names:
            if not self._all(name):
                self._subject.fail(f"{_join(names)} ran in parallel", f"{name!r} never ran")
        for left, right in combinations(names, 2):
            if not any(self._parallel(one, other) for one in self._all(left) for other in self._all(right)):
                self._subject.fail(f"{_join(names)} ran in parallel", f"{left!r} and {right!r} ran one after the other")
        return self

    def ran_at_once(self, name: str, *, at_most: int) -> ExecutionAssertion:
        """Of the operations of that name, such as a map's items, never more than so many were going on at a time."""
        __tracebackhide__ = True
        operations = self._all(name)
        if not operations:
            self._subject.fail(f"{name!r} ran, at most {at_most} at once", "it never ran")
        spans = [self._subject.span(operation) for operation in operations]
        most = max(sum(start <= other_start <= end for start, end in spans) for other_start, _ in spans)
        if most > at_most:
            self._subject.fail(f"at most {at_most} of {name!r} ran at once", f"{most} did")
        return self

    def _ended(self, status: str) -> ExecutionAssertion:
        __tracebackhide__ = True
        if self._subject.status != status:
            error = self._subject.error
            self._subject.fail(
                f"the execution ended as {status}", f"it is {self._subject.status}{f' with {error}' if error else ''}"
            )
        return self

    def _ended_with_error(self, status: str, error_type: object, message: object) -> ExecutionAssertion:
        __tracebackhide__ = True
        self._ended(status)
        error = self._subject.error
        if error_type is not None:
            self._match("error type", error_type, error.type if error else None)
        if message is not None:
            self._match("error message", message, error.message if error else None)
        return self

    def _match(self, path: str, expected: object, value: object) -> None:
        __tracebackhide__ = True
        reason = mismatch(expected, value, path)
        if reason is not None:
            self._subject.fail(f"the execution has {path} {show(expected)}", reason)

    def _all(self, name: str) -> tuple[Operation, ...]:
        return self._subject.events.operations(name=name)

    def _find(self, name: str, kind: str | None) -> tuple[tuple[Operation, ...], list[str]]:
        operations = self._subject.events.operations(kind=kind)
        return (
            tuple(operation for operation in operations if operation.name == name),
            [operation.name for operation in operations if operation.name],
        )

    def _select(self, name: str, kind: str | None, nth: int | None) -> OperationAssertion:
        found, others = self._find(name, kind)
        return self._assertion(f"{_label(kind)} {name!r}", found, others, nth)

    def _assertion(
        self, what: str, found: Sequence[Operation], others: Sequence[str], nth: int | None
    ) -> OperationAssertion:
        if nth is not None:
            what = f"{what} (nth={nth} of {len(found)})"
            found = [found[nth]] if -len(found) <= nth < len(found) else []
        return OperationAssertion(self._subject, what, found, others)

    def _parallel(self, one: Operation, other: Operation) -> bool:
        operations = {operation.id: operation for operation in self._subject.events.operations()}
        left, right = _line(one, operations), _line(other, operations)
        if one.id in right or other.id in left:
            return False
        shared = next((ancestor for ancestor in left if ancestor in right), None)
        if shared is not None and operations[shared].sub_type in _FORKS:
            return True
        (start, end), (other_start, other_end) = self._subject.span(one), self._subject.span(other)
        return start < other_end and other_start < end

    def _fail_order(self, names: Sequence[str], found: str) -> None:
        __tracebackhide__ = True
        started = dict.fromkeys(o.name for o in self._subject.events.operations() if o.name in names)
        order = f"; they started in the order {_join([name for name in started if name])}" if started else ""
        self._subject.fail(f"{_join(names)} ran in this order", f"{found}{order}")


def assert_that(target: ExecutionResult | Execution | History) -> ExecutionAssertion:
    """Begin assertions on an execution.

    Args:
        target: What ``RunningExecution.wait()`` gives, or an execution alone (its status, result and error can be
            asserted on), or a history alone.

    Raises:
        TypeError: It is something else.
    """
    return ExecutionAssertion(Subject.of(target))


def _line(operation: Operation, operations: dict[str, Operation]) -> list[str]:
    line = [operation.id]
    parent = operation.parent_id
    while parent is not None and parent in operations and parent not in line:
        line.append(parent)
        parent = operations[parent].parent_id
    return line


def _label(kind: str | None) -> str:
    return {"ChainedInvoke": "invoke", None: "operation"}.get(kind, (kind or "").lower())


def _join(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
