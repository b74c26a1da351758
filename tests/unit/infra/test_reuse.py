"""A kept workspace is found again, and Terraform runs only for what has changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import PackagingError, TerraformError
from harness.infra import Deployment, Infra
from harness.ledger import Ledger, Owner
from harness.processes import process_identity
from harness.targets import Target
from harness.workspace import state_path
from tests.unit.infra.conftest import InfraMaker
from tests.unit.infra.test_workspaces import APPLY, FAIL_APPLY, calls

Keep = Callable[[Infra], Deployment]


@pytest.fixture
def keep(stack: Path) -> Keep:
    """Keeps a deployment as a run that has ended would have."""

    def run(infra: Infra) -> Deployment:
        made = infra.deploy(stack, keep=True)
        entry = dataclasses.replace(made.workspace, owner=dataclasses.replace(made.workspace.owner, started="before"))
        infra.ledger.write(entry)
        return dataclasses.replace(made, workspace=entry)

    return run


def test_what_has_not_changed_is_taken_without_terraform(
    infra_with: InfraMaker, stack: Path, keep: Keep, tmp_path: Path
) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    again = infra.reuse(stack)
    assert calls(tmp_path) == ["apply"]
    assert again.outputs == kept.outputs
    assert again.workspace == dataclasses.replace(kept.workspace, owner=Owner.this_process())
    assert infra.workspaces() == [again.workspace]


def test_without_a_kept_one_there_is_a_new_one_that_is_kept(infra_with: InfraMaker, stack: Path) -> None:
    infra = infra_with(APPLY)
    infra.deploy(stack)
    first = infra.reuse(stack)
    assert len(infra.workspaces()) == 2
    assert first.workspace.keep
    assert infra.reuse(stack).workspace == first.workspace


def test_a_changed_file_is_applied_to_the_same_workspace_and_state(
    infra_with: InfraMaker, stack: Path, keep: Keep, tmp_path: Path
) -> None:
    # Says what it finds in the place of its state before it applies.
    infra = infra_with(
        f'[ "$1" != apply ] || cat terraform.tfstate.d/*/terraform.tfstate >> {tmp_path}/found\n' + APPLY
    )
    kept = keep(infra)
    state = state_path(kept.workspace).read_text()
    (stack / "more.tf").write_text('output "x" { value = 1 }\n')

    again = infra.reuse(stack)

    assert calls(tmp_path) == ["apply", "apply"]
    assert (tmp_path / "found").read_text() == state
    assert again.workspace.name == kept.workspace.name
    assert (again.workspace.root / "more.tf").is_file()
    assert not kept.workspace.root.exists()
    assert infra.reuse(stack).workspace == again.workspace
    assert calls(tmp_path) == ["apply", "apply"]
    assert infra.destroy(again).clean


@pytest.mark.parametrize("change", ["file", "new file", "module", "variable", "environment", "zip"])
def test_whatever_changes_the_deployment_is_noticed(
    infra_with: InfraMaker, stack: Path, keep: Keep, tmp_path: Path, change: str
) -> None:
    module = stack.parent / "module"
    module.mkdir()
    (module / "main.tf").write_text('output "y" { value = 1 }\n')
    (stack / "module.tf").write_text('module "m" {\n  source = "../module"\n}\nvariable "package_path" {}\n')
    (stack / "function").mkdir()
    (stack / "function" / "app.py").write_text("def handler(event, context): ...\n")
    infra = infra_with(APPLY)
    keep(infra)
    variables = {}
    match change:
        case "file":
            (stack / "module.tf").write_text((stack / "module.tf").read_text() + "# changed\n")
        case "new file":
            (stack / "template.json").write_text("{}")
        case "module":
            (module / "main.tf").write_text('output "y" { value = 2 }\n')
        case "variable":
            variables = {"password": "other"}
        case "environment":
            infra._workshop.environ = {**infra._workshop.environ, "TF_VAR_password": "other"}
        case _:
            (stack / "function" / "app.py").write_text("def handler(event, context): return 1\n")
    infra.reuse(stack, variables)
    assert calls(tmp_path) == ["apply", "apply"]


def test_what_terraform_leaves_behind_in_the_folder_is_no_change(
    infra_with: InfraMaker, stack: Path, keep: Keep, tmp_path: Path
) -> None:
    infra = infra_with(APPLY)
    keep(infra)
    (stack / ".terraform").mkdir()
    (stack / ".terraform" / "x").touch()
    (stack / "terraform.tfstate").write_text("{}")
    infra.reuse(stack)
    assert calls(tmp_path) == ["apply"]


def test_one_that_is_in_use_is_left_alone(infra_with: InfraMaker, stack: Path, keep: Keep) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    # Process 1 always runs.
    other = Owner(Owner.this_process().host, 1, process_identity(1) or "")
    infra.ledger.write(dataclasses.replace(kept.workspace, owner=other))
    assert infra.reuse(stack).workspace.name != kept.workspace.name


def test_one_of_another_target_is_left_alone(infra_with: InfraMaker, stack: Path, keep: Keep) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    elsewhere = dataclasses.replace(kept.workspace.target, region="eu-west-1")
    infra.ledger.write(dataclasses.replace(kept.workspace, target=elsewhere))
    assert infra.reuse(stack).workspace.name != kept.workspace.name


def test_one_whose_function_somebody_deleted_is_applied(
    infra_with: InfraMaker, stack: Path, keep: Keep, tmp_path: Path
) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    infra.ledger.write(dataclasses.replace(kept.workspace, functions=("deleted-by-hand",)))
    assert infra.reuse(stack).workspace.name == kept.workspace.name
    assert calls(tmp_path) == ["apply", "apply"]


def test_an_update_that_fails_is_destroyed(
    infra_with: InfraMaker, stack: Path, keep: Keep, home: Path, tmp_path: Path
) -> None:
    keep(infra_with(APPLY))
    (stack / "more.tf").write_text('output "x" { value = 1 }\n')
    with pytest.raises(TerraformError, match="no room"):
        infra_with(FAIL_APPLY).reuse(stack)
    assert calls(tmp_path) == ["apply", "apply", "destroy"]
    assert Ledger(home).entries() == ([], [])


def test_an_update_that_never_begins_leaves_what_is_kept_as_it_is(
    infra_with: InfraMaker, stack: Path, keep: Keep, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    (stack / "more.tf").write_text('output "x" { value = 1 }\n')

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harness.workspace.shutil.copyfile", full)
        with pytest.raises(Exception, match="No space left"):
            infra.reuse(stack)

    (entry,) = infra.workspaces()
    assert (entry.root, entry.status) == (kept.workspace.root, "ready")
    assert json.loads(state_path(entry).read_text())["version"] == 4
    assert [path.name for path in entry.directory.glob("tree*")] == ["tree"]
    assert infra.destroy(entry).clean


def test_a_function_that_cant_be_packaged_takes_nothing(
    infra_with: InfraMaker, stack: Path, keep: Keep, target: Target
) -> None:
    infra = infra_with(APPLY)
    kept = keep(infra)
    (stack / "package.tf").write_text('variable "package_path" {\n  type = string\n}\n')
    with pytest.raises(PackagingError):
        infra.reuse(stack)
    assert infra.workspaces() == [kept.workspace]
