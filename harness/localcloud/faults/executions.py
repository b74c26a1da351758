"""Executions that were started and can't be found yet.

Those that an Event invoke started are hidden; a synchronous invoke has seen its execution end. Function code, which
knows its execution by its checkpoint token, isn't affected.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from urllib.parse import unquote

from harness.localcloud.api import ApiError, Response
from harness.localcloud.dispatcher import Call

from .state import Faults

_BY_ARN = frozenset(
    {
        "GetDurableExecution",
        "GetDurableExecutionHistory",
        "StopDurableExecution",
        "PauseDurableExecution",
        "ResumeDurableExecution",
        "DeleteDurableExecution",
    }
)
_ARN_HEADER = "x-amz-durable-execution-arn"


class ExecutionVisibility:
    """Hides new executions; a middleware.

    Args:
        faults: The plan.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._from: dict[str, float] = {}

    def before(self, call: Call) -> None:
        """Refuse a call about an execution that can't be found yet.

        Raises:
            ApiError: ResourceNotFoundException (404).
        """
        if call.operation.service != "lambda" or call.operation.name not in _BY_ARN:
            return
        arn = unquote(call.request.raw_path.split("/")[3])
        if self._hidden(arn):
            self._faults.count("execution_hidden", str(call.operation))
            message = f"The durable execution does not exist: {arn}"
            raise ApiError("ResourceNotFoundException", message, 404, members={"Type": "User"})

    def after(self, call: Call, response: Response) -> Response:
        """Note an execution's start; leave those out of a list that can't be found yet."""
        if call.operation.service != "lambda" or response.status >= 300:
            return response
        if call.operation.name == "Invoke":
            self._started(call, response)
        elif call.operation.name == "ListDurableExecutionsByFunction":
            return self._without_hidden(call, response)
        return response

    def _started(self, call: Call, response: Response) -> None:
        arn = {key.lower(): value for key, value in response.headers.items()}.get(_ARN_HEADER)
        if arn is None or call.request.headers.get("x-amz-invocation-type") != "Event":
            return
        wait = self._faults.seconds(self._faults.plan.executions.visibility, "executions.visibility")
        with self._lock:
            # A repeated start finds the execution that is there, which must not vanish again.
            self._from.setdefault(arn, self._faults.clock.monotonic() + wait)

    def _without_hidden(self, call: Call, response: Response) -> Response:
        page = json.loads(response.body)
        listed = page.get("DurableExecutions", [])
        seen = [execution for execution in listed if not self._hidden(execution["DurableExecutionArn"])]
        if len(seen) == len(listed):
            return response
        self._faults.count("execution_hidden", str(call.operation))
        return replace(response, body=json.dumps({**page, "DurableExecutions": seen}).encode())

    def _hidden(self, arn: str) -> bool:
        with self._lock:
            return self._from.get(arn, 0.0) > self._faults.clock.monotonic()
