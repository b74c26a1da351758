"""A local cloud, handlers and requirements put together for one run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from harness.localcloud.handle import LocalCloud

from . import requirements, template
from .driver import Driver
from .fetch import wheel
from .template import Handler

SETTING = "CONFORMANCE_HANDLERS"
OWN_HANDLERS = Path(__file__).parent / "handlers"
# Fast enough to be pleasant; slow enough that on a busy machine an answer still comes within a scaled second.
TIME_SCALE = 5.0
WORKERS = 8


def handlers() -> dict[str, Handler]:
    """The functions of the folder that ``CONFORMANCE_HANDLERS`` names, by default this repository's own."""
    return template.read(Path(os.environ.get(SETTING) or OWN_HANDLERS))


def covered(found: dict[str, Handler]) -> list[str]:
    """The ids of the requirements that functions meet, in their order."""
    ids = {one for handler in found.values() for one in handler.requirements}
    return sorted(ids, key=lambda one: tuple(int(part) for part in one.split("-")))


def run(ids: list[str], work: Path) -> dict[str, list[str]]:
    """Run requirements on a local cloud of their own; gives what is wrong with each."""
    known = requirements.read(wheel())
    with LocalCloud.start(time_scale=TIME_SCALE, region="eu-west-1") as cloud:
        # The SDK's own retries would hide what the cloud answers.
        config = Config(
            retries={"total_max_attempts": 1}, max_pool_connections=4 * WORKERS, read_timeout=300, connect_timeout=60
        )
        make: Any = boto3.client
        functions, logs, iam = (
            make(
                service,
                endpoint_url=cloud.endpoint_url,
                region_name=cloud.region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=config,
            )
            for service in ("lambda", "logs", "iam")
        )
        driver = Driver(functions, logs, iam, handlers(), cloud.time_scale, work, WORKERS)
        return driver.run_all(known, ids)
