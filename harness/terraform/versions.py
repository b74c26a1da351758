"""Terraform's version constraints.

https://developer.hashicorp.com/terraform/language/expressions/version-constraints
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from packaging.version import Version

_TERM = re.compile(r"^\s*(=|!=|>=|<=|>|<|~>)?\s*v?(\d[\w.+-]*)\s*$")
_COMPARISONS: dict[str, Callable[[Version, Version], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def satisfies(version: Version, constraint: str) -> bool:
    """Whether ``version`` meets a constraint such as ``>= 6.25, < 7``; the empty one is met by every release.

    Raises:
        ValueError: The constraint can't be read.
    """
    terms = [term for term in constraint.split(",") if term.strip()]
    if version.is_prerelease and not any(_parse(term)[1] == version for term in terms):
        # A pre-release is chosen only by name.
        return False
    return all(_meets(version, term) for term in terms)


def _parse(term: str) -> tuple[str, Version, str]:
    match = _TERM.match(term)
    if match is None:
        raise ValueError(f"{term.strip()!r} is not a Terraform version constraint")
    return match[1] or "=", Version(match[2]), match[2]


def _meets(version: Version, term: str) -> bool:
    operation, wanted, text = _parse(term)
    if operation != "~>":
        return _COMPARISONS[operation](version, wanted)
    # Only the last component that was written may grow.
    fixed = len(text.split("-")[0].split(".")) - 1
    return version >= wanted and version.release[:fixed] == wanted.release[:fixed]
