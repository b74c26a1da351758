"""Errors that keep their type from the step that raised them to the end of the execution.

The SDK raises a failed step as its own ``StepError``: ``except PaymentGatewayError`` around a step never matches, and
an uncaught one ends the execution as ``aws_durable_execution_sdk_python.exceptions.StepError``. What the step raised
survives as a string, the error's ``error_type``. Match on that, and let `keep_types` turn it back into an error of
that type wherever an error leaves a branch or the handler.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aws_durable_execution_sdk_python.exceptions import DurableOperationError


class Failure(Exception):  # noqa: N818 - errors here are named as the workflow names them
    """An error that callers know by its bare name, such as ``InvalidOrderError``."""

    def __init_subclass__(cls) -> None:
        # The SDK records module.ClassName for all but built-in errors. The name is what callers match on, so it must
        # not change when a class moves to another file.
        cls.__module__ = "builtins"


def of_type(error_type: str, message: str | None) -> Exception:
    """An error that the SDK records under ``error_type``, as it recorded the one that a step raised."""
    module, _, name = error_type.rpartition(".")
    error_class: type[Exception] = type(name, (Exception,), {"__module__": module or "builtins"})
    return error_class(message or "")


@contextmanager
def keep_types() -> Iterator[None]:
    """Raise a durable operation's error again as the error that it was before the SDK wrapped it."""
    try:
        yield
    except DurableOperationError as error:
        raise of_type(error.error_type, error.message) from error
