"""Initialises working directories: ``terraform init`` once per kind of root module, then clones.

A template holds what init left behind: installed providers, the module manifest, the backend record and the lock
file. Its key is everything that init's result depends on. Cloning it takes milliseconds where init takes 0.65-7 s,
and parallel inits into one plugin cache would race.

In the clones, and only there, the lock file has no hashes: they were verified when the template was made, and checking
them again costs Terraform 0.45 s of hashing for every single command.
https://developer.hashicorp.com/terraform/language/files/dependency-lock
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from harness.terraform.executable import Executable
from harness.terraform.stage import LOCK_FILE, StagedTree

DATA_DIR = ".terraform"
BACKEND_OVERRIDE = "zz_backend_override.tf"
_COMPLETE = "complete"
_FORMAT = 1
_HASHES = re.compile(r"^\s*hashes\s*=\s*\[[^\]]*\]\n", re.MULTILINE)


def override_backend(staged: StagedTree, remote: Mapping[str, str | bool] | None = None) -> None:
    """Give a staged root the backend of its workspace, whatever it declares.

    A test's state belongs to its workspace: in the declared backend it would meet the state of real deployments.
    https://developer.hashicorp.com/terraform/language/files/override#merging-terraform-blocks

    Args:
        staged: The copy.
        remote: The arguments of the S3 backend; None is the local one.
    """
    if remote is not None:
        arguments = "".join(f"    {name} = {json.dumps(value)}\n" for name, value in remote.items())
        body = f'  backend "s3" {{\n{arguments}  }}\n'
    elif staged.modules[staged.root].backend is not None:
        body = '  backend "local" {}\n'
    else:
        return
    (staged.root / BACKEND_OVERRIDE).write_text(
        f"# Generated for this staged copy.\nterraform {{\n{body}}}\n", encoding="utf-8"
    )


def template_key(staged: StagedTree, executable: Executable, cli_config: str) -> str:
    """A name for everything that init's result depends on."""
    modules = [
        [
            os.path.relpath(directory, staged.root),
            sorted([p.local_name, p.source, p.version] for p in module.providers.values()),
            sorted(module.calls.items()),
        ]
        for directory, module in sorted(staged.modules.items())
    ]
    generated = [
        path.read_text(encoding="utf-8")
        for directory in sorted(staged.modules)
        for path in sorted(directory.glob("zz_*_override.tf"))
    ]
    # Providers that resources imply without declaring them are in no requirement: the resources' types stand for them.
    implied = sorted(
        {
            match
            for module in staged.modules.values()
            for path in module.files
            for match in re.findall(r'^\s*(?:resource|data|ephemeral)\s+"([a-z0-9]+)_', _text(path), re.MULTILINE)
        }
    )
    lock = staged.root / LOCK_FILE
    parts = [
        _FORMAT,
        str(executable.version),
        executable.product,
        executable.platform,
        cli_config,
        modules,
        generated,
        implied,
        _text(lock) if lock.is_file() else None,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def initialise(staged_root: Path, key: str, templates: Path, init: Callable[[], None]) -> bool:
    """Make a staged root ready for apply, from a template or by making one.

    Args:
        staged_root: The staged root module.
        key: What `template_key` gave.
        templates: The folder of all templates.
        init: Runs ``terraform init`` in ``staged_root``; what it raises leaves no template.

    Returns:
        Whether init was run.
    """
    template = templates / key
    templates.mkdir(parents=True, exist_ok=True)
    ran = False
    with FileLock(templates / f"{key}.lock"):
        if not _usable(template):
            _remove(template)
            init()
            ran = True
            _keep(staged_root, template)
    if ran:
        _remove(staged_root / DATA_DIR)
    _clone(template, staged_root)
    return ran


def is_initialised(staged_root: Path) -> bool:
    """Whether a staged root still has all that init gave it, also after somebody emptied the cache."""
    data = staged_root / DATA_DIR
    return (staged_root / LOCK_FILE).is_file() and data.is_dir() and _providers_resolve(data)


def _usable(template: Path) -> bool:
    return (template / _COMPLETE).is_file() and _providers_resolve(template / "data")


def _providers_resolve(data: Path) -> bool:
    # HOST/NAMESPACE/TYPE/VERSION/PLATFORM, where the last may be a link into a mirror that has been removed since.
    return all(path.is_dir() and any(path.iterdir()) for path in (data / "providers").glob("*/*/*/*/*"))


def _keep(staged_root: Path, template: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{template.name}.", dir=template.parent))
    # A root without providers and modules has no data.
    (staged_root / DATA_DIR).mkdir(exist_ok=True)
    shutil.move(staged_root / DATA_DIR, partial / "data")
    lock = staged_root / LOCK_FILE
    text = _HASHES.sub("", lock.read_text(encoding="utf-8")) if lock.is_file() else ""
    (partial / "lock.hcl").write_text(text, encoding="utf-8")
    (partial / _COMPLETE).touch()
    partial.rename(template)


def _clone(template: Path, staged_root: Path) -> None:
    source, target = template / "data", staged_root / DATA_DIR
    _remove(target)
    shutil.copytree(source, target, symlinks=True, ignore=lambda directory, _: _if_top(directory, source, "providers"))
    for platform in (source / "providers").glob("*/*/*/*/*"):
        place = target / platform.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        # Of a mirror's link the clone has its own copy, and so outlives the template; 700 MB are linked to.
        place.symlink_to(platform.readlink() if platform.is_symlink() else platform)
    shutil.copyfile(template / "lock.hcl", staged_root / LOCK_FILE)


def _if_top(directory: str, top: Path, name: str) -> list[str]:
    return [name] if Path(directory) == top else []


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
