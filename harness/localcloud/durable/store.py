"""Where executions are kept: by ARN for the engine, by function and by name for its users.

Private attributes of the testing SDK 1.4.0 that this module uses: ``InMemoryExecutionStore._store`` and ``_lock``.
"""

from __future__ import annotations

import threading

from aws_durable_execution_sdk_python_testing.stores.memory import InMemoryExecutionStore

from harness.localcloud.durable.execution import JournaledExecution


class IndexedStore(InMemoryExecutionStore):
    """The engine's store, with the executions of a function in the order of their starts."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.RLock()
        self._sequence = 0
        self._by_function: dict[str, dict[str, JournaledExecution]] = {}
        self._by_name: dict[tuple[str, str], JournaledExecution] = {}

    def next_sequence(self) -> int:
        """The place of the next execution in the order of all starts."""
        with self._guard:
            self._sequence += 1
            return self._sequence

    def register(self, execution: JournaledExecution) -> None:
        """List an execution under its function and its name."""
        with self._guard:
            listed = self._by_function.setdefault(execution.function_name, {})
            listed[execution.durable_execution_arn] = execution
            self._by_name[execution.function_name, execution.name] = execution

    def find(self, arn: str) -> JournaledExecution | None:
        """The execution with this ARN."""
        try:
            execution = self.load(arn)
        except KeyError:
            return None
        return execution if isinstance(execution, JournaledExecution) else None

    def named(self, function_name: str, name: str) -> JournaledExecution | None:
        """The execution of a function with this name."""
        with self._guard:
            return self._by_name.get((function_name, name))

    def of_function(self, function_name: str) -> list[JournaledExecution]:
        """A function's executions, oldest first."""
        with self._guard:
            executions = list(self._by_function.get(function_name, {}).values())
        return sorted(executions, key=lambda execution: execution.sequence)

    def all(self) -> list[JournaledExecution]:
        """Every execution, those of deleted functions included."""
        return [execution for execution in self.list_all() if isinstance(execution, JournaledExecution)]

    def remove(self, execution: JournaledExecution) -> None:
        """Forget an execution."""
        with self._guard:
            self._by_function.get(execution.function_name, {}).pop(execution.durable_execution_arn, None)
            key = (execution.function_name, execution.name)
            if self._by_name.get(key) is execution:
                del self._by_name[key]
        with self._lock:
            self._store.pop(execution.durable_execution_arn, None)

    def unlist_function(self, function_name: str) -> None:
        """Take a function's executions from the lists; by their ARN they can still be had.

        A function that is created again under this name starts with no executions and every name free.
        """
        with self._guard:
            for execution in self._by_function.pop(function_name, {}).values():
                key = (function_name, execution.name)
                if self._by_name.get(key) is execution:
                    del self._by_name[key]
