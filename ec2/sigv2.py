"""AWS Signature Version 2: parameters signed with HMAC-SHA256 or HMAC-SHA1, for old clients.

Source: "Signature Version 2 signing process" of the AWS General Reference. Every decoded parameter of query
and body is signed, so nothing that the actions read is left out.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from ec2.signature import (
    UNRESERVED,
    Presented,
    SignatureKind,
    SignaturePolicy,
    SignedRequest,
    expired,
    garbled,
    refused,
    split_key_id,
)
from rendering.query_params import Pair

_DIGESTS = {"HmacSHA256": "sha256", "HmacSHA1": "sha1"}
_NAMES = ("SignatureMethod", "SignatureVersion", "Signature", "Timestamp", "Expires", "SecurityToken")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)


class PresentedV2(Presented, frozen=True, kw_only=True):
    """A claim of version 2. ``method`` is the digest's name; exactly one of the two times is given."""

    method: str
    signature: bytes
    timestamp: datetime | None
    expires: datetime | None


def parse(request: SignedRequest) -> PresentedV2 | None:
    """The claim of a request, or None when it carries no signature of version 2.

    Raises SignatureError IncompleteSignature when it carries one that cannot be read.
    """
    given: dict[str, str] = {}
    for name, value in request.pairs:
        if name == "AWSAccessKeyId" or name in _NAMES:
            if name in given:
                raise garbled(f"The parameter {name} is given more than once")
            given[name] = value
    if "AWSAccessKeyId" not in given:
        return None
    if given.get("SignatureVersion") != "2" or given.get("SignatureMethod") not in _DIGESTS:
        raise garbled("SignatureVersion must be 2, SignatureMethod HmacSHA256 or HmacSHA1")
    if ("Timestamp" in given) == ("Expires" in given):
        raise garbled("The request must contain either Timestamp or Expires")
    try:
        signature = base64.b64decode(given.get("Signature", "").encode(), validate=True)
    except binascii.Error as broken:
        raise garbled("The signature is not valid BASE64") from broken
    key_id, tenant = split_key_id(given["AWSAccessKeyId"])
    return PresentedV2(
        kind=SignatureKind.V2,
        access_key_id=key_id,
        tenant=tenant,
        session_token=given.get("SecurityToken"),
        method=_DIGESTS[given["SignatureMethod"]],
        signature=signature,
        timestamp=_time(given, "Timestamp"),
        expires=_time(given, "Expires"),
    )


def _time(given: dict[str, str], name: str) -> datetime | None:
    if name not in given:
        return None
    try:
        if not _TIME.fullmatch(given[name]):
            raise garbled(f"{name} is not an ISO 8601 time")
        moment = datetime.fromisoformat(given[name])
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as broken:
        raise garbled(f"{name} is not an ISO 8601 time") from broken


def verify(
    presented: PresentedV2, *, secret: str, request: SignedRequest, now: datetime, policy: SignaturePolicy
) -> None:
    """Return when the request was signed with the secret and is accepted now.

    Raises SignatureError: RequestExpired outside the time allowed, AuthFailure for anything else.
    """
    if presented.timestamp is not None and abs(now - presented.timestamp) > policy.skew_v2:
        raise expired()
    if presented.expires is not None and now > presented.expires:
        raise expired()
    host = request.headers.get("host", "").strip()
    rest = f"{request.path or '/'}\n{canonical_query(request.pairs)}"
    # The rule says lower case; botocore signs the host as it was typed.
    for name in dict.fromkeys((host.lower(), host)):
        to_sign = f"{request.method}\n{name}\n{rest}".encode("latin-1", "replace")
        if hmac.compare_digest(hmac.digest(secret.encode(), to_sign, presented.method), presented.signature):
            return
    raise refused()


def canonical_query(pairs: Iterable[Pair]) -> str:
    """The parameters in byte order of their names, percent-encoded, without the signature itself."""
    ordered = sorted((name.encode(), value.encode()) for name, value in pairs if name != "Signature")
    return "&".join(
        [f"{quote(name, safe=UNRESERVED)}={quote(value, safe=UNRESERVED)}" for name, value in ordered]
    )
