"""However a test run ends, the cloud holds nothing of it."""

from __future__ import annotations

import signal
import subprocess

import pytest

from harness.localcloud.handle import LocalCloud

from .conftest import ROOT, Project, remaining

PASSES = "def test_it(deployment):\n    assert deployment.outputs['role_name'].startswith('role-')\n"


def test_after_a_passing_test(project: Project, cloud: LocalCloud) -> None:
    project.write("test_thing.py", PASSES)

    ran = project.pytest("--harness-endpoint-url", cloud.endpoint_url)

    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
    assert "nothing is left behind" in ran.stdout
    assert remaining(cloud) == {}
    assert project.ledger() == []


def test_after_a_failing_test(project: Project, cloud: LocalCloud) -> None:
    project.write("test_thing.py", "def test_it(deployment):\n    assert False, 'as intended'\n")

    ran = project.pytest("--harness-endpoint-url", cloud.endpoint_url)

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "as intended" in ran.stdout
    assert remaining(cloud) == {}
    assert project.ledger() == []


def test_after_a_failing_test_no_function_and_no_table_is_left_either(project: Project, cloud: LocalCloud) -> None:
    more = """
variable "package_path" { type = string }
resource "aws_iam_role_policy" "this" {
  name   = "policy-${var.name_suffix}"
  role   = aws_iam_role.this.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "logs:*", Resource = "*" }] })
}
resource "aws_lambda_function" "this" {
  function_name = "function-${var.name_suffix}"
  role          = aws_iam_role.this.arn
  runtime       = "python3.13"
  handler       = "handler.handler"
  filename      = var.package_path
  publish       = true
}
resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
resource "aws_dynamodb_table" "this" {
  name         = "table-${var.name_suffix}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"
  attribute {
    name = "id"
    type = "S"
  }
}
output "function_name" { value = aws_lambda_function.this.function_name }
output "table_name" { value = aws_dynamodb_table.this.name }
"""
    project.write("terraform/thing/main.tf", ROOT + more)
    project.write("terraform/thing/function/handler.py", "def handler(event, context):\n    return event\n")
    project.write(
        "test_thing.py",
        "from harness.waiters import EXECUTION, wait_until\n"
        "def test_it(deployment, harness_target):\n"
        "    names = deployment.outputs\n"
        "    # What it logs makes a log group that Terraform's state doesn't know.\n"
        "    harness_target.client('lambda').invoke(FunctionName=names['function_name'], Qualifier='live')\n"
        "    harness_target.client('dynamodb').describe_table(TableName=names['table_name'])\n"
        "    logs = harness_target.client('logs')\n"
        "    group = '/aws/lambda/' + names['function_name']\n"
        "    look = lambda: logs.describe_log_groups(logGroupNamePrefix=group)['logGroups']\n"
        "    assert wait_until(look, bool, policy=EXECUTION.with_interval(0.1))\n"
        "    assert False, 'as intended'\n",
    )

    ran = project.pytest("--harness-endpoint-url", cloud.endpoint_url)

    assert "as intended" in ran.stdout
    assert "nothing is left behind" in ran.stdout
    assert remaining(cloud) == {}
    assert project.ledger() == []


def test_after_an_apply_that_fails_half_way(project: Project, cloud: LocalCloud) -> None:
    # The provider checks a policy document's JSON when it plans; only the service knows that there is no such role.
    half = """
resource "aws_iam_role_policy_attachment" "bad" {
  role       = "missing-${var.name_suffix}"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
  depends_on = [aws_iam_role.this]
}
"""
    project.write("terraform/thing/main.tf", ROOT + half)
    project.write("test_thing.py", PASSES)

    ran = project.pytest("--harness-endpoint-url", cloud.endpoint_url)

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "aws_iam_role_policy_attachment.bad" in ran.stdout  # the diagnostic with its address
    assert "thing-" in ran.stdout  # the workspace
    assert remaining(cloud) == {}
    assert project.ledger() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_after_an_interrupt_while_a_test_runs(project: Project, cloud: LocalCloud, number: signal.Signals) -> None:
    project.write(
        "test_thing.py",
        "import threading\n"
        "def test_it(deployment, capfd):\n"
        "    with capfd.disabled():\n"
        "        print('READY', flush=True)\n"
        "    threading.Event().wait(120)\n",
    )
    with subprocess.Popen(
        project.command("-s", "--harness-endpoint-url", cloud.endpoint_url),
        cwd=project.path,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        before = "".join(iter(lambda: _line_before(running, "READY"), ""))
        assert "roles" in remaining(cloud), before
        running.send_signal(number)
        rest = running.stdout.read()
        status = running.wait(timeout=120)

    assert status == pytest.ExitCode.INTERRUPTED, rest
    assert remaining(cloud) == {}
    assert project.ledger() == []


def _line_before(running: subprocess.Popen[str], mark: str) -> str:
    assert running.stdout is not None
    line = running.stdout.readline()
    return "" if mark in line else line


def test_two_modules_share_a_deployment_until_the_second_is_done(project: Project, cloud: LocalCloud) -> None:
    for name in ("one", "two"):
        project.write(
            f"test_{name}.py",
            "import pytest\n"
            "pytestmark = pytest.mark.terraform('terraform/thing')\n"
            "def test_it(deployment, harness_target):\n"
            "    harness_target.client('iam').get_role(RoleName=deployment.outputs['role_name'])\n"
            "    print('USED', deployment.workspace.name)\n",
        )

    ran = project.pytest("-s", "--harness-endpoint-url", cloud.endpoint_url)

    assert ran.returncode == 0, ran.stdout
    used = [line.split()[1] for line in ran.stdout.replace("\r", "").splitlines() if "USED" in line]
    assert len(used) == 2
    assert len(set(used)) == 1
    assert remaining(cloud) == {}


def test_a_test_run_without_the_harness_starts_nothing(project: Project) -> None:
    project.write("test_plain.py", "def test_it():\n    pass\n")

    ran = project.pytest()

    assert ran.returncode == 0
    assert "harness" not in ran.stdout.partition("collected")[2]
    assert not project.home.exists()


def test_a_module_runs_on_a_local_cloud_of_its_own_without_any_option(project: Project) -> None:
    project.write("test_thing.py", PASSES)

    ran = project.pytest()

    assert ran.returncode == 0, ran.stdout
    assert "local cloud at http://127.0.0.1:" in ran.stdout
    assert project.ledger() == []


def test_keep_leaves_the_deployment_and_says_how_to_remove_it(project: Project, cloud: LocalCloud) -> None:
    project.write("test_thing.py", PASSES)
    environment = project.environment()

    kept = project.pytest("--harness-keep", "--harness-endpoint-url", cloud.endpoint_url)

    assert kept.returncode == 0, kept.stdout
    (name,) = project.ledger()
    assert f"python -m harness.infra destroy {name}" in kept.stdout
    assert "roles" in remaining(cloud)

    command = [*project.command()[:2], "harness.infra", "destroy", name]
    subprocess.run(command, cwd=project.path, env=environment, check=True, capture_output=True, timeout=120)
    assert remaining(cloud) == {}
    assert project.ledger() == []
