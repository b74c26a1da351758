from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def shell_program(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an executable out of the body of a shell script."""

    def make(body: str, name: str = "terraform") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make
