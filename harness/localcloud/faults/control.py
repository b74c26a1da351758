"""The faults' side of the admin endpoint."""

from __future__ import annotations

import json
from typing import Any

from harness.errors import HarnessError
from harness.localcloud.admin import Admin
from harness.localcloud.api import ApiError, Request

from .presets import PRESETS
from .reading import parse_plan
from .state import Faults

_FORM = '{"preset": name} or {"plan": {...}}, and optionally "seed": whole number'


class FaultControl:
    """Answers ``/_harness/faults``.

    - ``GET``: ``{"plan", "seed", "time_scale", "injected"}``; ``plan`` as in a plan's file, ``injected`` counts the
      faults made since the cloud's start, ``{"throttle": {"lambda.Invoke": 2}}``.
    - ``PUT``: a body ``{"preset": "storm"}`` or ``{"plan": {...}}``, optionally with ``"seed"``; answers as ``GET``.

    Args:
        faults: The plan that holds.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def register(self, admin: Admin) -> None:
        """Add the endpoint to the admin's."""
        admin.add("GET", "faults", lambda _: self.status())
        admin.add("PUT", "faults", self._change)

    def status(self) -> dict[str, Any]:
        """What ``GET`` answers."""
        faults = self._faults
        return {
            "plan": faults.plan.as_mapping(),
            "seed": faults.seed,
            "time_scale": faults.time_scale(),
            "injected": faults.injected(),
        }

    def _change(self, request: Request) -> dict[str, Any]:
        try:
            body = json.loads(request.body or b"null")
        except ValueError:
            body = None
        given = set(body) if isinstance(body, dict) else set()
        if len(given & {"preset", "plan"}) != 1 or given - {"preset", "plan", "seed"}:
            raise ApiError("InvalidParameterValueException", f"The body must be {_FORM}.")
        seed = body.get("seed")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ApiError("InvalidParameterValueException", f"seed is {seed!r}; it must be a whole number.")
        try:
            self._faults.set(_plan(body), seed)
        except HarnessError as error:
            raise ApiError("InvalidParameterValueException", str(error)) from error
        return self.status()


def _plan(body: dict[str, Any]) -> Any:
    if "plan" in body:
        if not isinstance(body["plan"], dict):
            raise ApiError("InvalidParameterValueException", f"The body must be {_FORM}.")
        return parse_plan(body["plan"])
    if body["preset"] not in PRESETS:
        message = f"There is no preset {body['preset']!r}; there is: {', '.join(PRESETS)}."
        raise ApiError("InvalidParameterValueException", message)
    return PRESETS[body["preset"]]
