"""AWS's own requirements of durable executions, on the local cloud: a choice that meets every kind of event.

All of them: `make nightly`. Another folder of handlers, such as one written for AWS's runner, is named by the
environment variable ``CONFORMANCE_HANDLERS``.
"""

from __future__ import annotations

import os

import pytest

from . import requirements, running
from .fetch import RequirementsMissingError, wheel

# Retries, crashes, replays, limits and their order; failures; callbacks; batches; invokes; logs.
QUICK = (
    *("1-5", "1-7", "1-9", "1-11", "1-14", "1-18", "2-3", "2-5"),
    *("3-6", "3-10", "3-11", "3-12", "3-15", "4-4", "4-5", "4-10", "4-11", "4-15", "4-18"),
    *("5-6", "5-8", "5-14", "6-5", "6-6", "7-7", "7-8", "8-13", "8-14", "9-15", "9-16"),
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is wrong with each of the chosen requirements."""
    try:
        wheel()
    except RequirementsMissingError as problem:
        pytest.fail(str(problem), pytrace=False)
    covered = running.covered(running.handlers())
    return running.run([one for one in QUICK if one in covered], tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("requirement", QUICK)
def test_the_requirement_is_met(requirement: str, outcomes: dict[str, list[str]]) -> None:
    assert not outcomes[requirement], "\n".join(outcomes[requirement])


@pytest.mark.skipif(running.SETTING in os.environ, reason="other handlers may meet fewer")
def test_there_is_a_handler_for_every_requirement_on_durable_executions() -> None:
    """The suite ``plugin`` is about an OpenTelemetry extension of the SDKs, not about durable executions."""
    wanted = {one.id for one in requirements.read(wheel()).values() if one.suite != "plugin"}
    assert set(running.covered(running.handlers())) == wanted
    assert len(wanted) == 148
