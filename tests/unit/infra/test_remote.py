"""States in S3: another machine, with nothing but the setting, sees and destroys what the first one deployed."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ConfigurationError
from harness.infra import Infra
from harness.ledger import Ledger
from harness.localcloud.handle import LocalCloud
from harness.remote import Catalog, Location, Remote
from harness.targets import Target, local_target
from harness.terraform.project import read_lock
from tests.crash.tree import descendants
from tests.unit.infra.conftest import EntryMaker, InfraMaker
from tests.unit.infra.test_real_terraform import MODULE, SLOW

REPOSITORY = Path(__file__).parents[3]
GENEROUS = 180.0
STATE = "s3://states/ours/now"
# Reads the zip in every command: it has to be at hand on the machine that destroys.
PACKAGED = """
variable "package_path" { type = string }
variable "password" {
  type      = string
  sensitive = true
  default   = ""
}
resource "aws_cloudwatch_log_group" "packaged" {
  name = "/packaged/${var.name_suffix}/${substr(filesha256(var.package_path), 0, 8)}"
}
output "group" { value = aws_cloudwatch_log_group.packaged.name }
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud.start(time_scale=60.0) as running:
        local_target(running).client("s3").create_bucket(Bucket="states")
        yield running


@pytest.fixture
def bucket(target: Target) -> Any:
    """The bucket's keys and their bodies, as they are now."""
    client = target.client("s3")

    def read() -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket="states").get("Contents", [])
        return {item["Key"]: client.get_object(Bucket="states", Key=item["Key"])["Body"].read() for item in listed}

    return read


def root_with(folder: Path, text: str) -> Path:
    root = folder / "demo"
    (root / "function").mkdir(parents=True)
    (root / "function" / "app.py").write_text("def handler(event, context): ...\n")
    (root / "main.tf").write_text(MODULE + text)
    return root


