"""A cloud's folder goes with it, and what a killed cloud left goes with the next start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.localcloud.workfolder import WorkFolder, sweep


def test_the_folder_is_private_and_goes_with_its_owner(tmp_path: Path) -> None:
    with WorkFolder(tmp_path) as folder:
        locked = folder.path / "code"
        locked.mkdir()
        (locked / "app.py").write_text("code")
        locked.chmod(0o555)
        assert folder.path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_living_clouds_folder_is_left_alone(tmp_path: Path) -> None:
    with WorkFolder(tmp_path) as folder:
        assert sweep(tmp_path) == []
        with WorkFolder(tmp_path):
            assert folder.path.exists()


def test_a_killed_clouds_folder_is_removed_by_the_next_start(tmp_path: Path) -> None:
    source = (
        "import os, pathlib, signal, sys; from harness.localcloud.workfolder import WorkFolder;"
        "folder = WorkFolder(pathlib.Path(sys.argv[1])); (folder.path / 'data').write_text('x');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    with WorkFolder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]
    assert not left.exists()


def test_a_folder_that_is_still_being_made_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / "durable-harness-cloud-young"
    young.mkdir()
    assert sweep(tmp_path) == []
    assert young.exists()


def test_a_link_to_somewhere_else_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "alive.lock").write_text("")
    (tmp_path / "durable-harness-cloud-link").symlink_to(target)
    assert sweep(tmp_path) == []
    assert (target / "alive.lock").exists()
