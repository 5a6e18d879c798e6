"""Who users are to others, where else they may work, roles that may be taken on, and temporary keys (STS).

A session acts as a member of its tenant and never as an administrator, unless it is an administrator's own.
It ends with its time, its role, its user and the lasting access key that it goes back to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from backend import identity_commands
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import Caller, Identity, Membership, Role, Session, Tenant, TenantRole, User, new_id

SHORTEST_ROLE = 3600
LONGEST_ROLE = 43_200
LONGEST_CHAINED = 3600
"""Seconds that a session may last which is begun with another session's key."""

_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_ACCOUNT = re.compile(r"[0-9]{12}")


def create_role(work: Work, command: identity_commands.CreateRole) -> TenantRole:
    """Add a role; who may take it on must be there."""
    if work.tx.tenants.get(command.tenant_id) is None:
        raise BackendError(Code.TENANT_NOT_FOUND, f"No such tenant: {command.tenant_id}")
    if not _ROLE_NAME.fullmatch(command.name):
        raise BackendError(
            Code.PARAMETER_INVALID,
            "A role's name has 1 to 64 letters, digits and the signs _+=,.@-",
            parameter="name",
        )
    if not SHORTEST_ROLE <= command.longest <= LONGEST_ROLE:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A role's longest session is of {SHORTEST_ROLE} to {LONGEST_ROLE} seconds.",
            parameter="longest",
        )
    known = {tenant.account_id for tenant in work.tx.tenants.all()}
    for account in command.trusted:
        if not _ACCOUNT.fullmatch(account) or account not in known:
            raise BackendError(Code.TENANT_NOT_FOUND, f"No tenant has the account id {account}.")
    if work.tx.roles.named(command.tenant_id, command.name) is not None:
        raise BackendError(Code.ROLE_EXISTS, f"There is a role {command.name} already.", name=command.name)
    role = TenantRole(
        id=new_id("role"),
        tenant_id=command.tenant_id,
        name=command.name,
        trusted=tuple(dict.fromkeys(command.trusted)),
        longest=command.longest,
        created_at=work.now,
    )
    work.tx.roles.insert(role)
    return role


def delete_role(work: Work, command: identity_commands.DeleteRole) -> None:
    """Forget a role, and end its sessions."""
    role = work.tx.roles.named(command.tenant_id, command.name)
    if role is None:
        raise BackendError(Code.ROLE_NOT_FOUND, f"No such role: {command.name}", name=command.name)
    work.tx.sessions.forget_role(role.id)
    work.tx.roles.delete(role.id)


def forget_trust(work: Work, account_id: str) -> None:
    """Have no role trust an account any more: its tenant goes, and another may be given the same id."""
    for role in work.tx.roles.all():
        if account_id in role.trusted:
            left = tuple(each for each in role.trusted if each != account_id)
            work.tx.roles.update(role, trusted=left)


def assume_role(work: Work, command: identity_commands.AssumeRole) -> Session:
    """Begin a session in a role.

    A role that does not trust the caller is as one that is not there: nothing else is told of it.
    """
    caller = work.caller
    owner = work.tx.tenants.with_account(command.account_id)
    role = work.tx.roles.named(owner.id, command.role) if owner is not None else None
    if owner is None or role is None or not _trusts(role, caller):
        _denied(f"role/{command.role} of the account {command.account_id} cannot be taken on")
    key_id, chained = _origin(work)
    if command.seconds > role.longest:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    if chained and command.seconds > LONGEST_CHAINED:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
            "chaining.",
        )
    return _begin(work, command, owner, key_id, role_id=role.id, name=command.name)


def begin_session(work: Work, command: identity_commands.BeginSession) -> Session:
    """Begin a session of the caller's own; a temporary key cannot prolong itself."""
    key_id, chained = _origin(work)
    owner = work.tx.tenants.get(work.caller.tenant_id)
    if chained or owner is None:
        _denied("Cannot call GetSessionToken with session credentials")
    return _begin(work, command, owner, key_id)


def _trusts(role: TenantRole, caller: Caller) -> bool:
    return caller.tenant_id == role.tenant_id or caller.account_id in role.trusted


def _origin(work: Work) -> tuple[str, bool]:
    """The lasting access key behind the caller's, and whether the caller's is a temporary one."""
    key_id = work.caller.key_id
    session = work.tx.sessions.get(key_id)
    if session is not None:
        return session.access_key_id, True
    if work.tx.access_keys.get(key_id) is None:  # it went while the request was on its way
        _denied("The key that signed the request is gone")
    return key_id, False


def _begin(
    work: Work,
    command: identity_commands.AssumeRole | identity_commands.BeginSession,
    owner: Tenant,
    access_key_id: str,
    *,
    role_id: str = "",
    name: str = "",
) -> Session:
    session = Session(
        id=command.key_id,
        access_key_id=access_key_id,
        user_id=work.caller.user_id,
        tenant_id=owner.id,
        secret=command.secret,
        token_digest=command.token_digest,
        created_at=work.now,
        expires_at=work.now + command.seconds,
        role_id=role_id,
        name=name,
    )
    work.tx.sessions.insert(session)
    return session


def _denied(why: str) -> NoReturn:
    raise BackendError(Code.DENIED, f"{why}.")


