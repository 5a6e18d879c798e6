"""The part of the command vocabulary about roles and temporary credentials; see :mod:`backend.commands`.

Secrets come sealed, session tokens as SHA-256: the engine never sees either in clear.
"""

from __future__ import annotations

from backend.commands import Command
from backend.model import Session, TenantRole


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
