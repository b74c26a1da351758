"""Workspaces whose state is in S3, beside all that another machine needs to destroy them.

One setting, ``HARNESS_STATE=s3://BUCKET/PREFIX``, gives every workspace three objects in a bucket of the target's own
account:

- ``PREFIX/state/WORKSPACE/terraform.tfstate``: Terraform's state, by its S3 backend with ``use_lockfile``;
- ``PREFIX/workspaces/WORKSPACE.tar.gz``: staged files, variables and the function's zip;
- ``PREFIX/ledger/WORKSPACE.json``: the ledger's entry, written before anything is created, removed last.

State and archive hold values of sensitive variables: they are encrypted at rest, with S3's own key or with the KMS key
that the setting names, and whoever may read the bucket reads them.
https://developer.hashicorp.com/terraform/language/backend/s3
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from harness.errors import ConfigurationError
from harness.ledger import Entry, Ledger, Unreadable
from harness.targets import Target
from harness.terraform.state import EMPTY, State, parse_state
from harness.waiters import THROTTLE, Failure, call, is_not_found

STATE_SETTING = "HARNESS_STATE"
_STATE_KEY = "terraform.tfstate"
_HINT = f"Such as {STATE_SETTING}=s3://my-bucket/durable-harness?region=eu-west-1"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]+")
_OPTIONS = {"region", "kms_key_id"}


@dataclass(frozen=True)
class Location:
    """Where states are.

    Attributes:
        bucket: The bucket, which has to exist.
        prefix: What all keys begin with, without slashes at its ends.
        region: The bucket's region; None is the target's.
        kms_key_id: The KMS key to encrypt with; None leaves it to S3's own.
    """

    bucket: str
    prefix: str
    region: str | None = None
    kms_key_id: str | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read ``s3://BUCKET/PREFIX?region=REGION&kms_key_id=KEY``; prefix and options may be left out.

        Raises:
            ConfigurationError: It is something else.
        """
        parts = urlsplit(text)
        prefix = parts.path.strip("/") or "durable-harness"
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        wrong = None
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc):
            wrong = "it doesn't begin with s3:// and a bucket's name"
        elif not _PREFIX.fullmatch(prefix) or {".", "..", ""} & set(prefix.split("/")):
            wrong = f"{prefix!r} can't be a prefix of keys"
        elif set(options) - _OPTIONS or not all(options.values()):
            wrong = f"the only options are {' and '.join(sorted(_OPTIONS))}, with values"
        if wrong:
            raise ConfigurationError(f"{text!r} is no place for states: {wrong}", where=STATE_SETTING, hint=_HINT)
        return cls(parts.netloc, prefix, options.get("region"), options.get("kms_key_id"))

    @property
    def url(self) -> str:
        """As `parse` reads it."""
        options = {"region": self.region, "kms_key_id": self.kms_key_id}
        query = urlencode({name: value for name, value in options.items() if value})
        return f"s3://{self.bucket}/{quote(self.prefix)}{'?' if query else ''}{query}"

    def backend(self, region: str) -> dict[str, str | bool]:
        """The arguments of Terraform's ``backend "s3"``; the same for every workspace."""
        arguments: dict[str, str | bool] = {
            "bucket": self.bucket,
            "key": _STATE_KEY,
            "workspace_key_prefix": f"{self.prefix}/state",
            "region": self.region or region,
            "use_lockfile": True,
            "encrypt": True,
        }
        return {**arguments, "kms_key_id": self.kms_key_id} if self.kms_key_id else arguments


