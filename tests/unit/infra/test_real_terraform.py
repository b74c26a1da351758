"""The real Terraform and provider against the local cloud: what ends a deploy in the middle leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import TerraformError
from harness.events import Event, EventBus, ResourceProgress
from harness.infra import Infra
from harness.ledger import Ledger
from harness.localcloud.handle import LocalCloud
from harness.targets import local_target
from harness.terraform.compat import OVERRIDE_FILE

REPOSITORY = Path(__file__).parents[3]
GENEROUS = 180.0

MODULE = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25"
    }
  }
}

variable "name_suffix" { type = string }
variable "harness_tags" {
  type    = map(string)
  default = {}
}

provider "aws" {
  default_tags { tags = var.harness_tags }
}

resource "aws_cloudwatch_log_group" "first" {
  name = "/first/${var.name_suffix}"
}
"""
# A second group of the same name is refused by the service, not by the plan.
CLASH = """
resource "aws_cloudwatch_log_group" "second" {
  name       = aws_cloudwatch_log_group.first.name
  depends_on = [aws_cloudwatch_log_group.first]
}
"""
SLOW = """
resource "terraform_data" "slow" {
  depends_on = [aws_cloudwatch_log_group.first]
  provisioner "local-exec" {
    command = "sleep 600"
  }
}
"""
WORKING = """
output "group" { value = aws_cloudwatch_log_group.first.name }
output "token" {
  value     = "token-${var.name_suffix}"
  sensitive = true
}
"""
OWNER = """
import sys
from pathlib import Path
from harness.events import EventBus, ResourceProgress
from harness.infra import Infra
from harness.targets import endpoint_target
bus = EventBus()
def tell(event):
    if isinstance(event, ResourceProgress) and event.address == "terraform_data.slow" and event.status == "started":
        print("applying", flush=True)
bus.subscribe(tell)
Infra(endpoint_target(sys.argv[1]), cache=Path(sys.argv[3]), bus=bus).deploy(sys.argv[2])
"""


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A cloud of the test's own, so that it can be asked whether it is empty."""
    with LocalCloud.start(time_scale=60.0) as running:
        yield running


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def root_with(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "src" / "demo"
    folder.mkdir(parents=True)
    (folder / "main.tf").write_text(MODULE + text, encoding="utf-8")
    return folder


def contents(cloud: LocalCloud) -> list[str]:
    return [name for names in cloud.inventory().values() for name in names]


def owner(cloud: LocalCloud, root: Path, home: Path, cache: Path) -> subprocess.Popen[str]:
    """A process that deploys, stopped at the moment when Terraform is in the middle of its apply."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, cloud.endpoint_url, str(root), str(cache)],
        cwd=REPOSITORY,
        env={**os.environ, "HARNESS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "applying\n", process.communicate()
    assert contents(cloud) != []
    return process


def test_deploy_and_destroy(cloud: LocalCloud, tmp_path: Path, home: Path, cache: Path) -> None:
    root = root_with(tmp_path, WORKING)
    bus = EventBus()
    events: list[Event] = []
    bus.subscribe(events.append)
    infra = Infra(local_target(cloud), home=home, cache=cache, bus=bus)

    deployment = infra.deploy(root)

    suffix = deployment.workspace.suffix
    assert deployment.outputs == {"group": f"/first/{suffix}", "token": f"token-{suffix}"}
    assert deployment.sensitive == {"token"}
    assert cloud.inventory()["log_groups"] == [f"/first/{suffix}"]
    tags = infra.target.client("resourcegroupstaggingapi").get_resources()["ResourceTagMappingList"][0]["Tags"]
    assert {"Key": "durable-harness:workspace", "Value": deployment.workspace.name} in tags
    assert ("aws_cloudwatch_log_group.first", "create", "complete") in [
        (event.address, event.action, event.status) for event in events if isinstance(event, ResourceProgress)
    ]
    logs = "".join(path.read_text() for path in (home / "logs").rglob("*") if path.is_file())
    assert f"token-{suffix}" not in logs

    assert infra.destroy(deployment).clean
    assert contents(cloud) == []
    assert infra.workspaces() == []
    assert {path.name for path in root.iterdir()} == {"main.tf"}
    assert OVERRIDE_FILE not in {path.name for path in root.rglob("*")}


def test_an_apply_that_fails_half_way_is_torn_down(cloud: LocalCloud, tmp_path: Path, home: Path, cache: Path) -> None:
    root = root_with(tmp_path, CLASH)
    with pytest.raises(TerraformError, match=r"ResourceAlreadyExists.*aws_cloudwatch_log_group\.second"):
        Infra(local_target(cloud), home=home, cache=cache).deploy(root)
    assert contents(cloud) == []
    assert Ledger(home).entries() == ([], [])


def test_ctrl_c_in_the_middle_of_an_apply_tears_it_down(
    cloud: LocalCloud, tmp_path: Path, home: Path, cache: Path
) -> None:
    process = owner(cloud, root_with(tmp_path, SLOW), home, cache)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=GENEROUS)
    assert "KeyboardInterrupt" in err
    assert contents(cloud) == []
    assert Ledger(home).entries() == ([], [])


def test_destroy_all_removes_what_a_killed_process_left(
    cloud: LocalCloud, tmp_path: Path, home: Path, cache: Path
) -> None:
    process = owner(cloud, root_with(tmp_path, SLOW), home, cache)
    process.kill()
    process.communicate(timeout=GENEROUS)
    (left,) = Ledger(home).entries()[0]

    done = subprocess.run(
        [sys.executable, "-m", "harness.infra", "destroy-all", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "HARNESS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert left.name in done.stdout
    assert contents(cloud) == []
    assert Ledger(home).entries() == ([], [])