# Tenants besides the own --------------------------------------------------------------------------------


def join_tenant(work: Work, command: identity_commands.JoinTenant) -> Membership:
    """Let a user work in one more tenant, or in another role there."""
    user, tenant = _user(work, command.user_name), _tenant(work, command.tenant_id)
    if user.tenant_id == tenant.id:
        raise BackendError(
            Code.PARAMETER_INVALID, f"{user.name} is of the tenant {tenant.name} already.", parameter="tenant"
        )
    found = work.tx.memberships.get(user.id, tenant.id)
    if found is not None:
        return work.tx.memberships.update(found, role=command.role)
    membership = Membership(user_id=user.id, tenant_id=tenant.id, role=command.role, created_at=work.now)
    work.tx.memberships.insert(membership)
    return membership


def leave_tenant(work: Work, command: identity_commands.LeaveTenant) -> None:
    """End a user's work in a tenant, from the next request on."""
    user, tenant = _user(work, command.user_name), _tenant(work, command.tenant_id)
    if user.tenant_id == tenant.id:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"{user.name} is of the tenant {tenant.name}, and cannot leave it.",
            parameter="tenant",
        )
    if not work.tx.memberships.delete(user.id, tenant.id):
        raise BackendError(
            Code.MEMBERSHIP_NOT_FOUND, f"{user.name} does not work in {tenant.name}.", name=tenant.name
        )


def _user(work: Work, name: str) -> User:
    found = work.tx.users.named(name)
    if found is None:
        raise BackendError(Code.USER_NOT_FOUND, f"No such user: {name}", name=name)
    return found


def _tenant(work: Work, tenant_id: str) -> Tenant:
    found = work.tx.tenants.get(tenant_id)
    if found is None:
        raise BackendError(Code.TENANT_NOT_FOUND, f"No such tenant: {tenant_id}", name=tenant_id)
    return found


# Subjects of issuers ------------------------------------------------------------------------------------

LONGEST_SUBJECT = 1024
"""Characters: OpenID allows 255, a certificate's subject may have more."""


def is_subject(text: str) -> bool:
    """Whether a text can be the subject of an identity: some printable characters."""
    return bool(text.strip()) and text.isprintable() and len(text) <= LONGEST_SUBJECT


def add_identity(work: Work, command: identity_commands.AddIdentity) -> Identity:
    """Let a subject in as a user; it is one user's only."""
    user = _user(work, command.user_name)
    for name, text in (("issuer", command.issuer), ("subject", command.subject)):
        if not is_subject(text):
            raise BackendError(
                Code.PARAMETER_INVALID,
                f"The {name} has 1 to {LONGEST_SUBJECT} printable characters.",
                parameter=name,
            )
    known = work.tx.identities.get(command.issuer, command.subject)
    if known is not None:
        owner = work.tx.users.get(known.user_id)
        raise BackendError(
            Code.IDENTITY_EXISTS,
            f"The subject is known already, as {owner.name if owner is not None else known.user_id}.",
            name=command.subject,
        )
    identity = Identity(issuer=command.issuer, subject=command.subject, user_id=user.id, created_at=work.now)
    work.tx.identities.insert(identity)
    return identity


def remove_identity(work: Work, command: identity_commands.RemoveIdentity) -> Identity:
    """Forget a subject."""
    known = work.tx.identities.get(command.issuer, command.subject)
    if known is None:
        raise BackendError(Code.IDENTITY_NOT_FOUND, "No such identity.", name=command.subject)
    work.tx.identities.delete(command.issuer, command.subject)
    return known


def admit_subject(work: Work, command: identity_commands.AdmitSubject) -> User:
    """The user of a subject; the first request makes it, and a second one beside it finds it."""
    known = work.tx.identities.get(command.issuer, command.subject)
    found = work.tx.users.get(known.user_id) if known is not None else None
    if found is not None:
        return found
    tenant = _tenant(work, command.tenant_id)
    user = User(
        id=new_id("u"),
        tenant_id=tenant.id,
        name=_free_name(work, command),
        role=Role.MEMBER,
        password_hash="",
        created_at=work.now,
    )
    work.tx.users.insert(user)
    work.tx.identities.insert(
        Identity(
            issuer=command.issuer,
            subject=command.subject,
            user_id=user.id,
            created_at=work.now,
            claimed=True,
        )
    )
    return user


def _free_name(work: Work, command: identity_commands.AdmitSubject) -> str:
    if work.tx.users.named(command.name) is None:
        return command.name
    digest = hashlib.sha256(f"{command.issuer}\0{command.subject}".encode()).hexdigest()
    name = f"{command.name[:200]}-{digest[:16]}"
    if work.tx.users.named(name) is not None:
        raise BackendError(Code.USER_EXISTS, f"The user {name} exists already.", name=name)
    return name


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    identity_commands.JoinTenant: join_tenant,
    identity_commands.LeaveTenant: leave_tenant,
    identity_commands.AddIdentity: add_identity,
    identity_commands.RemoveIdentity: remove_identity,
    identity_commands.AdmitSubject: admit_subject,
    identity_commands.CreateRole: create_role,
    identity_commands.DeleteRole: delete_role,
    identity_commands.AssumeRole: assume_role,
    identity_commands.BeginSession: begin_session,
}
"""The part of the engine's table that is here."""
