"""How many invocations may run at once, and what one too many is told.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

from collections import Counter

from harness.localcloud.api import ApiError


class ConcurrencyLimits:
    """Counts running invocations against the pool's limit and functions' reserved ones.

    Args:
        maximum: Invocations that may run at once, over all functions.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._reserved: dict[str, int] = {}
        self._running: Counter[str] = Counter()

    def reserve(self, name: str, limit: int | None) -> None:
        """Reserve ``limit`` for a function, or, with None, nothing."""
        if limit is None:
            self._reserved.pop(name, None)
        else:
            self._reserved[name] = limit

    def enter(self, name: str) -> None:
        """Count an invocation in.

        Raises:
            ApiError: TooManyRequestsException (429) with the Reason that Lambda gives.
        """
        reserved = self._reserved.get(name)
        if reserved is not None:
            if self._running[name] >= reserved:
                raise _throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        else:
            # What is reserved for one function isn't there for the others, whether it is used or not.
            unreserved = self._maximum - sum(self._reserved.values())
            running = sum(count for other, count in self._running.items() if other not in self._reserved)
            if running >= unreserved:
                raise _throttled("ConcurrentInvocationLimitExceeded")
        self._running[name] += 1

    def leave(self, name: str) -> None:
        """Count an invocation out."""
        self._running[name] -= 1
        if not self._running[name]:
            del self._running[name]


def _throttled(reason: str) -> ApiError:
    return ApiError("TooManyRequestsException", "Rate Exceeded.", 429, members={"Reason": reason, "Type": "User"})
