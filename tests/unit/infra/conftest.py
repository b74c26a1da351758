from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from harness.infra import Infra
from harness.ledger import Entry, Owner, TargetRecord
from harness.localcloud.handle import LocalCloud
from harness.targets import Target, local_target

SUFFIX = "ab12cd34"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A local cloud for all tests here; what they make carries a suffix of their own."""
    with LocalCloud.start(time_scale=60.0) as running:
        yield running


@pytest.fixture
def target(cloud: LocalCloud) -> Target:
    return local_target(cloud)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


class InfraMaker(Protocol):
    """Makes an `Infra` whose Terraform is the body of a shell script."""

    def __call__(self, body: str) -> Infra: ...


FAKE = """
case "$1" in
version) echo '{"terraform_version": "1.11.4", "platform": "linux_amd64"}'; exit 0;;
init) mkdir -p .terraform; exit 0;;
esac
echo "$1" >> "${CALLS:-/dev/null}"
"""


@pytest.fixture
def infra_with(tmp_path: Path, home: Path, target: Target) -> InfraMaker:
    def make(body: str) -> Infra:
        path = tmp_path / "bin" / "terraform"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{FAKE}\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        environ = {
            "PATH": f"{path.parent}{os.pathsep}{os.defpath}",
            "HARNESS_PROVIDER": "download",
            "CALLS": str(tmp_path / "calls"),
            "TF_CLI_CONFIG_FILE": os.devnull,
        }
        return Infra(target, home=home, cache=tmp_path / "cache", environ=environ)

    return make


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A root module that takes what the harness sets."""
    folder = tmp_path / "src" / "stack"
    folder.mkdir(parents=True)
    (folder / "main.tf").write_text(
        'variable "name_suffix" { type = string }\n'
        'variable "password" {\n  type = string\n  sensitive = true\n  default = ""\n}\n',
        encoding="utf-8",
    )
    return folder


EntryMaker = Callable[..., Entry]


@pytest.fixture
def make_entry(home: Path, target: Target) -> EntryMaker:
    """Makes ledger entries; by default of an owner that has ended."""

    def make(
        name: str = f"demo-{SUFFIX}",
        *,
        owner: Owner | None = None,
        record: TargetRecord | None = None,
        created_at: datetime = NOW,
    ) -> Entry:
        directory = home / "workspaces" / name
        return Entry(
            name=name,
            example=name.rpartition("-")[0],
            example_dir=Path("/examples/demo"),
            suffix=name.rpartition("-")[2],
            directory=directory,
            root=directory / "tree",
            executable="/bin/terraform",
            target=record or target.record(),
            owner=owner or Owner(Owner.this_process().host, 2**22 + 1, "long ago"),
            created_at=created_at,
            expires_at=created_at + timedelta(hours=24),
        )

    return make
