"""The admin endpoint: what the harness, and nobody else, may ask the local cloud itself."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import HarnessError

from .api import ApiError, Request, Response

TOKEN_HEADER = "x-harness-token"  # noqa: S105 - the header's name


class Admin:
    """Answers everything below ``/_harness/`` for those who have the token.

    - ``GET health``: ``{"status", "version", "pid", "region", "account_id", "time_scale"}``
    - ``GET inventory``: every resource that exists now, ``{kind: [name]}``
    - ``GET operations``: ``{"lambda.Invoke": {"calls", "errors"}}``
    - ``GET``/``PUT time-scale``: ``{"time_scale"}``

    Args:
        token: What the header ``X-Harness-Token`` must say.
        facts: What health tells besides the status.
        inventory: Lists what exists.
        operations: Counts the calls.
        time_scale: Gives the time scale.
        set_time_scale: Changes it; raises ValueError for no such number, HarnessError when it can't change now.
    """

    def __init__(
        self,
        token: str,
        *,
        facts: Mapping[str, Any],
        inventory: Callable[[], Mapping[str, Sequence[str]]],
        operations: Callable[[], Mapping[str, Any]],
        time_scale: Callable[[], float],
        set_time_scale: Callable[[float], None],
    ) -> None:
        self._token = token
        self._facts = dict(facts)
        self._time_scale = time_scale
        self._set_time_scale = set_time_scale
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "health"): lambda _: self.health(),
            ("GET", "inventory"): lambda _: inventory(),
            ("GET", "operations"): lambda _: operations(),
            ("GET", "time-scale"): lambda _: {"time_scale": time_scale()},
            ("PUT", "time-scale"): self._change_time_scale,
        }

    def add(self, method: str, name: str, answer: Callable[[Request], Any]) -> None:
        """Answer ``method /_harness/name`` with what ``answer`` returns, as JSON."""
        self._routes[method, name] = answer

    def __call__(self, request: Request) -> Response:
        """Answer one admin call; errors as responses."""
        given = request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return ApiError(
                "AccessDeniedException", "The X-Harness-Token header is missing or wrong.", 403
            ).to_response()
        name = request.raw_path.removeprefix("/_harness/").rstrip("/")
        route = self._routes.get((request.method, name))
        if route is None:
            known = ", ".join(sorted(f"{method} {path}" for method, path in self._routes))
            message = f"There is no {request.method} /_harness/{name}. There is: {known}."
            return ApiError("ResourceNotFoundException", message, 404).to_response()
        try:
            return Response.of_json(route(request))
        except ApiError as error:
            return error.to_response()

    def health(self) -> dict[str, Any]:
        """What ``GET health`` answers."""
        return {"status": "ok", "pid": os.getpid(), "time_scale": self._time_scale(), **self._facts}

    def _change_time_scale(self, request: Request) -> dict[str, float]:
        try:
            self._set_time_scale(float(json.loads(request.body)["time_scale"]))
        except (ValueError, KeyError, TypeError) as error:
            message = f'The body must be {{"time_scale": number from 1 to 100000}}: {error}'
            raise ApiError("InvalidParameterValueException", message) from error
        except HarnessError as error:
            raise ApiError("ResourceConflictException", str(error), 409) from error
        return {"time_scale": self._time_scale()}
