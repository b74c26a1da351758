"""Durable executions of the local cloud: the ``/2025-12-01/`` API over the engine of AWS's testing SDK."""

from harness.localcloud.durable.engine import DurableEngine

__all__ = ["DurableEngine"]
