from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest
from packaging.version import Version

from harness.errors import ProviderNotFoundError, TerraformError
from harness.events import EventBus
from harness.terraform.driver import Runner
from harness.terraform.executable import Executable
from harness.terraform.project import RETRIES, ROLES_READY, Project, TerraformInterruptedError
from harness.terraform.redact import Redactor
from harness.waiters import FakeClock
from tests.unit.terraform.conftest import ProgramMaker


def diagnostic(summary: str, detail: str = "", address: str = "aws_iam_role.r") -> str:
    fields = {"severity": "error", "summary": summary, "detail": detail, "address": address}
    return json.dumps({"type": "diagnostic", "diagnostic": fields})


def answers(tmp_path: Path, *steps: tuple[int, str]) -> str:
    """A program that prints and exits one step after the other, and notes its arguments."""
    for number, (code, text) in enumerate(steps, 1):
        (tmp_path / f"step-{number}").write_text(text)
        (tmp_path / f"code-{number}").write_text(str(code))
    return """
echo "$@" >> calls
n=$(wc -l < calls)
cat step-$n
exit $(cat code-$n)
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class ProjectMaker(Protocol):
    """Makes a project whose Terraform is the body of a shell script."""

    def __call__(self, body: str, timeout_clock: FakeClock | None = None) -> Project: ...


@pytest.fixture
def project(tmp_path: Path, shell_program: ProgramMaker, clock: FakeClock) -> ProjectMaker:
    def make(body: str, timeout_clock: FakeClock | None = None) -> Project:
        executable = Executable(shell_program(body), Version("1.11.4"), "terraform", "linux_amd64")
        runner = Runner(
            env={"PATH": "/bin:/usr/bin"}, log_dir=tmp_path / "logs", redact=Redactor(["hunter22"]), clock=timeout_clock
        )
        return Project(
            executable,
            tmp_path,
            "demo-abc",
            "demo",
            runner,
            tmp_path / "v.json",
            EventBus(),
            RETRIES.with_clock(clock),
            ROLES_READY.with_clock(clock),
        )

    return make


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def test_a_failed_apply_says_what_where_and_where_to_look(project: ProjectMaker, tmp_path: Path) -> None:
    body = answers(tmp_path, (1, diagnostic("creating IAM Role: hunter22", "EntityAlreadyExists")))
    with pytest.raises(TerraformError) as caught:
        project(body).apply()

    text = str(caught.value)
    assert "creating IAM Role: (redacted): EntityAlreadyExists [aws_iam_role.r]" in text
    assert "example demo, workspace demo-abc, `terraform apply`" in text
    assert str(tmp_path / "logs" / "001-apply.jsonl") in text


def test_an_apply_without_a_diagnostic_shows_standard_error(project: ProjectMaker) -> None:
    with pytest.raises(TerraformError, match="the disk is full"):
        project("echo the disk is full >&2; exit 1").apply()


def test_an_apply_is_repeated_on_a_failure_that_passes(project: ProjectMaker, tmp_path: Path, clock: FakeClock) -> None:
    body = answers(tmp_path, (1, diagnostic("read: connection reset by peer")), (0, ""))
    project(body).apply()
    assert len(calls(tmp_path)) == 2
    assert clock.sleeps == [5.0]


ASSUME = "InvalidParameterValueException: The role defined for the function cannot be assumed by Lambda."


def test_an_apply_is_repeated_at_iams_pace_until_its_role_is_known(
    project: ProjectMaker, tmp_path: Path, clock: FakeClock
) -> None:
    steps = [(1, diagnostic(ASSUME))] * 6
    project(answers(tmp_path, *steps, (0, ""))).apply()
    assert len(calls(tmp_path)) == 7
    assert clock.sleeps == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0]


def test_a_role_that_is_never_known_is_waited_for_for_15_minutes(project: ProjectMaker, clock: FakeClock) -> None:
    began = clock.monotonic()
    with pytest.raises(TerraformError, match="cannot be assumed by Lambda"):
        project(f"echo '{diagnostic(ASSUME)}'; exit 1").apply()
    assert clock.monotonic() - began == 900.0


def test_an_apply_gives_up_with_terraforms_own_error(project: ProjectMaker, tmp_path: Path) -> None:
    steps = [(1, diagnostic("transport is closing"))] * 3
    with pytest.raises(TerraformError, match="transport is closing"):
        project(answers(tmp_path, *steps)).apply()
    assert len(calls(tmp_path)) == 3


def test_an_apply_isnt_repeated_on_an_error_that_stays(project: ProjectMaker, tmp_path: Path) -> None:
    with pytest.raises(TerraformError):
        project(answers(tmp_path, (1, diagnostic("AccessDenied")))).apply()
    assert len(calls(tmp_path)) == 1


def test_an_interrupted_apply_isnt_repeated_whatever_it_says(project: ProjectMaker, tmp_path: Path) -> None:
    body = f"echo >> calls; trap 'cat text; exit 1' INT\necho '{diagnostic('x')}'; while :; do sleep 0.02; done"
    (tmp_path / "text").write_text(diagnostic("transport is closing") + "\n")
    time = FakeClock()
    made = project(body, time)
    # The program has set its trap when it prints: only then does the time run out.
    made.bus.subscribe(lambda _: time.advance(10.0))
    made.runner.grace = 1e6
    with pytest.raises(TerraformInterruptedError, match="timeout"):
        made.apply(timeout=10.0)
    assert len(calls(tmp_path)) == 1


def test_destroy_goes_without_refresh_first_and_with_it_when_that_fails(project: ProjectMaker, tmp_path: Path) -> None:
    project(answers(tmp_path, (1, diagnostic("NoSuchEntity")), (0, ""))).destroy()
    first, second = calls(tmp_path)
    assert "-refresh=false" in first
    assert "-refresh=true" in second


def test_a_destroy_that_fails_twice_is_an_error(project: ProjectMaker, tmp_path: Path) -> None:
    with pytest.raises(TerraformError, match="terraform destroy failed: still in use"):
        project(answers(tmp_path, (1, diagnostic("in use")), (1, diagnostic("still in use")))).destroy()


@pytest.mark.parametrize(
    "said",
    [
        "Error: Failed to query available provider packages. dial tcp: lookup registry.terraform.io: no such host",
        "Error: Failed to query available provider packages. no available releases match the given constraints >= 9",
        "Error: Failed to install provider",
    ],
)
def test_a_provider_that_cant_be_had_says_what_to_do(project: ProjectMaker, tmp_path: Path, said: str) -> None:
    with pytest.raises(ProviderNotFoundError, match="HARNESS_PROVIDER_MIRROR"):
        project(f"echo >> calls; echo '{said}' >&2; exit 1").init()
    assert len(calls(tmp_path)) == 1


def test_a_registry_that_doesnt_answer_is_asked_again(project: ProjectMaker, tmp_path: Path, clock: FakeClock) -> None:
    said = "Error: Failed to query available provider packages. the request timed out"
    with pytest.raises(ProviderNotFoundError):
        project(f"echo >> calls; echo '{said}' >&2; exit 1").init()
    assert len(calls(tmp_path)) == 3
    assert clock.sleeps == [5.0, 5.0]


def test_outputs_come_from_the_state_and_sensitive_ones_are_redacted_from_then_on(
    project: ProjectMaker, tmp_path: Path
) -> None:
    made = project("")
    made.state_path.parent.mkdir(parents=True)
    outputs = {"a": {"value": "plain-value"}, "b": {"value": "very-secret", "sensitive": True}}
    made.state_path.write_text(json.dumps({"version": 4, "outputs": outputs, "resources": []}))

    state = made.apply()

    assert state.outputs == {"a": "plain-value", "b": "very-secret"}
    assert made.runner.redact("plain-value very-secret") == "plain-value (redacted)"
