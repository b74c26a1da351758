"""What `harness` promises to other people's code."""

import inspect
import re
import subprocess
import sys

import pytest

import harness


@pytest.mark.parametrize("name", harness.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(harness, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        harness.nonsense  # noqa: B018


def test_the_plugin_loads_without_boto3_or_anything_else_that_is_heavy() -> None:
    code = "import sys, harness, harness.plugin; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "harness.plugin" in loaded
    assert not {"boto3", "rich", "hcl2", "moto", "tenacity"} & set(loaded)


def test_all_but_the_local_cloud_works_without_its_extra() -> None:
    code = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import harness
for module in pkgutil.iter_modules(harness.__path__, "harness."):
    importlib.import_module(module.name)
import harness.localcloud.handle
print("done")
"""
    # Of the extra's packages, lark and regex are python-hcl2's as well.
    extra = {
        "aws_durable_execution_sdk_python", "aws_durable_execution_sdk_python_testing", "awslambdaric", "h11", "moto",
        "werkzeug",
    }  # fmt: skip

    ran = subprocess.run(
        [sys.executable, "-c", code.replace("{names}", repr(extra))], capture_output=True, text=True, check=False
    )

    assert (ran.stdout.strip(), ran.stderr) == ("done", "")


def test_an_execution_id_is_test_name_time_and_eight_hex_digits() -> None:
    name = harness.make_execution_id("order-processing")

    assert re.fullmatch(r"test-order-processing-\d{8}T\d{6}-[0-9a-f]{8}", name)


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("poll_execution", ["lambda_client", "function_name", "execution_name", "timeout"]),
        ("query_logs", ["logs_client", "log_group", "query", "start_time", "end_time", "wait_seconds"]),
        ("terraform_deploy", ["example_dir"]),
        ("terraform_teardown", ["example_dir", "logs_client", "log_group_name"]),
        ("make_execution_id", ["name"]),
    ],
)
def test_the_seeds_positional_arguments_stay(function: str, parameters: list[str]) -> None:
    found = inspect.signature(getattr(harness, function)).parameters

    assert [name for name, one in found.items() if one.kind is one.POSITIONAL_OR_KEYWORD] == parameters


def test_the_seeds_figures_stay() -> None:
    assert inspect.signature(harness.poll_execution).parameters["timeout"].default == 300
    assert inspect.signature(harness.query_logs).parameters["wait_seconds"].default == 15
    assert harness.waiters.IAM_PROPAGATION_SECONDS == 15
    assert harness.EXECUTION.interval.first == 5
    assert (harness.EXECUTION.backoff.first, harness.EXECUTION.backoff.maximum) == (5, 30)
