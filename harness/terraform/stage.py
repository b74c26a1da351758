"""A private copy of a root module and of every local module that it reaches.

The copies keep their places relative to each other, so that sources such as ``../modules/x`` work unchanged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError
from harness.terraform.hcl import Module, read_module

# What Terraform or a language's tools leave behind in a folder and nobody means to deploy. State most of all: a
# copy that came with a state would destroy what that state names.
_LEFT_OUT_NAMES = frozenset({"__pycache__", "node_modules", "terraform.tfstate.d"})
_LEFT_OUT_PREFIXES = ("terraform.tfstate", ".")
_LEFT_OUT_SUFFIXES = (".tfstate", ".tfstate.backup", ".tfplan", ".pyc")
LOCK_FILE = ".terraform.lock.hcl"


@dataclass(frozen=True)
class StagedTree:
    """A staged copy.

    Attributes:
        root: The copy of the root module; Terraform's working directory.
        modules: What each staged directory declares: the root's and those of the local modules it reaches.
    """

    root: Path
    modules: Mapping[Path, Module]


def reach(root: Path) -> dict[Path, Module]:
    """The root module in ``root`` and every local module below its calls, by absolute directory.

    Raises:
        ConfigurationError: A directory is missing or empty, or a file isn't valid HCL.
    """
    first = root.resolve()
    found: dict[Path, Module] = {}
    waiting = [(first, f"{root}")]
    while waiting:
        directory, named_by = waiting.pop()
        if directory in found:
            continue
        try:
            module = read_module(directory)
        except ConfigurationError as error:
            if directory == first:
                raise
            raise ConfigurationError(
                error.what, where=f"{error.where} (a module that {named_by} calls)", hint=error.hint
            ) from error
        found[directory] = module
        # Not resolved: a module reached by a symbolic link must be staged where its source says it is.
        waiting.extend(
            (Path(os.path.normpath(directory / source)), str(directory)) for source in sorted(module.local_calls)
        )
    return found


def stage(root: Path, destination: Path, modules: Mapping[Path, Module] | None = None) -> StagedTree:
    """Copy ``root`` and the local modules it reaches below ``destination``.

    Args:
        root: The root module's directory.
        destination: A directory that doesn't exist yet, or is empty.
        modules: What `reach` found, when the caller already asked.

    Raises:
        ConfigurationError: As `reach`.
    """
    reached = dict(modules) if modules is not None else reach(root)
    top = Path(os.path.commonpath([str(directory) for directory in reached]))
    destination.mkdir(parents=True, exist_ok=True)
    copied: list[Path] = []
    for directory in sorted(reached, key=lambda path: len(path.parts)):
        if not any(directory.is_relative_to(done) for done in copied):
            _copy(directory, destination / directory.relative_to(top), keep_out=destination.resolve())
            copied.append(directory)
    for directory in reached:
        # A module in a folder that the copy leaves out, such as a hidden one, is wanted because it is called.
        target = destination / directory.relative_to(top)
        if not target.is_dir():
            _copy(directory, target, keep_out=destination.resolve())
    staged_root = destination / root.resolve().relative_to(top)
    lock = root / LOCK_FILE
    if lock.is_file():
        shutil.copyfile(lock, staged_root / LOCK_FILE)
    return StagedTree(staged_root, {destination / path.relative_to(top): module for path, module in reached.items()})


def digest(modules: Iterable[Path]) -> str:
    """What changes with every file that `stage` would copy of these directories."""
    found = hashlib.sha256()
    for directory in sorted(modules):
        for folder, folders, files in os.walk(directory):
            folders[:] = sorted(name for name in folders if not _left_out(name))
            for name in sorted(name for name in files if not _left_out(name) or name == LOCK_FILE):
                path = Path(folder, name)
                if path.is_file():
                    found.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
                    found.update(path.read_bytes())
        found.update(b"\0\0")
    return found.hexdigest()


def _left_out(name: str) -> bool:
    return name in _LEFT_OUT_NAMES or name.startswith(_LEFT_OUT_PREFIXES) or name.endswith(_LEFT_OUT_SUFFIXES)


def _copy(source: Path, target: Path, *, keep_out: Path) -> None:
    def left_out(directory: str, names: list[str]) -> set[str]:
        return {name for name in names if _left_out(name) or Path(directory, name) == keep_out}

    shutil.copytree(source, target, ignore=left_out, ignore_dangling_symlinks=True, dirs_exist_ok=True)
