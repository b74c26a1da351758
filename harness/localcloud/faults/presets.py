"""Fault plans by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .plan import Drop, Executions, FaultPlan, Iam, Logs, ServerError, Span, Throttle

_CALM = FaultPlan(name="calm")

# What an ordinary day on AWS looks like to a test that deploys, runs and destroys within minutes.
_REALISTIC = FaultPlan(
    name="realistic",
    iam=Iam(role=Span(3.0, 12.0), policy=Span(3.0, 12.0)),
    logs=Logs(ingestion=Span(2.0, 20.0), late=Span(1.0, 15.0)),
    executions=Executions(visibility=Span(1.0, 1.0)),
    throttle=(Throttle(rate=0.02, retry_after=Span(1.0, 2.0)),),
)

# A bad day: the same delays, and more than a third of all calls fail.
_STORM = FaultPlan(
    name="storm",
    iam=_REALISTIC.iam,
    logs=_REALISTIC.logs,
    executions=_REALISTIC.executions,
    throttle=(Throttle(rate=0.3, retry_after=Span(1.0, 2.0)),),
    error=(ServerError(rate=0.05, status=503),),
    drop=(Drop(rate=0.02),),
)

#: The plans that can be named instead of a file.
PRESETS: Mapping[str, FaultPlan] = MappingProxyType({plan.name: plan for plan in (_CALM, _REALISTIC, _STORM)})
