"""Every requirement for which there is a handler; named by `make nightly`, not found by itself."""

from __future__ import annotations

import pytest

from . import running
from .fetch import RequirementsMissingError, wheel


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is wrong with each requirement."""
    try:
        wheel()
    except RequirementsMissingError as problem:
        pytest.fail(str(problem), pytrace=False)
    return running.run(running.covered(running.handlers()), tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("requirement", running.covered(running.handlers()))
def test_the_requirement_is_met(requirement: str, outcomes: dict[str, list[str]]) -> None:
    assert not outcomes[requirement], "\n".join(outcomes[requirement])
