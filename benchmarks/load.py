"""How the local cloud bears load: real processes run real functions, and nothing is lost or done twice.

    python -m benchmarks.load [--executions 1000] [--waiting 200] [--items 1000]

starts a local cloud and prints one line for each scenario:

- **waiting**: executions that wait for half an hour (30 s here) at the same time; the threads are those that there are
  while all of them wait;
- **steps**: executions of a function with three steps, started as fast as one client can, until all have ended;
- **map**: one execution that maps over many items, a step each.

It ends with a status other than 0 when anything is lost or doubled. Memory is the proportional set size (PSS) of the
cloud's process and everything below it, threads are those of the cloud's process; both are the largest of samples taken
twice a second, unless said otherwise. Linux only: they are read from /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from harness.localcloud.handle import LocalCloud
from harness.packaging import build_zip

CODE = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration


@durable_execution
def steps(event, context):
    total = 0
    for number in range(3):
        def step(_, number=number):
            print(f"ran {event} {number}")
            return event * 10 + number
        total += context.step(step, name=f"step-{number}")
    return total


@durable_execution
def waiting(event, context):
    context.wait(Duration.from_minutes(30))
    return event


@durable_execution
def wide(event, context):
    return sum(context.map(range(event), lambda child, item, *_: child.step(lambda _: item)).get_results())
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
LOGS_POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TIME_SCALE = 60.0
CLIENT_THREADS = 8
SAMPLE_SECONDS = 0.5
# Nothing here takes as long unless it is stuck.
LIMIT_SECONDS = 600.0


@dataclass
class Load:
    """Clients of a local cloud that has the benchmark's functions."""

    cloud: LocalCloud
    functions: Any
    logs: Any

    def start_all(self, function: str, count: int) -> dict[str, str]:
        """Start executions as fast as this client can; gives their ARNs by their names."""

        def start(number: int) -> tuple[str, str]:
            name = f"run-{number}"
            answer = self.functions.invoke(
                FunctionName=function,
                Qualifier="$LATEST",
                InvocationType="Event",
                DurableExecutionName=name,
                Payload=json.dumps(number),
            )
            return name, answer["DurableExecutionArn"]

        with ThreadPoolExecutor(CLIENT_THREADS) as pool:
            return dict(pool.map(start, range(count)))

    def executions(self, function: str, **wanted: Any) -> list[dict[str, Any]]:
        """A function's executions, newest first."""
        pages = self.functions.get_paginator("list_durable_executions_by_function").paginate(
            FunctionName=function, Qualifier="$LATEST", **wanted
        )
        return [one for page in pages for one in page["DurableExecutions"]]

    def wait_for_ends(self, function: str) -> None:
        """Wait until no execution of a function runs.

        Raises:
            TimeoutError: Some still do after `LIMIT_SECONDS`.
        """
        pause = threading.Event()
        deadline = time.perf_counter() + LIMIT_SECONDS
        while self.executions(function, Statuses=["RUNNING"]):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"Executions of {function} still run after {LIMIT_SECONDS:g} s")
            pause.wait(0.2)

    def wait_until_all_wait(self, arns: Collection[str]) -> int:
        """Wait until every execution waits and nothing runs for it; gives the cloud's threads then."""
        pause = threading.Event()
        for arn in arns:
            while "InvocationCompleted" not in {event["EventType"] for event in self.history(arn)}:
                pause.wait(0.05)
        # Longer than the cloud's pools keep threads that they don't need.
        pause.wait(3.0)
        if not all(self.history(arn)[-1]["EventType"] == "InvocationCompleted" for arn in arns):
            raise TimeoutError("Executions ended before all of them waited: this machine is too slow for so many.")
        return threads_of(self.cloud.pid)

    def history(self, arn: str) -> list[dict[str, Any]]:
        """An execution's events, oldest first."""
        pages = self.functions.get_paginator("get_durable_execution_history").paginate(
            DurableExecutionArn=arn, PaginationConfig={"PageSize": 1000}
        )
        return [event for page in pages for event in page["Events"]]

    def printed(self, function: str) -> Counter[str]:
        """How often each line was printed."""
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
        return Counter(
            event["message"].strip()
            for page in pages
            for event in page["events"]
            if event["message"].startswith("ran ")
        )


