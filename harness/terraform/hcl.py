"""What a Terraform module declares, read from its files without running Terraform.

Reads variables, outputs, required providers, module calls, the backend and durable functions. Parsing is
python-hcl2's; JSON syntax (``*.tf.json``) is read as JSON.
https://developer.hashicorp.com/terraform/language/files
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2
from lark.exceptions import LarkError, UnexpectedInput

from harness.errors import ConfigurationError

_OPTIONS = hcl2.SerializationOptions(
    with_comments=False, wrap_objects=True, wrap_tuples=True, preserve_heredocs=False, explicit_blocks=False
)
# python-hcl2 8 keeps what it is inside of in one object for all threads: two that read at once, as deploys do, get
# strings for objects, and so does every later read of the process.
_READING = threading.Lock()
_DURABLE_BLOCK = "durable_config"
DEFAULT_NAMESPACE = "hashicorp"


@dataclass(frozen=True)
class Variable:
    """A ``variable`` block.

    Attributes:
        name: Its name.
        sensitive: Whether it is marked sensitive.
        required: Whether it has no default.
    """

    name: str
    sensitive: bool
    required: bool


@dataclass(frozen=True)
class ProviderRequirement:
    """An entry of ``required_providers``.

    Attributes:
        local_name: The name that the module uses.
        source: ``namespace/type``, or with a registry's host before it.
        version: The version constraint, empty when any will do.
        configuration_aliases: The expression of that name, as written.
    """

    local_name: str
    source: str
    version: str
    configuration_aliases: str | None = None


@dataclass(frozen=True)
class DurableBlock:
    """The ``durable_config`` of one ``aws_lambda_function``.

    Attributes:
        resource: The function resource's name.
        file: The file that holds it.
        arguments: Expressions by argument, ``execution_timeout`` and ``retention_period``.
        tags: The expression of the function's own ``tags``, or None.
        for_each: The dynamic block's ``for_each`` expression; None for a plain block.
        iterator: The dynamic block's iterator.
    """

    resource: str
    file: Path
    arguments: Mapping[str, str]
    tags: str | None
    for_each: str | None = None
    iterator: str = _DURABLE_BLOCK


@dataclass(frozen=True)
class Module:
    """What the files of one directory declare.

    Attributes:
        directory: The directory.
        files: Its Terraform files, sorted.
        variables: By name.
        outputs: Each output's name, and whether it is marked sensitive.
        providers: The ``required_providers`` entries, by local name.
        calls: Each module call's name and source.
        backend: The backend's type, ``cloud`` for a cloud block, None when neither is declared.
        durable_functions: Every ``durable_config`` found.
        resources: The type of every resource declared, such as ``aws_iam_role``, repeated as often as it is declared.
    """

    directory: Path
    files: tuple[Path, ...]
    variables: Mapping[str, Variable]
    outputs: Mapping[str, bool]
    providers: Mapping[str, ProviderRequirement]
    calls: Mapping[str, str]
    backend: str | None
    durable_functions: tuple[DurableBlock, ...]
    resources: tuple[str, ...] = ()

    @property
    def local_calls(self) -> tuple[str, ...]:
        """The sources that are relative paths, which is what Terraform calls local."""
        return tuple(
            source for source in self.calls.values() if source.startswith(("./", "../")) or source in {".", ".."}
        )


def terraform_files(directory: Path) -> tuple[Path, ...]:
    """The files that Terraform reads in a directory, overrides last as Terraform merges them.

    Raises:
        ConfigurationError: There is no such directory, or nothing in it for Terraform.
    """
    try:
        found_directory = directory.is_dir()
    except OSError:
        found_directory = False  # no file system takes such a name
    if not found_directory:
        raise ConfigurationError(
            "There is no such directory", where=str(directory), hint="Name a folder that holds a Terraform root module."
        )
    found = [
        path
        for path in directory.iterdir()
        if path.name.endswith((".tf", ".tf.json")) and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise ConfigurationError(
            "The directory has no Terraform files (*.tf, *.tf.json)",
            where=str(directory),
            hint="Name the folder that holds the root module itself, not one above it.",
        )
    return tuple(sorted(found, key=lambda path: (_is_override(path), path.name)))


def _is_override(path: Path) -> bool:
    stem = path.name.removesuffix(".json").removesuffix(".tf")
    return stem == "override" or stem.endswith("_override")


def read_module(directory: Path) -> Module:
    """Read what the Terraform files of ``directory`` declare.

    Raises:
        ConfigurationError: There is nothing to read, or a file isn't valid HCL; the message names file and line.
    """
    files = terraform_files(directory)
    variables: dict[str, Variable] = {}
    outputs: dict[str, bool] = {}
    providers: dict[str, ProviderRequirement] = {}
    calls: dict[str, str] = {}
    backend: str | None = None
    durable: dict[str, DurableBlock] = {}
    kinds: dict[tuple[str, str], str] = {}
    for file in files:
        content = _parse(file)
        for name, body in _labelled(content.get("variable")):
            variables[name] = Variable(name, sensitive=_is_true(body.get("sensitive")), required="default" not in body)
        for name, body in _labelled(content.get("output")):
            outputs[name] = _is_true(body.get("sensitive"))
        for name, body in _labelled(content.get("module")):
            if "source" in body:
                calls[name] = literal(body["source"])
        for settings in _bodies(content.get("terraform")):
            for kind, _ in _labelled(settings.get("backend")):
                backend = kind
            if "cloud" in settings:
                backend = "cloud"
            for required in _bodies(settings.get("required_providers")):
                for name, value in required.items():
                    providers[name] = _requirement(name, value)
        for kind, resources in _labelled(content.get("resource")):
            kinds.update({(kind, literal(name)): kind for name in resources})
            if kind == "aws_lambda_function":
                for name, value in resources.items():
                    for body in _bodies(value):
                        block = _durable_block(literal(name), file, body)
                        if block is not None:
                            durable[block.resource] = block
    return Module(
        directory,
        files,
        variables,
        outputs,
        providers,
        calls,
        backend,
        tuple(durable.values()),
        tuple(kinds.values()),
    )


def expression(value: Any) -> str:
    """A parsed value as the HCL expression that it was written as."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if value.startswith("${") and value.endswith("}"):
            return value[2:-1]
        return value
    return str(value)


