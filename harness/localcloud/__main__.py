"""``python -m harness.localcloud``: a local cloud in the foreground, or as the child of `handle.LocalCloud`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from harness.errors import HarnessError

from .faults import PRESETS, load_plan
from .settings import DEFAULT_REGION, DEFAULT_TIME_SCALE, CloudSettings, clean_environment

#: The exit status when packages of the `local` extra are missing; `handle` knows it.
MISSING_PACKAGES = 3
# After an order to stop, everything is gone within these seconds, whatever hangs.
_STOP_SECONDS = 15.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM, or the end of the owner; returns the exit status."""
    arguments = _arguments(argv)
    logging.basicConfig(
        level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # One line per request of Werkzeug's would drown everything else.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if arguments.lifeline_fd is not None:
        _watch(arguments.lifeline_fd, stop)
    clean_environment()
    try:
        from .cloud import Cloud  # noqa: PLC0415 - moto may only be imported in the clean environment
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "harness":
            raise
        print(  # noqa: T201
            f"The local cloud needs packages that are not installed ({error.name or error}): "
            "pip install 'durable-functions-harness[local]'",
            file=sys.stderr,
        )
        return MISSING_PACKAGES
    try:
        settings = CloudSettings(
            port=arguments.port,
            region=arguments.region,
            time_scale=arguments.time_scale,
            faults=load_plan(arguments.faults),
            seed=arguments.seed,
        )
        cloud = Cloud(settings)
    except HarnessError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except (ValueError, OSError) as error:
        print(f"The local cloud can't start (port {arguments.port}): {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        cloud.start()
        if arguments.ready_fd is not None:
            _report_ready(arguments.ready_fd, {**cloud.admin.health(), "token": settings.token})
        else:
            _print_welcome(cloud.endpoint_url, settings, cloud.faults.seed)
        stop.wait()
    finally:
        last_resort = threading.Timer(_STOP_SECONDS, _end_group)
        last_resort.daemon = True
        last_resort.start()
        cloud.close()
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness.localcloud",
        description="Serve a local AWS for Lambda durable functions on 127.0.0.1 until Ctrl-C.",
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 (the default) takes a free one")
    parser.add_argument("--host", choices=["127.0.0.1"], default="127.0.0.1", help="it serves this machine only")
    parser.add_argument("--region", default=DEFAULT_REGION, help=f"region of its functions ({DEFAULT_REGION})")
    parser.add_argument(
        "--time-scale",
        type=float,
        default=DEFAULT_TIME_SCALE,
        help=f"how many times faster durable waits and retries pass, 1-100000 ({DEFAULT_TIME_SCALE:g})",
    )
    parser.add_argument(
        "--faults",
        default="calm",
        metavar="PLAN",
        help=f"what goes wrong: {', '.join(PRESETS)}, or a TOML file (calm); see docs/local-cloud.md",
    )
    parser.add_argument("--seed", type=int, help="what the chance of faults starts from; drawn by default")
    parser.add_argument("--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO")
    parser.add_argument("--lifeline-fd", type=int, help="stop when this file descriptor reaches its end")
    parser.add_argument("--ready-fd", type=int, help="write one JSON line here when ready, instead of the welcome")
    return parser.parse_args(argv)


def _watch(lifeline: int, stop: threading.Event) -> None:
    """Stop when the pipe that only the owner holds the other end of is closed: by the owner, or by its death.

    Whatever the owner writes there first lets the cloud go on by itself.
    """

    def wait() -> None:
        if os.read(lifeline, 64):
            return
        stop.set()
        # The main thread may be importing or hanging; it gets its time, no more.
        threading.Timer(_STOP_SECONDS, _end_group).start()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _report_ready(ready: int, health: dict[str, object]) -> None:
    with os.fdopen(ready, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(health) + "\n")


def _print_welcome(endpoint_url: str, settings: CloudSettings, seed: int) -> None:
    where = f"region {settings.region}, account {settings.account_id}, time scale {settings.time_scale:g}"
    lines = [
        f"The local cloud answers at {endpoint_url} ({where}). Ctrl-C stops it and removes everything in it.",
        *([] if settings.faults.name == "calm" else [f"Faults: {settings.faults.name}, seed {seed}."]),
        "",
        f"export AWS_ENDPOINT_URL={endpoint_url}",
        "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test",
        f"export AWS_REGION={settings.region} AWS_DEFAULT_REGION={settings.region}",
        f"export HARNESS_CLOUD_TOKEN={settings.token}  # for {endpoint_url}/_harness/",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # Threads of requests in flight would hold up the interpreter's own way out.
    os._exit(status)
