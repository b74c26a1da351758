"""Durable executions: start them, wait for them, read what happened, answer their callbacks.

The functions take boto3's clients, made without retries of their own (`harness.clients`): waiting is done here, by
`harness.waiters`. `DurableFunction` binds them to one deployed function and is what the ``durable`` fixture gives.
"""

from harness._durable.callbacks import send_callback_failure, send_callback_heartbeat, send_callback_success
from harness._durable.calls import (
    StartedExecution,
    get_execution,
    get_history,
    list_executions,
    start_execution,
    stop_execution,
)
from harness._durable.function import DurableFunction, Waiting
from harness._durable.history import History, HistoryEvent, Operation, StepAttempt
from harness._durable.naming import make_execution_id
from harness._durable.polling import GRACE_SECONDS, ExecutionPollTimeout, poll_execution
from harness._durable.problems import (
    CallbackClosedError,
    DurableError,
    ExecutionNameTakenError,
    ExecutionNotFoundError,
    FunctionNotFoundError,
    InvocationFailedError,
    NotDurableError,
    PayloadError,
    UnqualifiedInvokeError,
)
from harness._durable.running import ExecutionResult, RunningExecution
from harness._durable.values import TERMINAL_STATUSES, ErrorInfo, Execution

__all__ = [
    "GRACE_SECONDS",
    "TERMINAL_STATUSES",
    "CallbackClosedError",
    "DurableError",
    "DurableFunction",
    "ErrorInfo",
    "Execution",
    "ExecutionNameTakenError",
    "ExecutionNotFoundError",
    "ExecutionPollTimeout",
    "ExecutionResult",
    "FunctionNotFoundError",
    "History",
    "HistoryEvent",
    "InvocationFailedError",
    "NotDurableError",
    "Operation",
    "PayloadError",
    "RunningExecution",
    "StartedExecution",
    "StepAttempt",
    "UnqualifiedInvokeError",
    "Waiting",
    "get_execution",
    "get_history",
    "list_executions",
    "make_execution_id",
    "poll_execution",
    "send_callback_failure",
    "send_callback_heartbeat",
    "send_callback_success",
    "start_execution",
    "stop_execution",
]
