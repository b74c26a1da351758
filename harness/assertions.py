"""Assertions over durable executions and their histories, for tests.

`assert_that` takes what a test has of an execution and offers what can be said of it; matchers stand in for what
needn't be exact. A failure shows what was expected, what was found, and the timeline. docs/assertions.md has the tour.
"""

from harness._assertions.executions import ExecutionAssertion, assert_that
from harness._assertions.matchers import ANY, Capture, Matcher, approx, between, including, is_a, one_of, regex
from harness._assertions.operations import OperationAssertion
from harness._assertions.subject import ExecutionAssertionError
from harness._assertions.timeline import timeline_table

__all__ = [
    "ANY",
    "Capture",
    "ExecutionAssertion",
    "ExecutionAssertionError",
    "Matcher",
    "OperationAssertion",
    "approx",
    "assert_that",
    "between",
    "including",
    "is_a",
    "one_of",
    "regex",
    "timeline_table",
]
