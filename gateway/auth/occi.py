"""The OCCI face's door: HTTP Basic (RFC 7617) and bearer tokens (RFC 6750)."""

from __future__ import annotations

import base64
import binascii

from backend.engine import Engine
from backend.model import Api, Caller, Tenant, User
from gateway.crypto import Passwords, token_digest

_LONGEST = 4096


class Unauthenticated(Exception):  # noqa: N818 - it says what is the case
    """The request names nobody, or proves it badly; the answer is 401 with a challenge."""


class OcciDoor:
    """Authenticates requests of the OCCI face. Safe to use from several threads."""

    def __init__(self, engine: Engine, passwords: Passwords, *, realm: str = "isthmus") -> None:
        self._engine = engine
        self._passwords = passwords
        self.challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def __call__(self, authorization: str | None, request_id: str) -> Caller:
        """The caller that an Authorization header proves.

        Raises:
            Unauthenticated: there is none, it cannot be read, or it is wrong; which of them is not told.
        """
        scheme, _, credentials = (authorization or "").strip().partition(" ")
        if len(credentials) > _LONGEST:
            raise Unauthenticated
        match scheme.lower():
            case "basic":
                user, tenant = self._basic(credentials)
            case "bearer":
                user, tenant = self._bearer(credentials)
            case _:
                raise Unauthenticated
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=user.id,
            user_name=user.name,
            role=user.role,
            api=Api.OCCI,
            request_id=request_id,
        )

    def _basic(self, credentials: str) -> tuple[User, Tenant]:
        name, password = _name_and_password(credentials)
        owner = self._engine.by_name(name)
        stored = owner[0].password_hash if owner else None
        if not self._passwords.verify(name, password, stored) or owner is None:
            raise Unauthenticated
        return owner

    def _bearer(self, credentials: str) -> tuple[User, Tenant]:
        owner = self._engine.by_token(token_digest(credentials.strip()))
        if owner is None:
            raise Unauthenticated
        return owner


def _name_and_password(credentials: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(credentials.strip().encode("latin-1"), validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise Unauthenticated from error
    name, colon, password = text.partition(":")
    if not colon or not name or "\0" in text:
        raise Unauthenticated
    return name, password
