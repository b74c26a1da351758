"""Where to deploy: a local cloud, or an AWS account.

A target is a value: the environment that Terraform gets, boto3 clients, and the waits that this place needs. An AWS
target refuses every endpoint that isn't AWS's own, so that nobody takes an emulator's answer for AWS's, nor the other
way round: ``AWS_ENDPOINT_URL`` and ``endpoint_url`` in the AWS configuration are errors there, never silently used or
ignored.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from harness.clients import make_client
from harness.errors import AccountNotAllowedError, ConfigurationError, CredentialsError
from harness.ledger import TargetRecord
from harness.waiters import IAM_PROPAGATION_SECONDS, THROTTLE, Policy, call

DEFAULT_REGION = "us-east-1"
TARGET_SETTING = "HARNESS_TARGET"
REGION_SETTING = "HARNESS_REGION"
ENDPOINT_SETTING = "HARNESS_ENDPOINT_URL"
TIME_SCALE_SETTING = "HARNESS_TIME_SCALE"
ACCOUNTS_SETTING = "HARNESS_ALLOWED_ACCOUNTS"

_POLL_SECONDS = 5.0
_LOG_BUFFER_SECONDS = 15.0
_DEFAULT_TIME_SCALE = 60.0
_SETTLE_MARGIN_SECONDS = 0.25
# moto's, and the local cloud's.
LOCAL_ACCOUNT = "123456789012"
# https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
_AWS_DOMAINS = (
    ".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn",
    ".c2s.ic.gov", ".sc2s.sgov.gov", ".amazonaws.eu", ".cloud.adc-e.uk", ".csp.hci.ic.gov",
)  # fmt: skip


class CloudWaits(Protocol):
    """What a local cloud's fault plan makes necessary to wait for, in wall-clock seconds."""

    @property
    def iam(self) -> float:
        """After a deployment, until its roles and policies are known."""
        ...

    @property
    def logs(self) -> float:
        """Until logs can be read, and until a deleted log group stays deleted."""
        ...

    @property
    def executions(self) -> float:
        """Until a new execution is found."""
        ...


class RunningCloud(Protocol):
    """What a target needs of a local cloud; `harness.localcloud.handle.LocalCloud` has it."""

    @property
    def endpoint_url(self) -> str:
        """Where it answers."""
        ...

    @property
    def region(self) -> str:
        """The region that it says it is."""
        ...

    @property
    def account_id(self) -> str:
        """The account that it says it is."""
        ...

    @property
    def time_scale(self) -> float:
        """How much faster than the wall clock its durable time passes."""
        ...

    @property
    def waits(self) -> CloudWaits:
        """What must be waited for in it."""
        ...


@dataclass(frozen=True)
class Target:
    """A place to deploy to.

    Attributes:
        kind: ``local`` or ``aws``.
        region: The region.
        account_id: The account.
        endpoint_url: The endpoint of a local cloud, None on AWS.
        environment: What child processes get on top of an environment without any ``AWS_*``.
        profile: The named AWS profile, None for the default chain.
        time_scale: How much faster than the wall clock durable time passes; 1 on AWS.
        iam_propagation_buffer: Seconds that a new role takes to be known everywhere.
        log_buffer: Seconds that logs take to be found.
        poll_interval: Seconds between two polls.
        visibility: Seconds that a new execution is known to take to be found, on top of what is tolerated anyway.
        conditions: What holds there beyond the ordinary, such as a fault plan and its seed, for people.
    """

    kind: Literal["local", "aws"]
    region: str
    account_id: str
    endpoint_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    profile: str | None = None
    time_scale: float = 1.0
    iam_propagation_buffer: float = IAM_PROPAGATION_SECONDS
    log_buffer: float = _LOG_BUFFER_SECONDS
    poll_interval: float = _POLL_SECONDS
    visibility: float = 0.0
    conditions: str | None = None

    def session(self) -> boto3.Session:
        """A boto3 session of one's own: sessions aren't safe to share between threads."""
        if self.kind == "local":
            return boto3.Session(
                botocore_session=_without_profiles(),
                aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
                region_name=self.region,
            )
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    def client(
        self, service: str, *, session: boto3.Session | None = None, read_timeout: float = 60.0, attempts: int = 1
    ) -> Any:
        """A boto3 client, which doesn't retry by itself unless ``attempts`` says so; threads may share it.

        Args:
            service: boto3's name of the service.
            session: A session of this target's to make it with; by default a new one.
            read_timeout: Seconds without a byte before a request fails.
            attempts: Requests that botocore itself sends for a call at most.

        Raises:
            ConfigurationError: On AWS, the configuration names an endpoint that isn't AWS's.
        """
        client = make_client(
            service,
            session=session or self.session(),
            endpoint_url=self.endpoint_url,
            read_timeout=read_timeout,
            attempts=attempts,
        )
        if self.kind == "aws":
            _require_aws(str(client.meta.endpoint_url))
        return client

    def child_environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """An environment for a child process: the inherited one with this target's ``AWS_*`` and no other."""
        kept = {name: value for name, value in inherited.items() if not name.startswith("AWS_")}
        return {**kept, **self.environment}

    def policy(self, policy: Policy) -> Policy:
        """A policy at this target's pace: locally, its pauses are divided by the time scale.

        Its timeout stays: the machine that the local cloud runs on isn't faster than others.
        """
        return policy if self.time_scale == 1.0 else policy.scaled(1 / self.time_scale).with_timeout(policy.timeout)

    def record(self) -> TargetRecord:
        """What the ledger keeps of it."""
        return TargetRecord(self.kind, self.region, self.account_id, self.endpoint_url, self.profile, self.time_scale)

    def __str__(self) -> str:
        """Kind, account and region, for people."""
        place = f" at {self.endpoint_url}" if self.endpoint_url else ""
        return f"{self.kind}{place}, account {self.account_id}, {self.region}"


