"""Waiting on AWS: clocks, deadlines, and the retry policies that other tests import.

Every wait here is bound by a strict deadline, runs wholly on a `Clock` that tests replace by a `FakeClock`, and
explains itself when it gives up. Each policy is also a plain decorator::

    from harness.waiters import THROTTLE

    @THROTTLE.retry
    def put(item): ...

``docs/waiters.md`` says which policy is for what, and how to write one. The engine is tenacity's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from harness._waiting.attempts import Attempt, CountingObserver, Counts, Observer, WaitTimeout, describe, log_attempt
from harness._waiting.classification import (
    THROTTLING_CODES,
    Failure,
    Outcome,
    classify,
    classify_propagation,
    classify_terraform,
    iam_propagating,
    terraform_transient,
)
from harness._waiting.clock import SYSTEM_CLOCK, Clock, Deadline, FakeClock, SystemClock
from harness._waiting.policy import Delay, Policy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "EXECUTION",
    "FUNCTION_GONE",
    "IAM_PROPAGATION_SECONDS",
    "IAM_READY",
    "LOGS",
    "SYSTEM_CLOCK",
    "TERRAFORM",
    "THROTTLE",
    "THROTTLING_CODES",
    "Attempt",
    "Clock",
    "CountingObserver",
    "Counts",
    "Deadline",
    "Delay",
    "Failure",
    "FakeClock",
    "Observer",
    "Outcome",
    "Policy",
    "SystemClock",
    "WaitTimeout",
    "call",
    "call_async",
    "classify",
    "classify_propagation",
    "classify_terraform",
    "iam_propagating",
    "iam_propagation_wait",
    "is_not_found",
    "log_attempt",
    "terraform_transient",
    "wait_until",
    "wait_until_async",
    "wait_until_gone",
    "wait_until_role_assumable",
]

T = TypeVar("T")

_log = logging.getLogger(__name__)

THROTTLE = Policy("THROTTLE", timeout=300.0)
"""One AWS call: throttles and passing failures are retried after 5 s, doubling to 30 s, for 300 s in all."""

EXECUTION = Policy("EXECUTION", timeout=300.0)
"""Polling an execution: every 5 s, on throttling 5 s doubling to 30 s, for 300 s in all."""

IAM_READY = Policy(
    "IAM_READY",
    interval=Delay(1.0, factor=1.5, maximum=5.0),
    retry_on=frozenset({Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.NOT_YET}),
    # The provider gives up after 300 s; roles have been seen failing at 330 s, and AWS support speaks of 900 s.
    timeout=900.0,
    classifier=classify_propagation,
)
"""Probing until a new role, policy or grant is known: after 1 s, growing to every 5 s, for 900 s in all."""

LOGS = Policy("LOGS", max_attempts=5)
"""Asking for logs that haven't arrived: 5 tries, 5 s apart."""

TERRAFORM = Policy("TERRAFORM", backoff=Delay(5.0), max_attempts=3, classifier=classify_terraform, reraise=True)
"""Running Terraform: 3 tries, 5 s apart, on what `terraform_transient` knows; then Terraform's own error."""

FUNCTION_GONE = Policy("FUNCTION_GONE", timeout=900.0)
"""Waiting until a deleted function is gone: every 5 s for 900 s, since a durable function drains first."""

IAM_PROPAGATION_SECONDS = 15.0
"""The plain buffer that usually is enough for a new role to be known."""

_NOT_FOUND_CODES = frozenset({"404", "NoSuchBucket", "NoSuchEntity", "NoSuchKey", "NotFound", "ResourceNotFound"})


def call(
    fn: Callable[[], T], *, policy: Policy = THROTTLE, deadline: Deadline | None = None, what: str | None = None
) -> T:
    """Make one call, retried as ``policy`` says, and return what it returns.

    Args:
        fn: The call. It may run more than once, also when its first run took effect and only the answer was lost.
        policy: What is retried, and after how long.
        deadline: Takes the place of the policy's timeout.
        what: What it is, for logs and errors.

    Raises:
        WaitTimeout: Time or attempts are used up.
        Exception: Whatever ``fn`` raises that the policy doesn't retry, as it is and at once.
    """
    return policy.retrying(deadline, what=what)(fn)


async def call_async(
    fn: Callable[[], Awaitable[T]],
    *,
    policy: Policy = THROTTLE,
    deadline: Deadline | None = None,
    what: str | None = None,
) -> T:
    """Like `call`, for a function that returns an awaitable."""

    async def attempt() -> T:
        return await fn()

    return await policy.retrying_async(deadline, what=what or _name(fn))(attempt)


