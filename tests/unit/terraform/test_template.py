from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from packaging.version import Version

from harness.errors import TerraformError
from harness.terraform.executable import Executable
from harness.terraform.stage import LOCK_FILE, StagedTree, stage
from harness.terraform.template import (
    BACKEND_OVERRIDE,
    initialise,
    is_initialised,
    override_backend,
    template_key,
)

PLATFORM = "providers/registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64"
LOCK = 'provider "aws" {\n  version     = "5.100.0"\n  hashes = [\n    "h1:x=",\n  ]\n}\n'
TERRAFORM = Executable(Path("/bin/terraform"), Version("1.11.4"), "terraform", "linux_amd64")


class Init:
    """What `terraform init` leaves behind, with the provider unpacked or linked from a mirror."""

    def __init__(self, root: Path, mirror: Path | None = None) -> None:
        self.root, self.mirror, self.runs = root, mirror, 0

    def __call__(self) -> None:
        self.runs += 1
        platform = self.root / ".terraform" / PLATFORM
        platform.parent.mkdir(parents=True)
        if self.mirror:
            platform.symlink_to(self.mirror)
        else:
            platform.mkdir()
            (platform / "provider").write_text("binary")
        (self.root / ".terraform" / "modules").mkdir()
        (self.root / ".terraform" / "modules" / "modules.json").write_text("{}")
        (self.root / LOCK_FILE).write_text(LOCK)


def root_at(path: Path) -> Path:
    path.mkdir()
    return path


def staged(tmp_path: Path, name: str, text: str) -> StagedTree:
    source = tmp_path / f"{name}-source"
    source.mkdir()
    (source / "main.tf").write_text(text)
    return stage(source, tmp_path / name)


def test_init_runs_once_for_any_number_of_clones(tmp_path: Path) -> None:
    first, second = root_at(tmp_path / "a"), root_at(tmp_path / "b")
    init = Init(first)
    assert initialise(first, "key", tmp_path / "templates", init) is True
    assert initialise(second, "key", tmp_path / "templates", Init(second)) is False

    assert init.runs == 1
    for root in (first, second):
        assert (root / ".terraform" / PLATFORM / "provider").read_text() == "binary"
        assert (root / ".terraform" / "modules" / "modules.json").is_file()
        assert is_initialised(root)


def test_clones_link_the_provider_rather_than_copy_it(tmp_path: Path) -> None:
    root = root_at(tmp_path / "a")
    initialise(root, "key", tmp_path / "templates", Init(root))
    assert (root / ".terraform" / PLATFORM).is_symlink()


def test_a_clone_of_a_mirrors_link_outlives_the_template(tmp_path: Path) -> None:
    mirror = root_at(tmp_path / "mirror")
    (mirror / "provider").touch()
    root = root_at(tmp_path / "a")
    initialise(root, "key", tmp_path / "templates", Init(root, mirror))
    shutil.rmtree(tmp_path / "templates")
    assert is_initialised(root)


def test_the_clones_lock_file_has_the_version_without_hashes(tmp_path: Path) -> None:
    root = root_at(tmp_path / "a")
    initialise(root, "key", tmp_path / "templates", Init(root))
    text = (root / LOCK_FILE).read_text()
    assert 'version     = "5.100.0"' in text
    assert "hashes" not in text


def test_a_failed_init_leaves_no_template(tmp_path: Path) -> None:
    root = root_at(tmp_path / "a")

    def fail() -> None:
        raise TerraformError("no provider")

    with pytest.raises(TerraformError):
        initialise(root, "key", tmp_path / "templates", fail)
    assert initialise(root, "key", tmp_path / "templates", Init(root)) is True


def test_a_template_whose_mirror_is_gone_is_made_again(tmp_path: Path) -> None:
    mirror = root_at(tmp_path / "mirror")
    (mirror / "provider").touch()
    first, second = root_at(tmp_path / "a"), root_at(tmp_path / "b")
    initialise(first, "key", tmp_path / "templates", Init(first, mirror))
    shutil.rmtree(mirror)
    assert initialise(second, "key", tmp_path / "templates", Init(second)) is True
    assert not is_initialised(first)


def test_the_key_depends_on_what_init_reads(tmp_path: Path) -> None:
    base = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    key = template_key(staged(tmp_path, "a", base), TERRAFORM, "config")

    assert template_key(staged(tmp_path, "b", base + 'variable "x" {}\n'), TERRAFORM, "config") == key
    others = {
        template_key(staged(tmp_path, "c", base), TERRAFORM, "other config"),
        template_key(staged(tmp_path, "d", base.replace("hashicorp", "other")), TERRAFORM, "config"),
        template_key(staged(tmp_path, "e", base + 'resource "random_id" "r" {}\n'), TERRAFORM, "config"),
        template_key(
            staged(tmp_path, "f", base),
            Executable(TERRAFORM.path, Version("1.12.0"), "terraform", "linux_amd64"),
            "config",
        ),
    }
    assert key not in others
    assert len(others) == 4


def test_a_declared_backend_is_replaced_in_the_copy(tmp_path: Path) -> None:
    copy = staged(tmp_path, "a", 'terraform {\n  backend "s3" {}\n}\n')
    override_backend(copy)
    assert 'backend "local"' in (copy.root / BACKEND_OVERRIDE).read_text()
    assert not os.path.lexists(tmp_path / "a-source" / BACKEND_OVERRIDE)


def test_without_a_backend_nothing_is_replaced(tmp_path: Path) -> None:
    copy = staged(tmp_path, "a", 'variable "x" {}\n')
    override_backend(copy)
    assert not (copy.root / BACKEND_OVERRIDE).exists()