class Machine:
    """A machine with a home and a cache of its own, that shares only the setting."""

    def __init__(self, folder: Path, cloud: LocalCloud) -> None:
        self.home = folder / "home"
        self.environment = {
            **os.environ,
            "HARNESS_HOME": str(self.home),
            "HARNESS_CACHE": str(folder / "cache"),
            "HARNESS_ENDPOINT_URL": cloud.endpoint_url,
            "HARNESS_STATE": STATE,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.infra", *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run a command and return its JSON."""
        out, err = self.start(*arguments, "--json").communicate(timeout=GENEROUS)
        try:
            return json.loads(out)
        finally:
            assert err is not None
            self.err = err

    def ledger(self) -> list[str]:
        return sorted(path.stem for path in (self.home / "ledger").glob("*.json"))


def groups(cloud: LocalCloud) -> list[str]:
    return cloud.inventory()["log_groups"]


def test_another_machine_lists_and_destroys_what_the_first_one_deployed(
    cloud: LocalCloud, tmp_path: Path, bucket: Any
) -> None:
    first, second = Machine(tmp_path / "first", cloud), Machine(tmp_path / "second", cloud)
    root = root_with(tmp_path / "src", PACKAGED)
    name = first.run("deploy", str(root), "--var", "password=hunter22")["workspace"]
    assert sorted(bucket()) == [
        f"ours/now/ledger/{name}.json",
        f"ours/now/state/{name}/terraform.tfstate",
        f"ours/now/workspaces/{name}.tar.gz",
    ]
    group = first.run("outputs", name)["group"]
    # The first machine is gone, with the code of the example.
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(root)

    (row,) = second.run("list")
    assert (row["workspace"], row["resources"]) == (name, 2)
    assert second.run("status", name)["addresses"] == [
        "aws_cloudwatch_log_group.first",
        "aws_cloudwatch_log_group.packaged",
    ]
    assert second.run("outputs", name) == {"group": group}
    (orphan,) = second.run("sweep", "--older-than", "0s", "--yes")
    assert orphan["verdict"] == "in the ledger"
    assert len(groups(cloud)) == 2

    (result,) = second.run("destroy-all")

    assert (result["workspace"], result["outcome"], result["detail"]) == (name, "destroyed", ""), second.err
    assert groups(cloud) == []
    assert bucket() == {}
    assert second.ledger() == []
    assert second.run("list") == []


def test_a_killed_terraforms_lock_is_undone(cloud: LocalCloud, tmp_path: Path, bucket: Any) -> None:
    first, second = Machine(tmp_path / "first", cloud), Machine(tmp_path / "second", cloud)
    root = root_with(tmp_path / "src", SLOW)
    process = first.start("deploy", str(root))
    lock = ""
    pause = threading.Event()
    until = datetime.now(UTC) + timedelta(seconds=GENEROUS)
    while not (groups(cloud) and (lock := next((key for key in bucket() if key.endswith(".tflock")), ""))):
        assert process.poll() is None, process.communicate()
        assert datetime.now(UTC) < until
        pause.wait(0.05)
    for pid in [process.pid, *descendants(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert lock in bucket()

    (result,) = second.run("destroy-all")

    assert result["outcome"] == "destroyed", (result, second.err)
    assert groups(cloud) == []
    assert bucket() == {}


def test_another_machines_lock_is_left_alone_unless_forced() -> None:
    detail = """ConditionalRequestConflict, status code: 409, RequestID: ABC, HostID: , ID: wrong
Lock Info:
  ID:        0b4d3a1e-7d5b-3a39-9f4c-1f6c1d4ad8b1
  Path:      states/ours/now/state/demo/terraform.tfstate
  Operation: OperationTypeApply
  Who:       ci@runner-7
  Version:   1.11.4
  Created:   2026-01-02 03:04:05.1 +0000 UTC
  Info:

Terraform acquires a state lock"""
    lock = read_lock(detail)
    assert lock is not None
    assert (lock.id, lock.host) == ("0b4d3a1e-7d5b-3a39-9f4c-1f6c1d4ad8b1", "runner-7")
    assert lock.created == "2026-01-02 03:04:05.1 +0000 UTC"
    assert read_lock("Error: something else") is None


HELD = {
    "severity": "error",
    "summary": "Error acquiring the state lock",
    "detail": "ID: no\nLock Info:\n  ID: the-lock\n  Path: p\n  Who: ci@elsewhere\n  Created: now\n  Info:\n",
}
LOCKED = f"""
if [ "$1" = destroy ] && [ ! -e unlocked ]; then
  printf '%s\\n' {shlex.quote(json.dumps({"type": "diagnostic", "diagnostic": HELD}))}
  exit 1
fi
if [ "$1" = force-unlock ]; then echo "$@" > unlocked; fi
"""


def remote_infra(made: Infra, target: Target) -> Infra:
    return Infra(
        target,
        home=made.ledger.home,
        cache=made._workshop.cache,
        environ=made._workshop.environ,
        state=Location.parse(STATE),
    )


def store_state(target: Target, name: str, text: str) -> None:
    target.client("s3").put_object(Bucket="states", Key=f"ours/now/state/{name}/terraform.tfstate", Body=text.encode())


def test_a_lock_of_another_machine_holds_until_it_is_forced(
    infra_with: InfraMaker, stack: Path, target: Target
) -> None:
    infra = remote_infra(infra_with(LOCKED), target)
    entry = infra.deploy(stack).workspace
    topic = {"mode": "managed", "type": "aws_sns_topic", "name": "t", "instances": [{"attributes": {}}]}
    store_state(target, entry.name, json.dumps({"version": 4, "resources": [topic]}))

    refused = infra.destroy(entry)
    assert not refused.clean
    assert "locked by ci@elsewhere" in str(refused.error)
    assert "--force" in str(refused.error)

    assert infra.destroy(entry, force=True).clean


def test_entry_and_files_are_in_s3_before_anything_is_created(
    infra_with: InfraMaker, stack: Path, target: Target, tmp_path: Path, bucket: Any
) -> None:
    infra = remote_infra(infra_with('[ "$1" != apply ] || touch ' + str(tmp_path / "applied") + "; exit 1"), target)
    seen: list[set[str]] = []
    infra.bus.subscribe(lambda _: seen.append({key.split("/")[2] for key in bucket()}))
    with pytest.raises(Exception, match="terraform"):
        infra.deploy(stack)
    assert (tmp_path / "applied").exists()
    # From the init on.
    assert {"ledger", "workspaces"} in seen
    assert bucket() == {}


def test_a_bucket_that_isnt_there_creates_nothing(
    infra_with: InfraMaker, stack: Path, target: Target, home: Path
) -> None:
    made = infra_with("")
    infra = Infra(target, home=home, environ=made._workshop.environ, state=Location.parse("s3://nobodys/x"))
    with pytest.raises(ConfigurationError, match="Create the bucket"):
        infra.deploy(stack)
    assert Ledger(home).entries() == ([], [])


def test_a_state_that_is_cut_short_in_s3_stays_for_a_person_to_look_at(
    infra_with: InfraMaker, stack: Path, target: Target, bucket: Any
) -> None:
    infra = remote_infra(infra_with('[ "$1" != destroy ] || exit 1'), target)
    entry = infra.deploy(stack).workspace
    store_state(target, entry.name, '{"version": 4, "resou')
    assert not infra.destroy(entry).clean
    assert bucket()[f"ours/now/state/{entry.name}/terraform.tfstate"] == b'{"version": 4, "resou'
    store_state(target, entry.name, '{"version": 4}')
    infra_with("")
    assert infra.destroy(entry).clean


def test_one_damaged_entry_in_s3_doesnt_hide_the_others(target: Target, home: Path, make_entry: EntryMaker) -> None:
    remote = Remote(Location.parse("s3://states/damaged"), target)
    client = target.client("s3")
    good = dataclasses.replace(make_entry(), state=remote.location.url)
    stray = dataclasses.replace(make_entry("stray-1"), name="../../stray", state=remote.location.url)
    remote.write(good)
    client.put_object(Bucket="states", Key="damaged/ledger/cut-1.json", Body=b'{"schema": 2, "na')
    client.put_object(Bucket="states", Key="damaged/ledger/later-1.json", Body=b'{"schema": 99}')
    client.put_object(Bucket="states", Key="damaged/ledger/stray-1.json", Body=json.dumps(stray.to_json()).encode())

    entries, unreadable = Catalog(Ledger(home / "other"), remote).entries()

    assert [entry.name for entry in entries] == [good.name]
    assert entries[0].directory == home / "other" / "workspaces" / good.name
    assert len(unreadable) == 3
    for key in ("cut-1", "later-1", "stray-1", good.name):
        client.delete_object(Bucket="states", Key=f"damaged/ledger/{key}.json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://my-bucket", Location("my-bucket", "durable-harness")),
        ("s3://my-bucket/a/b/?region=eu-west-1", Location("my-bucket", "a/b", "eu-west-1")),
        ("s3://my-bucket/a?kms_key_id=arn:aws:kms:x", Location("my-bucket", "a", None, "arn:aws:kms:x")),
    ],
)
def test_locations(text: str, expected: Location) -> None:
    assert Location.parse(text) == expected
    assert Location.parse(expected.url) == expected


@pytest.mark.parametrize(
    "text",
    ["", "bucket/x", "https://bucket/x", "s3://", "s3://Bad_Bucket/x", "s3://ok-bucket/../x", "s3://ok-bucket/a//b",
     "s3://ok-bucket/x?regoin=y", "s3://ok-bucket/x?region="],
)  # fmt: skip
def test_what_is_no_location_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Such as HARNESS_STATE=s3://"):
        Location.parse(text)


def test_a_kms_key_reaches_terraform_and_every_object() -> None:
    location = Location.parse("s3://my-bucket/a?kms_key_id=the-key")
    assert location.backend("eu-west-1") == {
        "bucket": "my-bucket",
        "key": "terraform.tfstate",
        "workspace_key_prefix": "a/state",
        "region": "eu-west-1",
        "use_lockfile": True,
        "encrypt": True,
        "kms_key_id": "the-key",
    }
