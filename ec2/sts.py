"""STS on the same endpoint: who am I, and temporary keys for profiles of SDKs.

Whatever would narrow a session and cannot be enforced here (session policies, MFA) is refused: a session is
never stronger than what was asked for. Source: AWS Security Token Service API reference.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from backend.errors import BackendError, Code
from backend.identity_commands import AssumeRole, BeginSession
from backend.model import Caller, Session
from ec2.context import Document, Ec2Context, FreshKey, Params
from ec2.errors import Ec2Error

ROLE_SECONDS = 3600
"""How long a role's session lasts when the caller does not say."""
OWN_SECONDS = 43_200
"""How long a session of the caller's own lasts when the caller does not say."""

_ROLE = re.compile(r"arn:aws:iam::([0-9]{12}):role/([\x21-\x7e]{1,512})")
_PATTERNS = {
    "RoleSessionName": re.compile(r"[\w+=,.@-]*", re.ASCII),
    "ExternalId": re.compile(r"[\w+=,.@:/-]*", re.ASCII),
    "SerialNumber": re.compile(r"[\w+=/:,.@-]*", re.ASCII),
    "TokenCode": re.compile(r"[0-9]*"),
    "SourceIdentity": re.compile(r"[\w+=,.@-]*", re.ASCII),
}
_ALLOWED_BY_ROLE = {
    "Tags": "sts:TagSession",
    "TransitiveTagKeys": "sts:TagSession",
    "SourceIdentity": "sts:SetSourceIdentity",
    "ProvidedContexts": "sts:SetContext",
}
"""Parameters that a role must allow expressly, which none here does, and the name of that right."""


def get_caller_identity(context: Ec2Context, _params: Params) -> Document:
    """Whose key signed the request (GetCallerIdentity)."""
    caller = context.caller
    return {
        "Account": caller.account_id,
        "UserId": _assumed_id(caller.role_id, caller.user_name) if caller.role_id else caller.user_id,
        "Arn": arn_of(caller),
    }


def arn_of(caller: Caller) -> str:
    """The caller's Amazon Resource Name: a user's, or a role's session's."""
    if caller.role_id:
        return _assumed_arn(caller.account_id, caller.user_name)
    return f"arn:aws:iam::{caller.account_id}:user/{caller.user_name}"


def assume_role(context: Ec2Context, params: Params) -> Document:
    """A temporary key with a role's rights, which are its tenant's (AssumeRole)."""
    _check_patterns(params)
    match = _ROLE.fullmatch(params["RoleArn"])
    if match is None:
        raise Ec2Error("ValidationError", f"{params['RoleArn'][:200]} is invalid")
    if "Policy" in params or params.get("PolicyArns"):
        raise Ec2Error(
            "MalformedPolicyDocument",
            "Session policies are not supported by this cloud: a session has the rights of its role",
        )
    for name, right in _ALLOWED_BY_ROLE.items():
        if params.get(name):
            _refuse(context.caller, right, params["RoleArn"])
    _refuse_codes(params)
    key = _fresh_key(context, params)
    account, role = match.groups()
    command = AssumeRole(
        account_id=account,
        role=role,
        name=params["RoleSessionName"],
        seconds=params.get("DurationSeconds", ROLE_SECONDS),
        key_id=key.key_id,
        secret=key.sealed,
        token_digest=key.token_digest,
    )
    try:
        session = context.engine.execute(context.caller, command)
    except BackendError as error:
        if error.code is Code.DENIED:
            _refuse(context.caller, "sts:AssumeRole", params["RoleArn"])
        raise
    user_name = f"{role}/{session.name}"
    return {
        "Credentials": _credentials(key, session),
        "AssumedRoleUser": {
            "AssumedRoleId": _assumed_id(session.role_id, user_name),
            "Arn": _assumed_arn(account, user_name),
        },
    }


def get_session_token(context: Ec2Context, params: Params) -> Document:
    """A temporary key with the caller's own rights (GetSessionToken)."""
    _check_patterns(params)
    _refuse_codes(params)
    key = _fresh_key(context, params)
    command = BeginSession(
        seconds=params.get("DurationSeconds", OWN_SECONDS),
        key_id=key.key_id,
        secret=key.sealed,
        token_digest=key.token_digest,
    )
    try:
        session = context.engine.execute(context.caller, command)
    except BackendError as error:
        if error.code is Code.DENIED:
            raise Ec2Error("AccessDenied", error.message.rstrip(".")) from error
        raise
    return {"Credentials": _credentials(key, session)}


def _check_patterns(params: Params) -> None:
    for name, pattern in _PATTERNS.items():
        value = params.get(name)
        if value is not None and not pattern.fullmatch(value):
            word = name[:1].lower() + name[1:]
            raise Ec2Error(
                "ValidationError",
                f"1 validation error detected: Value '{value[:200]}' at '{word}' failed to satisfy "
                f"constraint: Member must satisfy regular expression pattern: {pattern.pattern}",
            )


def _refuse_codes(params: Params) -> None:
    """There are no MFA devices: any code is a wrong one."""
    if "SerialNumber" in params or "TokenCode" in params:
        raise Ec2Error(
            "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code."
        )


def _refuse(caller: Caller, right: str, resource: str) -> NoReturn:
    raise Ec2Error(
        "AccessDenied",
        f"User: {arn_of(caller)} is not authorized to perform: {right} on resource: {resource}",
    ) from None


def _fresh_key(context: Ec2Context, params: Params) -> FreshKey:
    if context.mint is None:
        raise Ec2Error("UnsupportedOperation", "Temporary keys are not made here.")
    return context.mint(params.get("MinimumSessionTokenSize", 0))


def _credentials(key: FreshKey, session: Session) -> dict[str, Any]:
    return {
        "AccessKeyId": key.key_id,
        "SecretAccessKey": key.secret,
        "SessionToken": key.token,
        "Expiration": datetime.fromtimestamp(session.expires_at, UTC).replace(microsecond=0),
    }


def _assumed_id(role_id: str, user_name: str) -> str:
    return f"{role_id}:{user_name.partition('/')[2]}"


def _assumed_arn(account: str, user_name: str) -> str:
    return f"arn:aws:sts::{account}:assumed-role/{user_name}"