def local_target(cloud: RunningCloud, *, conditions: str | None = None) -> Target:
    """The target that is a running local cloud; its waits are those that the cloud's fault plan needs now.

    Args:
        cloud: The cloud.
        conditions: What holds in it, for people.
    """
    target = endpoint_target(
        cloud.endpoint_url, region=cloud.region, account_id=cloud.account_id, time_scale=cloud.time_scale
    )
    waits = cloud.waits
    return replace(
        target,
        iam_propagation_buffer=waits.iam,
        # Both sides count from moments that are a little apart, and what comes last must have come.
        log_buffer=waits.logs + _SETTLE_MARGIN_SECONDS if waits.logs else 0.0,
        visibility=waits.executions,
        conditions=conditions,
    )


def endpoint_target(
    endpoint_url: str, *, region: str = DEFAULT_REGION, account_id: str = LOCAL_ACCOUNT, time_scale: float = 1.0
) -> Target:
    """The target that is a local cloud, or another emulator, at an endpoint.

    Children get credentials that open nothing, and neither the developer's own nor their profile.

    Raises:
        ConfigurationError: The endpoint isn't an HTTP URL, or it is AWS's.
    """
    parts = urlsplit(endpoint_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"{endpoint_url!r} is not an HTTP URL", where=ENDPOINT_SETTING, hint="Such as http://127.0.0.1:5000."
        )
    if f".{parts.hostname}".endswith(_AWS_DOMAINS):
        raise ConfigurationError(
            f"{endpoint_url!r} is AWS itself", where=ENDPOINT_SETTING, hint=f"Use {TARGET_SETTING}=aws for that."
        )
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A profile in the developer's own files could bring a role, a region or an endpoint along.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return Target(
        kind="local",
        region=region,
        account_id=account_id,
        endpoint_url=endpoint_url,
        environment=environment,
        time_scale=time_scale,
        iam_propagation_buffer=0.0,
        log_buffer=0.0,
        poll_interval=_POLL_SECONDS / time_scale,
    )


def aws_target(
    region: str | None = None,
    profile: str | None = None,
    allowed_accounts: tuple[str, ...] = (),
    *,
    environ: Mapping[str, str] | None = None,
) -> Target:
    """The target that is the AWS account of the credentials at hand, after checking both.

    Args:
        region: The region; by default the profile's or the environment's.
        profile: A named profile.
        allowed_accounts: Account ids that may be touched; empty allows any.
        environ: Where ``AWS_*`` are read for child processes.

    Raises:
        CredentialsError: There are none, or AWS refuses them.
        AccountNotAllowedError: The account isn't among the allowed ones.
        ConfigurationError: There is no such profile, or an endpoint that isn't AWS's is configured.
    """
    environ = os.environ if environ is None else environ
    planted = sorted(name for name in environ if name.startswith("AWS_ENDPOINT_URL") and environ[name])
    if planted:
        raise ConfigurationError(
            f"The target is aws, but {', '.join(planted)} names another endpoint",
            where="environment",
            hint=f"Unset it, or use {TARGET_SETTING}=local with {ENDPOINT_SETTING}.",
        )
    how = "Run `aws sso login` or `aws configure`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        found_region = session.region_name or DEFAULT_REGION
        sts = make_client("sts", session=boto3.Session(profile_name=profile, region_name=found_region))
        _require_aws(str(sts.meta.endpoint_url))
        identity = call(sts.get_caller_identity, policy=THROTTLE.with_timeout(60.0), what="sts get-caller-identity")
    except ClientError as error:
        raise CredentialsError(
            f"AWS refuses the credentials: {error.response.get('Error', {}).get('Code', 'unknown')}",
            where=f"profile {profile}" if profile else "the default credential chain",
            hint=how,
        ) from error
    except BotoCoreError as error:
        raise CredentialsError(
            f"There are no AWS credentials that can be used: {error}",
            where=f"profile {profile}" if profile else "the default credential chain",
            hint=f"{how} Without an account, use the local cloud: leave out --harness-target=aws, "
            f"or set {TARGET_SETTING}=local.",
        ) from error
    account = str(identity["Account"])
    if allowed_accounts and account not in allowed_accounts:
        raise AccountNotAllowedError(
            f"The credentials belong to account {account}, which isn't among the allowed {', '.join(allowed_accounts)}",
            where=f"profile {profile}" if profile else "the default credential chain",
            hint="Use credentials of an allowed account, or add this one to the allow-list.",
        )
    environment = {name: value for name, value in environ.items() if name.startswith("AWS_")}
    environment.update(AWS_REGION=found_region, AWS_DEFAULT_REGION=found_region)
    if profile:
        # Keys in the environment would win over the profile.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            environment.pop(name, None)
        environment["AWS_PROFILE"] = profile
    return Target("aws", found_region, account, environment=environment, profile=profile)


