"""Infra with a Terraform that does what the test says; what the real one does is in test_real_terraform."""

from __future__ import annotations

import dataclasses
import json
import stat
import threading
from pathlib import Path

import pytest

from harness.errors import ConfigurationError, LeakError, PackagingError, TerraformError, TerraformNotFoundError
from harness.events import Event, PhaseFinished
from harness.infra import Deployment, DestroyReport, Infra, terraform_deploy, terraform_teardown
from harness.ledger import SCHEMA, Ledger
from harness.leftovers import Leftover
from harness.localcloud.handle import LocalCloud
from harness.targets import Target
from harness.workspace import clean_example, state_path
from tests.unit.infra.conftest import InfraMaker

# Writes a state that names one log group, whose name ends in the workspace's suffix, as apply would.
APPLY = r"""
state="terraform.tfstate.d/$TF_WORKSPACE/terraform.tfstate"
suffix="${TF_WORKSPACE##*-}"
if [ "$1" = apply ]; then
  mkdir -p "$(dirname "$state")"
  echo '{"version": 4, "outputs": {"group": {"value": "g-'$suffix'"}}, "resources": [{"mode": "managed",
    "type": "aws_cloudwatch_log_group", "name": "g", "instances": [{"attributes": {"name": "g-'$suffix'"}}]}]}' \
    > "$state"
fi
"""
FAIL_APPLY = r"""
if [ "$1" = apply ]; then
  echo '{"type": "diagnostic", "diagnostic": {"severity": "error", "summary": "no room", "address": "aws_x.y"}}'
  exit 1
fi
"""


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "calls"
    return path.read_text().split() if path.exists() else []


def left_in(home: Path) -> list[str]:
    return [path.name for folder in ("ledger", "workspaces") for path in (home / folder).iterdir()]


def test_a_deployed_workspace_is_in_the_ledger_with_its_outputs(infra_with: InfraMaker, stack: Path) -> None:
    infra = infra_with(APPLY)
    deployment = infra.deploy(stack)
    entry = deployment.workspace
    assert deployment.outputs == {"group": f"g-{entry.suffix}"}
    assert (entry.status, entry.log_groups, entry.example_dir) == ("ready", (f"g-{entry.suffix}",), stack)
    assert infra.workspaces() == [entry]


def test_a_destroyed_workspace_leaves_no_trace(infra_with: InfraMaker, stack: Path, home: Path, tmp_path: Path) -> None:
    infra = infra_with(APPLY)
    report = infra.destroy(infra.deploy(stack))
    assert report.clean
    assert left_in(home) == []
    assert list((home / "logs").iterdir()) == []
    assert calls(tmp_path) == ["apply", "destroy"]


def test_the_ledger_entry_is_there_before_anything_is_created(
    infra_with: InfraMaker, stack: Path, home: Path, tmp_path: Path
) -> None:
    body = f'if [ "$1" = apply ]; then cp "{home}/ledger/$TF_WORKSPACE.json" "{tmp_path}/seen"; fi'
    deployment = infra_with(body).deploy(stack)
    seen = json.loads((tmp_path / "seen").read_text())
    assert (seen["name"], seen["status"], seen["schema"]) == (deployment.workspace.name, "creating", SCHEMA)


def test_only_declared_variables_are_set_in_a_private_file(infra_with: InfraMaker, stack: Path) -> None:
    entry = infra_with(APPLY).deploy(stack, {"password": "hunter22"}).workspace
    assert json.loads(entry.var_file.read_text()) == {"name_suffix": entry.suffix, "password": "hunter22"}
    assert stat.S_IMODE(entry.var_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.directory.stat().st_mode) == 0o700


def test_variables_that_the_root_doesnt_declare_are_refused(infra_with: InfraMaker, stack: Path, home: Path) -> None:
    with pytest.raises(ConfigurationError, match="declares no variable nmae_suffix"):
        infra_with(APPLY).deploy(stack, {"nmae_suffix": "x"})
    assert left_in(home) == []


def test_sensitive_values_reach_no_log_and_no_error(infra_with: InfraMaker, stack: Path, home: Path) -> None:
    body = 'if [ "$1" = apply ]; then echo "using hunter22" >&2; exit 1; fi'
    with pytest.raises(TerraformError, match=r"using \(redacted\)"):
        infra_with(body).deploy(stack, {"password": "hunter22"})
    logs = "".join(path.read_text() for path in (home / "logs").rglob("*") if path.is_file())
    assert "using (redacted)" in logs
    assert "hunter22" not in logs


