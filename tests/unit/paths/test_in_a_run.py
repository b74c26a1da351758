"""What a pytest run says about paths: when it judges, when not, and that a dead path fails it.

The session behind the plugin is a fake one: nothing is deployed, the executions are records.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

CONFTEST = """
from pathlib import Path
from types import SimpleNamespace

import harness.plugin as plugin
from harness.session import SessionReport
from harness.waiters import THROTTLE
from tests.unit.replay.records import Record

TABLE = {"VALUE": "5"}
RUNS = [Record(name="run-1").step("Always", 5).ends(5)]


class Lambda:
    def get_function_configuration(self, **_):
        return {"Handler": "handler.handler", "Environment": {"Variables": TABLE}}


class Durable:
    function_name, alias = "f", "live"

    def executions(self):
        return [execution for execution, _ in RUNS]

    def history(self, arn):
        (found,) = [run for run in RUNS if run[0].arn == arn]
        return found[1]


class Deployment:
    outputs = {"function_name": "f"}
    target = SimpleNamespace(client=lambda service: Lambda(), policy=lambda policy: THROTTLE)

    def __init__(self, example_dir):
        self.workspace = SimpleNamespace(example_dir=example_dir)

    def function(self, lambda_client, logs_client, **_):
        return Durable()


class Session:
    bus = None

    def __init__(self, config):
        self.checks = plugin._path_checks(config)

    def prefetch(self, directories):
        pass

    def deployment(self, example_dir):
        return Deployment(example_dir)

    def release(self, example_dir):
        if self.checks is not None:
            self.checks.collect(Deployment(example_dir))

    def close(self, *, interrupted=False):
        return SessionReport((), (), ())


def pytest_configure(config):
    config.stash[plugin._SESSION] = Session(config)
"""

HANDLER = """
import os
from aws_durable_execution_sdk_python import durable_execution

@durable_execution
def handler(event, context):
    value = context.step(lambda _: 5, name="Always")
    if value != int(os.environ["VALUE"]):
        context.step(lambda _: 6, name="Never")
    return value
"""

TESTS = "def test_one(deployment):\n    pass\n\ndef test_two(deployment):\n    pass\n"


class Project:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("conftest.py", CONFTEST)
        self.write("pytest.ini", "[pytest]\n")
        self.write("terraform/thing/function/handler.py", HANDLER)
        self.write("test_thing.py", TESTS)

    def write(self, name: str, content: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    def pytest(self, *arguments: str) -> tuple[int, str]:
        # The plugin is loaded by name, for a checkout in which it isn't installed.
        installed = ["-p", "no:durable_harness", "-p", "harness.plugin"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *installed, *arguments],
            cwd=self.path,
            env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_dead_path_fails_a_run_whose_tests_all_pass(project: Project) -> None:
    status, output = project.pytest()

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "2 passed" in output
    assert "dead path: operation Never (handler.py:9)" in output
    assert "replayed 1 of 1 executions, 1 with the same operations" in output


def test_when_every_path_is_reached_the_table_is_all_that_is_said(project: Project) -> None:
    project.write("terraform/thing/function/handler.py", HANDLER.partition("    if")[0] + "    return value\n")

    status, output = project.pytest()

    assert status == pytest.ExitCode.OK, output
    assert "thing: 1 of 1 paths reached" in output
    assert "DEAD" not in output


def test_a_handler_that_differs_on_replay_fails_a_run(project: Project) -> None:
    body = HANDLER.partition("    if")[0] + "    return value + 1\n"
    project.write("terraform/thing/function/handler.py", body)

    status, output = project.pytest()

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "not deterministic: run-1: the execution has another result than in the history" in output


@pytest.mark.parametrize("arguments", [["--harness-paths=report"], ["-o", "harness_paths=report"]])
def test_a_report_prints_and_fails_nothing(project: Project, arguments: list[str]) -> None:
    status, output = project.pytest(*arguments)

    assert status == pytest.ExitCode.OK
    assert "dead path: operation Never" in output


def test_off_says_nothing(project: Project) -> None:
    status, output = project.pytest("--harness-paths=off")

    assert status == pytest.ExitCode.OK
    assert "paths" not in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-k", "one"], "1 test deselected"),
        (["test_thing.py::test_one"], "only a part of test_thing.py was selected"),
    ],
    ids=["deselected", "by-node-id"],
)
def test_a_part_of_the_tests_is_not_judged_by(project: Project, arguments: list[str], reason: str) -> None:
    status, output = project.pytest(*arguments)

    assert status == pytest.ExitCode.OK
    assert f"thing: paths not checked: {reason}" in output


@pytest.mark.parametrize(
    ("body", "reason"),
    [("assert False", "1 test failed"), ("import pytest; pytest.skip('later')", "1 test skipped")],
    ids=["failed", "skipped"],
)
def test_tests_that_did_not_pass_are_not_judged_by(project: Project, body: str, reason: str) -> None:
    project.write("test_thing.py", f"{TESTS}\ndef test_three(deployment):\n    {body}\n")

    _, output = project.pytest()

    assert f"thing: paths not checked: {reason}" in output
    assert "DEAD" not in output


def test_a_function_that_cannot_be_replayed_fails_the_run_and_says_why(project: Project) -> None:
    project.write("terraform/thing/function/handler.py", f"import not_there_at_all\n{HANDLER}")

    status, output = project.pytest()

    assert status == pytest.ExitCode.TESTS_FAILED
    assert "thing: PATHS CAN'T BE CHECKED" in output
    assert "not_there_at_all" in output


def test_a_root_without_a_function_is_not_judged(project: Project) -> None:
    (project.path / "terraform/thing/function/handler.py").unlink()

    status, output = project.pytest()

    assert status == pytest.ExitCode.OK
    assert "thing: paths not checked: it has no output function_name" in output