def target_of(record: TargetRecord, allowed_accounts: tuple[str, ...] = ()) -> Target:
    """The target that a workspace in the ledger was deployed to.

    Raises:
        AccountNotAllowedError: The credentials at hand are for another account than the workspace's.
        CredentialsError: There are none.
    """
    if record.kind == "local":
        return endpoint_target(
            record.endpoint_url or "",
            region=record.region,
            account_id=record.account_id,
            time_scale=record.time_scale,
        )
    if allowed_accounts and record.account_id not in allowed_accounts:
        raise AccountNotAllowedError(
            f"The workspace is in account {record.account_id}, which isn't among the allowed ones",
            where=ACCOUNTS_SETTING,
            hint="Add it to the allow-list.",
        )
    return aws_target(record.region, record.profile, (record.account_id,))


def target_from_environment(environ: Mapping[str, str] | None = None) -> Target:
    """The target that ``HARNESS_TARGET`` names, ``local`` by default.

    ``local`` starts one local cloud for this process, which ends with it, or uses ``HARNESS_ENDPOINT_URL``. Also read:
    ``HARNESS_REGION``, ``HARNESS_TIME_SCALE`` and ``HARNESS_ALLOWED_ACCOUNTS`` (separated by commas).

    Raises:
        ConfigurationError: A setting can't be used.
        CredentialsError, AccountNotAllowedError: As `aws_target`.
        LocalCloudError: The local cloud doesn't start.
    """
    environ = os.environ if environ is None else environ
    kind = environ.get(TARGET_SETTING) or "local"
    region = environ.get(REGION_SETTING)
    if kind == "aws":
        return aws_target(region, allowed_accounts=allowed_accounts(environ), environ=environ)
    if kind != "local":
        raise ConfigurationError(f"{TARGET_SETTING} is {kind!r}", where="environment", hint="Use local or aws.")
    scale_text = environ.get(TIME_SCALE_SETTING)
    try:
        scale = float(scale_text) if scale_text else _DEFAULT_TIME_SCALE
    except ValueError:
        scale = 0.0
    if not scale > 0:
        raise ConfigurationError(
            f"{TIME_SCALE_SETTING} is {scale_text!r}", where="environment", hint="Use a number greater than 0."
        )
    endpoint = environ.get(ENDPOINT_SETTING)
    if endpoint:
        return endpoint_target(endpoint, region=region or DEFAULT_REGION, time_scale=scale)
    return local_target(_process_cloud(region or DEFAULT_REGION, scale))


def outlives_this_process(environ: Mapping[str, str]) -> bool:
    """Whether the target that the environment names isn't a local cloud that starts and ends with this process."""
    return (environ.get(TARGET_SETTING) or "local") != "local" or bool(environ.get(ENDPOINT_SETTING))


def allowed_accounts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The account ids in ``HARNESS_ALLOWED_ACCOUNTS``; none allows any."""
    return tuple(_split(environ.get(ACCOUNTS_SETTING, "")))


@functools.cache
def _process_cloud(region: str, time_scale: float) -> RunningCloud:
    # Imported here: the local cloud is an extra, which an AWS target does without.
    from harness.localcloud.handle import LocalCloud  # noqa: PLC0415

    cloud = LocalCloud.start(time_scale=time_scale, region=region)
    atexit.register(cloud.stop)
    return cloud


def _split(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())


def _require_aws(endpoint_url: str) -> None:
    host = urlsplit(endpoint_url).hostname or ""
    if not host.endswith(_AWS_DOMAINS):
        raise ConfigurationError(
            f"The target is aws, but the AWS configuration names the endpoint {endpoint_url}",
            where="endpoint_url in the AWS configuration file",
            hint=f"Remove it or name another profile, or use {TARGET_SETTING}=local with {ENDPOINT_SETTING}.",
        )


def _without_profiles() -> botocore.session.Session:
    """A session that reads neither the developer's profile nor their files, which boto3 does before all else."""
    return botocore.session.Session(
        {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
