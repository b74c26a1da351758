"""What a wrong option, marker or account leads to: an error that says what to do, and nothing created."""

from __future__ import annotations

import pytest

from .conftest import Project

TEST = "def test_it(deployment):\n    pass\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--harness-time-scale=0"], "--harness-time-scale must be greater than 0"),
        (["--harness-parallel=0"], "--harness-parallel must be 1 or more"),
        (["--harness-target=moon"], "invalid choice: 'moon'"),
        (["--harness-target=aws", "--harness-endpoint-url=http://127.0.0.1:1"], "can't be used with"),
        (["--harness-endpoint-url=nonsense"], "is not an HTTP URL"),
        (["--harness-faults=strom"], "Name a preset (calm, realistic, storm) or a TOML file"),
        (["--harness-target=aws", "--harness-faults=storm"], "Faults can't be injected into AWS"),
        (["--harness-endpoint-url=http://127.0.0.1:1", "--harness-seed=1"], "HARNESS_CLOUD_TOKEN"),
    ],
)
def test_an_option_that_cannot_be_used_is_a_usage_error(project: Project, arguments: list[str], complaint: str) -> None:
    project.write("test_thing.py", TEST)

    ran = project.pytest(*arguments)

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR, ran.stdout
    assert complaint in ran.stdout
    assert "Traceback" not in ran.stdout


def test_target_aws_without_credentials_says_what_to_do(project: Project) -> None:
    project.write("test_thing.py", TEST)

    ran = project.pytest(
        "--harness-target=aws",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE="/dev/null",
        AWS_SHARED_CREDENTIALS_FILE="/dev/null",
    )

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR, ran.stdout
    assert "There are no AWS credentials" in ran.stdout
    assert "aws sso login" in ran.stdout
    assert "Traceback" not in ran.stdout


def test_the_environment_cannot_send_a_run_to_aws(project: Project) -> None:
    project.write("test_thing.py", "def test_it(harness_target):\n    assert harness_target.kind == 'local'\n")

    ran = project.pytest(HARNESS_TARGET="aws", AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="secret")

    assert ran.returncode == 0, ran.stdout


def test_a_module_without_a_terraform_root_is_told_how_to_name_one(project: Project) -> None:
    project.write("test_other.py", TEST)

    ran = project.pytest()

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "There is no Terraform root" in ran.stdout
    assert "pytest.mark.terraform" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "plugin.py" not in ran.stdout


def test_a_missing_terraform_is_said_without_a_traceback(project: Project) -> None:
    project.write("test_thing.py", TEST)

    ran = project.pytest(HARNESS_TERRAFORM="/nowhere/terraform")

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "'/nowhere/terraform' (from HARNESS_TERRAFORM) is not an executable" in ran.stdout
    assert ran.stdout.count("Install Terraform") == 1, "said once"
    assert "executable.py" not in ran.stdout


def test_the_marker_names_another_root(project: Project) -> None:
    project.write(
        "test_other.py",
        "import pytest\n"
        "pytestmark = pytest.mark.terraform('terraform/thing')\n"
        "def test_it(example_dir):\n    assert example_dir.name == 'thing'\n",
    )

    ran = project.pytest()

    assert ran.returncode == 0, ran.stdout


def test_collecting_only_starts_nothing(project: Project) -> None:
    project.write("test_thing.py", TEST)

    ran = project.pytest("--collect-only")

    assert ran.returncode == 0
    assert "local cloud at" not in ran.stdout
    assert not project.home.exists()


def test_a_run_under_a_fault_plan_prints_plan_and_seed_and_leaves_nothing(project: Project) -> None:
    project.write("plan.toml", '[[throttle]]\noperations = ["iam.CreateRole"]\nfirst = 1\n')
    project.write("test_thing.py", "def test_it(deployment):\n    assert deployment.outputs['role_name']\n")

    ran = project.pytest("--harness-faults=plan.toml", "--harness-seed=41")

    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.count("faults: plan, --harness-seed=41") == 2, "announced, and repeated in the summary"
    assert "injected: 1 throttle" in ran.stdout
    assert "nothing is left behind" in ran.stdout
    assert project.ledger() == []


def test_a_test_sets_a_fault_plan_for_a_block(project: Project) -> None:
    project.write(
        "test_thing.py",
        "import pytest\n"
        "from botocore.exceptions import ClientError\n"
        "def test_it(fault_plan, harness_target):\n"
        "    sts = harness_target.client('sts')\n"
        "    with fault_plan({'throttle': [{'operations': ['sts.*'], 'first': 1}]}) as faults:\n"
        "        with pytest.raises(ClientError, match='Throttling'):\n"
        "            sts.get_caller_identity()\n"
        "        assert faults.total('throttle') == 1\n"
        "    sts.get_caller_identity()\n",
    )

    ran = project.pytest()

    assert ran.returncode == 0, ran.stdout


def test_the_integration_marker_is_registered(project: Project) -> None:
    project.write("test_thing.py", "import pytest\n@pytest.mark.integration\ndef test_it():\n    pass\n")

    ran = project.pytest("-m", "integration")

    assert ran.returncode == 0, ran.stdout
