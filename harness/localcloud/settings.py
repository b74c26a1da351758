"""What one local cloud is started with, and the environment that its process needs.

Imports nothing but values: it runs before moto or boto3 may be imported.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from secrets import token_urlsafe

from .faults.plan import FaultPlan

#: The account of every local cloud; moto's default.
ACCOUNT_ID = "123456789012"
DEFAULT_REGION = "us-east-1"
#: Waits, retries and timeouts of durable executions are divided by this unless the starter says otherwise.
DEFAULT_TIME_SCALE = 60.0

# A developer's real account must be out of reach of this process and of everything that it starts, and moto must
# behave the same whatever the developer has set for other projects.
_FOREIGN_PREFIXES = ("AWS_", "MOTO_")


@dataclass(frozen=True)
class CloudSettings:
    """How a local cloud runs.

    Attributes:
        port: The TCP port on 127.0.0.1; 0 lets the system choose a free one.
        region: The region of its functions and executions. Other services answer in any region.
        time_scale: How many times faster than on AWS the waits of durable executions and retries pass.
        account_id: The AWS account that everything belongs to.
        token: What admin calls must carry in ``X-Harness-Token``.
        faults: What goes wrong.
        seed: What the chance of faults starts from; None draws one.
    """

    port: int = 0
    region: str = DEFAULT_REGION
    time_scale: float = DEFAULT_TIME_SCALE
    account_id: str = ACCOUNT_ID
    token: str = field(default_factory=lambda: token_urlsafe(24), repr=False)
    faults: FaultPlan = field(default_factory=lambda: FaultPlan(name="calm"))
    seed: int | None = None

    def __post_init__(self) -> None:
        check_time_scale(self.time_scale)
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be 0-65535, not {self.port}")


def check_time_scale(value: float) -> float:
    """Return a usable time scale.

    Raises:
        ValueError: It is not a finite number from 1 to 100,000.
    """
    if not 1 <= value <= 100_000:
        raise ValueError(f"time scale must be a number from 1 to 100000, not {value}")
    return value


def clean_environment(environ: MutableMapping[str, str] = os.environ) -> None:
    """Take the developer's AWS and moto settings out of an environment and put the local cloud's in."""
    for key in [key for key in environ if key.startswith(_FOREIGN_PREFIXES)]:
        del environ[key]
    environ.update(
        {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # moto would otherwise let any web page read its answers.
            "MOTO_DISABLE_GLOBAL_CORS": "true",
        }
    )