def test_a_failed_apply_is_destroyed_and_its_log_is_kept(
    infra_with: InfraMaker, stack: Path, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(TerraformError, match=r"no room \[aws_x.y\]") as caught:
        infra_with(APPLY + FAIL_APPLY).deploy(stack)
    assert calls(tmp_path) == ["apply", "destroy"]
    assert left_in(home) == []
    log = next((home / "logs").rglob("001-init.jsonl")).parent / "002-apply.jsonl"
    assert str(log) in str(caught.value)
    assert "no room" in log.read_text()


def test_a_failed_apply_whose_destroy_fails_too_says_how_to_finish(
    infra_with: InfraMaker, stack: Path, home: Path
) -> None:
    body = APPLY.replace("aws_cloudwatch_log_group", "aws_sns_topic") + FAIL_APPLY + "\n[ $1 != destroy ] || exit 1"
    with pytest.raises(TerraformError, match="no room") as caught:
        infra_with(body).deploy(stack)
    (entry,) = Ledger(home).entries()[0]
    assert f"python -m harness.infra destroy {entry.name}" in str(caught.value)
    assert state_path(entry).is_file()


def test_an_interrupt_during_apply_is_destroyed_and_goes_on(
    infra_with: InfraMaker, stack: Path, home: Path, tmp_path: Path
) -> None:
    infra = infra_with(APPLY)

    def interrupt(event: Event) -> None:
        if isinstance(event, PhaseFinished) and event.phase == "init":
            raise KeyboardInterrupt

    infra.bus.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        infra.deploy(stack)
    assert left_in(home) == []


def test_a_cancelled_apply_is_interrupted_and_its_destroy_is_not(
    target: Target, infra_with: InfraMaker, stack: Path, home: Path, tmp_path: Path
) -> None:
    body = APPLY + "\nif [ $1 = apply ]; then trap 'exit 1' INT; while :; do sleep 0.02; done; fi"
    fake = infra_with(body)
    cancelled = threading.Event()
    infra = Infra(target, home=home, cache=tmp_path / "cache", environ=fake._workshop.environ, cancelled=cancelled)
    cancelled.set()
    with pytest.raises(TerraformError, match=r"interrupted \(cancelled\)"):
        infra.deploy(stack)
    assert left_in(home) == []


def test_what_fails_before_apply_leaves_nothing(infra_with: InfraMaker, stack: Path, home: Path) -> None:
    (stack / "package.tf").write_text('variable "package_path" {\n  type = string\n}\n')
    with pytest.raises(PackagingError):
        infra_with(APPLY).deploy(stack)
    assert left_in(home) == []


def test_the_zip_is_built_and_handed_over_with_its_hash(infra_with: InfraMaker, stack: Path) -> None:
    (stack / "package.tf").write_text('variable "package_path" {}\nvariable "package_hash" {}\n')
    (stack / "function").mkdir()
    (stack / "function" / "app.py").write_text("def handler(event, context): ...\n")
    entry = infra_with(APPLY).deploy(stack).workspace
    values = json.loads(entry.var_file.read_text())
    assert Path(values["package_path"]).parent == entry.directory
    assert Path(values["package_path"]).is_file()
    assert len(values["package_hash"]) == 44


def test_a_missing_terraform_creates_nothing(target: Target, stack: Path, home: Path, tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFoundError):
        Infra(target, home=home, environ={"PATH": str(tmp_path)}).deploy(stack)
    assert left_in(home) == []


def test_what_isnt_in_the_state_is_found_and_removed(
    infra_with: InfraMaker, stack: Path, cloud: LocalCloud, target: Target
) -> None:
    infra = infra_with(APPLY)
    deployment = infra.deploy(stack)
    lost = f"lost-{deployment.workspace.suffix}"
    target.client("sqs").create_queue(QueueName=lost)

    report = infra.destroy(deployment)

    assert [item.kind for item in report.removed_directly] == ["sqs queue"]
    assert report.clean
    assert not [name for name in cloud.inventory()["queues"] if lost in name]


def test_a_failed_destroy_of_what_is_gone_by_name_counts_as_done(
    infra_with: InfraMaker, stack: Path, home: Path, target: Target
) -> None:
    infra = infra_with(APPLY + "\n[ $1 != destroy ] || exit 1")
    deployment = infra.deploy(stack)
    target.client("logs").create_log_group(logGroupName=f"g-{deployment.workspace.suffix}")
    assert infra.destroy(deployment).clean
    assert left_in(home) == []


def test_a_failed_destroy_of_what_no_name_finds_is_a_leak(infra_with: InfraMaker, stack: Path, home: Path) -> None:
    body = APPLY.replace("aws_cloudwatch_log_group", "aws_sns_topic") + "\n[ $1 != destroy ] || exit 1"
    infra = infra_with(body)
    deployment = infra.deploy(stack)

    report = infra.destroy(deployment)

    assert not report.clean
    with pytest.raises(LeakError, match=f"python -m harness.infra destroy {deployment.workspace.name}"):
        report.raise_if_left()
    assert Ledger(home).read(deployment.workspace.name) is not None
    assert state_path(deployment.workspace).is_file()


def test_a_state_that_is_cut_short_is_kept_for_a_person_to_look_at(
    infra_with: InfraMaker, stack: Path, home: Path
) -> None:
    infra = infra_with(APPLY + "\n[ $1 != destroy ] || exit 1")
    entry = infra.deploy(stack).workspace
    state_path(entry).write_text('{"version": 4, "resou')
    assert not infra.destroy(entry).clean
    assert state_path(entry).read_text() == '{"version": 4, "resou'


def test_destroying_twice_is_no_error_and_an_unknown_name_is(infra_with: InfraMaker, stack: Path) -> None:
    infra = infra_with(APPLY)
    deployment = infra.deploy(stack)
    assert infra.destroy(deployment.workspace.name).clean
    assert infra.destroy(deployment).clean
    with pytest.raises(ConfigurationError, match="no workspace 'nobody-1'"):
        infra.destroy("nobody-1")


def test_another_process_can_destroy_from_the_ledger_alone(
    infra_with: InfraMaker, stack: Path, home: Path, target: Target, tmp_path: Path
) -> None:
    entry = infra_with(APPLY).deploy(stack).workspace
    (stack / "main.tf").unlink()
    other = Infra(target, home=home, environ={"PATH": "/bin:/usr/bin", "CALLS": str(tmp_path / "calls")})
    assert other.destroy(entry.name).clean
    assert calls(tmp_path) == ["apply", "destroy"]


def test_workspaces_of_one_directory_are_independent(infra_with: InfraMaker, stack: Path) -> None:
    infra = infra_with(APPLY)
    first, second = infra.deploy(stack), infra.deploy(stack)
    assert first.workspace.suffix != second.workspace.suffix
    infra.destroy(first)
    assert [entry.name for entry in infra.workspaces()] == [second.workspace.name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("order_processing", "order-processing"),
        ("Ünï çødé", "uni-cde"),
        ("日本語", "example"),
        ("a" * 300, "a" * 40),
        ("..", "example"),
        ("-x--y-", "x-y"),
        ("x" * 39 + "-y", "x" * 39),
    ],
)
def test_a_directorys_name_becomes_part_of_the_workspaces(name: str, expected: str) -> None:
    assert clean_example(name) == expected


