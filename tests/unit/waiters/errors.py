"""Errors as boto3 raises them."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def client_error(
    code: str, status: int = 400, message: str = "", *, headers: dict[str, str] | None = None, **members: Any
) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        **members,
    }
    return ClientError(response, "Operation")


def throttle(**members: Any) -> ClientError:
    return client_error("TooManyRequestsException", 429, "Rate exceeded", **members)
