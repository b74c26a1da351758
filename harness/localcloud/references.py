"""The forms in which a caller may name a Lambda function.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .api import ApiError

# Lambda's own pattern for FunctionName, with groups.
_REFERENCE = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_.-]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]{1,128}))?"
)
_QUALIFIER = re.compile(r"\$LATEST|[a-zA-Z0-9_-]{1,128}")


@dataclass(frozen=True)
class FunctionReference:
    """A function as a caller names it.

    Attributes:
        region: The region that the ARN says, or the caller's.
        account_id: The account that the ARN says, or the caller's.
        name: The bare name.
        qualifier: A version, an alias, ``$LATEST``, or None.
    """

    region: str
    account_id: str
    name: str
    qualifier: str | None

    @property
    def arn(self) -> str:
        """The unqualified function ARN."""
        return f"arn:aws:lambda:{self.region}:{self.account_id}:function:{self.name}"

    @property
    def qualified_arn(self) -> str:
        """The ARN with the qualifier, if there is one."""
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn


def parse_reference(text: str, qualifier: str | None, *, region: str, account_id: str) -> FunctionReference:
    """Read a name, ``name:qualifier``, partial ARN or ARN.

    Args:
        text: What the caller gave as the function's name.
        qualifier: What the caller gave as its qualifier.
        region: The caller's region.
        account_id: The caller's account.

    Raises:
        ApiError: ValidationException (400) for no possible name; InvalidParameterValueException (400) when both say a
            qualifier and it isn't the same.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise _invalid(text, "functionName", _REFERENCE.pattern)
    if qualifier is not None and not _QUALIFIER.fullmatch(qualifier):
        raise _invalid(qualifier, "qualifier", _QUALIFIER.pattern)
    reference = FunctionReference(
        found["region"] or region, found["account"] or account_id, found["name"], found["qualifier"]
    )
    if reference.qualifier and qualifier and reference.qualifier != qualifier:
        raise ApiError(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
            members={"Type": "User"},
        )
    return replace(reference, qualifier=reference.qualifier or qualifier)


def _invalid(value: str, member: str, pattern: str) -> ApiError:
    return ApiError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {pattern}",
    )
