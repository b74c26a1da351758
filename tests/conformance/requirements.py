"""AWS's requirements, read from the wheel."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

_FOLDER = "aws_durable_execution_conformance_tests/test_requirements/"


@dataclass(frozen=True)
class Requirement:
    """What one function must do, and what its execution must look like.

    Attributes:
        id: Such as ``4-7``.
        suite: Such as ``callback``.
        document: The YAML document, as parsed.
    """

    id: str
    suite: str
    document: Mapping[str, Any]

    @property
    def order(self) -> tuple[int, ...]:
        """Its place among the others."""
        return tuple(int(part) for part in self.id.split("-"))


def read(wheel: Path) -> dict[str, Requirement]:
    """Every requirement in the wheel, by its id, in their order."""
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if name.startswith(_FOLDER) and path.suffix == ".yaml":
                found.append(Requirement(path.stem, path.parent.name, yaml.safe_load(archive.read(name))))
    return {requirement.id: requirement for requirement in sorted(found, key=lambda one: one.order)}
