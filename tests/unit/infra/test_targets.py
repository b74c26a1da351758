from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from harness import targets
from harness.errors import AccountNotAllowedError, ConfigurationError, CredentialsError
from harness.targets import Target, aws_target, endpoint_target, local_target, target_from_environment, target_of
from harness.waiters import THROTTLE

ACCOUNT = "111122223333"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own: no keys, no profile, no instance role."""
    import os

    for name in [name for name in os.environ if name.startswith(("AWS_", "HARNESS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """STS that answers what the test says, in place of a client that would go to AWS."""
    client = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")

    def make(service: str, **_: Any) -> Any:
        assert service == "sts"
        return client

    monkeypatch.setattr(targets, "make_client", make)
    with Stubber(client) as stubber:
        yield stubber


def test_a_local_target_hides_the_developers_own_aws(target: Target) -> None:
    child = target.child_environment({"PATH": "/bin", "AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "real"})
    assert child["PATH"] == "/bin"
    assert "AWS_PROFILE" not in child
    assert "AWS_SESSION_TOKEN" not in child
    assert (child["AWS_ACCESS_KEY_ID"], child["AWS_ENDPOINT_URL"]) == ("test", target.endpoint_url)
    assert (child["AWS_CONFIG_FILE"], child["AWS_EC2_METADATA_DISABLED"]) == ("/dev/null", "true")


def _cloud(**waits: float) -> Any:
    known = {"iam": 0.0, "logs": 0.0, "executions": 0.0}
    return SimpleNamespace(
        endpoint_url="http://127.0.0.1:1",
        region="eu-north-1",
        account_id=ACCOUNT,
        time_scale=50.0,
        waits=SimpleNamespace(**known | waits),
    )


def test_a_local_target_waits_for_what_the_clouds_fault_plan_delays() -> None:
    target = local_target(_cloud(iam=0.2, logs=0.4, executions=0.02), conditions="faults storm, seed 7")
    assert (target.iam_propagation_buffer, target.visibility) == (0.2, 0.02)
    assert target.log_buffer > 0.4, "a late log may come exactly when the window ends"
    assert target.conditions == "faults storm, seed 7"


def test_a_local_target_waits_at_the_local_clouds_pace() -> None:
    target = local_target(_cloud())
    assert (target.region, target.account_id, target.poll_interval) == ("eu-north-1", ACCOUNT, 0.1)
    assert (target.iam_propagation_buffer, target.log_buffer) == (0.0, 0.0)
    scaled = target.policy(THROTTLE)
    assert (scaled.backoff.first, scaled.timeout) == (0.1, THROTTLE.timeout)


def test_its_clients_reach_the_local_cloud(target: Target) -> None:
    assert target.client("sts").get_caller_identity()["Account"] == target.account_id


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://x", "http://"])
def test_an_endpoint_that_is_no_url_is_a_clear_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_ENDPOINT_URL"):
        endpoint_target(url)


@pytest.mark.parametrize("url", ["https://lambda.eu-west-1.amazonaws.com", "https://sqs.cn-north-1.amazonaws.com.cn"])
def test_aws_itself_is_no_local_endpoint(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_TARGET=aws"):
        endpoint_target(url)


def test_without_credentials_the_error_says_how_to_get_some() -> None:
    with pytest.raises(CredentialsError, match="aws sso login") as caught:
        aws_target("eu-west-1")
    assert "HARNESS_TARGET=local" in str(caught.value)


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(CredentialsError, match="no-such-profile"):
        aws_target("eu-west-1", profile="no-such-profile")


def test_refused_credentials_are_named_without_being_shown(sts: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    sts.add_client_error("get_caller_identity", "ExpiredToken", http_status_code=403)
    with pytest.raises(CredentialsError, match="ExpiredToken") as caught:
        aws_target("eu-west-1")
    assert "very-secret" not in str(caught.value)


def test_an_account_outside_of_the_allow_list_is_refused(sts: Stubber) -> None:
    sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    with pytest.raises(AccountNotAllowedError, match=ACCOUNT):
        aws_target("eu-west-1", allowed_accounts=("999999999999",))


def test_an_aws_target_passes_credentials_and_region_on_and_takes_aws_time(sts: Stubber) -> None:
    sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    environ = {"AWS_ACCESS_KEY_ID": "key", "AWS_CA_BUNDLE": "/ca", "HOME": "/h"}
    target = aws_target("eu-west-1", allowed_accounts=(ACCOUNT,), environ=environ)
    child = target.child_environment({"HOME": "/h", "AWS_STRAY": "x"})
    assert (child["AWS_ACCESS_KEY_ID"], child["AWS_CA_BUNDLE"], child["AWS_REGION"]) == ("key", "/ca", "eu-west-1")
    assert "AWS_STRAY" not in child
    assert (target.iam_propagation_buffer, target.log_buffer, target.poll_interval) == (15.0, 15.0, 5.0)
    assert target.policy(THROTTLE) is THROTTLE


def test_credentials_arent_in_a_targets_representation(sts: Stubber) -> None:
    sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    target = aws_target("eu-west-1", environ={"AWS_SECRET_ACCESS_KEY": "very-secret"})
    assert "very-secret" not in repr(target) + str(target)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"])
def test_an_aws_target_refuses_another_endpoint_in_the_environment(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        aws_target("eu-west-1", environ={name: "http://127.0.0.1:4566"})


def test_an_aws_target_refuses_another_endpoint_in_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:4566\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(ConfigurationError, match=r"http://127\.0\.0\.1:4566"):
        aws_target("eu-west-1")


def test_a_workspaces_account_is_checked_before_it_is_touched(sts: Stubber) -> None:
    sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    record = Target("aws", "eu-west-1", "999999999999").record()
    with pytest.raises(AccountNotAllowedError, match=ACCOUNT):
        target_of(record)


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_of_the_developers_is_nothing_to_a_local_target(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "missing")
    target = endpoint_target("http://127.0.0.1:1")
    assert target.client("lambda").meta.endpoint_url == "http://127.0.0.1:1"


def test_a_broken_aws_configuration_is_nothing_to_a_local_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("[profile\nnonsense", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(broken))
    target = endpoint_target("http://127.0.0.1:1")
    assert target.client("sts").meta.endpoint_url == "http://127.0.0.1:1"


def test_a_local_workspaces_target_is_its_endpoint(target: Target) -> None:
    assert target_of(target.record()) == target


def test_the_environment_names_an_endpoint() -> None:
    target = target_from_environment({"HARNESS_ENDPOINT_URL": "http://127.0.0.1:1", "HARNESS_REGION": "eu-north-1"})
    assert (target.kind, target.endpoint_url, target.region) == ("local", "http://127.0.0.1:1", "eu-north-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("HARNESS_TARGET", "azure"), ("HARNESS_TIME_SCALE", "fast"), ("HARNESS_TIME_SCALE", "0")],
)
def test_a_setting_that_cant_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        target_from_environment({name: value})
