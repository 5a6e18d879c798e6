"""``isthmus tenant``, ``user``, ``key`` and ``token``: who may use the cloud, and with what."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from backend.commands import (
    CreateToken,
    DeleteAccessKey,
    DeleteToken,
    DeleteUser,
    PurgeTenant,
    SetAccessKeyActive,
    SetPassword,
    SetQuota,
)
from backend.identity_commands import JoinTenant, LeaveTenant
from backend.model import (
    QUOTA_DEFAULTS,
    TOKEN_ID_LENGTH,
    UNLIMITED,
    Membership,
    Role,
    Tenant,
    User,
)
from gateway import installation as installations
from gateway.context import (
    HomeOption,
    JsonOption,
    Refused,
    command,
    installation_of,
    tenant_named,
    user_named,
)
from gateway.crypto import Passwords, new_password, new_token, token_digest
from gateway.installation import Installation, operator
from gateway.output import Output

tenants = typer.Typer(no_args_is_help=True, help="Accounts: each owns its instances, images and keys.")
users = typer.Typer(no_args_is_help=True, help="People and programs of a tenant.")
keys = typer.Typer(no_args_is_help=True, help="Access keys for the EC2 face.")
tokens = typer.Typer(no_args_is_help=True, help="Bearer tokens for the OCCI face.")

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Its name, id or account id.")]
UserArgument = Annotated[
    str | None, typer.Argument(metavar="[USER]", help="Whose; the tenant's first user without.")
]
UserOption = Annotated[str | None, typer.Option("--user", help="The same as USER.", hidden=True)]
TenantOption = Annotated[str | None, typer.Option(help="Its tenant; the first one without.")]
_POLL = 0.5


# Tenants ------------------------------------------------------------------------------------------------


def _tenant_row(installation: Installation, tenant: Tenant) -> dict[str, Any]:
    instances, cores, memory = installation.engine.usage(tenant.id)
    return {
        "id": tenant.id,
        "name": tenant.name,
        "account_id": tenant.account_id,
        "created_at": tenant.created_at,
        "instances": instances,
        "cores": cores,
        "memory_mib": memory,
        "quotas": {**QUOTA_DEFAULTS, **tenant.quotas},
    }


@tenants.command("create")
@command
def create_tenant(
    name: Annotated[str, typer.Argument(help="Its name.")],
    account_id: Annotated[str | None, typer.Option(help="12 digits; random without.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant with a user of the same name, an access key and a password, as `init` does."""
    installation = installation_of(home)
    made = installations.create_tenant(installation, name, account_id)
    output = Output(as_json=as_json)
    output.one(msgspec.to_builtins(made))
    output.say("Keep the secret key and the password: they are not shown again.")


