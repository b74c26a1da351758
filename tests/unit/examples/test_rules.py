"""The example tests run unchanged on AWS: they know nothing of the local cloud, of its time, or of time at all."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "tests" / "test_examples").glob("test_*.py"))
EXAMPLES = sorted(path.parent.name for path in (ROOT / "terraform").glob("*/function"))

# What only a local cloud has, and what measures or passes time.
FORBIDDEN_WORDS = re.compile(
    r"\blocal\b|local_?cloud|localhost|127\.0\.0\.1|emulat|endpoint|time_?scale|sleep|monotonic|perf_counter|elapsed",
    re.IGNORECASE,
)
FORBIDDEN_IMPORTS = ("harness.localcloud", "harness.targets", "harness.session", "moto", "time", "asyncio", "threading")


def breaches(source: str) -> Iterator[str]:
    """What a test file says that it must not, as ``line: text``."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        for word in FORBIDDEN_WORDS.findall(token.string):
            yield f"{token.start[0]}: {word}"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        base = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for module in (f"{base}{alias.name}" for alias in node.names):
            if any(f"{module}.".startswith(f"{forbidden}.") for forbidden in FORBIDDEN_IMPORTS):
                yield f"{node.lineno}: import of {module}"


@pytest.mark.parametrize(
    ("source", "breach"),
    [
        ("import time", "1: import of time"),
        ("from time import time", "1: import of time.time"),
        ("from harness import localcloud", "1: import of harness.localcloud"),
        ("from harness.localcloud.handle import LocalCloud", "1: import of harness.localcloud.handle.LocalCloud"),
        ("import harness.localcloud.api as api", "1: import of harness.localcloud.api"),
        ("x = 1\nassert target.kind == 'local'", "2: local"),
        ("wait(60 / target.time_scale)", "1: time_scale"),
        ("client(endpoint_url=url)", "1: endpoint"),
        ("gevent.sleep(1)", "1: sleep"),
        ("assert run.elapsed < 5", "1: elapsed"),
        ("# faster on the local cloud", "1: local"),
    ],
)
def test_the_rule_finds_what_it_is_for(source: str, breach: str) -> None:
    assert breach in list(breaches(source))


def test_the_rule_lets_pass_what_runs_anywhere() -> None:
    assert list(breaches("from harness.durable import DurableFunction\nrun = durable.run({'timeout': 30})")) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
class TestEachFile:
    def test_knows_nothing_of_the_local_cloud_and_of_time(self, file: Path) -> None:
        assert list(breaches(file.read_text(encoding="utf-8"))) == []

    def test_is_an_integration_test_as_a_whole(self, file: Path) -> None:
        assert "\npytestmark = pytest.mark.integration\n" in file.read_text(encoding="utf-8")

    def test_reads_the_logs_of_an_execution(self, file: Path) -> None:
        assert re.search(r"\brunning\.logs\(", file.read_text(encoding="utf-8"))


def test_each_example_has_its_test_file() -> None:
    assert [file.stem.removeprefix("test_") for file in FILES] == EXAMPLES
