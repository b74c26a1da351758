"""Which code and configuration a function reference means, over moto's Lambda backend.

moto copies a function's record when it publishes a version, so what this module adds to a record is versioned with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from .api import ApiError, DurableConfig, ResolvedFunction
from .backends import Moto
from .codestore import CodeStore
from .references import FunctionReference, parse_reference

#: Tags that stand for DurableConfig where Terraform's provider is too old to have `durable_config`.
TIMEOUT_TAG = "durable:execution-timeout"
RETENTION_TAG = "durable:retention-period"

_MAX_EXECUTION_TIMEOUT = 31_622_400
_MAX_RETENTION_DAYS = 90
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

# The attribute of moto's record that holds the configuration moto itself doesn't keep.
_EXTRA = "harness_configuration"


class FunctionRegistry:
    """Finds functions, versions and aliases; the `FunctionResolver` of the local cloud.

    Args:
        moto: Where functions are kept.
        store: Where their code is unpacked.
        draw: Draws a number from 0 to 1 for aliases that share traffic between two versions.
    """

    def __init__(self, moto: Moto, store: CodeStore, *, draw: Callable[[], float] = random.random) -> None:
        self._moto = moto
        self._store = store
        self._draw = draw
        self._layers: dict[str, Path] = {}

    def parse(self, reference: str, qualifier: str | None = None, region: str | None = None) -> FunctionReference:
        """Read a reference without looking whether it exists; errors as `parse_reference`."""
        return parse_reference(
            reference, qualifier, region=region or self._moto.region, account_id=self._moto.account_id
        )

    def resolve(self, reference: str, qualifier: str | None = None) -> ResolvedFunction:
        """Resolve a name, ``name:qualifier``, partial ARN or ARN to what it would run now.

        Raises:
            ApiError: ResourceNotFoundException (404) when there is no such function, version or alias;
                InvalidParameterValueException (400) when reference and qualifier contradict each other.
        """
        wanted = self.parse(reference, qualifier)
        version, record = self._find(wanted)
        extra = extra_configuration(record)
        logging = logging_config(record)
        log_format: Literal["Text", "JSON"] = "JSON" if logging["LogFormat"] == "JSON" else "Text"
        return ResolvedFunction(
            name=wanted.name,
            version=version,
            qualifier=wanted.qualifier,
            arn=wanted.arn,
            invoked_arn=wanted.qualified_arn,
            region=wanted.region,
            account_id=wanted.account_id,
            role_arn=record.role,
            runtime=record.run_time or "",
            handler=record.handler or "",
            code_directory=self._store.unpack(record.code_bytes, record.code_digest),
            code_sha256=record.code_sha_256,
            environment=dict(record.environment_vars or {}),
            timeout=int(record.timeout),
            memory_size=int(record.memory_size),
            log_group=logging["LogGroup"],
            log_format=log_format,
            durable=durable_config(record),
            layer_directories=tuple(Path(path) for path in extra.get("layer_directories", ())),
            application_log_level=logging.get("ApplicationLogLevel"),
            system_log_level=logging.get("SystemLogLevel"),
        )

    def record(self, wanted: FunctionReference) -> Any:
        """The record that moto keeps of what a reference means; errors as `resolve`."""
        return self._find(wanted)[1]

    def unpack_layers(self, record: Any) -> None:
        """Unpack a function's layers and keep where; a layer version that is deleted later stays in use, as on AWS."""
        folders = []
        for layer in record.layers:
            arn = layer["Arn"]
            if arn not in self._layers:
                self._layers[arn] = self._store.unpack(self._moto.layer_content(arn, record.region) or b"")
            folders.append(str(self._layers[arn]))
        extend_configuration(record, {"layer_directories": folders})

    def _find(self, wanted: FunctionReference) -> tuple[str, Any]:
        if wanted.account_id != self._moto.account_id:
            raise function_not_found(wanted.qualified_arn)
        versions = self._moto.function_versions(wanted.name, wanted.region)
        if not versions:
            raise function_not_found(wanted.qualified_arn)
        qualifier = wanted.qualifier or "$LATEST"
        if qualifier in versions:
            return qualifier, versions[qualifier]
        alias = self._moto.aliases(wanted.name, wanted.region).get(qualifier)
        if alias is None:
            if qualifier.isdigit():
                raise function_not_found(wanted.qualified_arn)
            raise ApiError(
                "ResourceNotFoundException",
                f"Cannot find alias arn: {wanted.qualified_arn}",
                404,
                members={"Type": "User"},
            )
        version = self._routed(alias)
        if version not in versions:
            raise function_not_found(f"{wanted.arn}:{version}")
        return version, versions[version]

    def _routed(self, alias: Any) -> str:
        weights: Mapping[str, float] = (alias.routing_config or {}).get("AdditionalVersionWeights") or {}
        drawn = self._draw() if weights else 1.0
        for version, weight in weights.items():
            if drawn < weight:
                return version
            drawn -= weight
        return str(alias.function_version)


