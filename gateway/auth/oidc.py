"""Tokens of OpenID Connect issuers: signed JWTs (RFC 7519), judged here, never sent anywhere.

A token that is good in every way opens the door to the user whom its issuer and subject mean here, and to the
tenants that its claims lead to. Why another is refused is for the log, not for the client.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from backend.engine.identity import is_subject
from backend.model import Value
from gateway.auth.issuers import PATIENCE, Issuer
from gateway.settings import OidcTable

_FORM = re.compile(r"[A-Za-z0-9_-]{2,2048}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
"""Three parts with dots between. Our own tokens have no dots."""
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""What a token may say that it is (RFC 9068). Those of logouts, events and proofs are not for access."""
_NAME = re.compile(r"[A-Za-z0-9._@+=-]{1,128}")
_LONGEST: Final = 16 << 10

_log = structlog.get_logger("isthmus.oidc")


class BadToken(Exception):  # noqa: N818 - it says what is the case
    """A token opens nothing; the message is for the log, and holds nothing of the token."""


class Bearer(Value, frozen=True, kw_only=True):
    """Who a good token is about: an issuer's subject, and the tenants, by name, that its claims lead to."""

    issuer: str
    subject: str
    tenants: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a user that is made for it is called: no name that the token chooses."""
        host = (urlsplit(self.issuer).hostname or "").replace(":", ".")
        if _NAME.fullmatch(self.subject):
            return f"{self.subject}@{host}"
        digest = hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()
        return f"{digest[:24]}@{host}"


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str = ""
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    b64: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Said(msgspec.Struct, frozen=True):
    iss: str


class _Registry(JWSRegistry):
    """The algorithms of one issuer. The library would warn of the name EdDSA, which issuers still use."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self.max_header_length = 2048
        self.max_payload_length = _LONGEST

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in (self.allowed or ()):
            raise BadToken("algorithm")
        return self.algorithms[name]


def is_jwt(token: str) -> bool:
    """Whether a bearer token has the form of a JWT, good or bad."""
    return _FORM.fullmatch(token) is not None


class OidcDoor:
    """Judges tokens of the issuers set. Safe to use from several threads.

    ``clock`` is the time of day, ``issuer`` makes what knows an issuer's keys.
    """

    def __init__(
        self,
        tables: Sequence[OidcTable],
        *,
        clock: Callable[[], float],
        waiting: int = 1,
        issuer: Callable[[str, threading.Semaphore], Issuer] = Issuer,
    ) -> None:
        turns = threading.BoundedSemaphore(waiting)
        self._clock = clock
        self._issuers = {
            table.issuer: (table, issuer(table.issuer, turns), _Registry(table.algorithms))
            for table in tables
        }

    def begin(self) -> None:
        """Have all issuers asked for their keys, and wait a little for them, so that no request need to."""
        asked = [issuer.begin() for _table, issuer, _registry in self._issuers.values()]
        deadline = time.monotonic() + PATIENCE
        for done in asked:
            if done is not None:
                done.wait(max(0.0, deadline - time.monotonic()))

    def __call__(self, token: str) -> Bearer:
        """Who a token is about.

        Raises:
            BadToken: it is not good, or not for us.
            IssuerSilent: it may be good, but its issuer does not answer.
        """
        if len(token) > _LONGEST:
            raise BadToken("too long")
        head, payload, _ = token.split(".")
        header = _decoded(head, _Header)
        known = self._issuers.get(_decoded(payload, _Said).iss)
        if known is None:
            raise BadToken("issuer")
        table, issuer, registry = known
        _check_header(header, table)
        claims = self._verified(token, header, issuer, registry)
        _check_claims(claims, table, self._clock())
        return _bearer(claims, table)

    def _verified(self, token: str, header: _Header, issuer: Issuer, registry: _Registry) -> dict[str, Any]:
        """The claims, once their signature is proved. What was read before it only chose the key."""
        keys = issuer.keys(header.kid or None, header.alg)
        for each in keys:
            try:
                signed = jws.deserialize_compact(token, each.key, registry=registry)
            except (JoseError, ValueError, TypeError, KeyError, RecursionError):
                continue
            return _object(signed.payload or b"")
        raise BadToken("signature" if keys else "key")


def _check_header(header: _Header, table: OidcTable) -> None:
    if header.alg not in table.algorithms:
        raise BadToken("algorithm")
    if header.typ.lower() not in _TYPES:
        raise BadToken("type")
    if header.crit is not msgspec.UNSET or header.b64 is not msgspec.UNSET:
        raise BadToken("critical header")


def _check_claims(claims: dict[str, Any], table: OidcTable, now: float) -> None:
    """Who made it, for whom, and when it holds; a token bound to a key of its holder's cannot be judged."""
    registry = JWTClaimsRegistry(
        now=int(now),
        leeway=table.leeway,
        iss={"essential": True, "value": table.issuer},
        sub={"essential": True},
        aud={"essential": True, "values": list(table.audience)},
        exp={"essential": True},
    )
    try:
        registry.validate(claims)
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        raise BadToken(str(getattr(error, "claim", "") or error)[:80]) from error
    if "cnf" in claims:
        raise BadToken("cnf")
    if table.scope and table.scope not in _words(claims.get("scope", claims.get("scp"))):
        raise BadToken("scope")


def _bearer(claims: dict[str, Any], table: OidcTable) -> Bearer:
    subject = claims["sub"]
    if not isinstance(subject, str) or not is_subject(subject):
        raise BadToken("sub")
    given = claims.get(table.claim) if table.claim else None
    values = {given} if isinstance(given, str) else set(_texts(given))
    tenants = [tenant for value, tenant in table.projects.items() if value in values]
    return Bearer(issuer=table.issuer, subject=subject, tenants=tuple(dict.fromkeys(tenants)))


def _words(given: object) -> set[str]:
    """What a claim lists: words in one text, or a list of them."""
    return set(given.split(" ")) if isinstance(given, str) else set(_texts(given))


def _texts(given: object) -> list[str]:
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def _decoded(part: str, kind: type[Any]) -> Any:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=kind)
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadToken("form") from error


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadToken("claims") from error