def wait_until(
    probe: Callable[[], T],
    done: Callable[[T], bool],
    *,
    policy: Policy = EXECUTION,
    deadline: Deadline | None = None,
    fail_fast: Callable[[T], Exception | None] | None = None,
    what: str | None = None,
    describe: Callable[[T], str] = describe,
) -> T:
    """Probe until ``done`` accepts what the probe returns, and return that.

    The first probe is made at once, the last one exactly on the deadline.

    Args:
        probe: Looks. May raise what the policy retries.
        done: Whether a value is the one waited for.
        policy: The pace, and which errors of the probe are retried.
        deadline: Takes the place of the policy's timeout; the wait then runs on the deadline's clock.
        fail_fast: The error to raise at once for a value from which ``done`` can't follow any more, or None.
        what: What is waited for, for logs and errors.
        describe: A value in few words, for logs and errors; by default numbers, enumerations, and else the type,
            since a value may be secret.

    Raises:
        WaitTimeout: Time or attempts are used up.
        Exception: Whatever the probe raises that the policy doesn't retry, and what ``fail_fast`` returns.
    """
    accepts = _acceptance(done, fail_fast)
    return policy.retrying(deadline, what=what or _name(probe), done=accepts, describe=describe)(probe)


async def wait_until_async(
    probe: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    *,
    policy: Policy = EXECUTION,
    deadline: Deadline | None = None,
    fail_fast: Callable[[T], Exception | None] | None = None,
    what: str | None = None,
    describe: Callable[[T], str] = describe,
) -> T:
    """Like `wait_until`, for a probe that returns an awaitable."""

    async def attempt() -> T:
        return await probe()

    accepts = _acceptance(done, fail_fast)
    retrying = policy.retrying_async(deadline, what=what or _name(probe), done=accepts, describe=describe)
    return await retrying(attempt)


def wait_until_gone(
    probe: Callable[[], object],
    *,
    policy: Policy = FUNCTION_GONE,
    deadline: Deadline | None = None,
    what: str | None = None,
) -> None:
    """Probe until the probe raises a not-found error.

    Args:
        probe: Looks the resource up, such as ``lambda: client.get_function(FunctionName=name)``.
        policy: The pace.
        deadline: Takes the place of the policy's timeout.
        what: What is to go, for logs and errors.

    Raises:
        WaitTimeout: It is still there.
        Exception: Whatever else the probe raises that the policy doesn't retry.
    """

    def there() -> bool:
        try:
            probe()
        except Exception as error:
            if is_not_found(error):
                return False
            raise
        return True

    wait_until(
        there,
        lambda still: not still,
        policy=policy,
        deadline=deadline,
        what=what or f"the end of {_name(probe)}",
        describe=lambda still: "still there" if still else "gone",
    )


def is_not_found(error: BaseException) -> bool:
    """Whether an AWS error says that the thing asked for doesn't exist."""
    code = Failure.of(error).code
    return code.removesuffix("Exception") in _NOT_FOUND_CODES


def wait_until_role_assumable(
    probe: Callable[[], T], *, policy: Policy = IAM_READY, deadline: Deadline | None = None, what: str | None = None
) -> T:
    """Probe until a new role, policy or grant has propagated, and return what the probe returns.

    IAM says nowhere when a change has reached everyone, so the only proof is that what needs it works. A probe is
    that very act (``CreateFunction`` with the role, ``terraform apply``), or a cheap one that needs the same.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency

    Where there is nothing to probe with, `iam_propagation_wait` sleeps for the usual time.

    Args:
        probe: The act. Errors that `iam_propagating` knows are retried, all others raised at once.
        policy: The pace and the budget.
        deadline: Takes the place of the policy's timeout.
        what: What is waited for, for logs and errors.

    Raises:
        WaitTimeout: It still fails for the same reason, which is the ``__cause__``.
        Exception: Whatever else the probe raises.
    """
    return call(probe, policy=policy, deadline=deadline, what=what or f"{_name(probe)} with new IAM permissions")


def iam_propagation_wait(seconds: float = IAM_PROPAGATION_SECONDS, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Sleep for the time that a new role usually takes to be known.

    This is the fallback for where nothing can be probed: it can be too short (roles have been seen to take minutes)
    and is mostly too long. `wait_until_role_assumable` knows.

    Args:
        seconds: How long; 0 doesn't wait.
        clock: Where to sleep.
    """
    if seconds > 0:
        _log.info("Waiting %g s for IAM to propagate", seconds)
        clock.sleep(seconds)


def _acceptance(done: Callable[[T], bool], fail_fast: Callable[[T], Exception | None] | None) -> Callable[[T], bool]:
    def accepts(value: T) -> bool:
        if done(value):
            return True
        error = None if fail_fast is None else fail_fast(value)
        if error is not None:
            raise error
        return False

    return accepts


def _name(fn: Callable[..., object]) -> str:
    return str(getattr(fn, "__qualname__", type(fn).__name__))
