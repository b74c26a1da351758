"""Names of executions."""

from __future__ import annotations

import re
import unicodedata
import uuid
from typing import TYPE_CHECKING

from harness.waiters import SYSTEM_CLOCK

if TYPE_CHECKING:
    from harness.waiters import Clock

# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (X-Amz-Durable-Execution-Name)
MAX_NAME_LENGTH = 64
_VALID_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ARN = re.compile(
    r"arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+"
    r":(?P<version>\$LATEST(\.PUBLISHED)?|[0-9]+)/durable-execution/(?P<name>[a-zA-Z0-9_-]+)/[a-zA-Z0-9_-]+"
)
# What surrounds the name: "test-" + "-YYYYMMDDTHHMMSS" + "-xxxxxxxx"
_ROOM_FOR_NAME = MAX_NAME_LENGTH - len("test-") - 16 - 9


def make_execution_id(name: str, *, clock: Clock = SYSTEM_CLOCK) -> str:
    """A unique execution name: ``test-{name}-{YYYYMMDD}T{HHMMSS}-{uuid8}``, in UTC.

    It is always a valid one, 1-64 of ``[a-zA-Z0-9-_]``: accents are dropped, every run of other characters becomes
    one hyphen, and the name's part is cut to 34 characters. Uniqueness is the UUID's affair and isn't cut.

    Args:
        name: What is run, such as the test's name.
        clock: Where the time comes from.

    Raises:
        ValueError: ``name`` holds no letter, digit or underscore that a name may have.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^a-zA-Z0-9_]+", "-", plain).strip("-")[:_ROOM_FOR_NAME].rstrip("-")
    if not cleaned:
        raise ValueError(
            f"an execution's name needs at least one letter or digit of ASCII, got {name!r}; "
            "name the test or the example that it belongs to"
        )
    return f"test-{cleaned}-{clock.now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def is_execution_arn(text: str) -> bool:
    """Whether ``text`` is the ARN of a durable execution."""
    return _ARN.fullmatch(text) is not None


def parts_of_arn(arn: str) -> tuple[str, str]:
    """The name and the function's version in an execution's ARN; empty strings if it isn't one."""
    match = _ARN.fullmatch(arn)
    return (match["name"], match["version"]) if match else ("", "")


def check_execution_name(name: str) -> str:
    """Give ``name`` back if it is valid.

    Raises:
        ValueError: It isn't; the message says why.
    """
    if not _VALID_NAME.fullmatch(name):
        shown = name if len(name) <= 80 else f"{name[:80]}..."
        raise ValueError(
            f"an execution's name is 1-64 of [a-zA-Z0-9-_], got {shown!r} ({len(name)} characters); "
            "make_execution_id(name) makes a valid one"
        )
    return name
