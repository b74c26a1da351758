import os
import stat
from pathlib import Path

import pytest

from harness.errors import TerraformNotFoundError, TerraformVersionError
from harness.terraform.executable import find_terraform


def program(path: Path, prints: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\nexit {code}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def answer(version: str) -> str:
    return f'{{"terraform_version": "{version}", "platform": "linux_amd64"}}'


def on_path(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{folder}{os.pathsep}/bin", **more}


def test_finds_terraform_on_the_path(tmp_path: Path) -> None:
    program(tmp_path / "terraform", answer("1.11.4"))
    found = find_terraform(on_path(tmp_path))
    assert (str(found.version), found.platform, found.registry) == ("1.11.4", "linux_amd64", "registry.terraform.io")


def test_a_named_executable_is_taken_instead(tmp_path: Path) -> None:
    program(tmp_path / "terraform", answer("1.11.4"))
    named = program(tmp_path / "elsewhere" / "tf-1.13", answer("1.13.0"))
    assert str(find_terraform(on_path(tmp_path, HARNESS_TERRAFORM=str(named))).version) == "1.13.0"


def test_opentofu_is_accepted_when_named_and_uses_its_own_registry(tmp_path: Path) -> None:
    program(tmp_path / "tofu", '{"terraform_version": "1.9.0", "platform": "linux_amd64", "provider_selections": '
                               '{"registry.opentofu.org/hashicorp/aws": "6.1.0"}}')  # fmt: skip
    found = find_terraform(on_path(tmp_path, HARNESS_TERRAFORM="tofu"))
    assert (found.product, found.registry) == ("tofu", "registry.opentofu.org")


def test_a_missing_terraform_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFoundError, match="Install Terraform") as caught:
        find_terraform({"PATH": str(tmp_path)})
    assert "HARNESS_TERRAFORM" in str(caught.value)


def test_a_named_terraform_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFoundError, match="no-such-terraform"):
        find_terraform(on_path(tmp_path, HARNESS_TERRAFORM="no-such-terraform"))


@pytest.mark.parametrize("prints", [answer("1.4.7"), "Terraform v0.12.31"])
def test_an_old_terraform_says_what_is_needed(tmp_path: Path, prints: str) -> None:
    path = program(tmp_path / "terraform", prints)
    with pytest.raises(TerraformVersionError, match=r"too old, 1\.5\.0 or later") as caught:
        find_terraform(on_path(tmp_path))
    assert str(path) in str(caught.value)


def test_a_program_that_isnt_terraform_is_a_clear_error(tmp_path: Path) -> None:
    program(tmp_path / "terraform", "I am a teapot", code=3)
    with pytest.raises(TerraformNotFoundError, match="exit code 3"):
        find_terraform(on_path(tmp_path))


def test_a_replaced_terraform_is_looked_at_again(tmp_path: Path) -> None:
    program(tmp_path / "terraform", answer("1.11.4"))
    find_terraform(on_path(tmp_path))
    program(tmp_path / "terraform", answer("1.12.10"))
    assert str(find_terraform(on_path(tmp_path)).version) == "1.12.10"
