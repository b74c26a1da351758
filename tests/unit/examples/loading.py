"""Loads an example's function as Lambda does: its folder first on the path.

The examples' modules share names (`handler`, `failures`), so each is taken off the table again after loading.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

TERRAFORM = Path(__file__).parents[3] / "terraform"


class Example:
    """The freshly loaded modules of one example as attributes.

    Args:
        name: The example's folder below terraform/.
    """

    def __init__(self, name: str) -> None:
        self.directory = TERRAFORM / name / "function"
        names = [path.stem for path in sorted(self.directory.glob("*.py"))]
        with _only_on_path(self.directory, names):
            self.modules = {module: importlib.import_module(module) for module in names}

    def __getattr__(self, name: str) -> ModuleType:
        try:
            return self.modules[name]
        except KeyError:
            raise AttributeError(f"{self.directory} has no module {name}") from None


@contextmanager
def _only_on_path(directory: Path, names: list[str]) -> Iterator[None]:
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
