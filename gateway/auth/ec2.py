"""The EC2 face's door: a signed request → its caller, or one refusal that tells nothing.

Unknown key, disabled key, wrong tenant, foreign region and wrong signature get the same answer after the same
work.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from backend.engine import Engine
from backend.model import AccessKey, Api, Caller, Tenant, User
from ec2 import signing
from ec2.signature import Presented, SignaturePolicy, SignedRequest, refused
from gateway.crypto import SecretBox
from gateway.settings import Settings

_ANY_REGION = frozenset({"sts"})
"""Services that clients sign for a region of their own choice: STS is global to many of them."""


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
        self._policy = SignaturePolicy(
            skew=skew,
            skew_v2=skew_v2,
            services=None if self._any_service else frozenset({"ec2", "sts"}),
            version_2=settings.ec2.version_2,
        )

    def __call__(self, request: SignedRequest, request_id: str) -> Caller:
        """The caller of a request.

        Raises:
            SignatureError: AuthFailure, IncompleteSignature or RequestExpired.
        """
        presented = signing.present(request, self._policy)
        if presented is None:
            raise refused()
        owner = self._engine.by_access_key(presented.access_key_id)
        secret = self._decoy if owner is None else self._box.open(owner[0].id, owner[0].secret)
        signing.verify(
            presented,
            secret=secret,
            request=request,
            now=datetime.fromtimestamp(self._engine.clock(), UTC),
            policy=self._policy,
        )
        if owner is None:
            raise refused()
        return self._caller(presented, owner, request_id)

    def _caller(self, presented: Presented, owner: tuple[AccessKey, User, Tenant], request_id: str) -> Caller:
        _, user, tenant = owner
        if presented.tenant is not None and presented.tenant not in {
            tenant.id,
            tenant.name,
            tenant.account_id,
        }:
            raise refused()
        if presented.session_token is not None:  # ours are no session's keys
            raise refused()
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=user.id,
            user_name=user.name,
            role=user.role,
            api=Api.EC2,
            request_id=request_id,
            region=self._region(presented),
        )

    def _region(self, presented: Presented) -> str:
        """The region that the scope names; one that this cloud has not is refused, as by Amazon's."""
        if presented.region in self._regions:
            return presented.region
        if presented.region is None or presented.service in _ANY_REGION or self._any_service:
            return self._default_region
        raise refused()
