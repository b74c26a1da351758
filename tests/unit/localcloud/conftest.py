from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config

from harness.localcloud.cloud import Cloud
from harness.localcloud.settings import CloudSettings

from .fakes import FakeDurable, FakeRunner

_NUMBERS = itertools.count(1)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        ],
    }
)


def make_zip(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class Lab:
    """A running cloud around fakes, and clients to it."""

    cloud: Cloud
    runner: FakeRunner
    durable: FakeDurable
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, region: str = "us-east-1") -> Any:
        key = service, region
        if key not in self._clients:
            make: Any = boto3.client
            self._clients[key] = make(
                service,
                endpoint_url=self.cloud.endpoint_url,
                region_name=region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, max_pool_connections=200),
            )
        return self._clients[key]

    @property
    def functions(self) -> Any:
        return self.client("lambda")

    def role(self, policy: dict[str, Any] | None = None) -> str:
        """A new role's ARN; ``policy`` is the one statement of its inline policy."""
        name = f"role-{next(_NUMBERS)}"
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        if policy:
            document = {"Version": "2012-10-17", "Statement": [policy]}
            iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(document))
        return arn

    def function(self, code: str = "first", **members: Any) -> str:
        """A new function's name."""
        name = f"function-{next(_NUMBERS)}"
        request = {
            "FunctionName": name,
            "Handler": "app.handler",
            "Runtime": "python3.13",
            "Code": {"ZipFile": make_zip({"app.py": code})},
            **members,
        }
        self.functions.create_function(**{"Role": request.pop("Role", None) or self.role(), **request})
        return name


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One cloud for all tests: moto's state belongs to the process. Every test makes its own resources in it."""
    runner, durable = FakeRunner(), FakeDurable()
    # Retries of asynchronous invokes after 60 and 120 s come after milliseconds.
    cloud = Cloud(CloudSettings(time_scale=10_000), runner=lambda *_: runner, durable=lambda *_: durable)
    cloud.start()
    yield Lab(cloud, runner, durable)
    cloud.close()


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Calls something that a client must refuse, and returns the exception."""

    def call(code: str, operation: Callable[..., Any], **arguments: Any) -> Any:
        with pytest.raises(Exception, match=code) as caught:
            operation(**arguments)
        # The typed exception, not botocore's bare ClientError.
        assert type(caught.value).__name__ == code
        return caught.value

    return call
