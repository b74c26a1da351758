"""The access keys that functions get: made up, and telling whose role they stand for."""

from __future__ import annotations

import base64
import hashlib
import secrets

# What begins with it are temporary credentials;
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
_TEMPORARY = "ASIA"


def new_access_key(role_arn: str) -> str:
    """An access key id for a session of a role; every one is different."""
    return f"{_prefix(role_arn)}{base64.b32encode(secrets.token_bytes(5)).decode()}"


def is_of_role(access_key_id: str, role_arn: str) -> bool:
    """Whether `new_access_key` made an access key id for this role."""
    return access_key_id.startswith(_prefix(role_arn))


def is_of_function(access_key_id: str) -> bool:
    """Whether an access key id is one that a function was given."""
    return access_key_id.startswith(_TEMPORARY)


def _prefix(role_arn: str) -> str:
    return f"{_TEMPORARY}{base64.b32encode(hashlib.sha256(role_arn.encode()).digest()[:5]).decode()}"
