from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from harness.terraform.driver import Runner, TerraformDriver
from harness.terraform.redact import Redactor
from tests.unit.terraform.conftest import ProgramMaker

ECHO = 'echo "$@"'


@pytest.fixture
def driver(tmp_path: Path, shell_program: ProgramMaker) -> TerraformDriver:
    runner = Runner(env={"PATH": "/bin:/usr/bin"}, log_dir=tmp_path / "logs", redact=Redactor(["hunter22"]))
    return TerraformDriver(shell_program(ECHO), tmp_path, runner, tmp_path / "v.tfvars.json")


def test_apply_never_asks_and_speaks_json(driver: TerraformDriver, tmp_path: Path) -> None:
    _, out, _ = driver.apply_json(on_line=lambda _: None)
    words = out.split()
    assert words[0] == "apply"
    assert {"-auto-approve=true", "-json", "-input=false", f"-var-file={tmp_path}/v.tfvars.json"} <= set(words)


@pytest.mark.parametrize("refresh", [True, False])
def test_destroy_approves_and_doesnt_pass_the_removed_force(driver: TerraformDriver, refresh: bool) -> None:
    _, out, _ = driver.destroy_json(refresh=refresh, on_line=lambda _: None)
    words = out.split()
    assert words[0] == "destroy"
    assert {"-auto-approve", "-json", f"-refresh={str(refresh).lower()}"} <= set(words)
    assert not [word for word in words if "force" in word]


def test_init_gets_no_variables(driver: TerraformDriver) -> None:
    _, out, _ = driver.init_quietly()
    assert "-var" not in out
    assert {"-input=false", "-reconfigure"} <= set(out.split())


def test_each_command_has_a_log_of_its_own_without_secrets(driver: TerraformDriver, tmp_path: Path) -> None:
    driver.cmd("show", "hunter22")
    driver.cmd("show", "second")
    logs = sorted((tmp_path / "logs").glob("*.jsonl"))
    assert [path.name for path in logs] == ["001-show.jsonl", "002-show.jsonl"]
    assert logs[0].read_text() == "show (redacted)\n"
    assert stat.S_IMODE(logs[0].stat().st_mode) == 0o600


def test_python_terraform_logs_nothing_and_leaves_no_files(
    driver: TerraformDriver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    caplog.set_level(logging.DEBUG)
    driver.apply_json(on_line=lambda _: None)
    assert caplog.text == ""


def test_an_unknown_name_is_no_command(driver: TerraformDriver) -> None:
    with pytest.raises(AttributeError, match="aplly"):
        driver.aplly()


def test_the_exit_code_is_returned(tmp_path: Path, shell_program: ProgramMaker) -> None:
    runner = Runner(env={}, log_dir=tmp_path / "logs")
    code, out, err = TerraformDriver(shell_program("echo no >&2; exit 4"), tmp_path, runner).cmd("plan")
    assert (code, out, err) == (4, "", "no\n")
