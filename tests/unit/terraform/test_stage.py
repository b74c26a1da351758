from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.terraform.stage import LOCK_FILE, reach, stage


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def call(source: str) -> str:
    return f'module "m" {{\n  source = "{source}"\n}}\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "terraform" / "root"
    write(root / "main.tf", call("../modules/outer"))
    write(root / "function" / "app.py", "print()")
    write(tmp_path / "terraform" / "modules" / "outer" / "main.tf", call("../inner"))
    write(tmp_path / "terraform" / "modules" / "inner" / "main.tf", 'variable "x" {}\n')
    write(tmp_path / "terraform" / "other" / "main.tf", 'variable "x" {}\n')
    return root


def test_modules_keep_their_places_relative_to_the_root(source: Path, tmp_path: Path) -> None:
    staged = stage(source, tmp_path / "staged")

    assert (staged.root / "../modules/outer/../inner/main.tf").is_file()
    assert set(staged.modules) == {
        tmp_path / "staged" / "root",
        tmp_path / "staged" / "modules" / "outer",
        tmp_path / "staged" / "modules" / "inner",
    }


def test_the_roots_other_files_come_along_and_other_roots_dont(source: Path, tmp_path: Path) -> None:
    staged = stage(source, tmp_path / "staged")
    assert (staged.root / "function" / "app.py").is_file()
    assert not (tmp_path / "staged" / "other").exists()


def test_state_and_leftovers_of_tools_stay_behind(source: Path, tmp_path: Path) -> None:
    for name in (
        "terraform.tfstate", "terraform.tfstate.backup", ".terraform/providers/p", "terraform.tfstate.d/w/s",
        "function/__pycache__/a.pyc", ".venv/bin/python", "old.tfstate",
    ):  # fmt: skip
        write(source / name, "x")

    staged = stage(source, tmp_path / "staged")

    assert {path.name for path in staged.root.rglob("*")} == {"main.tf", "function", "app.py"}


def test_the_lock_file_comes_along(source: Path, tmp_path: Path) -> None:
    write(source / LOCK_FILE, "# lock")
    assert (stage(source, tmp_path / "staged").root / LOCK_FILE).read_text() == "# lock"


def test_a_module_inside_of_the_root_is_copied_once_and_known(tmp_path: Path) -> None:
    write(tmp_path / "root" / "main.tf", call("./inner"))
    write(tmp_path / "root" / "inner" / "main.tf", 'variable "x" {}\n')
    staged = stage(tmp_path / "root", tmp_path / "staged")
    assert staged.root == tmp_path / "staged"
    assert set(staged.modules) == {staged.root, staged.root / "inner"}


def test_modules_that_call_each_other_end(tmp_path: Path) -> None:
    write(tmp_path / "a" / "main.tf", call("../b"))
    write(tmp_path / "b" / "main.tf", call("../a"))
    assert set(reach(tmp_path / "a")) == {tmp_path / "a", tmp_path / "b"}


def test_a_missing_module_names_its_caller(tmp_path: Path) -> None:
    write(tmp_path / "root" / "main.tf", call("../modules/gone"))
    with pytest.raises(ConfigurationError, match="no such directory") as caught:
        reach(tmp_path / "root")
    assert "modules/gone" in str(caught.value)
    assert f"{tmp_path / 'root'} calls" in str(caught.value)


def test_a_destination_inside_of_the_root_isnt_copied_into_itself(source: Path) -> None:
    staged = stage(source, source / "work" / "staged")
    assert not list(staged.root.rglob("staged"))
