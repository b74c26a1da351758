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


def test_the_integration_marker_is_registered(project: Project) -> None:
    project.write("test_thing.py", "import pytest\n@pytest.mark.integration\ndef test_it():\n    pass\n")

    ran = project.pytest("-m", "integration")

    assert ran.returncode == 0, ran.stdout