def literal(value: Any) -> str:
    """A parsed string literal without its quotes."""
    text = str(value)
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text


def cut_dynamic_blocks(text: str, block: str = _DURABLE_BLOCK) -> str:
    """HCL source without its ``dynamic`` blocks of the given type; line numbers stay what they were."""
    cuts: list[tuple[int, int]] = []
    for node in hcl2.parses_to_tree(text).iter_subtrees():
        if node.data != "block":
            continue
        labels = [_token_text(child) for child in node.children[:2]]
        if labels == ["dynamic", f'"{block}"']:
            end = max((token.end_pos for token in node.scan_values(lambda _: True)), default=node.meta.end_pos)
            cuts.append((node.meta.start_pos, end))
    for start, end in sorted(cuts, reverse=True):
        text = text[:start] + "\n" * text.count("\n", start, end) + text[end:]
    return text


def _token_text(node: Any) -> str:
    if hasattr(node, "scan_values"):
        return "".join(str(token) for token in node.scan_values(lambda _: True)).strip()
    return str(node).strip()


def _parse(file: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        parsed = json.loads(text) if file.name.endswith(".json") else _loads(text, _OPTIONS)
    except UnexpectedInput as error:
        # An error at the end of the input has line -1: the last line is where the user has to look.
        line = error.line if error.line > 0 else text.count("\n") + 1
        raise ConfigurationError(
            f"The file isn't valid HCL: {_first_line(error)}",
            where=f"{file}:{line}",
            hint="Run `terraform fmt` on it: it shows the same place.",
        ) from error
    except (LarkError, ValueError) as error:
        raise ConfigurationError(
            f"The file can't be read as Terraform configuration: {_first_line(error)}",
            where=str(file),
            hint="Terraform files are UTF-8 text in HCL, or JSON for *.tf.json.",
        ) from error
    if not isinstance(parsed, dict):
        raise ConfigurationError("The file holds no object", where=str(file), hint="See Terraform's JSON syntax.")
    return parsed


def _loads(text: str, options: hcl2.SerializationOptions) -> Any:
    with _READING:
        return hcl2.loads(text, serialization_options=options)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _bodies(value: Any) -> Iterator[Mapping[str, Any]]:
    """The bodies of a block: HCL gives a list of them, JSON may give one."""
    for body in value if isinstance(value, list) else [value]:
        if isinstance(body, dict):
            yield body


def _labelled(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for block in _bodies(value):
        for label, bodies in block.items():
            for body in _bodies(bodies):
                yield literal(label), body


def _is_true(value: Any) -> bool:
    return value is True or expression(value) == "true"


def _requirement(name: str, value: Any) -> ProviderRequirement:
    fields: Mapping[str, Any] = {}
    if isinstance(value, dict):
        fields = value
    elif isinstance(value, str):
        text = expression(value).strip()
        if text.startswith("{"):
            fields = _loads(f"value = {text}", hcl2.SerializationOptions(wrap_tuples=True))["value"]
        else:
            # The form that Terraform 0.12 introduced: `aws = ">= 6.25"`.
            fields = {"version": value}
    aliases = fields.get("configuration_aliases")
    return ProviderRequirement(
        local_name=name,
        source=literal(fields.get("source", f"{DEFAULT_NAMESPACE}/{name}")),
        version=literal(fields.get("version", "")),
        configuration_aliases=None if aliases is None else expression(aliases),
    )


def _durable_block(resource: str, file: Path, body: Mapping[str, Any]) -> DurableBlock | None:
    tags = expression(body["tags"]) if "tags" in body else None
    for block in _bodies(body.get(_DURABLE_BLOCK)):
        return DurableBlock(resource, file, _arguments(block), tags)
    for kind, dynamic in _labelled(body.get("dynamic")):
        if kind == _DURABLE_BLOCK:
            content = next(_bodies(dynamic.get("content")), {})
            iterator = expression(dynamic["iterator"]) if "iterator" in dynamic else _DURABLE_BLOCK
            return DurableBlock(
                resource, file, _arguments(content), tags, expression(dynamic.get("for_each")), iterator
            )
    return None


def _arguments(block: Mapping[str, Any]) -> dict[str, str]:
    return {name: expression(value) for name, value in block.items() if not name.startswith("__")}