@tenants.command("list")
@command
def list_tenants(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All tenants and what they use."""
    installation = installation_of(home)
    rows = [_tenant_row(installation, tenant) for tenant in installation.engine.tenants()]
    columns = ("name", "account_id", "id", "instances", "cores", "memory_mib", "created_at")
    Output(as_json=as_json).rows(rows, columns)


@tenants.command("quota")
@command
def quota(
    tenant: TenantArgument,
    limits: Annotated[
        list[str] | None, typer.Argument(help=f"NAME=NUMBER, of {', '.join(QUOTA_DEFAULTS)}; -2: no limit.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the limits of a tenant, or set some."""
    installation = installation_of(home)
    found = tenant_named(installation, tenant)
    if limits:
        wanted = dict(_limit(text) for text in limits)
        found = installation.engine.execute(operator(), SetQuota(tenant_id=found.id, quotas=wanted))
    Output(as_json=as_json).one({**QUOTA_DEFAULTS, **found.quotas})


def _limit(text: str) -> tuple[str, int]:
    name, equals, number = text.partition("=")
    if name not in QUOTA_DEFAULTS:
        raise Refused(f"There is no limit {name!r}; there are: {', '.join(QUOTA_DEFAULTS)}.")
    try:
        value = int(number) if equals else None
    except ValueError:
        value = None
    if value is None or (value < 0 and value != UNLIMITED):
        raise Refused(f"{text!r}: a limit is NAME=NUMBER, with {UNLIMITED} for none.")
    return name, value


@tenants.command("purge")
@command
def purge(
    tenant: TenantArgument,
    remove: Annotated[
        bool, typer.Option("--remove", help="Then remove the tenant itself and its users.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the worker; 0: do not wait.")] = 600.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End and remove everything that a tenant has."""
    installation = installation_of(home)
    found = tenant_named(installation, tenant)
    output = Output(as_json=as_json)
    deadline = time.monotonic() + wait
    told = -1
    while left := installation.engine.execute(operator(), PurgeTenant(tenant_id=found.id, remove=remove)):
        if left != told:
            told = left
            output.hint(f"{left} instances and volumes are going…")
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL)
    if left and wait:
        raise Refused(
            f"{left} instances and volumes of {found.name} are still going: a worker must run "
            "(isthmus serve), and their hosts must answer (isthmus host list). Then repeat."
        )
    installation.uploads.forget(found.id)
    output.one({"tenant": found.name, "left": left, "removed": remove and not left})


# Users --------------------------------------------------------------------------------------------------


def _user_row(
    user: User, tenants_by_id: dict[str, Tenant], memberships: Sequence[Membership] = ()
) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "tenant": _name_of(user.tenant_id, tenants_by_id),
        "role": user.role.value,
        "projects": {
            _name_of(each.tenant_id, tenants_by_id): each.role.value
            for each in memberships
            if each.user_id == user.id
        },
        "created_at": user.created_at,
    }


def _name_of(tenant_id: str, tenants_by_id: dict[str, Tenant]) -> str:
    owner = tenants_by_id.get(tenant_id)
    return owner.name if owner else tenant_id


def _by_id(installation: Installation) -> dict[str, Tenant]:
    return {tenant.id: tenant for tenant in installation.engine.tenants()}


def _password(*, ask: bool) -> str | None:
    """A password from standard input, never from the command line, where others could see it."""
    if not ask:
        return None
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise Refused("The password is expected on standard input.")
    return password


PasswordOption = Annotated[
    bool, typer.Option("--password", help="Ask for the password (or read it from standard input).")
]


@users.command("create")
@command
def create_user(
    name: Annotated[str, typer.Argument(help="Its name, unique over all tenants.")],
    tenant: TenantOption = None,
    admin: Annotated[bool, typer.Option("--admin", help="An administrator.")] = False,
    password: PasswordOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user with a password; a random one is told once."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant)
    user, told = installations.create_user(
        installation,
        owner,
        name,
        password=_password(ask=password),
        role=Role.ADMIN if admin else Role.MEMBER,
    )
    shown = _user_row(user, {owner.id: owner}) | ({} if password else {"password": told})
    Output(as_json=as_json).one(shown)


@users.command("list")
@command
def list_users(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All users, with the tenants in which they may work besides their own."""
    installation = installation_of(home)
    owners, memberships = _by_id(installation), installation.engine.memberships()
    rows = [_user_row(user, owners, memberships) for user in installation.engine.users()]
    Output(as_json=as_json).rows(rows, ("name", "tenant", "role", "projects", "id", "created_at"))


@users.command("show")
@command
def show_user(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """One user: where it may work, and as whom issuers and certificates let it in."""
    installation = installation_of(home)
    engine = installation.engine
    user = user_named(installation, name, None)
    mine = [each for each in engine.identities() if each.user_id == user.id]
    shown = _user_row(user, _by_id(installation), engine.memberships_of(user.id)) | {
        "password": bool(user.password_hash),
        "identities": [f"{each.issuer} {each.subject}" for each in mine],
    }
    Output(as_json=as_json).one(shown)


@users.command("join")
@command
def join(
    name: Annotated[str, typer.Argument(metavar="USER", help="The user's name.")],
    tenant: TenantArgument,
    role: Annotated[Role, typer.Option(help="What the user may do there.")] = Role.MEMBER,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a user work in one more tenant through OCCI; access keys stay those of the user's own."""
    installation = installation_of(home)
    found, user = tenant_named(installation, tenant), user_named(installation, name, None)
    made = installation.engine.execute(
        operator(), JoinTenant(user_name=user.name, tenant_id=found.id, role=role)
    )
    output = Output(as_json=as_json)
    output.one({"name": user.name, "project": found.name, "role": made.role.value})
    path = f"/projects/{quote(found.name, safe='')}/"
    output.say(f"Requests go there by the header X-Project: {found.name}, or below {path}")


@users.command("leave")
@command
def leave(
    name: Annotated[str, typer.Argument(metavar="USER", help="The user's name.")],
    tenant: TenantArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a user's work in a tenant that is not its own; what it made stays there."""
    installation = installation_of(home)
    found, user = tenant_named(installation, tenant), user_named(installation, name, None)
    installation.engine.execute(operator(), LeaveTenant(user_name=user.name, tenant_id=found.id))
    Output(as_json=as_json).one({"name": user.name, "project": found.name, "left": True})


@users.command("passwd")
@command
def passwd(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    password: PasswordOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user another password, and revoke its bearer tokens; a random password is told once."""
    installation = installation_of(home)
    given = _password(ask=password)
    wanted = given or new_password()
    installation.engine.execute(operator(), SetPassword(name=name, password_hash=Passwords().hash(wanted)))
    Output(as_json=as_json).one({"name": name} | ({} if given else {"password": wanted}))


@users.command("delete")
@command
def delete_user(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a user with its access keys and tokens; what it made stays its tenant's."""
    installation_of(home).engine.execute(operator(), DeleteUser(name=name))
    Output(as_json=as_json).one({"name": name, "deleted": True})


# Access keys --------------------------------------------------------------------------------------------


@keys.command("create")
@command
def create_key(
    name: UserArgument = None,
    user: UserOption = None,
    tenant: TenantOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an access key; its secret is told once."""
    installation = installation_of(home)
    owner = user_named(installation, name or user, tenant)
    key_id, secret = installations.create_key(installation, owner.name)
    account = _by_id(installation)[owner.tenant_id]
    Output(as_json=as_json).one(
        {
            "access_key": key_id,
            "secret_key": secret,
            "user": owner.name,
            "tenant": account.name,
            "account_id": account.account_id,
        }
    )


@keys.command("list")
@command
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All access keys, without their secrets."""
    engine = installation_of(home).engine
    rows = [
        {"access_key": key.id, "user": user.name, "active": key.active, "created_at": key.created_at}
        for user in engine.users()
        for key in engine.access_keys(user.id)
    ]
    Output(as_json=as_json).rows(rows, ("access_key", "user", "active", "created_at"))


def _set_active(home: Any, as_json: bool, key: str, *, active: bool) -> None:
    installation_of(home).engine.execute(operator(), SetAccessKeyActive(key_id=key, active=active))
    Output(as_json=as_json).one({"access_key": key, "active": active})


KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The access key's id.")]


@keys.command("disable")
@command
def disable_key(key: KeyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Refuse an access key from now on."""
    _set_active(home, as_json, key, active=False)


@keys.command("enable")
@command
def enable_key(key: KeyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Accept an access key again."""
    _set_active(home, as_json, key, active=True)


@keys.command("delete")
@command
def delete_key(key: KeyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Forget an access key for good."""
    installation_of(home).engine.execute(operator(), DeleteAccessKey(key_id=key))
    Output(as_json=as_json).one({"access_key": key, "deleted": True})


# Bearer tokens ------------------------------------------------------------------------------------------


@tokens.command("create")
@command
def create_token(
    name: UserArgument = None,
    user: UserOption = None,
    tenant: TenantOption = None,
    days: Annotated[float | None, typer.Option(min=0.0, help="How long it holds; for ever without.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a bearer token for OCCI; it is told once."""
    installation = installation_of(home)
    owner = user_named(installation, name or user, tenant)
    token = new_token()
    digest = token_digest(token)
    expires_at = None if days is None else time.time() + days * 86400
    installation.engine.execute(
        operator(),
        CreateToken(digest=digest, user_name=owner.name, expires_at=expires_at),
    )
    shown = {"id": digest[:TOKEN_ID_LENGTH], "token": token, "user": owner.name, "expires_at": expires_at}
    Output(as_json=as_json).one(shown)


@tokens.command("list")
@command
def list_tokens(
    name: Annotated[str | None, typer.Argument(metavar="[USER]", help="Whose; everybody's without.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bearer tokens by their ids, which open nothing."""
    installation = installation_of(home)
    owners = installation.engine.users() if name is None else [user_named(installation, name, None)]
    rows = [
        {"id": token.id, "user": user.name, "created_at": token.created_at, "expires_at": token.expires_at}
        for user in owners
        for token in installation.engine.tokens(user.id)
    ]
    Output(as_json=as_json).rows(rows, ("id", "user", "created_at", "expires_at"), empty="No token.")


@tokens.command("delete")
@command
def delete_token(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `token list` shows it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a bearer token: it is refused from now on."""
    gone = installation_of(home).engine.execute(operator(), DeleteToken(token_id=token))
    Output(as_json=as_json).one({"id": gone.id, "deleted": True})
