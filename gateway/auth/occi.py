"""The OCCI face's door: HTTP Basic (RFC 7617), bearer tokens (RFC 6750), certificates that a proxy verified.

Behind it lie the tenants in which the user may work: the own, those that an administrator lets the user into,
and those that a token's claims lead to. A tenant that a user has no business in is as one that is not there.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence

import structlog

from backend.engine import Engine
from backend.errors import BackendError
from backend.identity_commands import AdmitSubject
from backend.model import Api, Caller, Role, Tenant, User, Value
from gateway.auth import certificates
from gateway.auth.oidc import BadToken, Bearer, is_jwt
from gateway.crypto import Passwords, token_digest
from gateway.installation import operator

_LONGEST = 4096
_LONGEST_TOKEN = 16 << 10
_LONGEST_NAME = 255
_MOST_NAMES = 3
"""A tenant goes by its name, its id and its account id."""

_log = structlog.get_logger("isthmus.door")


class Unauthenticated(Exception):  # noqa: N818 - it says what is the case
    """The request names nobody, or proves it badly; the answer is 401 with a challenge."""


class NoProject(Exception):  # noqa: N818 - it says what is the case
    """The request is for a tenant that is not there, or that the user has no business in."""


class NoHome(Exception):  # noqa: N818 - it says what is the case
    """The request names no tenant, and nothing lets the user into the one that the user is of any more."""


class TwoProjects(Exception):  # noqa: N818 - it says what is the case
    """The request is for several tenants."""


class _Visitor(Value, frozen=True, kw_only=True):
    """Who came in. ``claimed`` are the names of tenants that claims lead to; ``at_home`` is whether the user
    may work in the tenant that it is of without any.
    """

    user: User
    tenant: Tenant
    claimed: tuple[str, ...] = ()
    at_home: bool = True


class OcciDoor:
    """Authenticates requests of the OCCI face. Safe to use from several threads."""

    def __init__(
        self,
        engine: Engine,
        passwords: Passwords,
        *,
        realm: str = "isthmus",
        oidc: Callable[[str], Bearer] | None = None,
    ) -> None:
        self._engine = engine
        self._passwords = passwords
        self._oidc = oidc
        self.challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def __call__(
        self,
        authorization: str | None,
        request_id: str,
        *,
        subject: str | None = None,
        projects: Sequence[str] = (),
    ) -> Caller:
        """The caller that an Authorization header proves, or without one the subject of a certificate.

        ``projects`` are the names under which the request says what tenant it is for; the user's own without.

        Raises:
            Unauthenticated: there is no proof, it cannot be read, or it is wrong; which of them is not told.
            IssuerSilent: a token cannot be judged now.
            NoProject, NoHome, TwoProjects: the user has no business there, or it is not clear where.
        """
        visitor = self._visitor(authorization, subject, request_id)
        tenant, role = self._place(visitor, projects)
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=visitor.user.id,
            user_name=visitor.user.name,
            role=role,
            api=Api.OCCI,
            request_id=request_id,
        )

    # Who ------------------------------------------------------------------------------------------------

    def _visitor(self, authorization: str | None, subject: str | None, request_id: str) -> _Visitor:
        if authorization is None:
            return self._certified(subject)
        scheme, _, credentials = authorization.strip().partition(" ")
        if len(credentials) > (_LONGEST_TOKEN if scheme.lower() == "bearer" else _LONGEST):
            raise Unauthenticated
        match scheme.lower():
            case "basic":
                user, tenant = self._basic(credentials)
            case "bearer" if self._oidc is not None and is_jwt(credentials.strip()):
                return self._claimed(self._oidc, credentials.strip(), request_id)
            case "bearer":
                user, tenant = self._bearer(credentials)
            case _:
                raise Unauthenticated
        return _Visitor(user=user, tenant=tenant)

    def _basic(self, credentials: str) -> tuple[User, Tenant]:
        name, password = _name_and_password(credentials)
        owner = self._engine.by_name(name)
        # Whom only claims let in has no password, and an empty one is none.
        stored = (owner[0].password_hash or None) if owner else None
        if not self._passwords.verify(name, password, stored) or owner is None:
            raise Unauthenticated
        return owner

    def _bearer(self, credentials: str) -> tuple[User, Tenant]:
        owner = self._engine.by_token(token_digest(credentials.strip()))
        if owner is None:
            raise Unauthenticated
        return owner

    def _certified(self, subject: str | None) -> _Visitor:
        known = self._engine.by_identity(certificates.ISSUER, subject) if subject is not None else None
        if known is None:
            if subject is not None:
                _log.info("unknown certificate", subject=subject)
            raise Unauthenticated
        user, tenant, _identity = known
        return _Visitor(user=user, tenant=tenant)

    def _claimed(self, judge: Callable[[str], Bearer], token: str, request_id: str) -> _Visitor:
        """Whom a token is about: somebody who is known, or whom its claims lead to a tenant."""
        try:
            bearer = judge(token)
        except BadToken as error:
            _log.info("token refused", why=str(error))
            raise Unauthenticated from error
        known = self._engine.by_identity(bearer.issuer, bearer.subject)
        if known is None:
            self._admit(bearer, request_id)
            known = self._engine.by_identity(bearer.issuer, bearer.subject)
        if known is None:
            raise Unauthenticated
        user, tenant, identity = known
        visitor = _Visitor(user=user, tenant=tenant, claimed=bearer.tenants, at_home=not identity.claimed)
        if not visitor.at_home and not visitor.claimed and not self._engine.memberships_of(user.id):
            _log.info("token leads nowhere", issuer=bearer.issuer, subject=bearer.subject)
            raise Unauthenticated
        return visitor

    def _admit(self, bearer: Bearer, request_id: str) -> None:
        """Make a user of the first tenant that is there of those that the claims lead to."""
        found = (self._engine.tenant(name) for name in bearer.tenants)
        tenant = next((each for each in found if each is not None), None)
        if tenant is None:
            _log.info("unknown subject", issuer=bearer.issuer, subject=bearer.subject)
            raise Unauthenticated
        command = AdmitSubject(
            issuer=bearer.issuer, subject=bearer.subject, name=bearer.name, tenant_id=tenant.id
        )
        try:
            user = self._engine.execute(operator("oidc", request_id=request_id), command)
        except BackendError as error:  # the tenant went just now, or somebody has every name for it
            _log.warning("a user cannot be made", issuer=bearer.issuer, why=error.message)
            raise Unauthenticated from error
        _log.info("user made", issuer=bearer.issuer, user=user.name, tenant=tenant.name)

    # Where ----------------------------------------------------------------------------------------------

    def _place(self, visitor: _Visitor, projects: Sequence[str]) -> tuple[Tenant, Role]:
        if not projects:
            found = self._business(visitor, visitor.tenant.id)
            if found is None:
                raise NoHome
            return found
        if len(projects) > _MOST_NAMES:
            raise TwoProjects
        places = [self._business(visitor, name) for name in projects]
        known = {place[0].id: place for place in places if place is not None}
        if None in places or not known:
            raise NoProject
        if len(known) > 1:
            raise TwoProjects
        return known.popitem()[1]

    def _business(self, visitor: _Visitor, name: str) -> tuple[Tenant, Role] | None:
        """A tenant that the user may work in, and what as; None for any other."""
        own, user = visitor.tenant, visitor.user
        if visitor.at_home and name == own.id:  # as for most requests: nothing need be read
            return own, user.role
        # What no tenant can be called is not asked for: databases refuse some of it.
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            return None
        found = self._engine.project(user, name)
        if found is None:
            return None
        tenant, membership = found
        if membership is not None:
            return tenant, membership.role
        if visitor.at_home and tenant.id == own.id:
            return tenant, user.role
        return (tenant, Role.MEMBER) if {tenant.id, tenant.name} & set(visitor.claimed) else None


def _name_and_password(credentials: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(credentials.strip().encode("latin-1"), validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise Unauthenticated from error
    name, colon, password = text.partition(":")
    if not colon or not name or "\0" in text:
        raise Unauthenticated
    return name, password
