from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.ledger import SCHEMA, Ledger, Owner, default_cache, default_home
from tests.unit.infra.conftest import NOW, EntryMaker


def test_an_entry_comes_back_as_it_was_written(home: Path, make_entry: EntryMaker) -> None:
    entry = dataclasses.replace(make_entry(), functions=("f",), log_groups=("/aws/lambda/f",), status="ready")
    Ledger(home).write(entry)
    assert Ledger(home).read(entry.name) == entry


def test_entries_are_listed_oldest_first(home: Path, make_entry: EntryMaker) -> None:
    ledger = Ledger(home)
    young = make_entry("a-1")
    old = dataclasses.replace(make_entry("b-2"), created_at=young.created_at.replace(year=2020))
    ledger.write(young)
    ledger.write(old)
    assert ([entry.name for entry in ledger.entries()[0]], ledger.entries()[1]) == (["b-2", "a-1"], [])


def test_a_removed_entry_is_gone_and_removing_it_again_is_no_error(home: Path, make_entry: EntryMaker) -> None:
    ledger = Ledger(home)
    ledger.write(make_entry())
    ledger.remove(make_entry().name)
    ledger.remove(make_entry().name)
    assert ledger.read(make_entry().name) is None


def test_a_write_that_fails_leaves_the_entry_before_it(
    home: Path, make_entry: EntryMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(home)
    ledger.write(make_entry())

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        ledger.write(dataclasses.replace(make_entry(), status="ready"))

    assert ledger.read(make_entry().name) == make_entry()
    assert [path.name for path in (home / "ledger").iterdir()] == [f"{make_entry().name}.json"]


def test_an_entry_of_a_later_release_is_refused_and_not_touched(home: Path, make_entry: EntryMaker) -> None:
    ledger = Ledger(home)
    path = ledger.path("later-1")
    text = json.dumps({**make_entry().to_json(), "schema": SCHEMA + 1})
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=f"schema {SCHEMA + 1}"):
        ledger.read("later-1")
    assert path.read_text() == text


def test_an_entry_of_the_first_schema_is_still_read(home: Path, make_entry: EntryMaker) -> None:
    document = {**make_entry().to_json(), "schema": 1}
    del document["state"], document["fingerprint"]
    ledger = Ledger(home)
    ledger.path(make_entry().name).write_text(json.dumps(document))
    assert ledger.read(make_entry().name) == make_entry()


@pytest.mark.parametrize("text", ["", '{"schema": 1, "na', "[]", '{"schema": 1}', '{"name": "x"}'])
def test_a_damaged_entry_is_reported_beside_the_others_and_not_touched(
    home: Path, make_entry: EntryMaker, text: str
) -> None:
    ledger = Ledger(home)
    ledger.write(make_entry())
    ledger.path("damaged-1").write_text(text)

    entries, unreadable = ledger.entries()

    assert [entry.name for entry in entries] == [make_entry().name]
    assert [bad.path.name for bad in unreadable] == ["damaged-1.json"]
    assert ledger.path("damaged-1").read_text() == text


@pytest.mark.parametrize("name", ["../secrets", "a/b", "", "x" * 200])
def test_a_name_that_isnt_one_finds_nothing(home: Path, name: str) -> None:
    ledger = Ledger(home)
    (home / "secrets.json").write_text("{}")
    assert ledger.read(name) is None


def test_a_home_that_cant_be_written_says_which_setting_helps(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="HARNESS_HOME"):
        Ledger(tmp_path / "file" / "home")


def test_home_and_cache_are_settings() -> None:
    environ = {"HARNESS_HOME": "/h", "HARNESS_CACHE": "/c"}
    assert (default_home(environ), default_cache(environ)) == (Path("/h"), Path("/c"))
    assert default_home({}) != default_cache({})


def test_this_process_is_alive() -> None:
    assert Owner.this_process().alive() is True


def test_a_process_that_has_ended_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pass
    assert dataclasses.replace(Owner.this_process(), pid=process.pid).alive() is False


def test_another_process_with_the_same_id_is_not_the_owner() -> None:
    assert dataclasses.replace(Owner.this_process(), started="another boot:1").alive() is False


def test_nobody_knows_about_another_host() -> None:
    assert dataclasses.replace(Owner.this_process(), host="elsewhere").alive() is None


def test_old_logs_go_unless_their_workspace_is_still_there(home: Path, make_entry: EntryMaker) -> None:
    ledger = Ledger(home)
    ledger.write(make_entry())
    for name in (make_entry().name, "failed-long-ago-1", "failed-lately-2"):
        (ledger.logs / name).mkdir()
        days = 1 if "lately" in name else 15
        then = (NOW - timedelta(days=days)).timestamp()
        os.utime(ledger.logs / name, (then, then))
    ledger.prune_logs(NOW)
    assert {path.name for path in ledger.logs.iterdir()} == {make_entry().name, "failed-lately-2"}
