from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

ProgramMaker = Callable[[str], Path]


@pytest.fixture
def shell_program(tmp_path: Path) -> ProgramMaker:
    """Makes an executable out of the body of a shell script."""

    def make(body: str) -> Path:
        path = tmp_path / "terraform"
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make
