"""CloudWatch Logs over moto: where functions' logs go, and where Insights reads them."""

from __future__ import annotations

from collections.abc import Sequence

from .api import ApiError, ResolvedFunction
from .backends import Moto
from .insights import LogEvent

# Appending needs both; https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
_APPEND = ("logs:CreateLogStream", "logs:PutLogEvents")


class MotoLogSink:
    """Appends what functions log to moto's log groups; the `LogSink` of the local cloud.

    As on AWS, the function's role decides: without logs:CreateLogStream and logs:PutLogEvents nothing arrives, and a
    missing group comes back only if the role has logs:CreateLogGroup.

    Args:
        moto: Where log groups and roles are kept.
    """

    def __init__(self, moto: Moto) -> None:
        self._moto = moto

    def put(self, function: ResolvedFunction, log_stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Append ``(epoch milliseconds, message)`` records; what the role doesn't allow is dropped silently."""
        if not events or not all(self._allowed(function, action) for action in _APPEND):
            return
        if self._moto.append_log(function.log_group, log_stream, events):
            return
        if self._allowed(function, "logs:CreateLogGroup"):
            self._moto.create_log_group(function.log_group)
            self._moto.append_log(function.log_group, log_stream, events)

    def _allowed(self, function: ResolvedFunction, action: str) -> bool:
        arn = f"arn:aws:logs:{function.region}:{function.account_id}:log-group:{function.log_group}"
        # Policies name a group with and without its streams, and IAM's own reference uses all three forms.
        return self._moto.role_allows(function.role_arn, action, (arn, f"{arn}:*", f"{arn}:log-stream:*"))


class LogReader:
    """Gives Logs Insights the events of log groups.

    Args:
        moto: Where log groups are kept.
    """

    def __init__(self, moto: Moto) -> None:
        self._moto = moto

    def __call__(self, log_group_names: Sequence[str], start_s: int, end_s: int) -> list[LogEvent]:
        """The events of some groups within a time range, in the order of their arrival.

        Args:
            log_group_names: The groups' names.
            start_s: The first second, since the epoch.
            end_s: The last moment, inclusive.

        Raises:
            ApiError: ResourceNotFoundException (400) for an unknown group.
        """
        for group in log_group_names:
            if not self._moto.has_log_group(group):
                message = "The specified log group does not exist."
                raise ApiError("ResourceNotFoundException", message, members={"__type": "ResourceNotFoundException"})
        found = [
            (group, stream, event)
            for group in log_group_names
            for stream, event in self._moto.log_events(group, start_s * 1000, end_s * 1000)
        ]
        # moto numbers events as they come, over all groups.
        found.sort(key=lambda item: item[2].event_id)
        return [
            LogEvent(
                log_group=group,
                log_stream=stream,
                timestamp=event.timestamp,
                ingestion_time=event.ingestion_time,
                message=event.message,
                event_id=str(event.event_id),
                account_id=self._moto.account_id,
            )
            for group, stream, event in found
        ]
