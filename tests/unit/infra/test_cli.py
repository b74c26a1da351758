from __future__ import annotations

import dataclasses
import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.destroy_all import choose, cloud_is_gone
from harness.duration import parse_duration, show_duration
from harness.ledger import Ledger, Owner, TargetRecord
from harness.targets import Target
from harness.workspace import state_path
from tests.unit.infra.conftest import NOW, EntryMaker, InfraMaker
from tests.unit.infra.test_workspaces import APPLY


@pytest.fixture(autouse=True)
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(home))
    for name in ("HARNESS_TARGET", "HARNESS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gone_cloud(target: Target) -> TargetRecord:
    """A local cloud that has ended: nobody listens where it did."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return dataclasses.replace(target.record(), endpoint_url=f"http://127.0.0.1:{port}")


def printed(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_list_shows_every_workspace(home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger(home).write(make_entry())
    Ledger(home).write(dataclasses.replace(make_entry("mine-1"), owner=Owner.this_process(), keep=True))
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["workspace"], row["owner"], row["status"]) for row in rows] == [
        ("demo-ab12cd34", "gone", "creating"),
        ("mine-1", "alive", "creating (kept)"),
    ]
    assert main(["list"]) == 0
    assert "demo-ab12cd34" in capsys.readouterr().out


def test_list_goes_on_past_a_damaged_entry_and_says_so(
    home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(home).write(make_entry())
    Ledger(home).path("damaged").write_text("{")
    assert main(["list", "--json"]) == 1
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "damaged.json" in captured.err


def test_status_and_outputs_hide_what_is_sensitive(
    home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = make_entry()
    Ledger(home).write(entry)
    state_path(entry).parent.mkdir(parents=True)
    outputs = {"a": {"value": "plain"}, "b": {"value": "hunter22", "sensitive": True}}
    resources = [{"mode": "managed", "type": "aws_iam_role", "name": "r", "instances": [{"attributes": {}}]}]
    state_path(entry).write_text(json.dumps({"version": 4, "outputs": outputs, "resources": resources}))

    assert main(["outputs", entry.name, "--json"]) == 0
    assert printed(capsys) == {"a": "plain", "b": "(sensitive)"}
    assert main(["outputs", entry.name, "--json", "--show-sensitive"]) == 0
    assert printed(capsys) == {"a": "plain", "b": "hunter22"}
    assert main(["status", entry.name]) == 0
    text = capsys.readouterr().out
    assert "aws_iam_role.r" in text
    assert "hunter22" not in text


@pytest.mark.parametrize("command", ["status", "outputs", "destroy"])
def test_an_unknown_name_is_a_usage_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "../nobody"]) == 2
    assert "There is no workspace '../nobody'" in capsys.readouterr().err


def test_a_bad_command_line_exits_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["destroy-all", "--older-than", "soon"])
    assert caught.value.code == 2


def test_destroy_all_destroys_what_dead_processes_left(
    infra_with: InfraMaker, stack: Path, home: Path, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(home)
    for _ in range(2):
        entry = infra_with(APPLY).deploy(stack).workspace
        ledger.write(dataclasses.replace(entry, owner=dataclasses.replace(entry.owner, started="before")))
        target.client("sqs").create_queue(QueueName=f"lost-{entry.suffix}")

    assert main(["destroy-all", "--json"]) == 0

    results = json.loads(capsys.readouterr().out)
    assert [result["outcome"] for result in results] == ["destroyed", "destroyed"]
    assert all("not in the state: sqs queue" in result["detail"] for result in results)
    assert ledger.entries() == ([], [])


def test_destroy_all_leaves_the_living_alone(
    home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(home).write(make_entry(owner=Owner.this_process()))
    assert main(["destroy-all"]) == 3
    assert "left alone" in capsys.readouterr().err
    assert main(["destroy", make_entry().name]) == 3
    assert Ledger(home).read(make_entry().name) is not None


def test_force_destroys_the_livings_workspaces_too(
    home: Path, make_entry: EntryMaker, gone_cloud: TargetRecord
) -> None:
    Ledger(home).write(make_entry(owner=Owner.this_process(), record=gone_cloud))
    assert main(["destroy-all", "--force"]) == 0
    assert Ledger(home).entries() == ([], [])


def test_a_workspace_whose_local_cloud_has_ended_is_dropped_and_said_so(
    home: Path, make_entry: EntryMaker, gone_cloud: TargetRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(home).write(make_entry(record=gone_cloud))
    assert main(["destroy-all", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["outcome"] == "gone"
    assert str(gone_cloud.endpoint_url) in result["detail"]
    assert Ledger(home).entries() == ([], [])


def test_destroy_all_goes_on_past_a_failure_and_ends_with_1(
    home: Path, make_entry: EntryMaker, gone_cloud: TargetRecord, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HARNESS_ALLOWED_ACCOUNTS", "999999999999")
    ledger = Ledger(home)
    ledger.write(make_entry("aws-1", record=TargetRecord("aws", "eu-west-1", "111122223333")))
    ledger.write(make_entry("local-2", record=gone_cloud))
    assert main(["destroy-all", "--yes", "--json"]) == 1
    outcomes = {result["workspace"]: result["outcome"] for result in json.loads(capsys.readouterr().out)}
    assert outcomes == {"aws-1": "left", "local-2": "gone"}
    assert [entry.name for entry in ledger.entries()[0]] == ["aws-1"]


def test_destroy_all_touches_an_account_only_when_told(
    home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    Ledger(home).write(make_entry(record=TargetRecord("aws", "eu-west-1", "111122223333")))
    assert main(["destroy-all"]) == 2
    assert "111122223333" in capsys.readouterr().err
    assert Ledger(home).read(make_entry().name) is not None


def test_a_dry_run_only_says_what_it_would_do(
    home: Path, make_entry: EntryMaker, gone_cloud: TargetRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(home).write(make_entry(record=gone_cloud))
    assert main(["destroy-all", "--dry-run", "--json"]) == 0
    assert printed(capsys) == [make_entry().name]
    assert Ledger(home).read(make_entry().name) is not None


def test_a_damaged_entry_makes_destroy_all_fail_and_stays(home: Path) -> None:
    path = Ledger(home).path("damaged")
    path.write_text("{")
    assert main(["destroy-all"]) == 1
    assert path.read_text() == "{"


def test_deploy_needs_a_cloud_that_outlives_the_command(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", str(stack)]) == 2
    assert "python -m harness.localcloud" in capsys.readouterr().err


def test_deploy_keeps_the_workspace_and_says_how_to_destroy_it(
    infra_with: InfraMaker,
    stack: Path,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in infra_with(APPLY)._workshop.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARNESS_ENDPOINT_URL", str(target.endpoint_url))
    assert main(["deploy", str(stack), "--var", "password=x", "--json"]) == 0
    captured = capsys.readouterr()
    (entry,) = Ledger().entries()[0]
    assert json.loads(captured.out)["workspace"] == entry.name
    assert f"destroy {entry.name}" in captured.err
    assert entry.keep
    assert json.loads(entry.var_file.read_text())["password"] == "x"


def test_what_is_chosen(make_entry: EntryMaker) -> None:
    me = Owner.this_process()
    young = make_entry("young-1", created_at=NOW)
    old = make_entry("old-2", created_at=NOW - timedelta(hours=13))
    mine = make_entry("mine-3", owner=me)
    elsewhere = make_entry("elsewhere-4", owner=dataclasses.replace(me, host="h"))
    expired = make_entry("expired-5", owner=dataclasses.replace(me, host="h"), created_at=NOW - timedelta(days=2))
    everything = [young, old, mine, elsewhere, expired]

    assert choose(everything, kind=None, older_than=None, now=NOW, force=False) == (
        [young, old, expired],
        [mine, elsewhere],
    )
    assert choose(everything, kind=None, older_than=timedelta(hours=12), now=NOW, force=False) == ([old, expired], [])
    assert choose(everything, kind="aws", older_than=None, now=NOW, force=False) == ([], [])
    assert choose(everything, kind="local", older_than=None, now=NOW, force=True) == (everything, [])


def test_only_a_refusal_on_this_machine_proves_that_a_cloud_is_gone(target: Target, gone_cloud: TargetRecord) -> None:
    assert cloud_is_gone(str(gone_cloud.endpoint_url))
    assert not cloud_is_gone(str(target.endpoint_url))
    assert not cloud_is_gone("http://192.0.2.1:1")


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43200), ("1d12h", 129600)])
def test_ages_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1h "])
def test_what_is_no_age_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no age"):
        parse_duration(text)


def test_ages_are_shown_in_two_units() -> None:
    assert [show_duration(timedelta(seconds=s)) for s in (0, 59, 3661, 90061)] == ["0s", "59s", "1h1m", "1d1h"]
    assert show_duration(datetime(2026, 1, 1, tzinfo=UTC) - datetime(2026, 1, 2, tzinfo=UTC)) == "0s"


def test_every_command_answers_in_json(
    infra_with: InfraMaker,
    stack: Path,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in infra_with(APPLY)._workshop.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HARNESS_ENDPOINT_URL", str(target.endpoint_url))

    def answer(*command: str, code: int = 0) -> Any:
        assert main([*command, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    name = answer("deploy", str(stack))["workspace"]
    assert [row["workspace"] for row in answer("list")] == [name]
    status = answer("status", name)
    assert (status["owner"], status["resources"], status["status"]) == ("alive", 1, "ready (kept)")
    assert status["addresses"] == ["aws_cloudwatch_log_group.g"]
    assert status["state"].endswith("terraform.tfstate")
    assert list(answer("outputs", name)) == ["group"]
    assert isinstance(answer("sweep"), list)
    assert answer("destroy", name, code=3) == []
    assert answer("destroy-all", code=3) == []
    assert answer("destroy-all", "--dry-run") == []
    assert [row["outcome"] for row in answer("destroy", name, "--force")] == ["destroyed"]


def test_names_are_never_cut(home: Path, make_entry: EntryMaker, capsys: pytest.CaptureFixture[str]) -> None:
    long = f"{'x' * 40}-ab12cd34"
    Ledger(home).write(make_entry(long))
    assert main(["list"]) == 0
    assert long in capsys.readouterr().out
