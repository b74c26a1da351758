"""Finds and removes what no ledger knows any more: orphans, by their tags and by their names.

Everything that the harness deploys is tagged with its workspace and with the time from which nobody should need it.
When both ledger and state are lost, such as with a CI machine's disk, the tags are what is left. The tagging API
doesn't cover IAM: roles and policies are listed, and each one's tags are read. What has no tags, such as a log group
that late logs created again, is found by its name once the example is named.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from botocore.exceptions import ClientError

from harness.errors import ConfigurationError
from harness.ledger import Entry
from harness.leftovers import EXPIRES_TAG, WORKSPACE_TAG, Clients, Leftover, find, listed, remove
from harness.waiters import is_not_found
from harness.workspace import EXPIRES_AFTER, clean_example

# A name that the harness could have given, see docs/architecture.md. A tag may say anything, and a suffix that is no
# suffix, such as an empty one, would match every name in the account.
_WORKSPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,39})-(?P<suffix>[a-z0-9]{8})")
# Searches after a removal, each after removing what the one before found.
_ROUNDS = 3
# Reads of IAM's tags at once; its API allows few calls a second.
_IAM_READERS = 4

Verdict = Literal["orphan", "too young", "in the ledger", "removed", "left"]


@dataclass(frozen=True)
class Orphan:
    """What one workspace that nobody knows left behind.

    Attributes:
        workspace: Its name, from the tags or from the names.
        verdict: ``orphan`` is to be removed; ``too young`` may still be in use; ``in the ledger`` belongs to
            ``destroy-all``; ``removed`` and ``left`` are what came of a removal.
        expires_at: When nobody should need it any more, None when nothing says so.
        resources: What was found of it; after a removal, what is still there.
        detail: Why it is left alone, or couldn't be searched or removed.
    """

    workspace: str
    verdict: Verdict
    expires_at: datetime | None
    resources: tuple[Leftover, ...]
    detail: str = ""


Known = Callable[[str], Entry | None]
"""Gives the ledger's entry of a workspace, None when it has none; raises ConfigurationError when it can't be read."""


@dataclass(frozen=True)
class _Mark:
    """What says that a workspace existed."""

    suffix: str
    expires_at: datetime | None = None
    by_tag: bool = True


def look(
    clients: Clients,
    known: Known,
    *,
    now: datetime,
    older_than: timedelta | None = None,
    examples: Sequence[str] = (),
) -> list[Orphan]:
    """Everything in the target's account and region that carries the harness's mark, workspace by workspace.

    Args:
        clients: The target's clients.
        known: Reads the ledger.
        now: The time, UTC.
        older_than: Only what was deployed longer ago is an orphan; by default only what has expired.
        examples: Names of examples whose resources are also looked for by name alone.
    """
    marks = _marks(clients)
    patterns = [
        re.compile(rf"(?<![a-z0-9])({re.escape(clean_example(name))}-[a-z0-9]{{8}})(?![a-z0-9])") for name in examples
    ]
    everything = list(listed(clients)) if patterns else []
    for leftover, _ in everything:
        for pattern in patterns:
            for match in pattern.finditer(leftover.name):
                marks.setdefault(match[1], _Mark(match[1].rpartition("-")[2], by_tag=False))
    orphans = []
    for workspace, mark in sorted(marks.items()):
        if mark.by_tag:
            findings = find(clients, workspace, mark.suffix)
            resources, unverified = findings.leftovers, findings.unverified
            created = mark.expires_at - EXPIRES_AFTER if mark.expires_at else None
        else:
            # Eight letters may be a word that other names hold, too: the whole of the name has to match.
            mine = [(leftover, when) for leftover, when in everything if _names(leftover.name, workspace)]
            resources, unverified = tuple(leftover for leftover, _ in mine), ()
            times = [when() for _, when in mine]
            created = max((time for time in times if time), default=None) if all(times) else None
        if not resources:
            continue  # the tagging API goes on listing what was deleted
        verdict, reason = _judge(workspace, known, mark, created, now=now, older_than=older_than)
        detail = "; ".join([*([reason] if reason else []), *(f"not searched: {text}" for text in unverified)])
        orphans.append(Orphan(workspace, verdict, mark.expires_at, resources, detail))
    return orphans


def sweep(clients: Clients, orphans: Iterable[Orphan]) -> Iterator[Orphan]:
    """Remove what `look` called orphans; the others are passed on as they are."""
    for orphan in orphans:
        yield _remove(clients, orphan) if orphan.verdict == "orphan" else orphan


def _remove(clients: Clients, orphan: Orphan) -> Orphan:
    suffix = orphan.workspace.rpartition("-")[2]
    left = orphan.resources
    for _ in range(_ROUNDS):
        remove(clients, left)
        # Only what was judged is touched: what else carries the suffix was made in the meantime.
        left = tuple(item for item in find(clients, orphan.workspace, suffix).leftovers if item in orphan.resources)
        if not left:
            return replace(orphan, verdict="removed", resources=orphan.resources)
    return replace(orphan, verdict="left", resources=left, detail="it couldn't be deleted; delete it by hand")


def _judge(
    workspace: str,
    known: Known,
    mark: _Mark,
    created: datetime | None,
    *,
    now: datetime,
    older_than: timedelta | None,
) -> tuple[Verdict, str]:
    try:
        entry = known(workspace)
    except ConfigurationError as error:
        return "in the ledger", error.what
    if entry is not None:
        owner = "whose owner still runs" if entry.owner.alive() else "which `destroy` and `destroy-all` remove"
        return "in the ledger", f"a workspace in the ledger, {owner}"
    if older_than is None and mark.expires_at is not None:
        young = now < mark.expires_at
        return ("too young", f"expires {mark.expires_at:%Y-%m-%d %H:%M} UTC") if young else ("orphan", "")
    if created is None:
        return "too young", "nothing says how old it is"
    limit = older_than if older_than is not None else EXPIRES_AFTER
    return ("too young", f"created {created:%Y-%m-%d %H:%M} UTC") if now - created <= limit else ("orphan", "")


def _marks(clients: Clients) -> dict[str, _Mark]:
    """The workspaces that tags name."""
    marks: dict[str, _Mark] = {}
    for tags in _tag_sets(clients):
        name = tags.get(WORKSPACE_TAG, "")
        match = _WORKSPACE.fullmatch(name)
        if match is None:
            continue
        expires = _time(tags.get(EXPIRES_TAG))
        before = marks.get(name)
        if before is not None and before.expires_at and expires:
            # Whatever is tagged with the later time decides.
            expires = max(expires, before.expires_at)
        marks[name] = _Mark(match["suffix"], expires or (before.expires_at if before else None))
    return marks


def _tag_sets(clients: Clients) -> Iterator[Mapping[str, str]]:
    for page in clients.pages("resourcegroupstaggingapi", "get_resources", TagFilters=[{"Key": WORKSPACE_TAG}]):
        for item in page["ResourceTagMappingList"]:
            yield _tags(item["Tags"])
    roles = [
        role["RoleName"]
        for page in clients.pages("iam", "list_roles")
        for role in page["Roles"]
        # AWS's own, which nobody can tag.
        if not role.get("Path", "/").startswith("/aws-service-role/")
    ]
    policies = [
        policy["Arn"] for page in clients.pages("iam", "list_policies", Scope="Local") for policy in page["Policies"]
    ]

    def read(operation: str, **which: str) -> Mapping[str, str]:
        try:
            pages = list(clients.pages("iam", operation, **which))
        except ClientError as error:
            if is_not_found(error):
                return {}  # deleted since it was listed
            raise
        return _tags([tag for page in pages for tag in page["Tags"]])

    with ThreadPoolExecutor(max_workers=_IAM_READERS, thread_name_prefix="sweep") as pool:
        yield from pool.map(lambda name: read("list_role_tags", RoleName=name), roles)
        yield from pool.map(lambda arn: read("list_policy_tags", PolicyArn=arn), policies)


def _tags(pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in pairs}


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _names(name: str, workspace: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(workspace)}(?![a-z0-9])", name) is not None
