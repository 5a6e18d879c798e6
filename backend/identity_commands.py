"""The part of the command vocabulary about who users are, where they may work, and temporary credentials.

See :mod:`backend.commands`.

Secrets come sealed, session tokens as SHA-256: the engine never sees either in clear.
"""

from __future__ import annotations

from backend.commands import Command
from backend.model import Identity, Membership, Role, Session, TenantRole, User


class CreateRole(Command[TenantRole], frozen=True, kw_only=True):
    """A role of a tenant that its own users, and those of the accounts ``trusted``, may take on."""

    tenant_id: str
    name: str
    trusted: tuple[str, ...] = ()
    longest: int = 3600


class DeleteRole(Command[None], frozen=True, kw_only=True):
    """Delete a role and end its sessions."""

    tenant_id: str
    name: str


class AssumeRole(Command[Session], frozen=True, kw_only=True):
    """Begin a session in a role (AssumeRole), ``seconds`` long; the caller must be trusted by it."""

    account_id: str
    role: str
    name: str
    seconds: int
    key_id: str
    secret: bytes
    token_digest: str


class BeginSession(Command[Session], frozen=True, kw_only=True):
    """A temporary key of the caller's own (GetSessionToken), ``seconds`` long."""

    seconds: int
    key_id: str
    secret: bytes
    token_digest: str


class JoinTenant(Command[Membership], frozen=True, kw_only=True):
    """Let a user work in one more tenant, in a role there; who is in it already gets the role."""

    user_name: str
    tenant_id: str
    role: Role = Role.MEMBER


class LeaveTenant(Command[None], frozen=True, kw_only=True):
    """End a user's work in a tenant that is not the user's own; what was made there stays."""

    user_name: str
    tenant_id: str


class AddIdentity(Command[Identity], frozen=True, kw_only=True):
    """Let in as a user whom an issuer calls ``subject``; ``x509`` is the issuer of certificates' subjects."""

    user_name: str
    issuer: str
    subject: str


class RemoveIdentity(Command[Identity], frozen=True, kw_only=True):
    """Let a subject of an issuer's in no more; the user stays."""

    issuer: str
    subject: str


class AdmitSubject(Command[User], frozen=True, kw_only=True):
    """The user of a subject to whom claims open ``tenant_id``; made of that tenant when there is none.

    ``name`` is what it is called, with a suffix when somebody else is called so. It has no password.
    """

    issuer: str
    subject: str
    name: str
    tenant_id: str
