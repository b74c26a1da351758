"""IAM's eventual consistency: new roles that can't be assumed yet, new policies that don't grant yet.

Of a policy that is on its way one effect is simulated: calls that a function makes with its role's credentials, and
that only this policy allows, are refused, and what the function logs is lost if logging is what it allows. Policies
are compared by actions only, not by resources and conditions, and apart from this the local cloud doesn't enforce
IAM, but for logging.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, unquote

from harness.localcloud.api import ApiError, Response
from harness.localcloud.backends import Moto
from harness.localcloud.credentials import is_of_function, is_of_role
from harness.localcloud.dispatcher import Call

from .rules import access_key_of
from .state import Faults
from .vocabulary import denied

NOT_ASSUMABLE = "The role defined for the function cannot be assumed by Lambda."

# Operations whose action has another name.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
_ACTIONS = {
    "lambda.Invoke": "lambda:InvokeFunction",
    "s3.DeleteObjects": "s3:DeleteObject",
    "s3.HeadBucket": "s3:ListBucket",
    "s3.HeadObject": "s3:GetObject",
    "s3.ListObjects": "s3:ListBucket",
    "s3.ListObjectsV2": "s3:ListBucket",
}
_GIVES_POLICY = {"PutRolePolicy": ("inline", "PolicyName"), "AttachRolePolicy": ("managed", "PolicyArn")}

PolicyKey = tuple[str, str]


class IamPropagation:
    """Holds back what IAM's calls bring about; a middleware.

    Args:
        faults: The plan.
        moto: Where roles are kept.
        role_of: Gives the ARN of the role of the function in an Invoke's path; raises ApiError for no such function.
    """

    def __init__(self, faults: Faults, moto: Moto, role_of: Callable[[Call], str]) -> None:
        self._faults = faults
        self._moto = moto
        self._role_of = role_of
        self._lock = threading.Lock()
        self._roles: dict[str, float] = {}
        self._policies: dict[str, dict[PolicyKey, float]] = {}

    def before(self, call: Call) -> None:
        """Refuse what needs a role or a policy that isn't known yet.

        Raises:
            ApiError: InvalidParameterValueException for the role, AccessDenied for the policy.
        """
        if self._waiting(self._roles):
            self._check_role(call)
        if self._waiting(self._policies):
            self._check_policies(call)

    def after(self, call: Call, response: Response) -> Response:
        """Note what begins to propagate."""
        if call.operation.service == "iam" and response.status < 300:
            self._note(call)
        return response

    def denies(self, role_arn: str, action: str) -> bool:
        """Whether a role lacks an action only because the policy that allows it isn't known yet."""
        now = self._faults.clock.monotonic()
        with self._lock:
            dates = dict(self._policies.get(role_arn, {}))
        if not any(until > now for until in dates.values()):
            return False
        granted = False
        for key, document in self._moto.role_policies(role_arn).items():
            if _grants(document, action):
                if dates.get(key, 0.0) <= now:
                    return False
                granted = True
        return granted

    def _waiting(self, dates: dict[str, Any]) -> bool:
        with self._lock:
            return bool(dates)

    def _note(self, call: Call) -> None:
        name = call.operation.name
        if name != "CreateRole" and name not in _GIVES_POLICY:
            return
        members = parse_qs(call.request.body.decode("utf-8", "replace"))
        role_arn = self._moto.role_arn(members.get("RoleName", [""])[0])
        if role_arn is None:
            return
        plan, faults = self._faults.plan.iam, self._faults
        wait = faults.seconds(*((plan.role, "iam.role") if name == "CreateRole" else (plan.policy, "iam.policy")))
        if wait == 0:
            return
        until = faults.clock.monotonic() + wait
        with self._lock:
            if name == "CreateRole":
                self._roles[role_arn] = until
                self._policies.pop(role_arn, None)
            else:
                kind, member = _GIVES_POLICY[name]
                self._policies.setdefault(role_arn, {})[kind, members.get(member, [""])[0]] = until

    def _check_role(self, call: Call) -> None:
        operation = call.operation
        if operation.service != "lambda":
            return
        role: str | None = None
        if operation.name in ("CreateFunction", "UpdateFunctionConfiguration"):
            members = _json(call.request.body)
            role = members.get("Role") if isinstance(members, dict) else None
        elif operation.name == "Invoke":
            role = self._role_of(call)
        with self._lock:
            until = self._roles.get(role or "", 0.0)
        if until > self._faults.clock.monotonic():
            self._faults.count("role_not_assumable", str(operation))
            raise ApiError("InvalidParameterValueException", NOT_ASSUMABLE, members={"Type": "User"})

    def _check_policies(self, call: Call) -> None:
        key = access_key_of(call)
        if not is_of_function(key):
            return
        with self._lock:
            roles = list(self._policies)
        operation = call.operation
        action = _ACTIONS.get(str(operation), f"{operation.service}:{operation.name}")
        for role_arn in roles:
            if is_of_role(key, role_arn) and self.denies(role_arn, action):
                self._faults.count("policy_not_known", str(operation))
                caller = f"{role_arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/function"
                raise denied(operation, caller, action)


def invoked_reference(call: Call) -> tuple[str, str | None]:
    """The function and the qualifier that an Invoke's request names."""
    return unquote(call.request.raw_path.split("/")[3]), call.request.arg("Qualifier")


def _grants(document: str, action: str) -> bool:
    """Whether a policy has an Allow for an action, on whatever resource."""
    members = _json(document.encode())
    statements = members.get("Statement", ()) if isinstance(members, dict) else ()
    allowed = [statement.get("Action") for statement in _dicts(statements) if statement.get("Effect") == "Allow"]
    return any(_fits(pattern, action) for patterns in allowed for pattern in _texts(patterns))


def _fits(pattern: str, action: str) -> bool:
    # Actions are compared without case, as IAM does.
    return fnmatch.fnmatchcase(action.lower(), pattern.lower())


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return [value] if isinstance(value, dict) else [item for item in value if isinstance(item, dict)]


def _texts(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else [item for item in value or () if isinstance(item, str)]


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
