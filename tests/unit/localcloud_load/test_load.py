"""Under load nothing is lost, nothing is done twice, and what waits costs nothing.

The figures for ten times as many: ``python -m benchmarks.load``.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.load import Load, check_steps, family, running, threads_of

EXECUTIONS = 100


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    with running(tmp_path_factory.mktemp("load"), time_scale=60) as started:
        yield started


def test_executions_that_wait_hold_no_threads(load: Load) -> None:
    def start(first: int) -> None:
        for number in range(first, EXECUTIONS, 4):
            payload, name = json.dumps(number), f"run-{number}"
            load.functions.invoke(
                FunctionName="waiting",
                Qualifier="$LATEST",
                InvocationType="Event",
                DurableExecutionName=name,
                Payload=payload,
            )

    starters = [threading.Thread(target=start, args=(first,)) for first in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    arns = [one["DurableExecutionArn"] for one in load.executions("waiting")]
    assert len(arns) == EXECUTIONS
    assert load.wait_until_all_wait(arns) < EXECUTIONS
    for arn in arns:
        load.functions.stop_durable_execution(DurableExecutionArn=arn)


def test_no_execution_is_lost_or_doubled(load: Load) -> None:
    started = load.start_all("steps", EXECUTIONS)
    load.wait_for_ends("steps")
    assert check_steps(load, started) == (0, 0)
    # Environments are shared: the cloud, two processes that fork, sixteen environments, and those that just come or go.
    assert len(family(load.cloud.pid)) < 30
    assert threads_of(load.cloud.pid) < 2 * EXECUTIONS + 100


def test_starting_all_of_them_again_starts_none(load: Load) -> None:
    before = load.start_all("steps", EXECUTIONS)
    after = load.start_all("steps", EXECUTIONS)
    load.wait_for_ends("steps")
    assert before == after
    names = Counter(one["DurableExecutionName"] for one in load.executions("steps"))
    assert set(names.values()) == {1}


def test_a_wide_map_ends(load: Load) -> None:
    answer = load.functions.invoke(FunctionName="wide", Qualifier="$LATEST", InvocationType="Event", Payload=b"300")
    load.wait_for_ends("wide")
    described = load.functions.get_durable_execution(DurableExecutionArn=answer["DurableExecutionArn"])
    assert described["Result"] == str(sum(range(300)))
    types = Counter(event["EventType"] for event in load.history(answer["DurableExecutionArn"]))
    assert types["StepSucceeded"] == 300
