"""What the Terraform files say, read as HCL.

A local validate can't be trusted for it: with an older provider the harness adds an override file, and then Terraform
ignores blocks and arguments that the provider doesn't know, typos among them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest

TERRAFORM = Path(__file__).parents[3] / "terraform"
MODULE = TERRAFORM / "modules" / "durable_function"
EXAMPLES = ["approval_workflow", "data_pipeline", "intrinsic_showcase", "order_processing", "retry_recovery"]


def plain(value: Any) -> Any:
    """What the parser gives, without the quotes that it keeps and the keys that it adds."""
    if isinstance(value, dict):
        return {plain(key): plain(member) for key, member in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def parse(directory: Path) -> dict[str, list[Any]]:
    """All top-level blocks of a directory's files by their kind."""
    found: dict[str, list[Any]] = {}
    for path in sorted(directory.glob("*.tf")):
        with path.open(encoding="utf-8") as stream:
            for kind, blocks in plain(hcl2.load(stream)).items():
                found.setdefault(kind, []).extend(blocks)
    return found


def blocks(directory: Path, kind: str) -> dict[str, Any]:
    """A directory's variables, outputs or modules by name."""
    return {name: body for block in parse(directory).get(kind, []) for name, body in block.items()}


def resources(directory: Path) -> dict[str, Any]:
    """A directory's resources by address."""
    return {
        f"{kind}.{name}": body
        for block in parse(directory).get("resource", [])
        for kind, named in block.items()
        for name, body in named.items()
    }


@pytest.fixture(scope="module")
def function() -> Any:
    return resources(MODULE)["aws_lambda_function.this"]


def test_the_function_is_durable_with_exactly_the_two_arguments_of_the_provider(function: Any) -> None:
    assert function["durable_config"] == [
        {"execution_timeout": "${var.execution_timeout}", "retention_period": "${var.retention_period}"}
    ]


def test_the_function_publishes_its_versions(function: Any) -> None:
    assert function["publish"] is True


def test_the_destroy_may_take_an_hour(function: Any) -> None:
    assert function["timeouts"] == [{"delete": "60m"}]


def test_the_function_logs_json_to_its_own_group(function: Any) -> None:
    assert function["logging_config"] == [
        {
            "log_format": "JSON",
            "log_group": "${aws_cloudwatch_log_group.this.name}",
            "application_log_level": "INFO",
        }
    ]
    assert resources(MODULE)["aws_cloudwatch_log_group.this"]["name"] == "/aws/lambda/${var.function_name}"


def test_the_function_comes_after_its_log_group_and_its_policy(function: Any) -> None:
    assert function["depends_on"] == ["${aws_cloudwatch_log_group.this}", "${aws_iam_role_policy.this}"]


def test_the_functions_code_is_known_by_the_packages_hash(function: Any) -> None:
    assert function["filename"] == "${var.package_path}"
    assert function["source_code_hash"] == (
        "${var.package_hash != null ? var.package_hash : filebase64sha256(var.package_path)}"
    )


def test_the_functions_arguments_are_all_known_to_the_provider(function: Any) -> None:
    # Whoever adds one reads its name up first: https://registry.terraform.io/providers/hashicorp/aws/latest/docs
    assert set(function) == {
        "depends_on", "description", "durable_config", "dynamic", "filename", "function_name", "handler",
        "logging_config", "memory_size", "publish", "role", "runtime", "source_code_hash", "tags", "timeout",
        "timeouts",
    }  # fmt: skip


def test_the_alias_live_points_to_the_published_version() -> None:
    alias = resources(MODULE)["aws_lambda_alias.live"]
    assert alias["name"] == "live"
    assert alias["function_name"] == "${aws_lambda_function.this.function_name}"
    assert alias["function_version"] == "${aws_lambda_function.this.version}"


def test_the_role_may_log_and_checkpoint_and_nothing_else_by_itself() -> None:
    [local_values] = [block for block in parse(MODULE)["locals"] if "base_statements" in block]
    assert local_values["base_statements"] == [
        {
            "actions": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "resources": ["${aws_cloudwatch_log_group.this.arn}:*"],
        },
        {
            "actions": ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"],
            "resources": ["${local.function_arn}:*"],
        },
    ]
    assert (
        "concat(local.base_statements, var.policy_statements)"
        in resources(MODULE)["aws_iam_role_policy.this"]["policy"]
    )


