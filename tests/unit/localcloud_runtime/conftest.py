"""Real function folders, and pools that run them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.localcloud.api import ResolvedFunction
from harness.localcloud.runtime import RuntimePool

from .support import ENDPOINT, RecordingSink, resolved

MakeFunction = Callable[..., ResolvedFunction]
MakePool = Callable[..., RuntimePool]


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def make_pool(tmp_path: Path, sink: RecordingSink) -> Iterator[MakePool]:
    pools: list[RuntimePool] = []

    def make(start_method: Literal["fork", "exec"] = "fork", **options: Any) -> RuntimePool:
        work_dir = tmp_path / f"work-{len(pools)}"
        settings = {"endpoint_url": ENDPOINT, "fork_servers": 1, "start_method": start_method, **options}
        pools.append(RuntimePool(sink, work_dir=work_dir, **settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


class CurrentSink:
    """Hands logs to the sink of the test that runs."""

    def __init__(self) -> None:
        self.target = RecordingSink()

    def put(self, function: ResolvedFunction, log_stream: str, events: Sequence[tuple[int, str]]) -> None:
        self.target.put(function, log_stream, events)


@pytest.fixture(scope="package", params=["fork", "exec"])
def shared_pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RuntimePool, CurrentSink]]:
    """A pool of either kind: a function must not be able to tell."""
    current = CurrentSink()
    work_dir = tmp_path_factory.mktemp("shared")
    pool = RuntimePool(
        current, endpoint_url=ENDPOINT, work_dir=work_dir, fork_servers=1, start_method=request.param, max_idle=2
    )
    yield pool, current
    pool.close()


@pytest.fixture
def pool(shared_pool: tuple[RuntimePool, CurrentSink], sink: RecordingSink) -> RuntimePool:
    """The shared pool; what it logs from now on goes to this test's sink."""
    shared_pool[1].target = sink
    return shared_pool[0]


@pytest.fixture
def make_function(tmp_path: Path) -> MakeFunction:
    made: list[Path] = []

    def make(source: str = "", *, files: dict[str, str] | None = None, **overrides: Any) -> ResolvedFunction:
        folder = tmp_path / f"code-{len(made)}"
        folder.mkdir()
        made.append(folder)
        for name, text in {"app.py": source, **(files or {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        name = overrides.pop("name", f"{tmp_path.name}-{len(made)}")
        return resolved(name, overrides.pop("code_directory", folder), **overrides)

    return make
