"""Retry strategies that choose a schedule by the type of the error.

A schedule counts *retries*: three retries make four attempts. The count is the step's, over all error types, because
the number of attempts is all that the service keeps for a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aws_durable_execution_sdk_python.config import Duration, JitterStrategy, StepConfig
from aws_durable_execution_sdk_python.retries import RetryDecision, RetryStrategyConfig, create_retry_strategy

# Longer than any schedule here gets: the service allows a step to wait a year for its next attempt.
_NO_LIMIT = Duration.from_days(365)


@dataclass(frozen=True)
class Retry:
    """When to try again.

    Attributes:
        error: The error that it is for.
        delay: Seconds before the first retry.
        retries: How often to try again after the first attempt.
        rate: What every further delay is multiplied by; fractions of a second are rounded up.
        max_delay: The longest delay in seconds, None for no limit.
        jitter: NONE for exact delays, FULL for a random one between a second and the exact one.
    """

    error: type[Exception]
    delay: int
    retries: int
    rate: float = 2.0
    max_delay: int | None = None
    jitter: JitterStrategy = JitterStrategy.NONE


def retry_on(*schedules: Retry) -> StepConfig:
    """The configuration of a step that tries again after these errors, and fails at once on any other."""
    strategies = [(schedule.error, _strategy(schedule)) for schedule in schedules]

    def decide(error: Exception, attempts_made: int) -> RetryDecision:
        for error_class, strategy in strategies:
            if isinstance(error, error_class):
                return strategy(error, attempts_made)
        return RetryDecision.no_retry()

    return StepConfig(retry_strategy=decide)


def no_retry() -> StepConfig:
    """The configuration of a step that fails on its first error; the SDK's default would try six times."""
    return retry_on()


def _strategy(schedule: Retry) -> Callable[[Exception, int], RetryDecision]:
    return create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=schedule.retries + 1,
            initial_delay=Duration.from_seconds(schedule.delay),
            max_delay=_NO_LIMIT if schedule.max_delay is None else Duration.from_seconds(schedule.max_delay),
            backoff_rate=schedule.rate,
            jitter_strategy=schedule.jitter,
        )
    )
