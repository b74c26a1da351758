"""Before a run creates anything in an AWS account, it says in which account, in which region, and what."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.ledger import Ledger
from harness.localcloud.handle import LocalCloud
from harness.session import HarnessSession, Settings
from harness.targets import Target

from .conftest import Project, remaining

TEST = "def test_it(deployment):\n    pass\n"

# The target's clients refuse an endpoint that isn't AWS's, so that after the announcement nothing is reached.
AWS_WITHOUT_AWS = """
import harness.session
from harness.targets import Target

harness.session.aws_target = lambda region, **_: Target(
    "aws", region, "111122223333", environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
)
"""


@pytest.mark.parametrize("options", [(), ("-q",), ("-n", "1")], ids=["plain", "quiet", "xdist"])
def test_it_names_account_region_and_what_will_be_created(project: Project, options: tuple[str, ...]) -> None:
    project.write("conftest.py", AWS_WITHOUT_AWS)
    project.write("test_thing.py", TEST)

    ran = project.pytest(
        "--harness-target=aws",
        "--harness-region=eu-west-1",
        *options,
        HARNESS_TERRAFORM="/nowhere/terraform",  # even if the announcement were skipped, nothing could be created
    )

    assert "harness: AWS account 111122223333, region eu-west-1; about to create" in ran.stdout
    assert "harness:   thing: 1 aws_cloudwatch_log_group, 1 aws_iam_role" in ran.stdout
    assert "NotFoundError" in ran.stdout, "it went on to the deploy"


def test_what_stops_it_stops_the_run_before_anything_is_created(
    project: Project, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(project.home))
    told: list[tuple[Target, tuple[Path, ...]]] = []

    def announce(target: Target, example_dirs: tuple[Path, ...]) -> None:
        told.append((target, example_dirs))
        raise RuntimeError("not there")

    session = HarnessSession(Settings(endpoint_url=cloud.endpoint_url), before_first_deploy=announce)
    example = project.path / "terraform" / "thing"
    try:
        with pytest.raises(RuntimeError, match="not there"):
            session.prefetch([example])
    finally:
        session.close()

    assert [dirs for _, dirs in told] == [(example.resolve(),)]
    assert remaining(cloud) == {}
    assert Ledger().entries() == ([], [])


def test_an_account_that_the_ini_setting_does_not_allow_is_refused_before_anything_is_said_or_created(
    project: Project,
) -> None:
    project.write("pytest.ini", "[pytest]\nharness_allowed_accounts = 999999999999\n")
    project.write(
        "conftest.py", "import harness.targets\nharness.targets.call = lambda *_, **__: {'Account': '111122223333'}\n"
    )
    project.write("test_thing.py", TEST)

    ran = project.pytest("--harness-target=aws", AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="secret")

    assert ran.returncode == pytest.ExitCode.USAGE_ERROR, ran.stdout
    assert "The credentials belong to account 111122223333, which isn't among the allowed 999999999999" in ran.stdout
    assert "about to create" not in ran.stdout
    assert not (project.home / "ledger").exists()
