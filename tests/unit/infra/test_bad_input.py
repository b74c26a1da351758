"""Bad names, broken files, full and read-only disks: each a clear error, and nothing is lost.

Beside these: a state that is cut short, damaged entries and a ledger of a later release are in test_workspaces,
test_remote and test_ledger; what a directory's name becomes is in test_workspaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import ConfigurationError, TerraformError
from harness.infra import Infra
from harness.ledger import Ledger
from harness.localcloud.handle import LocalCloud
from harness.targets import Target, local_target
from tests.unit.infra.conftest import InfraMaker
from tests.unit.infra.test_real_terraform import REPOSITORY, WORKING, contents, root_with
from tests.unit.infra.test_workspaces import APPLY, left_in

NAMES = ["../up", "a/b", "/etc/passwd", "..", "", "x" * 300, "ünï-çødé", "日本語", "a b", "nul\0byte", "-rf", "*"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["status", "outputs", "destroy"])
def test_a_name_that_no_workspace_has_is_a_usage_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(home))
    assert main([command, "--", name]) == 2
    assert "There is no workspace" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "x" * 300, "../nowhere", "日本語"])
def test_a_directory_that_isnt_there_is_named(infra_with: InfraMaker, home: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="There is no such directory"):
        infra_with(APPLY).deploy(tmp_path / name)
    assert left_in(home) == []


def test_a_directory_without_terraform_files_creates_nothing(
    infra_with: InfraMaker, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match=r"no Terraform files.*\*\.tf"):
        infra_with(APPLY).deploy(tmp_path / "empty")
    assert left_in(home) == []


def test_broken_hcl_creates_nothing_and_names_the_line(infra_with: InfraMaker, home: Path, stack: Path) -> None:
    (stack / "broken.tf").write_text('resource "aws_iam_role" "r" {\n  name = \n}\n')
    with pytest.raises(ConfigurationError, match=r"broken\.tf"):
        infra_with(APPLY).deploy(stack)
    assert left_in(home) == []


def test_a_file_that_only_terraform_finds_wrong_is_its_diagnostic_and_leaves_nothing(
    target: Target, home: Path, tmp_path: Path
) -> None:
    root = root_with(tmp_path, 'resource "terraform_data" "x" { input = local.nowhere }\n')
    with pytest.raises(TerraformError, match=r"undeclared local value.*main\.tf:\d+"):
        Infra(target, home=home, cache=tmp_path / "cache").deploy(root)
    assert left_in(home) == []


class Disk:
    """A place for a home folder that fills up, or becomes read-only.

    Where nothing may be mounted, as in many containers, a limit on the size of files stands for the full disk, and
    files in the place of folders for the read-only one; a warning says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        folder.mkdir()
        self.mounted = _mount("size=4m", folder)
        if not self.mounted:
            warnings.warn("no tmpfs may be mounted here: other means stand for full and read-only disks", stacklevel=2)

    def forbid(self) -> None:
        """Let nothing be written any more."""
        if self.mounted:
            assert _mount("remount,ro", self.folder)
            return
        for name in ("ledger", "locks"):
            (self.home / name).rename(self.home / f"{name}.away")
            (self.home / name).touch()

    def allow(self) -> None:
        """Let everything be written again."""
        if self.mounted:
            assert _mount("remount,rw", self.folder)
            return
        for name in ("ledger", "locks"):
            (self.home / name).unlink()
            (self.home / f"{name}.away").rename(self.home / name)

    def free(self) -> None:
        """Remove what fills it."""
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


def _mount(options: str, folder: Path) -> bool:
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


