"""Administration: hosts, flavors, tenants, users and their credentials."""

from __future__ import annotations

import re
import secrets
from typing import NoReturn

from backend import commands
from backend.commands import Op, Operate
from backend.engine.identity import forget_trust
from backend.engine.images import withdraw
from backend.engine.launch_templates import forget_template
from backend.engine.operate import operate
from backend.engine.silence import host_silent
from backend.engine.snapshots import forget_snapshot
from backend.engine.tasks import begin_task
from backend.engine.vpcs import make_default_vpc
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from backend.model import (
    CRTP_SIZES,
    TOKEN_ID_LENGTH,
    AccessKey,
    BearerToken,
    Desired,
    Flavor,
    Host,
    HostState,
    Task,
    TaskKind,
    Tenant,
    User,
    VolumeState,
    new_id,
)
from backend.store import InstanceQuery

_LARGEST_RATIO = 1000
_LONGEST_NAME = 255


def _missing(code: Code, what: str, name: str) -> NoReturn:
    raise BackendError(code, f"No such {what}: {name}", name=name)


# Hosts --------------------------------------------------------------------------------------------------


def add_host(work: Work, command: commands.AddHost) -> Host:
    """Add a host; the worker's monitor makes first contact."""
    if command.zone not in work.settings.zones.get(command.region, ()):
        _missing(Code.ZONE_NOT_FOUND, "zone", command.zone)
    for ratio in (command.cpu_ratio, command.memory_ratio, command.disk_ratio):
        if not 0 < ratio <= _LARGEST_RATIO:  # neither is nan
            raise BackendError(
                Code.PARAMETER_INVALID,
                f"A host's ratios are above 0 and at most {_LARGEST_RATIO}.",
                parameter="ratio",
            )
    if work.tx.hosts.by_uri(command.uri) is not None:
        raise BackendError(Code.HOST_EXISTS, f"The host {command.uri} is known already.", name=command.uri)
    host = Host(
        id=new_id("h"),
        uri=command.uri,
        region=command.region,
        zone=command.zone,
        created_at=work.now,
        cpu_ratio=command.cpu_ratio,
        memory_ratio=command.memory_ratio,
        disk_ratio=command.disk_ratio,
    )
    work.tx.hosts.insert(host)
    work.wake_scheduler()
    return host


def set_host_state(work: Work, command: commands.SetHostState) -> Host:
    """Enable, disable or take offline; ``off`` is the administrator's proof that the host is dead."""
    host = work.tx.hosts.get(command.host_id) or _missing(Code.HOST_NOT_FOUND, "host", command.host_id)
    try:
        state = HostState(command.state)
    except ValueError:
        raise BackendError(Code.PARAMETER_INVALID, "No such host state.", parameter="state") from None
    if state not in {HostState.INIT, HostState.DISABLED, HostState.OFFLINE, HostState.MAINTENANCE}:
        raise BackendError(Code.PARAMETER_INVALID, f"A host becomes {state} by itself.", parameter="state")
    work.wake_scheduler()
    if state is HostState.OFFLINE:
        host_silent(work, host)
    return work.tx.hosts.update(host, state=state, failures=0)


def delete_host(work: Work, command: commands.DeleteHost) -> None:
    """Forget a host that nothing refers to (invariant 10). What is left on a dead one is of no concern."""
    host = work.tx.hosts.get(command.host_id) or _missing(Code.HOST_NOT_FOUND, "host", command.host_id)
    placed = work.tx.placements.open_on(host.id)
    kept = work.tx.volumes.on_host(host.id)
    needed = any(task.arguments.get("host") == host.id for task in work.tx.tasks.open())
    left = host.state is not HostState.OFFLINE and work.tx.debris.on(host.id)
    if placed or kept or needed or left or work.tx.reservations.on(host.id):
        raise BackendError(Code.HOST_IN_USE, f"The host {host.uri} still has instances or files of ours.")
    work.tx.debris.forget_host(host.id)
    work.tx.placements.forget_host(host.id)
    work.tx.hosts.delete(host.id)


# Flavors ------------------------------------------------------------------------------------------------


_FLAVOR_NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def put_flavor(work: Work, command: commands.PutFlavor) -> Flavor:
    """Add or change a flavor. Its name and OCCI's for it are unique; one of the profile's has its size."""
    flavor = command.flavor
    _check_flavor(flavor)
    for other in work.tx.flavors.all():
        if other.name != flavor.name and other.term == flavor.term:
            raise BackendError(
                Code.FLAVOR_EXISTS,
                f"OCCI would call {flavor.name} and {other.name} the same: {flavor.term}.",
                name=other.name,
            )
    known = work.tx.flavors.get(flavor.name)
    if known is None:
        work.tx.flavors.insert(flavor)
        return flavor
    return work.tx.flavors.update(
        known,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        root_gib=flavor.root_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        crtp=flavor.crtp,
    )


