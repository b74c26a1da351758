"""The command line ``python -m harness.infra``: look at workspaces, make them by hand, and destroy them.

Exit codes: 0 done; 1 something is left, or failed; 2 the command line or a setting can't be used; 3 nothing was done,
because the only workspaces asked for belong to processes that still run; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from harness.cli_output import FAILED, INTERRUPTED, OK, OWNED, USAGE, Command, Output, duration, pairs, shown
from harness.cli_state import catalog_of, location_of
from harness.cli_sweep import add_sweep
from harness.destroy_all import Result, choose, destroy_entries, state_of
from harness.duration import show_duration
from harness.errors import ConfigurationError, HarnessError
from harness.events import EventBus
from harness.infra import Infra
from harness.ledger import Entry, Ledger
from harness.remote import STATE_SETTING, Catalog, Remote
from harness.targets import ENDPOINT_SETTING, TARGET_SETTING, Target, outlives_this_process, target_from_environment
from harness.workspace import state_path

_PIPED_WIDTH = 240


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: By default the process's.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
    )
    # Through a pipe nobody knows the width; names must not be cut.
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    output = Output(options.json, Console(file=sys.stdout, width=width), Console(file=sys.stderr))
    try:
        code: int = options.run(options, output)
    except ConfigurationError as error:
        output.say(str(error))
        return USAGE
    except HarnessError as error:
        output.say(str(error))
        return FAILED
    except KeyboardInterrupt:
        output.say("Interrupted. `python -m harness.infra list` shows what is there.")
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.infra",
        description="Workspaces of the durable functions test harness.",
        epilog="Exit codes: 0 done, 1 something is left or failed, 2 usage or settings, "
        "3 only workspaces of running processes, 130 interrupted.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON on standard output")
    common.add_argument(
        "--state",
        metavar="s3://BUCKET/PREFIX",
        help=f"where states and the shared ledger are (by default {STATE_SETTING})",
    )
    common.add_argument("-v", "--verbose", action="store_true", help="log what is done")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common], help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    command("list", _list, "The workspaces in the ledger.")
    command("status", _status, "One workspace, with its resources.").add_argument("name")
    deploy = command("deploy", _deploy, "Deploy a directory, to stay until it is destroyed.")
    deploy.add_argument("directory", type=Path)
    deploy.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="a variable; JSON or text")
    outputs = command("outputs", _outputs, "A workspace's outputs; sensitive ones are shown as such.")
    outputs.add_argument("name")
    outputs.add_argument("--show-sensitive", action="store_true", help="show their values")
    destroy = command("destroy", _destroy, "Destroy one workspace, verified.")
    destroy.add_argument("name")
    destroy.add_argument("--force", action="store_true", help="although its owner still runs")
    every = command("destroy-all", _destroy_all, "Destroy every workspace whose owner is gone.")
    every.add_argument("--target", choices=("local", "aws"), help="only those of this kind")
    every.add_argument("--older-than", type=duration, metavar="AGE", help="only those older than 90m, 12h, 2d, ...")
    every.add_argument("--dry-run", action="store_true", help="only say what would be destroyed")
    every.add_argument("--yes", action="store_true", help="don't ask before touching an AWS account")
    every.add_argument("--force", action="store_true", help="also those whose owner still runs")
    every.add_argument("--parallel", type=int, default=4, help="destroys at once (4)")
    add_sweep(command)
    return parser


def _list(options: argparse.Namespace, output: Output) -> int:
    catalog = catalog_of(options, output)
    entries, unreadable = catalog.entries()
    rows = [_summary(entry, catalog.remote) for entry in entries]

    def table() -> Table:
        made = Table(box=None)
        for name in ("workspace", "example", "target", "age", "status", "resources", "owner"):
            made.add_column(name, overflow="fold")
        for row in rows:
            made.add_row(*map(str, row.values()))
        return made

    output.data(rows, table)
    for bad in unreadable:
        output.say(str(bad.error))
    return FAILED if unreadable else OK


def _status(options: argparse.Namespace, output: Output) -> int:
    catalog = catalog_of(options, output)
    entry = _entry(options.name, catalog)
    state = state_of(entry, catalog.remote)
    value = {
        **_summary(entry, catalog.remote),
        "example_dir": str(entry.example_dir),
        "directory": str(entry.directory),
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "account": entry.target.account_id,
        "region": entry.target.region,
        "endpoint_url": entry.target.endpoint_url,
        "pid": entry.owner.pid,
        "host": entry.owner.host,
        "logs": str(Ledger().logs / entry.name),
        "state": entry.state or str(state_path(entry)),
        "addresses": [resource.address for resource in state.resources],
    }

    def table() -> Table:
        made = Table(show_header=False, box=None)
        for key, item in value.items():
            text = "\n".join(item) if isinstance(item, list) else str(item)
            made.add_row(key, text)
        return made

    output.data(value, table)
    return OK


def _deploy(options: argparse.Namespace, output: Output) -> int:
    variables = {}
    for text in options.var:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--var {text!r} has no value", hint="Write --var NAME=VALUE.")
        variables[name] = _json_or_text(value)
    bus = EventBus()
    bus.subscribe(output.progress)
    target = _lasting_target()
    infra = Infra(target, bus=bus, state=location_of(options))
    deployment = infra.deploy(options.directory, variables, keep=True)
    value = {"workspace": deployment.workspace.name, "outputs": shown(deployment.outputs, deployment.sensitive)}
    output.data(value, lambda: pairs({"workspace": deployment.workspace.name, **value["outputs"]}))
    output.say(f"Destroy it with: python -m harness.infra destroy {deployment.workspace.name}")
    return OK


def _lasting_target() -> Target:
    """The environment's target, if what is deployed there outlives this command."""
    if not outlives_this_process(os.environ):
        raise ConfigurationError(
            "A local cloud started by this command would end with it, and the deployment too",
            where="environment",
            hint=f"Run `python -m harness.localcloud` in another terminal and set {ENDPOINT_SETTING} to its address, "
            f"or set {TARGET_SETTING}=aws.",
        )
    return target_from_environment()


