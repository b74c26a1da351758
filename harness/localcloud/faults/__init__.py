"""Faults of the local cloud: what a plan can say, how one is read, and what makes it happen.

The modules `plan`, `reading` and `presets` are values only, which the harness reads too; all others run in the cloud.
"""

from __future__ import annotations

from .plan import (
    Drop,
    Executions,
    FaultPlan,
    Iam,
    Latency,
    Logs,
    Rule,
    ServerError,
    Span,
    Throttle,
    Waits,
)
from .presets import PRESETS
from .reading import PlanLike, load_plan, parse_plan

__all__ = [
    "PRESETS",
    "Drop",
    "Executions",
    "FaultPlan",
    "Iam",
    "Latency",
    "Logs",
    "PlanLike",
    "Rule",
    "ServerError",
    "Span",
    "Throttle",
    "Waits",
    "load_plan",
    "parse_plan",
]
