"""Runs Lambda function code on this machine: awslambdaric processes against a local Lambda Runtime API."""

from harness.localcloud.runtime.pool import RuntimePool
from harness.localcloud.runtime.spawner import StartMethod

__all__ = ["RuntimePool", "StartMethod"]
