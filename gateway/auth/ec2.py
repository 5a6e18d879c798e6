"""The EC2 face's door: a signed request → its caller, or one refusal that tells nothing.

Unknown key, disabled key, wrong session token, wrong tenant, foreign region and wrong signature get the same
answer after the same work.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, datetime

import msgspec

from backend.engine import Engine
from backend.model import Api, Caller, Role, Session, Tenant, User
from ec2 import signing
from ec2.context import FreshKey
from ec2.service import service_of
from ec2.signature import Presented, SignaturePolicy, SignedRequest, expired_token, refused
from gateway.crypto import TEMPORARY, SecretBox, new_key_id, new_secret, new_session_token, token_digest
from gateway.settings import Settings
from rendering.query_params import envelope

_ANY_REGION = frozenset({"sts"})
"""Services that clients sign for a region of their own choice: STS is global to many of them."""


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that opens the door: whose it is, and what a temporary one stands for."""

    id: str
    sealed: bytes
    user: User
    tenant: Tenant
    session: Session | None = None
    role_name: str = ""


class Ec2Door:
    """Authenticates requests of the EC2 face. Safe to use from several threads."""

    def __init__(self, engine: Engine, box: SecretBox, settings: Settings) -> None:
        skew, skew_v2 = settings.skews()
        self._engine = engine
        self._box = box
        self._regions = frozenset(settings.regions)
        self._default_region = settings.default_region
        self._any_service = settings.ec2.any_service
        self._decoy = secrets.token_urlsafe(30)
        self._decoy_digest = token_digest(self._decoy)
        self._policy = SignaturePolicy(
            skew=skew,
            skew_v2=skew_v2,
            services=None if self._any_service else frozenset({"ec2", "sts"}),
            version_2=settings.ec2.version_2,
        )

    def __call__(self, request: SignedRequest, request_id: str) -> Caller:
        """The caller of a request.

        Raises:
            SignatureError: AuthFailure, IncompleteSignature, RequestExpired or ExpiredToken.
        """
        presented = signing.present(request, self._policy)
        if presented is None:
            raise refused()
        key = self._key(presented.access_key_id)
        signing.verify(
            presented,
            secret=self._decoy if key is None else self._box.open(key.id, key.sealed),
            request=request,
            now=datetime.fromtimestamp(self._engine.clock(), UTC),
            policy=self._policy,
        )
        if not self._token_fits(presented, key) or key is None:
            raise refused()
        self._check_scope(presented, key.tenant, envelope(request.pairs, "Version"))
        if key.session is not None and key.session.expires_at <= self._engine.clock():
            raise expired_token()
        return self._caller(presented, key, request_id)

    def _key(self, key_id: str) -> _Key | None:
        if key_id.startswith(TEMPORARY):
            begun = self._engine.by_session_key(key_id)
            if begun is None:
                return None
            session, user, tenant, role_name = begun
            return _Key(
                id=key_id,
                sealed=session.secret,
                user=user,
                tenant=tenant,
                session=session,
                role_name=role_name,
            )
        owner = self._engine.by_access_key(key_id)
        if owner is None:
            return None
        key, user, tenant = owner
        return _Key(id=key.id, sealed=key.secret, user=user, tenant=tenant)

    def _token_fits(self, presented: Presented, key: _Key | None) -> bool:
        """Whether the session token is the session's: none for a lasting key."""
        session = key.session if key is not None else None
        kept = session.token_digest if session is not None else self._decoy_digest
        fits = hmac.compare_digest(token_digest(presented.session_token or ""), kept)
        return fits if session is not None else presented.session_token is None

    def _check_scope(self, presented: Presented, tenant: Tenant, version: str | None) -> None:
        """Refuse a key for another tenant, and a signature that was made for another service."""
        names = {tenant.id, tenant.name, tenant.account_id}
        if presented.tenant is not None and presented.tenant not in names:
            raise refused()
        if not self._any_service and presented.service not in {None, service_of(version)}:
            raise refused()

    def _caller(self, presented: Presented, key: _Key, request_id: str) -> Caller:
        session = key.session
        role_id = session.role_id if session is not None else ""
        return Caller(
            tenant_id=key.tenant.id,
            account_id=key.tenant.account_id,
            user_id=key.user.id,
            user_name=f"{key.role_name}/{session.name}" if session is not None and role_id else key.user.name,
            role=Role.MEMBER if role_id else key.user.role,
            api=Api.EC2,
            request_id=request_id,
            region=self._region(presented),
            key_id=key.id,
            role_id=role_id,
        )

    def _region(self, presented: Presented) -> str:
        """The region that the scope names; one that this cloud has not is refused, as by Amazon's."""
        if presented.region in self._regions:
            return presented.region
        if presented.region is None or presented.service in _ANY_REGION or self._any_service:
            return self._default_region
        raise refused()


class SessionMint:
    """Makes temporary keys. Implements the EC2 face's ``KeyMint``."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box

    def __call__(self, shortest_token: int = 0) -> FreshKey:
        """A key that nobody has: its secret sealed besides, its session token as digest."""
        key_id, secret, token = new_key_id(TEMPORARY), new_secret(), new_session_token(shortest_token)
        return FreshKey(
            key_id=key_id,
            secret=secret,
            sealed=self._box.seal(key_id, secret),
            token=token,
            token_digest=token_digest(token),
        )
