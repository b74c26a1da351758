"""``kill -9`` at any moment, then ``destroy-all``: the cloud, which survives, holds nothing.

Every moment is one test run of its own in a process of its own, two at a time, with one home folder and one cloud for
all of them. The moments are calls that the cloud gets, held by a `Gate`, and what the run itself has come to.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from harness.destroy_all import Result
from harness.ledger import Entry, Ledger
from harness.localcloud.handle import LocalCloud
from harness.terraform.process import wait_until_idle
from harness.terraform.state import read_state
from harness.waiters import SYSTEM_CLOCK, Deadline
from harness.workspace import hold_file, state_path

from .gate import Gate, Side
from .tree import descendants

REPOSITORY = Path(__file__).parents[2]
GENEROUS = 120.0

# What is quick to apply and to destroy: no function, for which the provider itself waits 5 s.
SMALL = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.100.0" }
  }
}
variable "name_suffix" { type = string }
variable "harness_tags" { type = map(string) }
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
resource "aws_iam_role_policy" "this" {
  role   = aws_iam_role.this.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sqs:SendMessage", Resource = "*" }]
  })
}
resource "aws_iam_policy" "this" {
  name   = "policy-${var.name_suffix}"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sqs:SendMessage", Resource = "*" }]
  })
}
"""
TEST = """
import pathlib, threading
def test_it(deployment):
    pathlib.Path('ready').touch()
    {body}
"""
DURABLE_TEST = """
import pathlib, threading, pytest
pytestmark = pytest.mark.terraform({root!r})
def test_it(durable):
    items = [{{"sku": "book", "quantity": 2, "price": 29.99}}]
    durable.start({{"order_id": "order-1", "items": items, "total": 1500, "pending_checks": 50}})
    pathlib.Path('ready').touch()
    {body}
"""
STAY = "threading.Event().wait(600)"

Whom = Literal["process", "group", "tree"]
Phase = Literal["deploy", "run", "destroy"]
_TYPES = {"roles": "aws_iam_role", "functions": "aws_lambda_function", "log_groups": "aws_cloudwatch_log_group"}


@dataclass(frozen=True)
class Moment:
    """When somebody dies, and who.

    Attributes:
        phase: What the run is doing.
        at: A call that the cloud gets, or ``entry``: the ledger has the workspace and nothing exists yet, ``ready``:
            the test is running, ``gone``: the ledger has forgotten the workspace.
        side: Whether the call is held before or after the cloud carries it out.
        whom: pytest's process; its process group; or all of its descendants too, Terraform and its provider among
            them.
        durable: Whether the run deploys a durable function and starts an execution that waits.
        makes: What the held call creates, as the cloud's inventory names the kind.
    """

    phase: Phase
    at: str
    whom: Whom
    side: Side = "answered"
    durable: bool = False
    makes: Literal["roles", "functions", "log_groups"] | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {self.at} {self.side if '.' in self.at else ''} ({self.whom})"

    def found_as_promised(self, crash: Crash, result: Result) -> bool:
        """Whether it was destroyed, and what was being created existed, in no state, and was found nevertheless."""
        if result.outcome != "destroyed" or self.makes is None:
            return result.outcome == "destroyed"
        suffix = crash.entry.suffix if crash.entry else ""
        existed = any(suffix in name for name in crash.inventory[self.makes])
        if self.whom != "tree":
            # Terraform was told to stop, and may still have heard what came of the call.
            return existed
        return existed and _TYPES[self.makes] not in crash.in_state and "not in the state" in result.detail


QUICK = (
    Moment("deploy", "entry", "process"),
    Moment("deploy", "iam.CreateRole", "tree", makes="roles"),
    Moment("deploy", "lambda.CreateFunction", "tree", durable=True, makes="functions"),
    Moment("run", "ready", "group"),
    Moment("destroy", "iam.DeleteRole", "tree", side="asked"),
    Moment("destroy", "iam.ListRoles", "process", side="asked"),
)
MOMENTS = (
    *QUICK,
    Moment("deploy", "sts.GetCallerIdentity", "group", side="asked"),
    Moment("deploy", "logs.CreateLogGroup", "process", side="asked"),
    Moment("deploy", "logs.CreateLogGroup", "group", makes="log_groups"),
    Moment("deploy", "iam.CreateRole", "process", makes="roles"),
    Moment("deploy", "iam.CreatePolicy", "tree", side="asked"),
    Moment("deploy", "iam.PutRolePolicy", "group"),
    Moment("deploy", "lambda.CreateAlias", "process", durable=True),
    Moment("run", "ready", "tree"),
    Moment("run", "ready", "process", durable=True),
    Moment("destroy", "lambda.StopDurableExecution", "group", durable=True),
    Moment("destroy", "lambda.DeleteFunction", "tree", side="asked", durable=True),
    Moment("destroy", "iam.DeleteRolePolicy", "group"),
    Moment("destroy", "logs.DeleteLogGroup", "process"),
    Moment("destroy", "gone", "group"),
)


@dataclass(frozen=True)
class Crash:
    """What a killed run left."""

    moment: Moment
    entry: Entry | None
    inventory: dict[str, list[str]]
    in_state: frozenset[str]