def function_not_found(arn: str) -> ApiError:
    """Lambda's answer to a name that means nothing."""
    return ApiError("ResourceNotFoundException", f"Function not found: {arn}", 404, members={"Type": "User"})


def bad_parameter(message: str) -> ApiError:
    """Lambda's InvalidParameterValueException."""
    return ApiError("InvalidParameterValueException", message, members={"Type": "User"})


def extra_configuration(record: Any) -> Mapping[str, Any]:
    """What this module keeps with moto's record: request members that moto drops, and unpacked layers."""
    extra: Mapping[str, Any] = getattr(record, _EXTRA, {})
    return extra


def extend_configuration(record: Any, members: Mapping[str, Any]) -> None:
    """Keep members with a record, without changing versions that were published from it."""
    setattr(record, _EXTRA, {**extra_configuration(record), **members})


def durable_config(record: Any) -> DurableConfig | None:
    """A version's DurableConfig: as requested, else as its tags say, else None.

    Tags aren't versioned, so those given later count for all versions.
    """
    requested = extra_configuration(record).get("DurableConfig")
    if requested is not None:
        return parse_durable_config(requested)
    try:
        return durable_config_of_tags(record.tags)
    except ApiError:
        # Tags that another API than Lambda's set; nobody is there to refuse them to.
        return None


def parse_durable_config(members: Mapping[str, Any]) -> DurableConfig:
    """Read and check a request's DurableConfig.

    Raises:
        ApiError: InvalidParameterValueException (400) out of Lambda's bounds.
    """
    timeout, retention = members.get("ExecutionTimeout"), members.get("RetentionPeriodInDays", 14)
    _check_range("DurableConfig.ExecutionTimeout", timeout, _MAX_EXECUTION_TIMEOUT)
    _check_range("DurableConfig.RetentionPeriodInDays", retention, _MAX_RETENTION_DAYS)
    return DurableConfig(int(timeout or 0), int(retention))


def durable_config_of_tags(tags: Mapping[str, str]) -> DurableConfig | None:
    """Read and check the tags that stand for DurableConfig; None when there are none.

    Raises:
        ApiError: InvalidParameterValueException (400) for no numbers, or out of bounds.
    """
    if TIMEOUT_TAG not in tags:
        if RETENTION_TAG in tags:
            raise bad_parameter(f"The tag {RETENTION_TAG} needs the tag {TIMEOUT_TAG} beside it.")
        return None
    try:
        values = int(tags[TIMEOUT_TAG]), int(tags.get(RETENTION_TAG, "14"))
    except ValueError as error:
        raise bad_parameter(f"The tags {TIMEOUT_TAG} and {RETENTION_TAG} must be whole numbers.") from error
    return parse_durable_config({"ExecutionTimeout": values[0], "RetentionPeriodInDays": values[1]})


def logging_config(record: Any) -> dict[str, str]:
    """A version's LoggingConfig with Lambda's defaults filled in."""
    members: Mapping[str, str] = extra_configuration(record).get("LoggingConfig") or {}
    config = {"LogFormat": members.get("LogFormat") or "Text"}
    if config["LogFormat"] == "JSON":
        config["ApplicationLogLevel"] = members.get("ApplicationLogLevel") or "INFO"
        config["SystemLogLevel"] = members.get("SystemLogLevel") or "INFO"
    config["LogGroup"] = members.get("LogGroup") or f"/aws/lambda/{record.function_name}"
    return config


def check_logging_config(members: Mapping[str, Any]) -> None:
    """Refuse a LoggingConfig that Lambda refuses.

    Raises:
        ApiError: InvalidParameterValueException (400).
    """
    log_format = members.get("LogFormat") or "Text"
    if log_format not in ("Text", "JSON"):
        raise bad_parameter(f"LogFormat must be Text or JSON, not {log_format!r}.")
    levels = {"ApplicationLogLevel": _LEVELS, "SystemLogLevel": ("DEBUG", "INFO", "WARN")}
    for key, allowed in levels.items():
        level = members.get(key)
        if level and log_format == "Text":
            raise bad_parameter(f"{key} is not supported when LogFormat is set to Text. Remove it or choose JSON.")
        if level and level not in allowed:
            raise bad_parameter(f"{key} must be one of {', '.join(allowed)}, not {level!r}.")


def _check_range(name: str, value: Any, maximum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= maximum:
        raise bad_parameter(f"{name} must be a whole number from 1 to {maximum}, not {value!r}.")
