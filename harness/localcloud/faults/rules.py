"""Throttles, server errors, dropped connections and latency: the faults of single calls."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import TypeVar

from harness.localcloud.api import Response
from harness.localcloud.credentials import is_of_function
from harness.localcloud.dispatcher import Call, ConnectionDropped

from .plan import Rule
from .state import Faults
from .vocabulary import failed, throttled

R = TypeVar("R", bound=Rule)
_ACCESS_KEY = re.compile(r"Credential=([^/]+)/")


def access_key_of(call: Call) -> str:
    """The access key id that a call is signed with, or the empty text."""
    found = _ACCESS_KEY.search(call.request.headers.get("authorization", ""))
    return found[1] if found else (call.request.arg("X-Amz-Credential") or "").split("/")[0]


class RuleFaults:
    """Carries out the plan's rules; a middleware.

    Args:
        faults: The plan.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def before(self, call: Call) -> None:
        """Delay, drop or refuse a call.

        Raises:
            ApiError: It is throttled, or fails.
            ConnectionDropped: Its connection ends.
        """
        faults, operation = self._faults, call.operation
        # One plan for all of it, also when it is changed meanwhile.
        plan = faults.plan
        for latency in self._met(plan.latency, "latency", call):
            faults.count("latency", str(operation))
            faults.clock.sleep(faults.seconds(latency.seconds, f"latency {operation}"))
        for drop in self._met([rule for rule in plan.drop if rule.moment == "request"], "drop", call):
            faults.count("drop", str(operation))
            raise ConnectionDropped(f"{drop.moment} of {operation} dropped by the fault plan")
        for error in self._met(plan.error, "error", call):
            faults.count("error", str(operation))
            raise failed(operation, error)
        for throttle in self._met(plan.throttle, "throttle", call):
            faults.count("throttle", str(operation))
            wait = faults.seconds(throttle.retry_after, f"retry_after {operation}")
            raise throttled(operation, throttle.reason, wait)

    def after(self, call: Call, response: Response) -> Response:
        """Drop the connection of a call that was carried out.

        Raises:
            ConnectionDropped: Its connection ends.
        """
        answers = [rule for rule in self._faults.plan.drop if rule.moment == "answer"]
        for drop in self._met(answers, "drop answer", call):
            self._faults.count("drop", str(call.operation))
            raise ConnectionDropped(f"{drop.moment} of {call.operation} dropped by the fault plan")
        return response

    def _met(self, rules: tuple[R, ...] | list[R], kind: str, call: Call) -> Iterator[R]:
        """The rules of a kind that meet a call, one after the other."""
        if not rules:
            return
        caller = "function" if is_of_function(access_key_of(call)) else "client"
        name = str(call.operation)
        for position, rule in enumerate(rules):
            fits = rule.callers in ("any", caller) and any(fnmatch.fnmatchcase(name, each) for each in rule.operations)
            if fits and self._faults.meets(rule, f"{kind}[{position}]", name):
                yield rule
