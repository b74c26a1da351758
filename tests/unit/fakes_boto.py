"""Clients that answer from a script, and refuse requests that boto3 would refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.validate import validate_parameters


@functools.cache
def _operations(service: str) -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): model.operation_model(name) for name in model.operation_names}


class FakeClient:
    """A boto3 client of ``service`` whose operations give scripted outcomes.

    An outcome is an answer, an error to raise, or a function of the request that gives either; the last one of an
    operation stays for ever. Every request is validated by botocore's model of the service.
    """

    def __init__(self, service: str, **script: Sequence[Any]) -> None:
        self._operations = _operations(service)
        self._script = {name: list(outcomes) for name, outcomes in script.items()}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """The requests of one operation."""
        return [request for name, request in self.calls if name == operation]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self._operations:
            raise AttributeError(name)

        def operation(**request: Any) -> Any:
            validate_parameters(request, self._operations[name].input_shape)
            self.calls.append((name, request))
            outcomes = self._script.get(name, [])
            if not outcomes:
                raise AssertionError(f"nobody expected {name}({request})")
            outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
            if callable(outcome):
                outcome = outcome(request)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        return operation
