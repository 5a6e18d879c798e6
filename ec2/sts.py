"""STS: the one call that EC2's clients make of it, on the same endpoint."""

from __future__ import annotations

from ec2.context import Document, Ec2Context, Params


def get_caller_identity(context: Ec2Context, _params: Params) -> Document:
    """Whose key signed the request (GetCallerIdentity)."""
    caller = context.caller
    return {
        "Account": caller.account_id,
        "UserId": caller.user_id,
        "Arn": f"arn:aws:iam::{caller.account_id}:user/{caller.user_name}",
    }
