"""EC2's errors: the one exception of this API and the HTTP status of each code.

Codes and statuses follow the EC2 API reference, "Error codes". Codes that are not in the table are client
faults, 400.
"""

from __future__ import annotations

from collections.abc import Mapping

from rendering.query_params import QueryError


class Ec2Error(QueryError):
    """A request that EC2 refuses: ``code`` from the EC2 API reference, ``message`` for the caller."""


STATUS: Mapping[str, int] = {
    "AuthFailure": 401,
    "MissingAuthenticationToken": 401,
    "AccessDenied": 403,
    "UnauthorizedOperation": 403,
    "ExpiredToken": 403,
    "SignatureDoesNotMatch": 403,
    "InvalidClientTokenId": 403,
    "OptInRequired": 403,
    "Blocked": 403,
    "PendingVerification": 403,
    "DryRunOperation": 412,
    "RequestEntityTooLarge": 413,
    "InternalError": 500,
    "InternalFailure": 500,
    "Server.InternalError": 500,
    "InsufficientAddressCapacity": 500,
    "InsufficientCapacity": 500,
    "InsufficientInstanceCapacity": 500,
    "InsufficientHostCapacity": 500,
    "InsufficientReservedInstanceCapacity": 500,
    "InsufficientVolumeCapacity": 500,
    "RequestLimitExceeded": 503,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
}


#: EC2's own words where they are not the ones that the service uses inside.
_EC2_WORDS: Mapping[str, tuple[str, str]] = {"ExpiredToken": ("RequestExpired", "Request has expired.")}

#: STS's codes for what EC2 calls otherwise, and its sentence where clients look for that, too. Source: AWS
#: Security Token Service API reference, "Common errors".
_STS_WORDS: Mapping[str, tuple[str, str]] = {
    "AuthFailure": ("InvalidClientTokenId", "The security token included in the request is invalid."),
    "InternalError": ("InternalFailure", ""),
    "InvalidParameterValue": ("ValidationError", ""),
    "MissingParameter": ("ValidationError", ""),
    "RequestLimitExceeded": ("Throttling", "Rate exceeded"),
    "UnknownParameter": ("InvalidQueryParameter", ""),
    "UnsupportedOperation": ("InvalidAction", ""),
    "Unavailable": ("ServiceUnavailable", ""),
}
_WORDS = {"ec2": _EC2_WORDS, "sts": _STS_WORDS}


def in_words_of(service: str, error: QueryError) -> QueryError:
    """An error as a service words it."""
    code, message = _WORDS[service].get(error.code, (error.code, ""))
    return error if code == error.code else Ec2Error(code, message or error.message)


def request_limit_exceeded() -> Ec2Error:
    """The answer to an account that calls too often; SDKs wait a while and try again."""
    return Ec2Error("RequestLimitExceeded", "Request limit exceeded.")


def http_status(code: str) -> int:
    """The HTTP status that goes with an error code."""
    return STATUS.get(code, 400)


def dry_run() -> Ec2Error:
    """The answer to a call that would be allowed, made with ``DryRun=true``."""
    return Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