def test_a_directory_with_an_odd_name_is_deployed(infra_with: InfraMaker, stack: Path) -> None:
    odd = stack.rename(stack.parent / "my stack (ü) $HOME;")
    infra = infra_with(APPLY)
    deployment = infra.deploy(odd)
    assert deployment.workspace.name.startswith("my-stack-u-home-")
    assert infra.destroy(deployment).clean


def test_the_public_functions_deploy_and_tear_down_on_the_environments_target(
    infra_with: InfraMaker, stack: Path, home: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**infra_with(APPLY)._workshop.environ, "HARNESS_HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARNESS_ENDPOINT_URL", str(target.endpoint_url))
    logs = target.client("logs")

    group = terraform_deploy(stack)["group"]
    terraform_deploy(stack)
    logs.create_log_group(logGroupName=group)
    terraform_teardown(stack, logs, group)

    assert left_in(home) == []
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []
    terraform_teardown(stack, logs, group)


def test_a_report_lists_what_is_left() -> None:
    report = DestroyReport("demo-1", "demo", (Leftover("iam role", "r"),), error="denied")
    with pytest.raises(LeakError, match=r"iam role r \(denied\)"):
        report.raise_if_left()


def test_a_deployments_function_needs_the_output(infra_with: InfraMaker, stack: Path, target: Target) -> None:
    deployment = infra_with(APPLY).deploy(stack)
    with pytest.raises(ConfigurationError, match="function_name"):
        deployment.function(target.client("lambda"), target.client("logs"))


def test_a_deployments_function_takes_alias_and_log_group(infra_with: InfraMaker, stack: Path, target: Target) -> None:
    deployed = infra_with(APPLY).deploy(stack)
    outputs = {"function_name": "f", "alias_name": "blue", "log_group_name": "/g"}
    made = dataclasses.replace(deployed, outputs=outputs).function(target.client("lambda"), target.client("logs"))
    assert (made.function_name, made.alias, made.log_group) == ("f", "blue", "/g")
    assert "blue" not in repr(Deployment(deployed.workspace, target, outputs))