@contextmanager
def running(work: Path, *, time_scale: float = TIME_SCALE) -> Iterator[Load]:
    """A local cloud with the benchmark's functions."""
    source = work / "source"
    source.mkdir()
    (source / "load.py").write_text(CODE)
    (source / "requirements.txt").write_text("aws-durable-execution-sdk-python\n")
    package = build_zip(source, cache_dir=work / "packages").path.read_bytes()
    with LocalCloud.start(time_scale=time_scale) as cloud:
        config = Config(
            retries={"total_max_attempts": 1}, max_pool_connections=2 * CLIENT_THREADS, read_timeout=LIMIT_SECONDS
        )
        make: Any = boto3.client
        functions, logs, iam = (
            make(
                service,
                endpoint_url=cloud.endpoint_url,
                region_name=cloud.region,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 - the local cloud's
                config=config,
            )
            for service in ("lambda", "logs", "iam")
        )
        role = iam.create_role(RoleName="load", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        iam.attach_role_policy(RoleName="load", PolicyArn=LOGS_POLICY)
        for name in ("steps", "waiting", "wide"):
            logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
            functions.create_function(
                FunctionName=name,
                Role=role,
                Runtime="python3.13",
                Handler=f"load.{name}",
                Code={"ZipFile": package},
                Timeout=300,
                DurableConfig={"ExecutionTimeout": 86_400, "RetentionPeriodInDays": 1},
            )
        yield Load(cloud, functions, logs)


def check_steps(load: Load, started: dict[str, str]) -> tuple[int, int]:
    """How many of the started executions are lost (not done, or not right), and how many things were done twice."""
    listed = load.executions("steps")
    lost = doubled = 0
    doubled += len(listed) - len({one["DurableExecutionName"] for one in listed})
    lost += len(started.keys() - {one["DurableExecutionName"] for one in listed})
    for number, arn in enumerate(started.values()):
        described = load.functions.get_durable_execution(DurableExecutionArn=arn)
        lost += described["Status"] != "SUCCEEDED" or described["Result"] != str(3 * 10 * number + 3)
        types = Counter(event["EventType"] for event in load.history(arn))
        doubled += max(types["StepSucceeded"] - 3, 0) + max(types["ExecutionSucceeded"] - 1, 0)
    printed = load.printed("steps")
    expected = {f"ran {number} {step}" for number in range(len(started)) for step in range(3)}
    lost += len(expected - printed.keys())
    doubled += sum(count - 1 for count in printed.values())
    return lost, doubled


@dataclass
class Usage:
    """What the cloud's processes use, sampled until `stop`."""

    pid: int
    threads: int = 0
    memory_mb: float = 0
    processes: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.threads = max(self.threads, threads_of(self.pid))
            tree = family(self.pid)
            self.processes = max(self.processes, len(tree))
            self.memory_mb = max(self.memory_mb, sum(map(_pss_kb, tree)) / 1024)
            if self._stopped.wait(SAMPLE_SECONDS):
                return


def threads_of(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _row(scenario: str, count: int, seconds: float, usage: Usage, *, lost: int = 0, doubled: int = 0) -> None:
    print(
        f"| {scenario} | {count} | {seconds:.1f} | {count / seconds:.0f} | {usage.threads} | {usage.processes} "
        f"| {usage.memory_mb:.0f} | {lost} | {doubled} |",
        flush=True,
    )


def _measured(load: Load, work: Callable[[], Any]) -> tuple[Any, float, Usage]:
    with Usage(load.cloud.pid) as usage:
        began = time.perf_counter()
        result = work()
        return result, time.perf_counter() - began, usage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="How the local cloud bears load.")
    parser.add_argument("--executions", type=int, default=1000, help="executions of a function with three steps")
    parser.add_argument("--waiting", type=int, default=200, help="executions that wait at the same time")
    parser.add_argument("--items", type=int, default=1000, help="items of one map")
    options = parser.parse_args()
    wrong = 0
    print("| scenario | count | seconds | per second | threads | processes | memory, MB | lost | doubled |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as load:

        def wait() -> int:
            threads = load.wait_until_all_wait(load.start_all("waiting", options.waiting).values())
            load.wait_for_ends("waiting")
            return threads

        threads, seconds, usage = _measured(load, wait)
        usage.threads = threads
        done = Counter(one["Status"] for one in load.executions("waiting"))["SUCCEEDED"]
        _row("waiting", options.waiting, seconds, usage, lost=options.waiting - done)
        wrong += options.waiting - done

        started, seconds, usage = _measured(load, lambda: load.start_all("steps", options.executions))
        _row("steps: started", options.executions, seconds, usage)
        _, more, usage = _measured(load, lambda: load.wait_for_ends("steps"))
        lost, doubled = check_steps(load, started)
        _row("steps: all ended", options.executions, seconds + more, usage, lost=lost, doubled=doubled)
        wrong += lost + doubled

        def fan_out() -> str:
            answer = load.functions.invoke(
                FunctionName="wide",
                Qualifier="$LATEST",
                InvocationType="Event",
                Payload=json.dumps(options.items),
            )
            load.wait_for_ends("wide")
            return str(answer["DurableExecutionArn"])

        arn, seconds, usage = _measured(load, fan_out)
        result = load.functions.get_durable_execution(DurableExecutionArn=arn).get("Result")
        types = Counter(event["EventType"] for event in load.history(arn))
        lost = int(result != str(sum(range(options.items)))) + max(options.items - types["StepSucceeded"], 0)
        doubled = max(types["StepSucceeded"] - options.items, 0)
        _row("map", options.items, seconds, usage, lost=lost, doubled=doubled)
        wrong += lost + doubled
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