class Remote:
    """The objects of one location, reached with a target's credentials. Shared by threads.

    Args:
        location: Where.
        target: Whose credentials and endpoint.
    """

    def __init__(self, location: Location, target: Target) -> None:
        self.location = location
        self.backend = location.backend(target.region)
        self._policy = target.policy(THROTTLE)
        self._client = replace(target, region=location.region or target.region).client("s3")

    def check(self) -> None:
        """Look whether the bucket is there.

        Raises:
            ConfigurationError: It isn't, or may not be used.
        """
        with self._speaking_of("the bucket"):
            self._call("head_bucket")

    def write(self, entry: Entry) -> None:
        """Write a workspace's entry; it is stored when this returns.

        Raises:
            ConfigurationError: It can't be written.
        """
        with self._speaking_of("the ledger"):
            body = json.dumps(entry.to_json(), indent=1).encode()
            self._call("put_object", Key=self._ledger_key(entry.name), Body=body, **self._encrypted)

    def read(self, name: str) -> Entry | None:
        """The entry of that name, None when there is none.

        Raises:
            ConfigurationError: It can't be read.
        """
        body = self._get(self._ledger_key(name), "the ledger")
        return (
            None if body is None else Ledger.parse(body.decode("utf-8", "replace"), self._where(self._ledger_key(name)))
        )

    def entries(self) -> tuple[list[Entry], list[Unreadable]]:
        """All entries, and those that can't be read."""
        found: list[Entry] = []
        unreadable: list[Unreadable] = []
        for key in self._keys(f"{self.location.prefix}/ledger/"):
            try:
                entry = self.read(key.rpartition("/")[2].removesuffix(".json"))
            except ConfigurationError as error:
                unreadable.append(Unreadable(Path(self._where(key)), error))
                continue
            if entry is not None:
                found.append(entry)
        return found, unreadable

    def state(self, name: str) -> State | None:
        """A workspace's state; None when Terraform never wrote one.

        Raises:
            TerraformError: It can't be read.
        """
        key = self._state_key(name)
        body = self._get(key, "the state")
        return None if body is None else parse_state(body.decode("utf-8", "replace"), self._where(key))

    def store(self, entry: Entry, names: tuple[str, ...]) -> None:
        """Store what another machine needs to destroy a workspace: these files and folders of its own folder.

        Raises:
            ConfigurationError: It can't be stored.
        """
        with tempfile.TemporaryFile(dir=entry.directory) as file:
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for name in names:
                    if (entry.directory / name).exists():
                        archive.add(entry.directory / name, arcname=name)
            file.seek(0)
            with self._speaking_of("a workspace's files"):
                self._call("put_object", Key=self._archive_key(entry.name), Body=file, **self._encrypted)

    def fetch(self, entry: Entry) -> bool:
        """Unpack what `store` stored into the workspace's folder; whether there was something.

        Raises:
            ConfigurationError: It can't be fetched or unpacked.
        """
        body = self._get(self._archive_key(entry.name), "a workspace's files")
        if body is None:
            return False
        entry.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=entry.directory) as file:
            file.write(body)
            file.seek(0)
            _unpack(file, entry.directory, self._where(self._archive_key(entry.name)))
        return True

    def forget(self, name: str) -> None:
        """Delete a workspace's objects, whose destroy is verified; the ledger's comes last.

        Raises:
            ConfigurationError: They can't be deleted.
        """
        state = self._state_key(name)
        with self._speaking_of("the ledger"):
            for key in (state, f"{state}.tflock", self._archive_key(name), self._ledger_key(name)):
                self._call("delete_object", Key=key)

    @property
    def _encrypted(self) -> Mapping[str, str]:
        key = self.location.kms_key_id
        if key:
            return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        return {"ServerSideEncryption": "AES256"}

    def _ledger_key(self, name: str) -> str:
        return f"{self.location.prefix}/ledger/{name}.json"

    def _archive_key(self, name: str) -> str:
        return f"{self.location.prefix}/workspaces/{name}.tar.gz"

    def _state_key(self, name: str) -> str:
        return f"{self.location.prefix}/state/{name}/{_STATE_KEY}"

    def _where(self, key: str) -> str:
        return f"s3://{self.location.bucket}/{key}"

    def _call(self, operation: str, **arguments: Any) -> Any:
        method: Callable[..., Any] = getattr(self._client, operation)
        return call(
            lambda: method(Bucket=self.location.bucket, **arguments), policy=self._policy, what=f"s3 {operation}"
        )

    def _get(self, key: str, what: str) -> bytes | None:
        with self._speaking_of(what):
            try:
                body: bytes = self._call("get_object", Key=key)["Body"].read()
            except ClientError as error:
                if Failure.of(error).code == "NoSuchKey":
                    return None
                raise
            return body

    def _keys(self, prefix: str) -> Iterator[str]:
        token: dict[str, str] = {}
        while True:
            with self._speaking_of("the ledger"):
                page = self._call("list_objects_v2", Prefix=prefix, **token)
            yield from (item["Key"] for item in page.get("Contents", []))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    @contextmanager
    def _speaking_of(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            missing = isinstance(error, ClientError) and (is_not_found(error) or Failure.of(error).code == "404")
            raise ConfigurationError(
                f"S3 doesn't hold {what}: {error}",
                where=self.location.url,
                hint="Create the bucket; the harness doesn't."
                if missing
                else f"The credentials must be allowed to list the bucket, and to get, put and delete objects below "
                f"{self.location.prefix}/.",
            ) from error


class Catalog:
    """The workspaces in this machine's ledger, and those in S3.

    Args:
        ledger: This machine's.
        remote: The other, if there is one.
    """

    def __init__(self, ledger: Ledger, remote: Remote | None = None) -> None:
        self.ledger = ledger
        self.remote = remote

    def read(self, name: str) -> Entry | None:
        """The entry of that name; this machine's own knows where its files are.

        Raises:
            ConfigurationError: It can't be read.
        """
        entry = self.ledger.read(name)
        if entry is None and self.remote is not None and re.fullmatch(r"[a-z0-9-]{1,60}", name):
            found = self.remote.read(name)
            return None if found is None else found.moved_to(self.ledger.workspaces)
        return entry

    def entries(self) -> tuple[list[Entry], list[Unreadable]]:
        """All entries, oldest first, and those that can't be read."""
        found, unreadable = self.ledger.entries()
        if self.remote is not None:
            here = {entry.name for entry in found} | {bad.path.stem for bad in unreadable}
            others, damaged = self.remote.entries()
            for entry in others:
                if entry.name in here:
                    continue
                try:
                    found.append(entry.moved_to(self.ledger.workspaces))
                except ConfigurationError as error:
                    damaged.append(Unreadable(Path(entry.name), error))
            unreadable += damaged
        return sorted(found, key=lambda entry: entry.created_at), unreadable


def location_from(environ: Mapping[str, str]) -> Location | None:
    """The location that ``HARNESS_STATE`` names, None when it isn't set.

    Raises:
        ConfigurationError: It can't be used.
    """
    text = environ.get(STATE_SETTING)
    return Location.parse(text) if text else None


def state_or_empty(remote: Remote, name: str) -> State:
    """A workspace's state; one that doesn't exist is empty."""
    return remote.state(name) or EMPTY


def _unpack(file: IO[bytes], folder: Path, where: str) -> None:
    try:
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigurationError(
            f"The workspace's files can't be unpacked: {error}",
            where=where,
            hint="Terraform's state beside them names what is to be destroyed.",
        ) from error