def _outputs(options: argparse.Namespace, output: Output) -> int:
    catalog = catalog_of(options, output)
    state = state_of(_entry(options.name, catalog), catalog.remote)
    values = shown(state.outputs, frozenset() if options.show_sensitive else state.sensitive)
    output.data(values, lambda: pairs(values))
    return OK


def _destroy(options: argparse.Namespace, output: Output) -> int:
    entry = _entry(options.name, catalog_of(options, output))
    if entry.owner.alive() and not options.force:
        output.data([], lambda: "Nothing was destroyed.")
        output.say(f"{entry.name} belongs to process {entry.owner.pid}, which still runs; --force destroys it anyway.")
        return OWNED
    return _finish(_run([entry], output, parallel=1, force=options.force), [], output)


def _destroy_all(options: argparse.Namespace, output: Output) -> int:
    entries, unreadable = catalog_of(options, output).entries()
    chosen, owned = choose(
        entries, kind=options.target, older_than=options.older_than, now=datetime.now(UTC), force=options.force
    )
    for entry in owned:
        output.say(f"{entry.name} belongs to process {entry.owner.pid} on {entry.owner.host}; left alone.")
    for bad in unreadable:
        output.say(str(bad.error))
    if options.dry_run:
        output.data([entry.name for entry in chosen], lambda: "\n".join(f"would destroy {e.name}" for e in chosen))
        return FAILED if unreadable else OK
    accounts = sorted({entry.target.account_id for entry in chosen if entry.target.kind == "aws"})
    if accounts and not options.yes and not _agreed(accounts, chosen, output):
        return USAGE
    code = _finish(_run(chosen, output, parallel=max(1, options.parallel), force=options.force), unreadable, output)
    return OWNED if code == OK and owned and not chosen else code


def _run(entries: Sequence[Entry], output: Output, *, parallel: int, force: bool) -> list[Result]:
    bus = EventBus()
    bus.subscribe(output.progress)
    return destroy_entries(entries, parallel=parallel, bus=bus, force=force)


def _finish(results: Sequence[Result], unreadable: Sequence[object], output: Output) -> int:
    rows = [asdict(result) for result in results]
    output.data(
        rows,
        lambda: (
            "\n".join(f"{result.workspace}: {result.outcome}{_reason(result.detail)}" for result in results)
            or "Nothing to destroy."
        ),
    )
    return OK if not unreadable and all(result.ok for result in results) else FAILED


def _reason(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _agreed(accounts: Sequence[str], chosen: Sequence[Entry], output: Output) -> bool:
    if not sys.stdin.isatty():
        output.say(f"This touches AWS account {', '.join(accounts)}; say --yes, or --dry-run to see what it would do.")
        return False
    output.say("\n".join(entry.name for entry in chosen))
    return input(f"Destroy these in AWS account {', '.join(accounts)}? Only 'yes' is accepted: ").strip() == "yes"


def _entry(name: str, catalog: Catalog) -> Entry:
    entry = catalog.read(name)
    if entry is None:
        raise ConfigurationError(
            f"There is no workspace {name!r} in the ledger",
            where=str(catalog.ledger.home),
            hint="`python -m harness.infra list` shows those there are; one that was destroyed is gone.",
        )
    return entry


def _summary(entry: Entry, remote: Remote | None) -> dict[str, Any]:
    alive = entry.owner.alive()
    owner: Literal["alive", "gone", "on another host"] = "on another host" if alive is None else "gone"
    try:
        resources: int | str = len(state_of(entry, remote).resources)
    except HarnessError:
        resources = "unreadable state"
    return {
        "workspace": entry.name,
        "example": entry.example,
        "target": entry.target.kind,
        "age": show_duration(datetime.now(UTC) - entry.created_at),
        "status": f"{entry.status} (kept)" if entry.keep else entry.status,
        "resources": resources,
        "owner": "alive" if alive else owner,
    }


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