def _check_flavor(flavor: Flavor) -> None:
    if not _FLAVOR_NAME.fullmatch(flavor.name):
        raise BackendError(
            Code.PARAMETER_INVALID,
            "A flavor's name is at most 64 lower-case letters, digits, '.', '_' and '-', a letter first.",
            parameter="name",
        )
    if flavor.vcpus < 1 or flavor.memory_mib < 1 or flavor.root_gib < 0 or flavor.ephemeral_gib < 0:
        raise BackendError(Code.PARAMETER_INVALID, "A flavor's sizes are positive.", parameter="flavor")
    size = (flavor.vcpus, flavor.memory_mib, flavor.ephemeral_gib)
    if flavor.crtp and CRTP_SIZES.get(flavor.crtp) != size:
        wanted = "; ".join(
            f"{term} is {cores} cores, {memory} MiB, {scratch} GiB of scratch space"
            for term, (cores, memory, scratch) in CRTP_SIZES.items()
        )
        raise BackendError(
            Code.PARAMETER_INVALID, f"The resource templates profile says: {wanted}.", parameter="crtp"
        )


def delete_flavor(work: Work, command: commands.DeleteFlavor) -> None:
    """Withdraw a flavor; instances keep its name and size."""
    if not work.tx.flavors.delete(command.name):
        _missing(Code.FLAVOR_NOT_FOUND, "flavor", command.name)


# Tenants, users, credentials ----------------------------------------------------------------------------


def _check_name(what: str, name: str) -> None:
    """Names of users are sent by HTTP Basic; a tenant's first user has its name."""
    if not name.strip() or ":" in name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A {what}'s name has 1 to {_LONGEST_NAME} characters, no colon and no control characters.",
            parameter="name",
        )


def create_tenant(work: Work, command: commands.CreateTenant) -> Tenant:
    """Add a tenant."""
    _check_name("tenant", command.name)
    account = command.account_id or str(secrets.randbelow(9 * 10**11) + 10**11)
    if len(account) != 12 or not account.isascii() or not account.isdigit():
        raise BackendError(Code.PARAMETER_INVALID, "An account id has 12 digits.", parameter="account_id")
    same = [tenant for tenant in work.tx.tenants.all() if command.name == tenant.name]
    taken = [tenant for tenant in work.tx.tenants.all() if account == tenant.account_id]
    if same or taken:
        raise BackendError(Code.TENANT_EXISTS, f"The tenant {command.name} or its account id is taken.")
    tenant = Tenant(id=new_id("t"), name=command.name, account_id=account, created_at=work.now)
    work.tx.tenants.insert(tenant)
    for region in work.settings.zones:
        make_default_vpc(work, tenant, region)
    return tenant


def _drawn(work: Work, tenant: Tenant) -> list[str]:
    """The ids of all that the network has of a tenant's."""
    tx = work.tx
    rows = (tx.vpcs, tx.subnets, tx.security_groups, tx.nics)
    return [each.id for some in rows for each in some.of_tenant(tenant.id, None)]


def set_quota(work: Work, command: commands.SetQuota) -> Tenant:
    """Set limits of a tenant."""
    tenant = work.tx.tenants.get(command.tenant_id)
    if tenant is None:
        _missing(Code.TENANT_NOT_FOUND, "tenant", command.tenant_id)
    return work.tx.tenants.update(tenant, quotas={**tenant.quotas, **command.quotas})


def purge_tenant(work: Work, command: commands.PurgeTenant) -> int:
    """End all that a tenant has; answers how many instances and image files are still going."""
    tenant = work.tx.tenants.get(command.tenant_id)
    if tenant is None:
        _missing(Code.TENANT_NOT_FOUND, "tenant", command.tenant_id)
    living = work.tx.instances.find(InstanceQuery(tenant_id=tenant.id))
    for instance in living:
        if instance.locked_terminate:
            work.tx.instances.update(instance, locked_terminate=False)
    ending = [
        instance.id
        for instance in living
        if instance.desired is not Desired.GONE and transition("terminate", instance.detail) is not None
    ]
    if ending:
        operate(work, Operate(op=Op.TERMINATE, ids=tuple(ending)))
    _purge_records(work, tenant)
    volumes = work.tx.volumes.of_tenant(tenant.id, None)
    for volume in volumes:
        if volume.instance_id is None and volume.state in {VolumeState.AVAILABLE, VolumeState.ERROR}:
            begin_task(work, TaskKind.VOLUME_DELETE, volume.id, tenant_id=tenant.id, lock=volume.id)
            work.tx.volumes.update(volume, state=VolumeState.DELETING)
    left = len(work.tx.instances.find(InstanceQuery(tenant_id=tenant.id))) + len(volumes)
    if command.remove and not left:
        drawn = _drawn(work, tenant)
        forget_trust(work, tenant.account_id)
        work.tx.forget_tenant(tenant.id)
        work.network_changed(*drawn)
    return left


