"""Signatures made by hand, from the two specifications and nothing else: no library's habits are in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

Pairs = Sequence[tuple[str, str]]


class Signer(NamedTuple):
    """Who signs, and for what scope."""

    id: str
    secret: str
    region: str = "us-east-1"
    service: str = "ec2"
    token: str | None = None

    def scope(self, day: str) -> str:
        return f"{day}/{self.region}/{self.service}/aws4_request"


def encoded(text: str) -> str:
    """The normal form of both specifications."""
    return quote(text, safe="-_.~")


def query_of(pairs: Pairs) -> str:
    """Names and values in the normal form, in the order given."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signature(signer: Signer, moment: str, canonical: str) -> str:
    day = moment[:8]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{signer.secret}".encode()
    for part in signer.scope(day).split("/"):
        key = _hmac(key, part)
    return _hmac(key, f"AWS4-HMAC-SHA256\n{moment}\n{signer.scope(day)}\n{digest}").hex()


def _canonical(
    method: str, path: str, pairs: Pairs, headers: dict[str, str], signed: Sequence[str], payload: str
) -> str:
    ordered = sorted((encoded(name), encoded(value)) for name, value in pairs)
    query = "&".join(f"{name}={value}" for name, value in ordered)
    lines = "".join(f"{name}:{re.sub(' +', ' ', headers[name].strip())}\n" for name in signed)
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{payload}"


def moment_of(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def v4(
    signer: Signer,
    *,
    host: str,
    now: datetime,
    method: str = "POST",
    path: str = "/",
    pairs: Pairs = (),
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    payload: str | None = None,
) -> dict[str, str]:
    """The headers of a request signed in its header; ``pairs`` are its query's. All headers are signed."""
    moment = moment_of(now)
    every = {"host": host, **(headers or {})}
    if "date" not in every:
        every["x-amz-date"] = moment
    if signer.token is not None:
        every["x-amz-security-token"] = signer.token
    if payload is not None:
        every["x-amz-content-sha256"] = payload
    signed = sorted(every)
    canonical = _canonical(method, path, pairs, every, signed, payload or hashlib.sha256(body).hexdigest())
    every["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.id}/{signer.scope(moment[:8])}, "
        f"SignedHeaders={';'.join(signed)}, Signature={_signature(signer, moment, canonical)}"
    )
    return every


def v4_query(
    signer: Signer,
    *,
    host: str,
    now: datetime,
    pairs: Pairs,
    expires: int = 60,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
) -> list[tuple[str, str]]:
    """The parameters of a request signed in its query, the signature last."""
    moment = moment_of(now)
    every = [
        *pairs,
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{signer.id}/{signer.scope(moment[:8])}"),
        ("X-Amz-Date", moment),
        ("X-Amz-Expires", str(expires)),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if signer.token is not None:
        every.append(("X-Amz-Security-Token", signer.token))
    canonical = _canonical(method, path, every, {"host": host}, ["host"], hashlib.sha256(body).hexdigest())
    return [*every, ("X-Amz-Signature", _signature(signer, moment, canonical))]


def v2(
    signer: Signer,
    *,
    host: str,
    now: datetime,
    pairs: Pairs,
    method: str = "GET",
    path: str = "/",
    digest: str = "sha256",
    expires: datetime | None = None,
) -> list[tuple[str, str]]:
    """The parameters of a request signed by version 2, the signature last."""
    when = (expires or now).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    every = [
        *pairs,
        ("AWSAccessKeyId", signer.id),
        ("SignatureVersion", "2"),
        ("SignatureMethod", f"Hmac{digest.upper()}"),
        ("Timestamp" if expires is None else "Expires", when),
    ]
    if signer.token is not None:
        every.append(("SecurityToken", signer.token))
    ordered = sorted(every, key=lambda pair: (pair[0].encode(), pair[1].encode()))
    text = f"{method}\n{host.lower()}\n{path}\n{query_of(ordered)}"
    made = hmac.new(signer.secret.encode(), text.encode(), digest).digest()
    return [*every, ("Signature", base64.b64encode(made).decode())]
