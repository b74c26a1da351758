"""Errors that say what failed, where, and what to do next.

Everything the harness raises on purpose derives from `HarnessError`, but for `harness.waiters.WaitTimeout`, which
is a `TimeoutError` because callers of waiters expect one.
"""

from __future__ import annotations


class HarnessError(Exception):
    """A failure that a person has to act on.

    Args:
        what: What failed, as a sentence without its full stop.
        where: The example, workspace, file or command that it happened in.
        hint: What to do next.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        lines = [what if what.endswith((".", ":", "\n")) else f"{what}."]
        if where:
            lines.append(f"  where: {where}")
        if hint:
            lines.append(f"  next:  {hint}")
        super().__init__("\n".join(lines))


class ConfigurationError(HarnessError):
    """A setting, an argument or a file of the user's can't be used as it is."""


class CredentialsError(HarnessError):
    """AWS credentials are missing, expired or refused."""


class AccountNotAllowedError(HarnessError):
    """The credentials belong to an account that the allow-list doesn't name."""


class LocalCloudError(HarnessError):
    """The local cloud can't be started, or ended while it was needed."""


class PackagingError(HarnessError):
    """A function's zip can't be built."""


class TerraformError(HarnessError):
    """Terraform, or something it needs, failed."""


class TerraformNotFoundError(TerraformError):
    """No Terraform executable was found."""


class TerraformVersionError(TerraformError):
    """The Terraform that was found is too old."""


class ProviderNotFoundError(TerraformError):
    """A provider that the configuration requires can't be had."""


class LeakError(HarnessError):
    """After a teardown something is still there; the message lists it and the command that removes it."""
