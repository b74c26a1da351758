"""``python -m harness.infra sweep``: what no ledger knows any more."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from rich.table import Table

from harness.cli_output import FAILED, OK, Command, Output, duration
from harness.cli_state import location_of
from harness.errors import AccountNotAllowedError, ConfigurationError
from harness.ledger import Ledger
from harness.leftovers import Clients
from harness.remote import Catalog, Remote
from harness.sweep import Orphan, look, sweep
from harness.targets import ENDPOINT_SETTING, TARGET_SETTING, Target, target_from_environment


def add_sweep(command: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = command("sweep", _sweep, "Find what no ledger knows any more, by tag and by name; --yes removes it.")
    parser.add_argument("--yes", action="store_true", help="remove what was found; without it nothing is touched")
    parser.add_argument("--target", choices=("local", "aws"), help=f"where to look (by default {TARGET_SETTING})")
    parser.add_argument("--account", metavar="ID", help="the AWS account; required with --yes on target aws")
    parser.add_argument(
        "--older-than", type=duration, metavar="AGE", help="what was deployed longer ago (by default what has expired)"
    )
    parser.add_argument(
        "--example",
        action="append",
        default=[],
        metavar="NAME",
        help="also find by name alone, without tags, what this example's workspaces left; may be repeated",
    )


def _sweep(options: argparse.Namespace, output: Output) -> int:
    target = _target(options)
    clients = Clients(target)
    location = location_of(options)
    found = look(
        clients,
        Catalog(Ledger(), Remote(location, target) if location else None).read,
        now=datetime.now(UTC),
        older_than=options.older_than,
        examples=options.example,
    )
    if options.yes:
        found = list(sweep(clients, found))
    output.data([asdict(orphan) for orphan in found], lambda: _table(found) if found else f"No orphans on {target}.")
    waiting = sum(orphan.verdict == "orphan" for orphan in found)
    if waiting:
        output.say(f"{waiting} workspace(s) on {target} can be removed: repeat with --yes.")
    return FAILED if any(orphan.verdict == "left" for orphan in found) else OK


def _target(options: argparse.Namespace) -> Target:
    environ = dict(os.environ)
    if options.target:
        environ[TARGET_SETTING] = options.target
    kind = environ.get(TARGET_SETTING) or "local"
    if kind == "local" and not environ.get(ENDPOINT_SETTING):
        raise ConfigurationError(
            "A local cloud that this command started would be empty",
            where="environment",
            hint=f"Set {ENDPOINT_SETTING} to the address of the one to sweep, or use --target aws.",
        )
    if kind == "aws" and options.yes and not options.account:
        raise ConfigurationError(
            "Removing from an AWS account needs its number",
            where="sweep",
            hint="Add --account ID; without --yes nothing is touched, and none is needed.",
        )
    target = target_from_environment(environ)
    if options.account and target.account_id != options.account:
        raise AccountNotAllowedError(
            f"The credentials belong to account {target.account_id}, not to {options.account}",
            where=str(target),
            hint="Use credentials of the account that is to be swept.",
        )
    return target


def _table(found: list[Orphan]) -> Table:
    table = Table("workspace", "verdict", "resources", "detail", box=None)
    for orphan in found:
        table.add_row(orphan.workspace, orphan.verdict, "\n".join(map(str, orphan.resources)), orphan.detail)
    return table