class Run:
    """One test run that is to be killed."""

    def __init__(self, moment: Moment, folder: Path, ledger: Ledger, gate: Gate) -> None:
        self.moment = moment
        self.gate = gate
        self._ledger = ledger
        self._folder = folder
        self._seen: Entry | None = None
        (folder / "terraform" / "thing").mkdir(parents=True)
        (folder / "terraform" / "thing" / "main.tf").write_text(SMALL, encoding="utf-8")
        text = DURABLE_TEST if moment.durable else TEST
        body = "pass" if moment.phase == "destroy" else STAY
        root = str(REPOSITORY / "terraform" / "order_processing")
        (folder / "test_thing.py").write_text(text.format(body=body, root=root), encoding="utf-8")
        # It would end by itself a moment after the last thing it does.
        (folder / "conftest.py").write_text(
            f"import threading\ndef pytest_unconfigure():\n    {STAY}\n", encoding="utf-8"
        )
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
        kept.update(HARNESS_HOME=str(ledger.home), HARNESS_CACHE=str(ledger.home / "cache"), PYTHONPATH=str(REPOSITORY))
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--harness-endpoint-url", gate.endpoint_url, "--harness-paths=off"],
                cwd=folder,
                env=kept,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_reached(self) -> None:
        """Wait for the moment."""
        reached = self._condition()
        until = datetime.now(UTC) + timedelta(seconds=GENEROUS)
        pause = threading.Event()
        while not reached():
            assert self.process.poll() is None, f"{self.moment}: never reached\n{self.output}\n{self.gate.calls}"
            assert datetime.now(UTC) < until, f"{self.moment}: not reached in time\n{self.output}\n{self.gate.calls}"
            pause.wait(0.01)

    def _condition(self) -> Callable[[], bool]:
        match self.moment.at:
            case "entry":
                return lambda: self.entry() is not None
            case "ready":
                return (self._folder / "ready").exists
            case "gone":
                return lambda: self.entry() is None and self._seen is not None
        return self.gate.reached.is_set

    def entry(self) -> Entry | None:
        """Its workspace's ledger entry."""
        mine = [entry for entry in self._ledger.entries()[0] if entry.owner.pid == self.process.pid]
        self._seen = mine[0] if mine else self._seen
        return mine[0] if mine else None

    def kill(self) -> None:
        """Let it die."""
        victims = descendants(self.process.pid) if self.moment.whom == "tree" else []
        if self.moment.whom == "process":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self.process.wait(GENEROUS) == -signal.SIGKILL, self.output

    @property
    def output(self) -> str:
        """What pytest printed."""
        return (self._folder / "output").read_text(encoding="utf-8", errors="replace")


def crash(moment: Moment, folder: Path, ledger: Ledger, cloud: LocalCloud, gate: Gate) -> Crash:
    run = Run(moment, folder, ledger, gate)
    try:
        run.wait_until_reached()
    finally:
        run.kill()
    entry = run.entry()
    in_state: frozenset[str] = frozenset()
    gate.release()
    if entry is not None:
        wait_until_idle(hold_file(entry), deadline=Deadline.after(GENEROUS, SYSTEM_CLOCK))
        in_state = frozenset(resource.kind for resource in read_state(state_path(entry)).resources)
    return Crash(moment, entry, cloud.inventory(), in_state)


def check(moments: Sequence[Moment], folder: Path) -> None:
    """Kill a run at every moment, destroy all that is left, and look what is left then."""
    ledger = Ledger(folder / "home")
    with LocalCloud.start(time_scale=60.0) as cloud, ExitStack() as gates, ThreadPoolExecutor(2) as pool:
        runs = []
        for number, moment in enumerate(moments):
            gate = gates.enter_context(Gate(cloud.endpoint_url, moment.at if "." in moment.at else None, moment.side))
            place = folder / f"run{number}"
            runs.append(pool.submit(crash, moment, place, ledger, cloud, gate))
        crashes = [run.result() for run in runs]

        results = destroy_all(ledger)

        assert {kind: names for kind, names in cloud.inventory().items() if names} == {}
        assert ledger.entries() == ([], [])
        assert list(ledger.workspaces.iterdir()) == []
        for one in crashes:
            assert (one.entry is None) == (one.moment.at == "gone"), one
            if one.entry is not None:
                assert one.moment.found_as_promised(one, results.pop(one.entry.name)), one
        assert results == {}


def destroy_all(ledger: Ledger) -> dict[str, Result]:
    """What the command says of every workspace, by name."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.infra", "destroy-all", "--yes", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "HARNESS_HOME": str(ledger.home)},
        capture_output=True,
        text=True,
        timeout=4 * GENEROUS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {result["workspace"]: Result(**result) for result in json.loads(done.stdout)}


def test_six_moments(tmp_path: Path) -> None:
    check(QUICK, tmp_path)


@pytest.mark.nightly
def test_twenty_moments(tmp_path: Path) -> None:
    assert len(set(MOMENTS)) == 20
    check(MOMENTS, tmp_path)