def _purge_records(work: Work, tenant: Tenant) -> None:
    for pair in work.tx.key_pairs.of_tenant(tenant.id):
        work.tx.tags.drop([pair.id])
        work.tx.key_pairs.delete(pair.id)
    for template in work.tx.launch_templates.of_tenant(tenant.id, None):
        forget_template(work, template)
    for mixin in work.tx.mixins.of(tenant.id):
        work.tx.mixins.dissociate(tenant.id, mixin.scheme, mixin.term)
        work.tx.mixins.delete(tenant.id, mixin.scheme, mixin.term)
    for image in work.tx.images.visible(tenant.id, tenant.account_id):
        if image.tenant_id == tenant.id:
            withdraw(work, image)
    for snapshot in work.tx.snapshots.visible(tenant.id, "", None):
        if snapshot.tenant_id == tenant.id:
            forget_snapshot(work, snapshot)


def create_user(work: Work, command: commands.CreateUser) -> User:
    """Add a user; names are unique over all tenants, as OCCI clients log in with the name alone."""
    _check_name("user", command.name)
    if work.tx.tenants.get(command.tenant_id) is None:
        _missing(Code.TENANT_NOT_FOUND, "tenant", command.tenant_id)
    if work.tx.users.named(command.name) is not None:
        raise BackendError(Code.USER_EXISTS, f"The user {command.name} exists already.", name=command.name)
    user = User(
        id=new_id("u"),
        tenant_id=command.tenant_id,
        name=command.name,
        role=command.role,
        password_hash=command.password_hash,
        created_at=work.now,
    )
    work.tx.users.insert(user)
    return user


def _user(work: Work, name: str) -> User:
    return work.tx.users.named(name) or _missing(Code.USER_NOT_FOUND, "user", name)


def delete_user(work: Work, command: commands.DeleteUser) -> None:
    """Forget a user with all that it could log in with."""
    user = _user(work, command.name)
    work.tx.identities.forget_user(user.id)
    work.tx.memberships.forget_user(user.id)
    work.tx.access_keys.forget_user(user.id)
    work.tx.tokens.forget_user(user.id)
    work.tx.sessions.forget_user(user.id)
    work.tx.users.delete(user.id)


def set_password(work: Work, command: commands.SetPassword) -> User:
    """Replace a password hash, and forget the user's tokens; access keys and sessions know no password."""
    user = _user(work, command.name)
    work.tx.tokens.forget_user(user.id)
    return work.tx.users.update(user, password_hash=command.password_hash)


def create_access_key(work: Work, command: commands.CreateAccessKey) -> None:
    """Keep an access key of a user's."""
    user = _user(work, command.user_name)
    work.tx.access_keys.insert(
        AccessKey(id=command.key_id, user_id=user.id, secret=command.secret, active=True, created_at=work.now)
    )


def set_access_key_active(work: Work, command: commands.SetAccessKeyActive) -> None:
    """Switch an access key off or on; switched off, it ends the sessions that go back to it."""
    key = work.tx.access_keys.get(command.key_id)
    if key is None:
        _missing(Code.RESOURCE_NOT_FOUND, "access key", command.key_id)
    if not command.active:
        work.tx.sessions.forget_key(key.id)
    work.tx.access_keys.update(key, active=command.active)


def delete_access_key(work: Work, command: commands.DeleteAccessKey) -> None:
    """Forget an access key, and end the sessions that go back to it."""
    if not work.tx.access_keys.delete(command.key_id):
        _missing(Code.RESOURCE_NOT_FOUND, "access key", command.key_id)
    work.tx.sessions.forget_key(command.key_id)


def create_token(work: Work, command: commands.CreateToken) -> None:
    """Keep the digest of a bearer token."""
    user = _user(work, command.user_name)
    work.tx.tokens.insert(
        BearerToken(
            digest=command.digest, user_id=user.id, created_at=work.now, expires_at=command.expires_at
        )
    )


def delete_token(work: Work, command: commands.DeleteToken) -> BearerToken:
    """Forget a bearer token; a name that is too short, or means several, is nobody's."""
    named = work.tx.tokens.beginning(command.token_id) if len(command.token_id) >= TOKEN_ID_LENGTH else []
    if len(named) != 1:
        _missing(Code.RESOURCE_NOT_FOUND, "token", command.token_id)
    work.tx.tokens.delete(named[0].digest)
    return named[0]


def check(work: Work, _command: commands.Check) -> Task:
    """Have the worker compare hosts and store with the database."""
    return begin_task(work, TaskKind.CHECK, "check", tenant_id="")
