"""What can go wrong with durable executions, as errors that say what to do next."""

from __future__ import annotations

from harness.errors import HarnessError


class DurableError(HarnessError):
    """Something is wrong with a durable function, an execution or a callback."""


class FunctionNotFoundError(DurableError):
    """There is no such function, alias or version."""


class NotDurableError(DurableError):
    """The function isn't a durable function."""


class UnqualifiedInvokeError(DurableError):
    """A durable function was invoked without an alias or a version."""


class ExecutionNameTakenError(DurableError):
    """An execution of this name was already started with another payload."""


class ExecutionNotFoundError(DurableError):
    """There is no such execution, or none that can be seen yet."""


class InvocationFailedError(DurableError):
    """A synchronous invoke came back with a function error and no execution."""


class CallbackClosedError(DurableError):
    """A callback can't be answered: it is unknown, was answered already, or has timed out."""


class PayloadError(DurableError):
    """A payload can't be sent as it is."""
