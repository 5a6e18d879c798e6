"""AWS Signature Version 4, in the Authorization header and in the query string.

Source: "Signature Version 4 signing process" of the AWS General Reference. The canonical query is made from
the still-encoded pairs, since decoding and encoding again loses the difference between ``+`` and ``%20``
that some clients sign. Only when that fails is the normal form tried: other clients (Libcloud) sign it but
send another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

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
from rendering.query_params import QueryError, decode_pairs

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_EXPIRES = 604_800

_CONTENT_HASH = "x-amz-content-sha256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
_FIELD = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^\s,]+)\s*")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{8}")
_MOMENT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNED_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_IN_QUERY = re.compile(r"(?:^|&)X-Amz-(?:Algorithm|Signature)=")
_BLANKS = re.compile(r"[ \t]+")
_QUERY_NAMES = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Security-Token")


class PresentedV4(Presented, frozen=True, kw_only=True):
    """A claim of version 4. ``moment`` is the signing time in its wire form, ``expires`` seconds or None."""

    day: str
    moment: str
    signed_headers: tuple[str, ...]
    signature: str
    expires: int | None = None


def parse(request: SignedRequest) -> PresentedV4 | None:
    """The claim of a request, or None when it carries no signature of version 4.

    Raises SignatureError IncompleteSignature when it carries one that cannot be read, or two.
    """
    authorization = request.headers.get("authorization", "").lstrip()
    in_header = authorization.startswith("AWS4-")
    in_query = _IN_QUERY.search(request.query) is not None
    if in_header and in_query:
        raise garbled("The request is signed both in the Authorization header and in the query string")
    if in_header:
        return _parse_header(authorization, request.headers)
    return _parse_query(request.query) if in_query else None


def _parse_header(authorization: str, headers: Mapping[str, str]) -> PresentedV4:
    algorithm, _, rest = authorization.partition(" ")
    fields: dict[str, str] = {}
    for part in rest.split(",", 8):
        match = _FIELD.fullmatch(part)
        if match is None or match[1] in fields:
            raise garbled("The Authorization header cannot be parsed")
        fields[match[1]] = match[2]
    if len(fields) != 3:
        raise garbled("Authorization header requires Credential, SignedHeaders and Signature")
    return _claim(
        kind=SignatureKind.V4_HEADER,
        algorithm=algorithm,
        credential=fields["Credential"],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        moment=_header_moment(headers),
        session_token=headers.get("x-amz-security-token"),
    )


def _header_moment(headers: Mapping[str, str]) -> str:
    moment = headers.get("x-amz-date")
    if moment is not None:
        return moment
    date = headers.get("date", "")
    try:
        told = parsedate_to_datetime(date)
        if told.tzinfo is None:  # "-0000" or nothing: HTTP knows no time but UTC
            told = told.replace(tzinfo=UTC)
        return told.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, OverflowError):
        return date


def _parse_query(query: str) -> PresentedV4:
    given: dict[str, str] = {}
    try:
        pairs = decode_pairs(query.encode("latin-1"))
    except (QueryError, UnicodeEncodeError) as broken:
        raise garbled("The query string cannot be parsed") from broken
    for name, value in pairs:
        short = name.removeprefix("X-Amz-")
        if short != name and short in _QUERY_NAMES:
            if short in given:
                raise garbled(f"The parameter {name} is given more than once")
            given[short] = value
    if missing := [f"X-Amz-{name}" for name in _QUERY_NAMES[:-1] if name not in given]:
        raise garbled(f"The request must contain {', '.join(missing)}")
    expires = given["Expires"]
    if not re.fullmatch("[0-9]{1,6}", expires) or not 1 <= int(expires) <= MAX_EXPIRES:
        raise garbled(f"X-Amz-Expires must be between 1 and {MAX_EXPIRES} seconds")
    return _claim(
        kind=SignatureKind.V4_QUERY,
        algorithm=given["Algorithm"],
        credential=given["Credential"],
        signed_headers=given["SignedHeaders"],
        signature=given["Signature"],
        moment=given["Date"],
        session_token=given.get("Security-Token"),
        expires=int(expires),
    )


def _claim(
    *,
    kind: SignatureKind,
    algorithm: str,
    credential: str,
    signed_headers: str,
    signature: str,
    moment: str,
    session_token: str | None,
    expires: int | None = None,
) -> PresentedV4:
    # From the right: a key id never holds a slash, but a tenant's name after its colon may.
    scope = credential.rsplit("/", 4)
    if algorithm != ALGORITHM:
        raise garbled(f"Unsupported signature algorithm; use {ALGORITHM}")
    if len(scope) != 5 or scope[4] != "aws4_request" or not _DAY.fullmatch(scope[1]) or not all(scope):
        raise garbled("Credential must have the form <key id>/<yyyymmdd>/<region>/<service>/aws4_request")
    names = tuple(signed_headers.split(";"))
    if "host" not in names or not all(_SIGNED_NAME.fullmatch(name) for name in names):
        raise garbled("SignedHeaders must be lower-case names and include host")
    if list(names) != sorted(set(names)):
        raise garbled("SignedHeaders must be sorted and unique")
    if not _SIGNATURE.fullmatch(signature):
        raise garbled("The signature must be 64 hexadecimal digits")
    if _time(moment) is None or not moment.startswith(scope[1]):
        raise garbled("The date of the request must be given as yyyymmddThhmmssZ and agree with the scope")
    key_id, tenant = split_key_id(scope[0])
    return PresentedV4(
        kind=kind,
        access_key_id=key_id,
        tenant=tenant,
        day=scope[1],
        region=scope[2],
        service=scope[3],
        session_token=session_token,
        moment=moment,
        signed_headers=names,
        signature=signature,
        expires=expires,
    )


def verify(
    presented: PresentedV4, *, secret: str, request: SignedRequest, now: datetime, policy: SignaturePolicy
) -> None:
    """Return when the request was signed with the secret and is accepted now.

    Raises SignatureError: RequestExpired outside the time allowed, AuthFailure for anything else.
    """
    if policy.services is not None and presented.service not in policy.services:
        raise refused()
    if policy.regions is not None and presented.region not in policy.regions:
        raise refused()
    _check_time(presented, now, policy.skew)
    payload = _payload_hash(presented, request)
    headers = _canonical_headers(presented, request.headers)
    assert presented.region is not None
    assert presented.service is not None
    key = signing_key(secret, presented.day, presented.region, presented.service)
    scope = f"{presented.day}/{presented.region}/{presented.service}/aws4_request"
    names = ";".join(presented.signed_headers)
    for path, query in _canonical_forms(request):
        canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{names}\n{payload}"
        digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
        to_sign = f"{ALGORITHM}\n{presented.moment}\n{scope}\n{digest}"
        expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
        if hmac.compare_digest(expected, presented.signature):
            return
    raise refused()


@lru_cache(maxsize=1024)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key derived from a secret for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _time(text: str) -> datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        # Python 3.11 reads the basic form of ISO 8601 by itself, much faster than strptime.
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _check_time(presented: PresentedV4, now: datetime, skew: timedelta) -> None:
    moment = _time(presented.moment)
    assert moment is not None
    latest = skew if presented.expires is None else timedelta(seconds=presented.expires)
    # Differences, not sums: a date in year 9999 must not overflow.
    if not -skew <= now - moment <= latest:
        raise expired()


def _payload_hash(presented: PresentedV4, request: SignedRequest) -> str:
    """The hash that was signed. A body that the signature does not cover is refused."""
    actual = hashlib.sha256(request.body).hexdigest()
    claimed = request.headers.get(_CONTENT_HASH)
    if claimed is None or _CONTENT_HASH not in presented.signed_headers:
        return actual
    if claimed == _UNSIGNED and not request.body:
        return claimed
    if not hmac.compare_digest(claimed.encode("latin-1", "replace"), actual.encode()):
        raise refused()
    return claimed


def _canonical_headers(presented: PresentedV4, headers: Mapping[str, str]) -> str:
    lines = []
    for name in presented.signed_headers:
        value = headers.get(name)
        if value is None:
            raise refused()
        lines.append(f"{name}:{_BLANKS.sub(' ', value).strip()}\n")
    return "".join(lines)


def _canonical_forms(request: SignedRequest) -> Iterator[tuple[str, str]]:
    """The canonical path and query, the usual form first. All of them mean the request received."""
    path = request.path or "/"
    paths = dict.fromkeys((quote(_without_dots(path).encode("latin-1", "replace"), safe="/~"), path))
    raw = sorted(
        (name, value)
        for name, _, value in (field.partition("=") for field in request.query.split("&") if field)
        if name != "X-Amz-Signature"
    )
    query = _joined(raw)
    for path in paths:
        yield path, query
    normal = _joined(sorted((_normal(name), _normal(value)) for name, value in raw))
    if normal != query:
        for path in paths:
            yield path, normal


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in pairs])


def _normal(text: str) -> str:
    # "+" is a space to our reader of parameters, so it has to be one here.
    return quote(unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace")), safe=UNRESERVED)


def _without_dots(path: str) -> str:
    """Remove dot segments and empty segments, keeping a final slash (RFC 3986 §5.2.4, as AWS applies it)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
