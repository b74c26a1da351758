"""The engine's values as they leave: wall-clock timestamps in the form that the receiver parses.

Members are those of botocore's service model of Lambda (1.44.5); timestamps are epoch seconds for boto3 and epoch
milliseconds in the event that a function gets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from aws_durable_execution_sdk_python.lambda_service import ErrorObject, Operation

from harness.localcloud.durable.clock import ScaledClock
from harness.localcloud.durable.names import invalid
from harness.localcloud.durable.pace import Pace

# Moments that a function compares with its own clock. They are rounded up, because a function that comes a
# fraction of a millisecond early finds the operation still pending: at a high time scale that is seconds early.
_FUTURE_MEMBERS = frozenset({"ScheduledEndTimestamp", "NextAttemptTimestamp"})
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def epoch_seconds(moment: datetime) -> float:
    """A wall-clock moment as boto3 parses it."""
    return moment.timestamp()


def epoch_milliseconds(moment: datetime) -> int:
    """A wall-clock moment as the SDK in the function parses it."""
    return (moment - _EPOCH) // _MILLISECOND


def to_json(value: Any, clock: ScaledClock, encode: Callable[[datetime], Any] = epoch_seconds) -> Any:
    """A copy of ``value`` in which every engine time has become a wall-clock time.

    Args:
        value: Mappings, lists and scalars, as the engine's ``to_dict`` methods give them.
        clock: Maps engine time to wall-clock time.
        encode: The form of a timestamp.
    """
    if isinstance(value, datetime):
        return encode(clock.to_wall(value))
    if isinstance(value, Mapping):
        return {
            key: encode(_ceiling(clock.to_wall(item)))
            if key in _FUTURE_MEMBERS and isinstance(item, datetime)
            else to_json(item, clock, encode)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [to_json(item, clock, encode) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value


def operations(
    items: list[Operation], clock: ScaledClock, pace: Pace, encode: Callable[[datetime], Any] = epoch_seconds
) -> list[dict[str, Any]]:
    """Operations of an execution's state, as the code that runs for it is told them."""
    return [_operation(item, clock, pace, encode) for item in items]


def _operation(item: Operation, clock: ScaledClock, pace: Pace, encode: Callable[[datetime], Any]) -> dict[str, Any]:
    described: dict[str, Any] = to_json(item.to_dict(), clock, encode)
    due = pace.shown(item)
    if due is not None:
        details, member = (
            ("WaitDetails", "ScheduledEndTimestamp")
            if item.wait_details is not None
            else ("StepDetails", "NextAttemptTimestamp")
        )
        described[details][member] = encode(_ceiling(due))
    return described


def error_object(value: Any) -> ErrorObject | None:
    """The ErrorObject that a request's body is, None for an empty one.

    Raises:
        ApiError: InvalidParameterValueException when it isn't one.
    """
    if value is None or value == {}:
        return None
    if not isinstance(value, Mapping):
        raise invalid("The error must be a JSON object.")
    trace = value.get("StackTrace")
    texts = [value.get(member) for member in ("ErrorMessage", "ErrorType", "ErrorData")]
    if any(text is not None and not isinstance(text, str) for text in texts) or not (
        trace is None or (isinstance(trace, list) and all(isinstance(line, str) for line in trace))
    ):
        raise invalid("ErrorMessage, ErrorType and ErrorData must be strings and StackTrace a list of strings.")
    return ErrorObject(message=texts[0], type=texts[1], data=texts[2], stack_trace=trace)


def _ceiling(moment: datetime) -> datetime:
    return _EPOCH - ((_EPOCH - moment) // _MILLISECOND) * _MILLISECOND
