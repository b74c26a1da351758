"""What is kept is there for the next run, and its cloud with it; when the last of it is destroyed, all is gone."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.processes import process_identity

from .conftest import ROOT, Project

TEST = """
def test_it(deployment, harness_target):
    harness_target.client("iam").get_role(RoleName=deployment.outputs["role_name"])
    print("USED", deployment.workspace.name, harness_target.endpoint_url)
"""
GENEROUS = 120.0


@pytest.fixture(autouse=True)
def no_cloud_left(project: Project) -> Iterator[None]:
    """Ends what a failing test leaves running."""
    yield
    for record in records(project):
        os.kill(record["pid"], signal.SIGKILL)


def records(project: Project) -> list[dict[str, Any]]:
    """The clouds that are kept and run."""
    found = [json.loads(path.read_text()) for path in (project.home / "clouds").glob("*.json")]
    return [record for record in found if process_identity(record["pid"]) == record["identity"]]


def infra(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.infra", *arguments],
        cwd=project.path,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )


def used(output: str) -> list[str]:
    """Workspace and endpoint that the test saw."""
    (line,) = [line for line in output.splitlines() if "USED" in line]
    return line.partition("USED ")[2].split()


def test_a_second_run_takes_what_the_first_one_kept_and_destroy_ends_all_of_it(project: Project) -> None:
    project.write("test_thing.py", TEST)

    first = project.pytest("-s", "--harness-keep")
    assert first.returncode == 0, first.stdout
    (record,) = records(project)
    (path,) = (project.home / "clouds").glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert record["token"] not in first.stdout

    second = project.pytest("-s", "--harness-reuse")
    assert second.returncode == 0, second.stdout
    assert used(second.stdout) == used(first.stdout)
    assert used(second.stdout)[1] == record["endpoint_url"]
    assert "apply" in first.stdout
    assert "apply" not in second.stdout.replace("--harness", "")

    (name,) = project.ledger()
    destroyed = infra(project, "destroy", name)
    assert destroyed.returncode == 0, destroyed.stderr
    assert process_identity(record["pid"]) is None
    assert list((project.home / "clouds").glob("*.json")) == []
    assert project.ledger() == []


def test_what_has_changed_since_is_applied_to_the_kept_deployment(project: Project) -> None:
    project.write("test_thing.py", TEST)
    first = project.pytest("-s", "--harness-reuse")
    project.write("terraform/thing/main.tf", ROOT.replace('"role-$', '"other-$'))

    second = project.pytest("-s", "--harness-reuse")

    assert second.returncode == 0, second.stdout
    assert used(second.stdout) == used(first.stdout)
    assert "apply" in second.stdout
    assert infra(project, "destroy-all").returncode == 0
    assert records(project) == []


def test_a_run_that_keeps_nothing_leaves_no_cloud(project: Project) -> None:
    project.write("test_thing.py", TEST)
    project.write("terraform/thing/main.tf", ROOT + 'resource "aws_sqs_queue" "q" { name = "not a name!" }\n')

    ran = project.pytest("--harness-keep")

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert records(project) == []
    assert project.ledger() == []


def test_destroy_all_ends_the_cloud_of_a_killed_run_too(project: Project) -> None:
    ready = project.path / "ready"
    project.write(
        "test_thing.py",
        "import pathlib, threading\n"
        "def test_it(deployment):\n"
        f"    pathlib.Path({str(ready)!r}).touch()\n"
        "    threading.Event().wait(600)\n",
    )
    with subprocess.Popen(
        project.command("--harness-keep"),
        cwd=project.path,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        wait_for(ready, running)
        (record,) = records(project)
        # While its owner lives, nobody stops it.
        assert infra(project, "destroy-all").returncode == 3
        assert records(project) == [record]
        running.kill()

    done = infra(project, "destroy-all", "--json")

    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in json.loads(done.stdout)] == ["destroyed"]
    assert process_identity(record["pid"]) is None
    assert list((project.home / "clouds").glob("*.json")) == []


def wait_for(path: Path, running: subprocess.Popen[bytes]) -> None:
    until = datetime.now(UTC) + timedelta(seconds=GENEROUS)
    while not path.exists():
        assert running.poll() is None
        assert datetime.now(UTC) < until
        threading.Event().wait(0.05)


def test_a_state_in_s3_needs_a_cloud_that_has_the_bucket(project: Project) -> None:
    project.write("test_thing.py", TEST)
    ran = project.pytest("--harness-state=s3://states/x")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--harness-endpoint-url" in ran.stdout
    refused = project.pytest("--harness-state=https://states")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "is no place for states" in refused.stdout