# Deploys, and has no more space from a given event on.
DEPLOY = """
import json, resource, signal, sys
from pathlib import Path
from harness.errors import HarnessError
from harness.events import EventBus, PhaseStarted, ResourceProgress
from harness.infra import Infra
from harness.targets import endpoint_target

endpoint, root, cache, home, when, mounted = sys.argv[1:]
bus = EventBus()

def fill():
    if mounted == "no":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return
    with open(Path(home).parent / "filler", "ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue

def watch(event):
    if when == "apply" and isinstance(event, PhaseStarted) and event.phase == "apply":
        fill()
    if when == "resource" and isinstance(event, ResourceProgress) and event.status == "started":
        fill()

bus.subscribe(watch)
infra = Infra(endpoint_target(endpoint), home=Path(home), cache=Path(cache), bus=bus)
if when == "before":
    fill()
try:
    infra.deploy(root)
    print(json.dumps({"error": None}))
except HarnessError as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture(scope="module")
def own_cloud() -> Iterator[LocalCloud]:
    with LocalCloud.start(time_scale=60.0) as running:
        yield running


@pytest.fixture(scope="module")
def warm(own_cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the template: a first init takes more space than is to be had."""
    folder = tmp_path_factory.mktemp("warm")
    infra = Infra(local_target(own_cloud), home=folder / "home", cache=folder / "cache")
    infra.destroy(infra.deploy(root_with(folder, WORKING)))
    return folder / "cache"


Deploy = Callable[[str], str]


@pytest.fixture
def deploy(own_cloud: LocalCloud, disk: Disk, tmp_path: Path, warm: Path) -> Deploy:
    """Deploys while the disk fills up, and gives the error."""
    root = root_with(tmp_path, WORKING)

    def run(when: str) -> str:
        mounted = "yes" if disk.mounted else "no"
        where = [own_cloud.endpoint_url, str(root), str(warm), str(disk.home), when, mounted]
        done = subprocess.run(
            [sys.executable, "-c", DEPLOY, *where],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["error"])

    return run


def test_a_full_disk_lets_nothing_begin(deploy: Deploy, disk: Disk, own_cloud: LocalCloud) -> None:
    error = deploy("before")
    assert "can't" in error
    assert "HARNESS_HOME" in error
    assert contents(own_cloud) == []


@pytest.mark.parametrize("when", ["apply", "resource"])
def test_a_disk_that_fills_up_while_terraform_applies_loses_nothing(
    deploy: Deploy, disk: Disk, own_cloud: LocalCloud, when: str
) -> None:
    error = deploy(when)
    disk.free()

    assert "where:" in error
    entries, unreadable = Ledger(disk.home).entries()
    assert unreadable == []
    # What exists is in the ledger; what isn't in the ledger doesn't exist.
    assert entries or contents(own_cloud) == []

    done = subprocess.run(
        [sys.executable, "-m", "harness.infra", "destroy-all", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "HARNESS_HOME": str(disk.home)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(own_cloud) == []
    assert Ledger(disk.home).entries() == ([], [])


@pytest.fixture
def settings(disk: Disk, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(disk.home))
    monkeypatch.setenv("HARNESS_ENDPOINT_URL", str(target.endpoint_url))


@pytest.mark.usefixtures("settings")
def test_a_read_only_home_lets_nothing_begin(disk: Disk, stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger(disk.home)
    disk.forbid()
    for command in (["deploy", str(stack)], ["destroy-all"], ["list"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "can't write its ledger" in error
        assert "HARNESS_HOME" in error
    disk.allow()
    assert left_in(disk.home) == []


def test_a_home_that_becomes_read_only_keeps_the_workspace_for_later(
    disk: Disk, infra_with: InfraMaker, stack: Path, target: Target
) -> None:
    made = infra_with(APPLY)
    infra = Infra(target, home=disk.home, cache=made._workshop.cache, environ=made._workshop.environ)
    deployment = infra.deploy(stack)
    disk.forbid()
    with pytest.raises(ConfigurationError, match="can't be locked"):
        infra.destroy(deployment)
    disk.allow()
    assert infra.workspaces() == [deployment.workspace]
    assert infra.destroy(deployment).clean
