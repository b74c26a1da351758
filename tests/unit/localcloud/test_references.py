"""A function may be named in every form that Lambda documents."""

from __future__ import annotations

import pytest

from harness.localcloud.api import ApiError
from harness.localcloud.references import FunctionReference, parse_reference

ACCOUNT = "123456789012"


def _parse(text: str, qualifier: str | None = None) -> FunctionReference:
    return parse_reference(text, qualifier, region="us-east-1", account_id=ACCOUNT)


@pytest.mark.parametrize(
    ("text", "qualifier"),
    [
        ("f", None),
        ("f:live", "live"),
        ("f:$LATEST", "$LATEST"),
        ("f:7", "7"),
        ("function:f", None),
        (f"{ACCOUNT}:function:f", None),
        (f"{ACCOUNT}:function:f:live", "live"),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f", None),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:$LATEST", "$LATEST"),
    ],
)
def test_a_reference_is_understood(text: str, qualifier: str | None) -> None:
    assert _parse(text) == FunctionReference("us-east-1", ACCOUNT, "f", qualifier)


def test_the_qualifier_may_come_beside_the_name_and_may_be_said_twice() -> None:
    assert _parse("f", "live").qualified_arn == f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:live"
    assert _parse("f:live", "live").qualifier == "live"


def test_an_arns_own_region_and_account_count() -> None:
    assert _parse("arn:aws:lambda:eu-west-1:999999999999:function:f").arn == (
        "arn:aws:lambda:eu-west-1:999999999999:function:f"
    )


def test_two_different_qualifiers_are_refused() -> None:
    with pytest.raises(ApiError, match="does not match the specified qualifier") as caught:
        _parse("f:live", "7")
    assert (caught.value.code, caught.value.status) == ("InvalidParameterValueException", 400)


@pytest.mark.parametrize("text", ["", "../etc", "f/g", "a" * 65, "f:li ve", "arn:aws:s3:::bucket"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="ValidationException"):
        _parse(text)
