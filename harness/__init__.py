"""Terraform-native pytest harness for AWS Lambda durable functions.

What users import most can be had from here; the modules have the rest: `harness.waiters`, `harness.durable`,
`harness.logs`, `harness.assertions`, `harness.infra`, `harness.events`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.assertions import assert_that
    from harness.durable import DurableFunction, Execution, History, make_execution_id, poll_execution
    from harness.errors import HarnessError
    from harness.infra import Deployment, Infra, terraform_deploy, terraform_teardown
    from harness.localcloud.handle import LocalCloud
    from harness.logs import query_logs
    from harness.waiters import (
        EXECUTION,
        FUNCTION_GONE,
        IAM_READY,
        LOGS,
        TERRAFORM,
        THROTTLE,
        Deadline,
        FakeClock,
        Policy,
        WaitTimeout,
        call,
        iam_propagation_wait,
        wait_until,
    )

__version__ = "0.1.0"

# Loaded on first use: pytest imports this package in every run, and most runs need none of boto3, rich or hcl2.
_HOMES = {
    "harness.assertions": ("assert_that",),
    "harness.durable": ("DurableFunction", "Execution", "History", "make_execution_id", "poll_execution"),
    "harness.errors": ("HarnessError",),
    "harness.infra": ("Deployment", "Infra", "terraform_deploy", "terraform_teardown"),
    "harness.localcloud.handle": ("LocalCloud",),
    "harness.logs": ("query_logs",),
    "harness.waiters": (
        "EXECUTION", "FUNCTION_GONE", "IAM_READY", "LOGS", "TERRAFORM", "THROTTLE", "Deadline", "FakeClock", "Policy",
        "WaitTimeout", "call", "iam_propagation_wait", "wait_until",
    ),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "EXECUTION",
    "FUNCTION_GONE",
    "IAM_READY",
    "LOGS",
    "TERRAFORM",
    "THROTTLE",
    "Deadline",
    "Deployment",
    "DurableFunction",
    "Execution",
    "FakeClock",
    "HarnessError",
    "History",
    "Infra",
    "LocalCloud",
    "Policy",
    "WaitTimeout",
    "assert_that",
    "call",
    "iam_propagation_wait",
    "make_execution_id",
    "poll_execution",
    "query_logs",
    "terraform_deploy",
    "terraform_teardown",
    "wait_until",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
