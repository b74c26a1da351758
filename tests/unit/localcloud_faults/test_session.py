"""A session under a fault plan; and without a local cloud's admin endpoint, an error that says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.errors import ConfigurationError
from harness.localcloud.faults import PRESETS
from harness.localcloud.handle import LocalCloud
from harness.session import HarnessSession, Settings


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud.start(seed=5) as running:
        yield running


@pytest.fixture
def session(cloud: LocalCloud, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[HarnessSession]:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    settings = Settings(endpoint_url=cloud.endpoint_url, cloud_token=cloud.token, faults="realistic", seed=8)
    running = HarnessSession(settings)
    yield running
    running.close()


def test_it_sets_its_plan_on_the_cloud_that_it_was_given_and_restores_the_one_before(
    cloud: LocalCloud, session: HarnessSession
) -> None:
    assert session.target.conditions == "faults: realistic, --harness-seed=8"
    assert cloud.faults == PRESETS["realistic"]
    report = session.close()
    assert report.conditions == "faults: realistic, --harness-seed=8"
    assert (cloud.faults, cloud.seed) == (PRESETS["calm"], 5)


def test_its_target_waits_for_what_the_plan_delays(cloud: LocalCloud, session: HarnessSession) -> None:
    target = session.target
    assert target.iam_propagation_buffer == 12 / cloud.time_scale
    assert target.log_buffer > 20 / cloud.time_scale
    assert target.visibility == 1 / cloud.time_scale


def test_a_block_has_a_plan_of_its_own(cloud: LocalCloud, session: HarnessSession) -> None:
    sts = session.target.client("sts", attempts=5)
    with session.faults({"throttle": [{"operations": ["sts.*"], "first": 2}]}, seed=9) as faults:
        assert cloud.seed == 9
        assert faults.counts() == {}
        sts.get_caller_identity()
        assert faults.counts() == {"throttle": {"sts.GetCallerIdentity": 2}}
        assert faults.total("throttle") == 2
    assert (cloud.faults, cloud.seed) == (PRESETS["realistic"], 8)


def test_a_block_that_fails_restores_the_plan_too(cloud: LocalCloud, session: HarnessSession) -> None:
    def fail() -> None:
        with session.faults("storm"):
            raise RuntimeError("the test")

    with pytest.raises(RuntimeError, match="the test"):
        fail()
    assert cloud.faults == PRESETS["realistic"]


def test_faults_on_an_emulator_without_a_token_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="admin endpoint") as caught:
        Settings(endpoint_url="http://127.0.0.1:4566", faults="storm")
    assert "HARNESS_CLOUD_TOKEN" in str(caught.value)


def test_faults_on_an_endpoint_that_is_no_local_cloud_are_refused() -> None:
    # Nothing listens on the discard port.
    settings = Settings(endpoint_url="http://127.0.0.1:9", cloud_token="x", faults="storm")
    with pytest.raises(ConfigurationError, match="admin endpoint"):
        _ = HarnessSession(settings).target


def test_a_block_of_faults_without_the_admin_endpoint_is_refused(
    cloud: LocalCloud, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    session = HarnessSession(Settings(endpoint_url=cloud.endpoint_url))
    with pytest.raises(ConfigurationError, match="admin endpoint"), session.faults("storm"):
        pytest.fail("not reached")
    session.close()


def test_faults_on_aws_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="can't be injected into AWS"):
        Settings(target="aws", faults="realistic")


def test_a_plan_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="calm, realistic, storm"):
        Settings(faults="strom")
