"""What the examples have in common. A function's folder stands alone, so each has its own copy."""

from __future__ import annotations

from typing import Any

import pytest
from aws_durable_execution_sdk_python.config import JitterStrategy
from aws_durable_execution_sdk_python.exceptions import StepError
from aws_durable_execution_sdk_python.lambda_service import ErrorObject

from tests.unit.examples.loading import TERRAFORM, Example

EXAMPLES = ["approval_workflow", "data_pipeline", "intrinsic_showcase", "order_processing", "retry_recovery"]

failures: Any = Example("order_processing").failures
retry_policies: Any = Example("order_processing").retry_policies


@pytest.mark.parametrize("name", ["function/failures.py", "function/retry_policies.py", "function/requirements.txt"])
def test_the_copies_are_the_same(name: str) -> None:
    copies = {path.read_text(encoding="utf-8") for path in TERRAFORM.glob(f"*/{name}")}
    assert len(copies) == 1
    assert len(list(TERRAFORM.glob(f"*/{name}"))) == 5


@pytest.mark.parametrize("name", ["variables.tf", "versions.tf"])
def test_the_roots_have_one_contract(name: str) -> None:
    assert len({path.read_text(encoding="utf-8") for path in TERRAFORM.glob(f"*/{name}")}) == 1


class TestErrorTypes:
    @pytest.mark.parametrize("example", EXAMPLES)
    def test_are_recorded_by_their_bare_name(self, example: str) -> None:
        loaded = Example(example)
        errors = {
            value
            for module in loaded.modules.values()
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, loaded.failures.Failure)
        } - {loaded.failures.Failure}
        assert errors
        for error in errors:
            assert ErrorObject.from_exception(error("why")).type == error.__name__

    @pytest.mark.parametrize("error_type", ["InvalidOrderError", "TimeoutError", "botocore.exceptions.ClientError"])
    def test_survive_the_sdks_wrapping(self, error_type: str) -> None:
        def fail() -> None:
            with failures.keep_types():
                raise StepError(message="why", error_type=error_type)

        with pytest.raises(Exception, match="why") as caught:
            fail()
        recorded = ErrorObject.from_exception(caught.value)
        assert (recorded.type, recorded.message) == (error_type, "why")

    def test_other_errors_pass_untouched(self) -> None:
        def fail() -> None:
            with failures.keep_types():
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            fail()


class TestRetries:
    def decide(self, config: Any, error: Exception, attempts: int) -> int | None:
        decision = config.retry_strategy(error, attempts)
        return int(decision.delay_seconds) if decision.should_retry else None

    def test_count_retries_and_not_attempts(self) -> None:
        config = retry_policies.retry_on(retry_policies.Retry(ValueError, delay=2, retries=3))
        assert [self.decide(config, ValueError(), made) for made in (1, 2, 3, 4)] == [2, 4, 8, None]

    def test_stop_growing_at_the_longest_delay(self) -> None:
        config = retry_policies.retry_on(retry_policies.Retry(ValueError, delay=5, retries=6, rate=1.5, max_delay=30))
        assert [self.decide(config, ValueError(), made) for made in range(1, 7)] == [5, 8, 12, 17, 26, 30]

    def test_belong_to_their_error_alone(self) -> None:
        config = retry_policies.retry_on(
            retry_policies.Retry(ValueError, delay=1, retries=1), retry_policies.Retry(KeyError, delay=9, retries=1)
        )
        assert self.decide(config, KeyError(), 1) == 9
        assert self.decide(config, ValueError(), 1) == 1
        assert self.decide(config, TypeError(), 1) is None

    def test_with_full_jitter_wait_at_most_the_exact_delay(self) -> None:
        config = retry_policies.retry_on(
            retry_policies.Retry(ValueError, delay=8, retries=3, jitter=JitterStrategy.FULL)
        )
        delays = {self.decide(config, ValueError(), 1) for _ in range(200)}
        assert delays == {1, 2, 3, 4, 5, 6, 7, 8}

    def test_are_none_unless_asked_for(self) -> None:
        assert self.decide(retry_policies.no_retry(), ValueError(), 1) is None
