"""The environment that Terraform runs in.

https://developer.hashicorp.com/terraform/cli/config/environment-variables
"""

from __future__ import annotations

from collections.abc import Mapping

# Inherited, any of these would turn one command into another, move its data elsewhere, or write values into logs.
_STRIPPED_PREFIXES = ("TF_CLI_ARGS", "TF_LOG", "TF_VAR_", "TF_REATTACH_PROVIDERS")
_STRIPPED_NAMES = frozenset(
    {"TF_WORKSPACE", "TF_DATA_DIR", "TF_INPUT", "TF_IN_AUTOMATION", "TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"}
)
# Terraform and its provider live for seconds: not collecting garbage saves 15-25 % of their CPU time. The limit, per
# process, is where collecting starts after all.
_MEMORY_LIMIT = "1GiB"


def terraform_environment(inherited: Mapping[str, str], additions: Mapping[str, str]) -> dict[str, str]:
    """What a Terraform command gets as its environment.

    Args:
        inherited: The environment to start from; settings that change what a command does are left out.
        additions: Variables to set on top, such as the target's credentials.
    """
    environment = {
        name: value
        for name, value in inherited.items()
        if name not in _STRIPPED_NAMES and not name.startswith(_STRIPPED_PREFIXES)
    }
    environment.update(
        CHECKPOINT_DISABLE="1",
        TF_IN_AUTOMATION="1",
        TF_INPUT="0",
        # The default, said aloud: a relative folder, so that what init writes there can be cloned.
        TF_DATA_DIR=".terraform",
    )
    if "GOGC" not in inherited and "GOMEMLIMIT" not in inherited:
        environment.update(GOGC="off", GOMEMLIMIT=_MEMORY_LIMIT)
    environment.update(additions)
    return environment


def inherited_variables(inherited: Mapping[str, str], declared: frozenset[str]) -> dict[str, str]:
    """The ``TF_VAR_*`` entries of an environment that set declared variables.

    A workspace keeps them beside its variables file, so that another process can destroy it.
    """
    return {f"TF_VAR_{name}": inherited[f"TF_VAR_{name}"] for name in sorted(declared) if f"TF_VAR_{name}" in inherited}
