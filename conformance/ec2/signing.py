"""Signatures of EC2 requests, versions 4 and 2, made by hand: every part can be made wrong on purpose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from msgspec.structs import replace

from conformance.checks import Value

Pairs = Sequence[tuple[str, str]]

ALGORITHM = "AWS4-HMAC-SHA256"


class Signing(Value, frozen=True, kw_only=True):
    """Who signs, for what scope, at what time; right unless a field says otherwise.

    ``skew`` is how many seconds the client's clock is ahead. ``scope_days`` is by how many days the scope's
    date is not the request's. ``hidden`` headers are sent and not signed. ``date_header`` says the time.
    ``at`` is the time of signing, in seconds.
    """

    id: str
    secret: str
    token: str = ""
    region: str = "us-east-1"
    service: str = "ec2"
    terminator: str = "aws4_request"
    skew: float = 0.0
    scope_days: int = 0
    hidden: tuple[str, ...] = ()
    date_header: str = "x-amz-date"
    at: float = 0.0

    @property
    def now(self) -> Signing:
        """The same, at this very time: a second may end between two looks at the clock."""
        return replace(self, at=time.time())

    @property
    def moment(self) -> str:
        """The time of the request as the client's clock has it."""
        return stamp(self.at + self.skew)

    @property
    def scope(self) -> str:
        """What the signature is for: day, region, service."""
        day = stamp(self.at + self.skew + self.scope_days * 86400)[:8]
        return f"{day}/{self.region}/{self.service}/{self.terminator}"


def stamp(moment: float) -> str:
    """A time in seconds, as version 4 writes it."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))


def encoded(text: str) -> str:
    """The normal form of names and values in both versions."""
    return quote(text, safe="-_.~")


def form(pairs: Pairs) -> str:
    """Names and values in their normal form, in the order given."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in pairs)


def signature_4(
    signing: Signing, method: str, path: str, query: Pairs, headers: Mapping[str, str], payload: str
) -> str:
    """The signature of a request, in hexadecimal; ``headers`` are those signed, with names in lower case."""
    ordered = sorted((encoded(name), encoded(value)) for name, value in query)
    lines = [f"{name}:{re.sub(' +', ' ', value.strip())}" for name, value in sorted(headers.items())]
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/-_.~%"),
            "&".join(f"{name}={value}" for name, value in ordered),
            *lines,
            "",
            ";".join(sorted(headers)),
            payload,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{signing.secret}".encode()
    for part in signing.scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"{ALGORITHM}\n{signing.moment}\n{signing.scope}\n{digest}"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def in_header(
    signing: Signing, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """The headers of a request that is signed in its header; ``headers`` must have the host."""
    signing = signing.now
    when = signing.moment
    every = {name.lower(): value for name, value in headers.items()}
    every[signing.date_header] = when
    if signing.token:
        every["x-amz-security-token"] = signing.token
    payload = every.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    signed = {name: value for name, value in every.items() if name not in signing.hidden}
    made = signature_4(signing, method, path, query, signed, payload)
    named = ";".join(sorted(signed))
    every["authorization"] = (
        f"{ALGORITHM} Credential={signing.id}/{signing.scope}, SignedHeaders={named}, Signature={made}"
    )
    return every


def in_query(
    signing: Signing, method: str, path: str, pairs: Pairs, host: str, *, expires: int, body: bytes = b""
) -> list[tuple[str, str]]:
    """The parameters of a request that is signed in its query (a presigned URL), the signature last."""
    signing = signing.now
    every = [
        *pairs,
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{signing.id}/{signing.scope}"),
        ("X-Amz-Date", signing.moment),
        ("X-Amz-Expires", str(expires)),
        ("X-Amz-SignedHeaders", "host"),
    ]
    if signing.token:
        every.append(("X-Amz-Security-Token", signing.token))
    payload = hashlib.sha256(body).hexdigest()
    return [*every, ("X-Amz-Signature", signature_4(signing, method, path, every, {"host": host}, payload))]


def version_2(
    signing: Signing, method: str, path: str, pairs: Pairs, host: str, *, digest: str = "sha256"
) -> list[tuple[str, str]]:
    """The parameters of a request signed by version 2, the signature last."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + signing.skew))
    every = [
        *pairs,
        ("AWSAccessKeyId", signing.id),
        ("SignatureVersion", "2"),
        ("SignatureMethod", f"Hmac{digest.upper()}"),
        ("Timestamp", when),
    ]
    if signing.token:
        every.append(("SecurityToken", signing.token))
    ordered = sorted(every, key=lambda pair: (pair[0].encode(), pair[1].encode()))
    text = f"{method}\n{host.lower()}\n{path}\n{form(ordered)}"
    made = hmac.new(signing.secret.encode(), text.encode(), digest).digest()
    return [*every, ("Signature", base64.b64encode(made).decode())]
