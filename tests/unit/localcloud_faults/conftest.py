from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config

from harness.localcloud.api import LogSink
from harness.localcloud.cloud import Cloud
from harness.localcloud.credentials import new_access_key
from harness.localcloud.faults import parse_plan
from harness.localcloud.settings import CloudSettings
from harness.waiters import FakeClock
from tests.unit.localcloud.conftest import TRUST, make_zip
from tests.unit.localcloud.fakes import FakeDurable, FakeRunner

_NUMBERS = itertools.count(1)
TIME_SCALE = 10.0
SEED = 2026


@dataclass
class World:
    """A cloud whose time only passes when a test says so, and clients to it.

    Its time scale is 10: what takes 10 s on AWS takes 1 s on its clock.
    """

    cloud: Cloud
    clock: FakeClock
    sink: LogSink
    durable: FakeDurable
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def plan(self, members: Mapping[str, Any], seed: int = SEED) -> None:
        self.cloud.faults.set(parse_plan(members), seed)

    def client(self, service: str, access_key: str = "test") -> Any:
        key = service, access_key
        if key not in self._clients:
            make: Any = boto3.client
            self._clients[key] = make(
                service,
                endpoint_url=self.cloud.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id=access_key,
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[key]

    def functions_own(self, service: str, role_arn: str) -> Any:
        """A client as function code has it, with its role's credentials."""
        return self.client(service, new_access_key(role_arn))

    def role(self, *, actions: list[str] | None = None) -> str:
        """A new role's ARN; its inline policy allows ``actions``."""
        name = f"faulty-role-{next(_NUMBERS)}"
        arn: str = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        if actions:
            self.grant(arn, actions)
        return arn

    def grant(self, role_arn: str, actions: list[str], policy: str = "inline") -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        self.client("iam").put_role_policy(
            RoleName=role_arn.rpartition("/")[2],
            PolicyName=policy,
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )

    def function(self, role_arn: str, **members: Any) -> str:
        """A new function's name."""
        name = f"faulty-function-{next(_NUMBERS)}"
        self.client("lambda").create_function(
            FunctionName=name,
            Role=role_arn,
            Handler="app.handler",
            Runtime="python3.13",
            Code={"ZipFile": make_zip({"app.py": "code"})},
            **members,
        )
        return name

    def logging_function(self, *further: str) -> str:
        """A function with a log group, whose role may log, and do ``further`` actions."""
        role = self.role(actions=["logs:CreateLogStream", "logs:PutLogEvents", *further])
        name = self.function(role)
        self.client("logs").create_log_group(logGroupName=f"/aws/lambda/{name}")
        return name

    def log(self, function: str, *messages: str, stream: str = "stream") -> None:
        """Have a function log, a record each millisecond."""
        at = int(self.clock.now().timestamp() * 1000)
        self.sink.put(
            self.cloud.registry.resolve(function),
            stream,
            [(at + after, message) for after, message in enumerate(messages)],
        )

    def messages(self, function: str) -> list[str]:
        """What FilterLogEvents finds of a function."""
        found = self.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{function}")
        return [event["message"] for event in found["events"]]

    def injected(self, kind: str) -> int:
        return sum(self.cloud.faults.injected().get(kind, {}).values())


@pytest.fixture(scope="session")
def _world() -> Iterator[World]:
    # moto's state belongs to the process, so all tests share one cloud and make resources of their own in it.
    sinks: list[LogSink] = []

    def runner(sink: LogSink, *_: Any) -> FakeRunner:
        sinks.append(sink)
        return FakeRunner()

    clock, durable = FakeClock(), FakeDurable()
    cloud = Cloud(
        CloudSettings(time_scale=TIME_SCALE, seed=SEED), runner=runner, durable=lambda *_: durable, clock=clock
    )
    cloud.start()
    yield World(cloud, clock, sinks[0], durable)
    cloud.close()


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    yield _world
    _world.plan({})


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Calls something that a client must refuse, and returns the exception."""

    def call(code: str, operation: Callable[..., Any], **arguments: Any) -> Any:
        with pytest.raises(Exception, match=code) as caught:
            operation(**arguments)
        return caught.value

    return call
