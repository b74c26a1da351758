"""Which ledgers a command looks into: this machine's, and the one beside the states in S3."""

from __future__ import annotations

import argparse
import os

from harness.cli_output import Output
from harness.ledger import Ledger
from harness.remote import Catalog, Location, Remote, location_from
from harness.targets import ENDPOINT_SETTING, TARGET_SETTING, outlives_this_process, target_from_environment


def location_of(options: argparse.Namespace) -> Location | None:
    """The location that ``--state`` or the environment names, None when neither does.

    Raises:
        ConfigurationError: It can't be used.
    """
    return Location.parse(options.state) if options.state else location_from(os.environ)


def catalog_of(options: argparse.Namespace, output: Output) -> Catalog:
    """The ledgers to look into.

    Raises:
        ConfigurationError: The bucket isn't there, or a setting can't be used.
        CredentialsError, AccountNotAllowedError: The bucket's account can't be reached.
    """
    ledger = Ledger()
    location = location_of(options)
    if location is None:
        return Catalog(ledger)
    if not outlives_this_process(os.environ):
        output.say(
            f"{location.url} isn't looked into: {TARGET_SETTING} is local, and {ENDPOINT_SETTING}, where the bucket "
            f"would be, isn't set. Set it, or {TARGET_SETTING}=aws."
        )
        return Catalog(ledger)
    remote = Remote(location, target_from_environment())
    remote.check()
    return Catalog(ledger, remote)
