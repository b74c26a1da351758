"""The plan can be read and changed from outside, by those who have the token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from harness.errors import ConfigurationError, LocalCloudError
from harness.localcloud.faults import PRESETS, parse_plan
from harness.localcloud.handle import LocalCloud

from .conftest import SEED, TIME_SCALE, World


@pytest.fixture
def attached(world: World) -> LocalCloud:
    return LocalCloud.attach(world.cloud.endpoint_url, world.cloud.settings.token)


def test_a_cloud_is_calm_unless_told_otherwise(attached: LocalCloud) -> None:
    assert list(attached.faults.rules()) == []
    assert attached.seed == SEED


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_set_by_name(attached: LocalCloud, preset: str) -> None:
    attached.set_faults(preset, seed=5)
    assert (attached.faults, attached.seed) == (PRESETS[preset], 5)
    attached.admin("PUT", "faults", {"preset": preset, "seed": 6})
    assert (attached.faults, attached.seed) == (PRESETS[preset], 6)


def test_a_plan_is_set_as_a_value_and_as_a_file(attached: LocalCloud, tmp_path: Path) -> None:
    plan = parse_plan({"name": "mine", "throttle": [{"operations": ["iam.ListRoles"], "first": 1}]})
    attached.set_faults(plan)
    assert attached.faults == plan
    file = tmp_path / "filed.toml"
    file.write_text("[iam]\nrole = 7\n")
    attached.set_faults(file)
    assert attached.faults.iam.role.high == 7


def test_the_waits_are_in_wall_clock_seconds(attached: LocalCloud) -> None:
    attached.set_faults({"iam": {"policy": 12}, "logs": {"late": [1, 20]}, "executions": {"visibility": 1}})
    waits = attached.waits
    assert (waits.iam, waits.logs, waits.executions) == (12 / TIME_SCALE, 20 / TIME_SCALE, 1 / TIME_SCALE)


def test_what_was_injected_is_counted_by_kind_and_operation(world: World, attached: LocalCloud) -> None:
    before = attached.injected_faults().get("throttle", {}).get("sts.GetSessionToken", 0)
    attached.set_faults({"throttle": [{"operations": ["sts.GetSessionToken"], "first": 2}]})
    for _ in range(3):
        try:
            world.client("sts").get_session_token()
        except world.client("sts").exceptions.ClientError:
            continue
    assert attached.injected_faults()["throttle"]["sts.GetSessionToken"] == before + 2


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "The body must be"),
        ([], "The body must be"),
        ({"preset": "storm", "plan": {}}, "The body must be"),
        ({"plan": "storm"}, "The body must be"),
        ({"preset": "strom"}, "calm, realistic, storm"),
        ({"preset": "storm", "seed": "1"}, "seed is '1'"),
        ({"plan": {"throttle": [{"rate": 7}]}}, r"throttle\[0\].rate is 7"),
        ({"plan": {"throttle": [{"rate": 1, "operations": ["lambda.Invok"]}]}}, "near are Invoke"),
    ],
)
def test_what_cannot_be_set_changes_nothing(attached: LocalCloud, body: object, complaint: str) -> None:
    before = attached.faults
    with pytest.raises(LocalCloudError, match=complaint):
        attached.admin("PUT", "faults", body)
    assert attached.faults == before


def test_the_admin_endpoint_itself_never_fails_by_plan(attached: LocalCloud) -> None:
    attached.set_faults({"drop": [{"rate": 1}]})
    for _ in range(10):
        assert attached.alive
    attached.set_faults("calm")


def test_without_the_token_nothing_can_be_changed(world: World) -> None:
    stranger = LocalCloud.__new__(LocalCloud)
    stranger.endpoint_url, stranger.token = world.cloud.endpoint_url, "guessed"
    with pytest.raises(LocalCloudError, match="403"):
        stranger.set_faults("storm")


# A cloud of its own


@pytest.fixture(scope="module")
def stormy() -> Iterator[LocalCloud]:
    with LocalCloud.start(faults="storm", seed=11) as cloud:
        yield cloud


def test_a_cloud_is_started_under_a_plan_and_a_seed(stormy: LocalCloud) -> None:
    assert (stormy.faults, stormy.seed) == (PRESETS["storm"], 11)


def test_clients_meet_the_storm(stormy: LocalCloud) -> None:
    iam = boto3.client(
        "iam",
        endpoint_url=stormy.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    kinds = set()
    for _ in range(60):
        try:
            iam.list_roles()
        except Exception as error:  # noqa: BLE001 - dropped connections and errors alike
            kinds.add(type(error).__name__)
    assert "ClientError" in kinds
    assert stormy.injected_faults()["throttle"]["iam.ListRoles"] > 5


def test_a_plan_that_cannot_be_used_starts_no_cloud() -> None:
    with pytest.raises(ConfigurationError, match="calm, realistic, storm"):
        LocalCloud.start(faults="strom")


def test_the_command_refuses_a_plan_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('[[throttle]]\nrate = 1\noperations = ["lambda.Invok"]\n')
    ran = subprocess.run(
        [sys.executable, "-m", "harness.localcloud", "--faults", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 2
    assert "lambda.Invok" in ran.stderr
    assert "Invoke" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_command_prints_the_seed() -> None:
    command = [sys.executable, "-m", "harness.localcloud", "--faults", "realistic", "--seed", "77"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        welcome = [process.stdout.readline() for _ in range(2)]
        process.terminate()
        process.wait(60)
    assert welcome[1].strip() == "Faults: realistic, seed 77."
