"""Errors of CloudWatch Logs, as its JSON 1.1 protocol carries them."""

from __future__ import annotations

from typing import Any

from harness.localcloud.api import ApiError


def logs_error(code: str, message: str, **members: Any) -> ApiError:
    """An error of CloudWatch Logs.

    botocore reads the error's type of a JSON 1.1 service from ``__type`` in the body, not from a header, so it
    travels among the members.

    Args:
        code: The exception's name in the service model.
        message: Its message.
        members: Further members of its shape.
    """
    return ApiError(code, message, 400, members={"__type": code, **members})


def malformed_query(message: str, start: int, end: int) -> ApiError:
    """A MalformedQueryException that points at the part of the query that is at fault.

    Args:
        message: What is wrong.
        start: Offset of the first character at fault, from 0.
        end: Offset after the last one.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_QueryCompileError.html
    """
    location = {"startCharOffset": start, "endCharOffset": end}
    return logs_error("MalformedQueryException", message, queryCompileError={"location": location, "message": message})
