"""How long a new role is waited for: probing until it works, against the fixed 15 s.

    python -m benchmarks.iam_propagation

On the local cloud, roles take 0, 3, 10 and 40 s to be known. Each way waits for some new roles, one after the other,
and then needs them for CreateFunction. Times are AWS's: measured ones, multiplied by the time scale, so that a call's
own milliseconds count as many times over.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from harness.localcloud.handle import LocalCloud
from harness.targets import local_target
from harness.waiters import (
    IAM_PROPAGATION_SECONDS,
    IAM_READY,
    iam_propagating,
    iam_propagation_wait,
    wait_until_role_assumable,
)

DELAYS = (0, 3, 10, 40)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        ],
    }
)


@dataclass(frozen=True)
class Measured:
    """What one way of waiting took for some roles, in AWS's seconds."""

    seconds: tuple[float, ...]
    failures: int


class Bench:
    """One local cloud and clients to it."""

    def __init__(self, cloud: LocalCloud, repeats: int) -> None:
        target = local_target(cloud)
        self._cloud = cloud
        self._iam = target.client("iam")
        self._lambda = target.client("lambda")
        self._repeats = repeats
        self._scale = cloud.time_scale
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("app.py", "def handler(event, context): return event\n")
        self._zip = buffer.getvalue()

    def probing(self, create: Callable[[], Any]) -> None:
        """Create as soon as it works."""
        wait_until_role_assumable(create, policy=IAM_READY.scaled(1 / self._scale))

    def fixed(self, create: Callable[[], Any]) -> None:
        """Wait for the usual time, then create."""
        iam_propagation_wait(IAM_PROPAGATION_SECONDS / self._scale)
        create()

    def measure(self, delay: float, way: Callable[[Callable[[], Any]], None]) -> Measured:
        """Wait for new roles in one way, where they are known after ``delay`` seconds."""
        self._cloud.set_faults({"iam": {"role": delay}})
        seconds, failures = [], 0
        for _ in range(self._repeats):
            name = f"bench-{uuid4().hex[:8]}"
            role = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
            started = perf_counter()
            try:
                way(lambda name=name, role=role: self._create(name, role))  # type: ignore[misc]
            except ClientError as error:
                if not iam_propagating(str(error)):
                    raise
                failures += 1
            seconds.append((perf_counter() - started) * self._scale)
        return Measured(tuple(seconds), failures)

    def _create(self, name: str, role: str) -> None:
        self._lambda.create_function(
            FunctionName=name, Role=role, Runtime="python3.13", Handler="app.handler", Code={"ZipFile": self._zip}
        )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="roles per way and delay (5)")
    parser.add_argument("--time-scale", type=float, default=10.0, help="how much faster than on AWS (10)")
    arguments = parser.parse_args(argv)
    print(f"{arguments.repeats} roles each, time scale {arguments.time_scale:g}, seconds of AWS's time")
    print("| a role is known after | probing: mean | longest | failed | fixed 15 s: mean | longest | failed |")
    print("|---|---|---|---|---|---|---|")
    with LocalCloud.start(time_scale=arguments.time_scale, seed=1) as cloud:
        bench = Bench(cloud, arguments.repeats)
        # The first call of each client makes its connection, and the cloud's first function unpacks a zip.
        bench.measure(0, bench.probing)
        for delay in DELAYS:
            cells = []
            for way in (bench.probing, bench.fixed):
                found = bench.measure(delay, way)
                cells += [f"{statistics.mean(found.seconds):.1f} s", f"{max(found.seconds):.1f} s"]
                cells.append(f"{found.failures} of {arguments.repeats}")
            print(f"| {delay} s | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
