"""Handlers, as AWS's runner takes them: a folder with SAM templates whose functions say which requirements they meet.

    Resources:
      StepBasic:
        Type: AWS::Serverless::Function
        TestingMetadata: {TestDescription: ["1-1"]}
        Properties: {CodeUri: functions/, Handler: step.basic}

A function without ``TestingMetadata`` is one that others invoke. Of the functions' properties those that concern
durable executions are used (`USED`), of the intrinsic functions ``Ref``, ``Fn::GetAtt`` of ``Arn``, and ``Fn::Sub``.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

USED = ("Runtime", "Timeout", "MemorySize", "DurableConfig", "LoggingConfig", "TenancyConfig", "Environment")
_FUNCTION = "AWS::Serverless::Function"
_REFERENCE = re.compile(r"\$\{(\w+)(?:\.Arn)?\}")


@dataclass(frozen=True)
class Handler:
    """A function of a template.

    Attributes:
        name: Its logical id.
        entry: Its ``Handler``, such as ``step.basic``.
        code: The folder that its code is in.
        properties: Those of its properties that are `USED`, with the template's globals.
        requirements: The ids of the requirements that it meets.
    """

    name: str
    entry: str
    code: Path
    properties: Mapping[str, Any]
    requirements: tuple[str, ...]

    @property
    def references(self) -> set[str]:
        """The logical ids that its environment refers to."""
        return {found for text in _strings(self.properties.get("Environment")) for found in _REFERENCE.findall(text)}

    def environment(self, arns: Mapping[str, str]) -> dict[str, str]:
        """Its environment variables, given the ARN of every function that it refers to."""
        variables = (self.properties.get("Environment") or {}).get("Variables") or {}
        return {name: _evaluate(value, arns) for name, value in variables.items()}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def read(folder: Path) -> dict[str, Handler]:
    """The functions of every template in a folder, by their logical ids.

    Raises:
        ValueError: There is no template, or two functions have one name.
    """
    found: dict[str, Handler] = {}
    for path in sorted(folder.glob("template*.y*ml")):
        document = yaml.load(path.read_text(), Loader=_Loader)
        common = (document.get("Globals") or {}).get("Function") or {}
        for name, resource in document["Resources"].items():
            if resource.get("Type") != _FUNCTION:
                continue
            if name in found:
                raise ValueError(f"{path}: two functions are named {name}")
            properties = {**common, **resource["Properties"]}
            found[name] = Handler(
                name,
                properties["Handler"],
                path.parent / properties.get("CodeUri", "."),
                {key: properties[key] for key in USED if key in properties},
                tuple((resource.get("TestingMetadata") or {}).get("TestDescription") or ()),
            )
    if not found:
        raise ValueError(f"{folder} has no template*.yaml with an {_FUNCTION}")
    return found


def _strings(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        if "Ref" in value:
            return ["${" + str(value["Ref"]) + "}"]
        if "Fn::GetAtt" in value:
            return ["${" + str(value["Fn::GetAtt"][0]) + ".Arn}"]
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def _evaluate(value: Any, arns: Mapping[str, str]) -> str:
    """A variable's value; ``Ref`` gives a function's name, everything else its ARN."""
    if isinstance(value, Mapping) and "Ref" in value:
        return arns[value["Ref"]].rpartition(":")[2]
    if isinstance(value, Mapping) and set(value) - {"Fn::Sub", "Fn::GetAtt"}:
        raise ValueError(f"This intrinsic function is not supported: {value}")
    text = _strings(value)[0] if isinstance(value, Mapping) else str(value)
    return _REFERENCE.sub(lambda found: arns[found[1]], text)
