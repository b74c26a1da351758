"""What function code finds around it: variables, credentials, folders.

The variables are those of https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html. Nothing of the
developer's own environment is among them: the credentials are made up, and every way to real ones is closed.

A function sees its own writable folder as ``TMPDIR`` (so `tempfile` uses it). The path ``/tmp`` itself is the
machine's, since mapping it needs privileges (mount namespaces) that a laptop's user doesn't have; likewise the memory
size is reported but not enforced.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.localcloud.credentials import new_access_key
from harness.localcloud.runtime.bootstrap import TELEMETRY_FD

if TYPE_CHECKING:
    from harness.localcloud.api import ResolvedFunction


@dataclass(frozen=True)
class Sandbox:
    """One environment's surroundings.

    Attributes:
        root: The folder that goes with the environment.
        log_stream: Its log stream, ``YYYY/MM/DD/[version]`` and 32 hexadecimal digits.
        python_layers: The folders of its layers that are on ``sys.path``.
        variables: Its environment variables, but for the Runtime API's address.
    """

    root: Path
    log_stream: str
    python_layers: tuple[Path, ...]
    variables: dict[str, str]

    @classmethod
    def create(cls, function: ResolvedFunction, *, root: Path, endpoint_url: str) -> Sandbox:
        """Make the folders and variables of a new environment of ``function``."""
        for name in ("tmp", "home"):
            (root / name).mkdir(parents=True)
        log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{secrets.token_hex(16)}"
        layers = python_layers(function)
        return cls(root, log_stream, layers, _variables(function, root, log_stream, endpoint_url))

    def remove(self) -> None:
        """Remove the folders; what can't be removed is left to whoever owns the work folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def python_layers(function: ResolvedFunction) -> tuple[Path, ...]:
    """The Python folders of a function's layers; of two layers with the same module the later one wins.

    https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [
        candidate
        for layer in reversed(function.layer_directories)
        for candidate in (layer / "python" / "lib" / version / "site-packages", layer / "python")
    ]
    return tuple(candidate for candidate in candidates if candidate.is_dir())


def trace_header() -> str:
    """A new X-Ray trace header, unsampled.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    seconds = int(datetime.now(UTC).timestamp())
    return f"Root=1-{seconds:08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


def _variables(function: ResolvedFunction, root: Path, log_stream: str, endpoint_url: str) -> dict[str, str]:
    layers = function.layer_directories
    # What a function's own configuration may set otherwise.
    variables = {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "HOME": str(root / "home"),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": ":".join(str(folder / "lib") for folder in (*reversed(layers), function.code_directory)),
        "PATH": ":".join(["/usr/local/bin", "/usr/bin", "/bin", *(str(layer / "bin") for layer in reversed(layers))]),
        "TMPDIR": str(root / "tmp"),
        "TZ": ":UTC",
    }
    variables |= function.environment
    # What it may not; Lambda refuses to create such a function.
    variables |= {
        "_HANDLER": function.handler,
        "_LAMBDA_TELEMETRY_LOG_FD": str(TELEMETRY_FD),
        "AWS_ACCESS_KEY_ID": new_access_key(function.role_arn),
        "AWS_SECRET_ACCESS_KEY": base64.b64encode(secrets.token_bytes(30)).decode(),
        "AWS_SESSION_TOKEN": base64.b64encode(secrets.token_bytes(180)).decode(),
        "AWS_DEFAULT_REGION": function.region,
        "AWS_REGION": function.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(function.code_directory),
    }
    level = application_log_level(function)
    if level is not None:
        variables["AWS_LAMBDA_LOG_LEVEL"] = level
    return variables


def application_log_level(function: ResolvedFunction) -> str | None:
    """The level below which application logs are dropped; with the text format nothing is.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    return (function.application_log_level or "INFO") if function.log_format == "JSON" else None
