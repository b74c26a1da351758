import pytest
from packaging.version import Version

from harness.terraform.versions import satisfies


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        ("5.100.0", ">= 6.25", False),
        ("6.25.0", ">= 6.25", True),
        ("6.31.1", ">= 6.25, < 7.0.0", True),
        ("7.0.0", ">= 6.25, < 7", False),
        ("5.100.0", "~> 5.0", True),
        ("6.0.0", "~> 5.0", False),
        ("5.1.9", "~> 5.1.2", True),
        ("5.2.0", "~> 5.1.2", False),
        ("5.1.1", "~> 5.1.2", False),
        ("5.100.0", "5.100.0", True),
        ("5.100.0", "= v5.100.0", True),
        ("5.100.0", "!= 5.100.0", False),
        ("5.100.0", "", True),
        ("6.0.0b1", ">= 5.0", False),
        ("6.0.0b1", "6.0.0-beta1", True),
    ],
)
def test_constraints_mean_what_terraform_says(version: str, constraint: str, expected: bool) -> None:
    assert satisfies(Version(version), constraint) is expected


def test_what_is_no_constraint_is_an_error() -> None:
    with pytest.raises(ValueError, match="newest"):
        satisfies(Version("1.0"), "newest")
