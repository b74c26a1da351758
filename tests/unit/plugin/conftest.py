from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.localcloud.handle import LocalCloud

# A root that is quick to apply: no function, for which the provider itself waits.
ROOT = """
variable "name_suffix" { type = string }
variable "harness_tags" {
  type    = map(string)
  default = {}
}
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.100.0" }
  }
}
provider "aws" {
  default_tags { tags = var.harness_tags }
}
resource "aws_cloudwatch_log_group" "this" { name = "/harness/${var.name_suffix}" }
resource "aws_iam_role" "this" {
  name               = "role-${var.name_suffix}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}
output "role_name" { value = aws_iam_role.this.name }
"""

NOTHING: dict[str, list[str]] = {}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud.start() as running:
        yield running


def remaining(cloud: LocalCloud) -> dict[str, list[str]]:
    """What exists in the cloud, without the kinds of which there is nothing."""
    return {kind: names for kind, names in cloud.inventory().items() if names}


@dataclass
class Project:
    """Somebody's repository that uses the harness."""

    path: Path
    home: Path

    def write(self, name: str, content: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        return file

    def environment(self, **changes: str) -> dict[str, str]:
        """This process's, without what would change what the project's pytest does or prints."""
        # On a CI machine, pytest's closing summary repeats whole messages.
        own = ("AWS_", "PYTEST_", "CI", "BUILD_NUMBER")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {**kept, "HARNESS_HOME": str(self.home), **changes}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]

    def pytest(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in it to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )

    def ledger(self) -> list[str]:
        """The workspaces that are in its ledger."""
        return sorted(path.stem for path in (self.home / "ledger").glob("*.json"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project", tmp_path / "home")
    made.write("terraform/thing/main.tf", ROOT)
    made.write("pytest.ini", "[pytest]\naddopts = --strict-markers\n")
    return made
