"""What import-linter doesn't check by itself: that its list of what the local cloud must not import, and the page about
the layers, leave no module out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MODULES = {
    f"harness.{path.stem if path.is_file() else path.name}"
    for path in (ROOT / "harness").iterdir()
    if path.suffix == ".py" or (path / "__init__.py").is_file()
} - {"harness.__init__"}


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def test_the_local_cloud_may_import_the_errors_and_the_waiters_and_no_other_module() -> None:
    (apart,) = [contract for contract in contracts() if contract.get("source_modules") == ["harness.localcloud"]]
    assert set(apart["forbidden_modules"]) == MODULES - {"harness.localcloud", "harness.errors", "harness.waiters"}


def test_the_architectures_page_names_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {f"harness.{name}" for name in re.findall(r"`(?:harness/)?(\w+)(?:\.py|/)`", page)}
    assert MODULES - named == set()
