"""What both signature versions share: the request as it was on the wire, the claim it makes, the refusals.

Verification is pure. The caller looks the secret up between the two steps: *present* (what key does the
request claim?) and *verify* (was it signed with that key's secret?).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from ec2.errors import Ec2Error
from rendering.query_params import Pair

UNRESERVED = "-_.~"


class SignatureError(Ec2Error):
    """A request whose signature cannot be trusted: AuthFailure, IncompleteSignature, RequestExpired, or
    ExpiredToken where a session is over.
    """


class SignatureKind(enum.StrEnum):
    """The ways to sign a request."""

    V4_HEADER = "v4-header"
    V4_QUERY = "v4-query"
    V2 = "v2"


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as received.

    ``path`` and ``query`` are still encoded, without the question mark, as WSGI gives them (one character a
    byte). Header names are lower-case; values of repeated headers are joined by a comma. ``pairs`` are the
    decoded parameters of query and body together.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    pairs: Sequence[Pair]


class SignaturePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted. None stands for any service or region.

    ``services`` must be opened for clients that derive the scope from the host name (boto 2's
    ``connect_euca``).
    """

    skew: timedelta = timedelta(minutes=5)
    skew_v2: timedelta = timedelta(minutes=15)
    services: frozenset[str] | None = frozenset({"ec2", "sts"})
    regions: frozenset[str] | None = None
    version_2: bool = False


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """The claim of a signed request, not yet verified.

    ``tenant`` is the part after the colon where the key id is written ``AKID:tenant``. Region and service are
    None for signature version 2, which has no scope.
    """

    kind: SignatureKind
    access_key_id: str
    tenant: str | None = None
    region: str | None = None
    service: str | None = None
    session_token: str | None = None


def split_key_id(text: str) -> tuple[str, str | None]:
    """Split ``AKID:tenant``; the tenant is None when there is no colon."""
    key_id, colon, tenant = text.partition(":")
    return key_id, tenant if colon else None


def refused() -> SignatureError:
    """The one answer to unknown keys and wrong signatures, so that neither can be told from the other."""
    return SignatureError("AuthFailure", "AWS was not able to validate the provided access credentials")


def garbled(what: str) -> SignatureError:
    """The answer to a signature that cannot be read."""
    return SignatureError("IncompleteSignature", what)


def expired() -> SignatureError:
    """The answer to a request from another time."""
    return SignatureError("RequestExpired", "Request has expired.")


def expired_token() -> SignatureError:
    """The answer to the rightful holder of a temporary key whose time is over."""
    return SignatureError("ExpiredToken", "The security token included in the request is expired")
