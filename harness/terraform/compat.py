"""Runs files written for AWS provider >= 6.25 on an older provider, in the staged copy only.

``durable_config`` came with provider 6.25.0. Once an override file touches a resource, Terraform reads it leniently
and ignores blocks that the provider doesn't know; so one generated override per staged module pins the provider that
is at hand and carries the durable configuration in tags, from the same expressions. The local cloud reads those tags.
A ``dynamic`` block isn't read leniently and is cut out of the staged file.
https://developer.hashicorp.com/terraform/language/files/override
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lambda_function#durable_config
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.terraform.hcl import DurableBlock, Module, ProviderRequirement, cut_dynamic_blocks
from harness.terraform.stage import LOCK_FILE, StagedTree

OVERRIDE_FILE = "zz_compat_override.tf"
AWS_SOURCE = "hashicorp/aws"
TAG_PREFIX = "durable:"


def apply_compat(staged: StagedTree, pins: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the overrides into a staged copy.

    Args:
        staged: The copy.
        pins: The exact version to pin, by provider source such as ``hashicorp/aws``.

    Returns:
        The override files written.
    """
    written: list[Path] = []
    for directory, module in staged.modules.items():
        text = override_text(module, pins)
        if text:
            path = directory / OVERRIDE_FILE
            path.write_text(text, encoding="utf-8")
            written.append(path)
        for block in module.durable_functions:
            if block.for_each is not None:
                file = directory / block.file.name
                file.write_text(cut_dynamic_blocks(file.read_text(encoding="utf-8")), encoding="utf-8")
    # A lock file that came along pins a provider that this copy doesn't use.
    (staged.root / LOCK_FILE).unlink(missing_ok=True)
    return tuple(written)


def override_text(module: Module, pins: Mapping[str, str]) -> str:
    """The override for one module; empty when there is nothing to override."""
    pinned = [
        (requirement, pins[source])
        for requirement in module.providers.values()
        if (source := short_source(requirement.source)) in pins
    ]
    if not pinned and not module.durable_functions:
        return ""
    parts = ["# Generated for this staged copy: it runs on an older AWS provider than the files ask for."]
    if pinned:
        entries = "\n".join(_pin(requirement, version) for requirement, version in pinned)
        parts.append(f"terraform {{\n  required_providers {{\n{entries}\n  }}\n}}")
    parts += [_function(block) for block in module.durable_functions]
    return "\n\n".join(parts) + "\n"


def short_source(source: str) -> str:
    """A provider source without the public registries' hosts, in lower case."""
    parts = source.lower().split("/")
    if len(parts) == 3 and parts[0] in {"registry.terraform.io", "registry.opentofu.org"}:
        parts = parts[1:]
    return "/".join(parts)


def _pin(requirement: ProviderRequirement, version: str) -> str:
    lines = [f'      source  = "{requirement.source}"', f'      version = "{version}"']
    if requirement.configuration_aliases:
        # An override replaces the whole entry, so what it doesn't repeat is lost.
        lines.append(f"      configuration_aliases = {requirement.configuration_aliases}")
    body = "\n".join(lines)
    return f"    {requirement.local_name} = {{\n{body}\n    }}"


def _function(block: DurableBlock) -> str:
    own = block.tags if block.tags is not None else "{}"
    pairs = ", ".join(
        f'"{TAG_PREFIX}{name.replace("_", "-")}" = {value}' for name, value in sorted(block.arguments.items())
    )
    # A null argument is an argument left out; a null tag would be an error.
    durable = f"{{ for k, v in {{ {pairs} }} : k => tostring(v) if v != null }}"
    if block.for_each is not None:
        items = f"[for k, v in ({block.for_each}) : {{ key = k, value = v }}]"
        durable = f"[for {block.iterator} in {items} : {durable}]..."
    return f'resource "aws_lambda_function" "{block.resource}" {{\n  tags = merge({own}, {durable})\n}}'
