"""What makes the local cloud as hard as AWS: a plan of faults, as a value.

All durations are AWS's: the cloud divides them by its time scale, as it does with every other wait.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

#: Lambda's values of ``Reason``; https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
THROTTLE_REASONS = (
    "CallerRateLimitExceeded",
    "ConcurrentInvocationLimitExceeded",
    "ConcurrentSnapshotCreateLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
)
#: The server errors that AWS's clients take for passing ones.
ERROR_STATUSES = (500, 502, 503, 504)

Caller = Literal["any", "client", "function"]
Moment = Literal["request", "answer"]


@dataclass(frozen=True)
class Span:
    """A duration in seconds, drawn evenly between two bounds.

    Attributes:
        low: The shortest.
        high: The longest.
    """

    low: float
    high: float

    def value(self) -> float | list[float]:
        """As in a plan's file: one number, or both bounds."""
        return self.low if self.low == self.high else [self.low, self.high]


#: No time at all.
NONE = Span(0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which calls a fault meets.

    Attributes:
        operations: Patterns of ``service.Operation`` in boto3's names, such as ``lambda.Invoke``, ``logs.*`` or ``*``.
        rate: The part of the calls, 0 to 1, drawn; None when ``first`` says which.
        first: The first so many calls of each operation since the plan was set.
        callers: ``client`` for those from outside, ``function`` for those that function code makes with its role's
            credentials, such as checkpoints.
    """

    operations: tuple[str, ...] = ("*",)
    rate: float | None = None
    first: int | None = None
    callers: Caller = "any"


@dataclass(frozen=True, kw_only=True)
class Throttle(Rule):
    """The call is refused as one too many, with the service's own error.

    Attributes:
        reason: Lambda's ``Reason``; other services give none.
        retry_after: Seconds that Lambda asks to wait, in ``retryAfterSeconds`` and ``Retry-After``.
    """

    reason: str = "CallerRateLimitExceeded"
    retry_after: Span = Span(1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ServerError(Rule):
    """The call fails within the service, before it has an effect.

    Attributes:
        status: The HTTP status: 500, 502, 503 or 504.
    """

    status: int = 500


@dataclass(frozen=True, kw_only=True)
class Drop(Rule):
    """The connection ends without an answer.

    Attributes:
        moment: ``request`` before the call has an effect; ``answer`` after it, so that repeating it repeats the effect.
    """

    moment: Moment = "request"


@dataclass(frozen=True, kw_only=True)
class Latency(Rule):
    """The call is answered late.

    Attributes:
        seconds: By how much.
    """

    seconds: Span = NONE


@dataclass(frozen=True, kw_only=True)
class Iam:
    """How long IAM's changes take to be known.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency

    Attributes:
        role: Seconds until Lambda can assume a new role.
        policy: Seconds until a policy that a role was given grants anything to the function's own calls.
    """

    role: Span = NONE
    policy: Span = NONE


@dataclass(frozen=True, kw_only=True)
class Logs:
    """How late logs are.

    Attributes:
        ingestion: Seconds until what a function logged can be read, by whatever call.
        late: Seconds after the deletion of a function's log group at which one more record arrives, which creates the
            group again; None for never.
        late_rate: The part of the deletions, 0 to 1, that this happens to.
        late_needs_permission: Whether only to functions whose role may create log groups, as on AWS. Without it, it
            happens to every group that a function has logged to.
    """

    ingestion: Span = NONE
    late: Span | None = None
    late_rate: float = 1.0
    late_needs_permission: bool = False


@dataclass(frozen=True, kw_only=True)
class Executions:
    """How late executions are seen.

    Attributes:
        visibility: Seconds after its start for which an execution isn't found and isn't listed.
    """

    visibility: Span = NONE


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What a plan makes necessary to wait for, in seconds of AWS's time, or divided by a time scale.

    Attributes:
        iam: After a deployment, until its roles and policies are known.
        logs: Until logs can be read, and until a deleted log group stays deleted.
        executions: Until a new execution is found.
    """

    iam: float = 0.0
    logs: float = 0.0
    executions: float = 0.0

    def divided(self, time_scale: float) -> Waits:
        """In wall-clock seconds of a cloud."""
        return Waits(iam=self.iam / time_scale, logs=self.logs / time_scale, executions=self.executions / time_scale)


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """What goes wrong, how often, and for how long. The default is nothing.

    Attributes:
        name: The preset's or the file's name, for people.
    """

    name: str = "custom"
    iam: Iam = Iam()
    logs: Logs = Logs()
    executions: Executions = Executions()
    throttle: tuple[Throttle, ...] = ()
    error: tuple[ServerError, ...] = ()
    drop: tuple[Drop, ...] = ()
    latency: tuple[Latency, ...] = ()

    @property
    def waits(self) -> Waits:
        """What it makes necessary to wait for, on AWS's time."""
        late = NONE if self.logs.late is None else self.logs.late
        return Waits(
            iam=max(self.iam.role.high, self.iam.policy.high),
            logs=max(self.logs.ingestion.high, late.high),
            executions=self.executions.visibility.high,
        )

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule with its place, such as ``throttle[0]``."""
        for kind in ("throttle", "error", "drop", "latency"):
            for position, rule in enumerate(getattr(self, kind)):
                yield f"{kind}[{position}]", rule

    def as_mapping(self) -> dict[str, Any]:
        """As in a plan's file, without what is the default; `harness.localcloud.faults.parse_plan` reads it back."""
        found: dict[str, Any] = {"name": self.name}
        for member in dataclasses.fields(self):
            value = getattr(self, member.name)
            if member.name == "name" or value == member.default:
                continue
            found[member.name] = [_members(rule) for rule in value] if isinstance(value, tuple) else _members(value)
        return found


def _members(value: Any) -> dict[str, Any]:
    changed = {
        member.name: getattr(value, member.name)
        for member in dataclasses.fields(value)
        if getattr(value, member.name) != member.default
    }
    return {
        name: part.value() if isinstance(part, Span) else list(part) if isinstance(part, tuple) else part
        for name, part in changed.items()
    }