@pytest.mark.parametrize("directory", [MODULE, *(TERRAFORM / name for name in EXAMPLES)], ids=lambda path: path.name)
class TestEveryDirectory:
    def test_no_role_may_create_log_groups(self, directory: Path) -> None:
        code = [
            line
            for path in directory.glob("*.tf")
            for line in path.read_text(encoding="utf-8").splitlines()
            if not line.strip().startswith("#")
        ]
        assert code
        assert "CreateLogGroup" not in "\n".join(code)

    def test_needs_a_provider_that_knows_durable_functions(self, directory: Path) -> None:
        [settings] = parse(directory)["terraform"]
        assert settings["required_providers"] == [{"aws": {"source": "hashicorp/aws", "version": ">= 6.25.0"}}]

    def test_variables_are_typed_and_described(self, directory: Path) -> None:
        variables = blocks(directory, "variable")
        assert variables
        assert [name for name, body in variables.items() if not body.get("type") or not body.get("description")] == []

    def test_outputs_are_described(self, directory: Path) -> None:
        outputs = blocks(directory, "output")
        assert {"function_name", "alias_name", "alias_arn", "log_group_name"} <= outputs.keys()
        assert [name for name, body in outputs.items() if not body.get("description")] == []


@pytest.mark.parametrize("example", EXAMPLES)
class TestEveryExample:
    def test_takes_the_variables_that_the_harness_sets(self, example: str) -> None:
        variables = blocks(TERRAFORM / example, "variable")
        assert variables.keys() == {"name_suffix", "package_path", "package_hash", "harness_tags"}
        assert variables["name_suffix"]["validation"]
        assert [name for name, body in variables.items() if "default" not in body] == ["name_suffix", "package_path"]

    def test_every_name_carries_the_suffix(self, example: str) -> None:
        names = {address: body["name"] for address, body in resources(TERRAFORM / example).items()}
        names |= {name: body["function_name"] for name, body in blocks(TERRAFORM / example, "module").items()}
        assert names
        assert {where: name for where, name in names.items() if not name.endswith("-${var.name_suffix}")} == {}

    def test_everything_is_tagged_through_the_provider(self, example: str) -> None:
        [provider] = parse(TERRAFORM / example)["provider"]
        assert provider["aws"]["default_tags"] == [{"tags": "${var.harness_tags}"}]
        assert provider["aws"].keys() == {"default_tags"}

    def test_stands_on_the_one_module(self, example: str) -> None:
        modules = blocks(TERRAFORM / example, "module")
        assert [body["source"] for body in modules.values()] == ["../modules/durable_function"]
        assert modules["function"]["package_hash"] == "${var.package_hash}"

    def test_tables_cost_nothing_when_idle(self, example: str) -> None:
        tables = [body for address, body in resources(TERRAFORM / example).items() if "dynamodb_table" in address]
        assert all(table["billing_mode"] == "PAY_PER_REQUEST" for table in tables)
        assert bool(tables) is (example in {"order_processing", "data_pipeline"})

    def test_the_role_may_only_touch_the_examples_own_table(self, example: str) -> None:
        statements = blocks(TERRAFORM / example, "module")["function"].get("policy_statements", [])
        expected = {
            "order_processing": [
                {"actions": ["dynamodb:PutItem"], "resources": ["${aws_dynamodb_table.orders.arn}"]},
            ],
            "data_pipeline": [
                {"actions": ["dynamodb:BatchWriteItem"], "resources": ["${aws_dynamodb_table.records.arn}"]},
            ],
        }
        assert statements == expected.get(example, [])

    def test_needs_no_provider_but_aws(self, example: str) -> None:
        [settings] = parse(TERRAFORM / example)["terraform"]
        assert settings["required_providers"][0].keys() == {"aws"}
        assert {address.split("_")[0] for address in resources(TERRAFORM / example)} <= {"aws"}


def test_no_example_is_left_out() -> None:
    assert sorted(path.parent.name for path in TERRAFORM.glob("*/main.tf")) == EXAMPLES


def test_the_files_are_formatted() -> None:
    terraform = shutil.which("terraform")
    assert terraform, "install Terraform: https://developer.hashicorp.com/terraform/install"
    check = subprocess.run(
        [terraform, "fmt", "-check", "-recursive", str(TERRAFORM)],
        env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout) == (0, "")
