"""A destroy that fails makes the run fail, and names the command that finishes the job."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.localcloud.handle import LocalCloud

from .conftest import Project

# Terraform's destroy fails on it, and no search by name covers its kind.
STUBBORN = """
resource "terraform_data" "stubborn" {
  input = "${path.module}"
  provisioner "local-exec" {
    when    = destroy
    command = "test -e '${path.module}/let-go'"
  }
}
"""
TEST = "def test_it(deployment):\n    pass\n"


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_failed_destroy_fails_the_run(project: Project, cloud: LocalCloud, workers: list[str]) -> None:
    project.write("terraform/thing/main.tf", STUBBORN)
    project.write("test_thing.py", TEST)

    ran = project.pytest(*workers, "--harness-endpoint-url", cloud.endpoint_url)

    (name,) = project.ledger()
    assert "1 passed" in ran.stdout
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout
    assert f"LEFT BEHIND by {name}" in ran.stdout
    assert "terraform_data.stubborn" in ran.stdout
    assert f"python -m harness.infra destroy {name}" in ran.stdout
    assert "nothing is left behind" not in ran.stdout

    # The command does finish it, once the reason is gone.
    (root,) = (project.home / "workspaces" / name).rglob("main.tf")
    (root.parent / "let-go").touch()
    done = subprocess.run(
        [sys.executable, "-m", "harness.infra", "destroy", name],
        cwd=project.path,
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert project.ledger() == []
