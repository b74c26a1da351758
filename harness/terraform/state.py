"""Reads a local state file: outputs and what is deployed.

The file's format is version 4 since Terraform 0.12; it is read because the ``output`` command costs 0.6 s and the
``-json`` events leave out sensitive values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TerraformError

_FORMAT = 4


@dataclass(frozen=True)
class Resource:
    """One managed resource instance.

    Attributes:
        address: Such as ``module.function.aws_lambda_function.this[0]``.
        kind: Its type, such as ``aws_lambda_function``.
        attributes: Its attributes; may hold secrets.
    """

    address: str
    kind: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class State:
    """A state.

    Attributes:
        outputs: Values by name, the sensitive ones included.
        sensitive: The names of sensitive outputs.
        resources: The managed resource instances.
    """

    outputs: Mapping[str, Any]
    sensitive: frozenset[str]
    resources: tuple[Resource, ...]

    def names(self, kind: str, attribute: str) -> tuple[str, ...]:
        """An attribute of every resource of a type, where it is a string that isn't empty."""
        values = (resource.attributes.get(attribute) for resource in self.resources if resource.kind == kind)
        return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def local_state_path(root: Path, workspace: str) -> Path:
    """Where the local backend keeps the state of a Terraform workspace.

    https://developer.hashicorp.com/terraform/language/backend/local
    """
    return root / "terraform.tfstate.d" / workspace / "terraform.tfstate"


EMPTY = State({}, frozenset(), ())


def read_state(path: Path) -> State:
    """Read a state file; one that doesn't exist, or is empty, is an empty state.

    Raises:
        TerraformError: The file is cut short, or of another format. It is left as it is.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return EMPTY
    return parse_state(
        text,
        str(path),
        f"The one before it is {path.name}.backup in the same folder; put that in its place and try again.",
    )


def parse_state(text: str, where: str, hint: str = "An earlier version of the object may be whole.") -> State:
    """Read a state's text; an empty one is an empty state.

    Args:
        text: The text.
        where: Where it comes from, for errors.
        hint: What to do when it can't be read.

    Raises:
        TerraformError: It is cut short, or of another format.
    """
    if not text.strip():
        return EMPTY
    try:
        document = json.loads(text)
        if document["version"] != _FORMAT:
            raise TerraformError(
                f"The state has format version {document['version']}, only {_FORMAT} is known",
                where=where,
                hint="Use the Terraform release that wrote it, or a later version of the harness.",
            )
        outputs = document.get("outputs", {})
        return State(
            {name: output["value"] for name, output in outputs.items()},
            frozenset(name for name, output in outputs.items() if output.get("sensitive")),
            tuple(_resources(document.get("resources", []))),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TerraformError(
            "The state can't be read: it is cut short or was edited", where=where, hint=hint
        ) from error


def _resources(entries: list[dict[str, Any]]) -> list[Resource]:
    found: list[Resource] = []
    for entry in entries:
        if entry.get("mode") != "managed":
            continue
        base = f"{entry['type']}.{entry['name']}"
        if entry.get("module"):
            base = f"{entry['module']}.{base}"
        for instance in entry.get("instances", []):
            key = instance.get("index_key")
            address = base if key is None else f"{base}[{json.dumps(key)}]"
            found.append(Resource(address, entry["type"], instance.get("attributes") or {}))
    return found
