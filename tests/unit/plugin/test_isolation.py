"""Runs side by side, in workers and as whole sessions, never meet, though they share folder, home, cache and cloud."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.localcloud.handle import LocalCloud

from .conftest import Project, remaining

# Every test writes down what it got, and looks whether it is alone with it.
TEST = """
import pathlib
import pytest
pytestmark = pytest.mark.terraform("terraform/thing")
def test_it(deployment, harness_target, tmp_path_factory):
    role = deployment.outputs["role_name"]
    assert role.endswith(deployment.workspace.suffix)
    harness_target.client("iam").get_role(RoleName=role)
    (pathlib.Path("seen") / deployment.workspace.name).touch()
"""


@pytest.fixture
def seen(project: Project) -> Path:
    """Where each test notes its workspace."""
    folder = project.path / "seen"
    folder.mkdir()
    return folder


def created(cloud: LocalCloud) -> int:
    """How many roles have been made in it."""
    return cloud.operations().get("iam.CreateRole", {}).get("calls", 0)


def test_one_worker_deploys_again_for_its_second_module(project: Project, cloud: LocalCloud, seen: Path) -> None:
    for name in ("one", "two"):
        project.write(f"test_{name}.py", TEST)
    ran = project.pytest("-n", "1", "--harness-endpoint-url", cloud.endpoint_url)
    assert ran.returncode == 0, ran.stdout
    assert len(list(seen.iterdir())) == 2
    assert remaining(cloud) == {}


def test_two_workers_deploy_for_themselves(project: Project, cloud: LocalCloud, seen: Path) -> None:
    for name in ("one", "two"):
        project.write(f"test_{name}.py", TEST)
    before = created(cloud)

    ran = project.pytest("-n", "2", "--dist", "loadfile", "--harness-endpoint-url", cloud.endpoint_url)

    # Each deploys what its own tests need, not what all workers have collected.
    assert created(cloud) - before == 2
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
    assert len(list(seen.iterdir())) == 2
    assert remaining(cloud) == {}
    assert project.ledger() == []


def test_two_workers_without_any_option_have_a_cloud_each(project: Project, seen: Path) -> None:
    for name in ("one", "two"):
        project.write(f"test_{name}.py", TEST)

    ran = project.pytest("-n", "2", "--dist", "loadfile")

    assert ran.returncode == 0, ran.stdout
    assert len(list(seen.iterdir())) == 2
    assert project.ledger() == []


def test_two_whole_sessions_at_once(project: Project, cloud: LocalCloud, seen: Path, tmp_path: Path) -> None:
    project.write("test_one.py", TEST)
    # Both start with an empty cache: they race for the same template.
    environment = project.environment(HARNESS_CACHE=str(tmp_path / "cache"))

    running = [
        subprocess.Popen(
            project.command("--harness-endpoint-url", cloud.endpoint_url),
            cwd=project.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=180)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0], outputs
    assert all(re.search(r"nothing is left behind", output) for output in outputs)
    assert len(list(seen.iterdir())) == 2
    assert remaining(cloud) == {}
    assert project.ledger() == []
