"""Key pairs and OCCI tag mixins: records without a life of their own on a host."""

from __future__ import annotations

from collections.abc import Callable

from backend import commands
from backend.engine.access import own_instances, own_key_pair
from backend.engine.tagging import give_tags
from backend.engine.told import changed
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import (
    QUOTA_DEFAULTS,
    UNLIMITED,
    KeyPair,
    QuotaName,
    Tenant,
    UserMixin,
    new_id,
)


def lock_tenant(work: Work, tenant_id: str) -> Tenant:
    """A tenant, whose claims come one by one from here on: what is counted after this stays true."""
    tenant = work.tx.tenants.lock(tenant_id)
    if tenant is None:
        raise BackendError(Code.TENANT_NOT_FOUND, "The tenant does not exist.")
    return tenant


def check_quota(
    work: Work, name: QuotaName, used: Callable[[], int], code: Code, *, tenant_id: str = "", more: int = 1
) -> None:
    """Refuse more of something than a tenant's limit; what is ``used`` is counted behind the lock."""
    require_quota(lock_tenant(work, tenant_id or work.caller.tenant_id), name, used, code, more=more)


def require_quota(
    tenant: Tenant, name: QuotaName, used: Callable[[], int], code: Code, *, more: int = 1
) -> None:
    """Refuse more of something than the limit of a tenant, whose row is locked."""
    limit = tenant.quotas.get(name.value, QUOTA_DEFAULTS[name.value])
    have = used() if limit != UNLIMITED else 0
    if limit != UNLIMITED and have + more > limit:
        raise BackendError(
            code,
            f"Your limit of {limit} {name.value} has been reached.",
            limit=limit,
            quota=name.value,
            used=have,
        )


# Key pairs ----------------------------------------------------------------------------------------------


def import_key_pair(work: Work, command: commands.ImportKeyPair) -> KeyPair:
    """Keep a public key under a new name in the caller's region (ImportKeyPair, CreateKeyPair)."""
    tenant_id = work.caller.tenant_id
    if not 1 <= len(command.name) <= 255:
        raise BackendError(
            Code.PARAMETER_INVALID, "A key pair's name has 1 to 255 characters.", parameter="KeyName"
        )
    if work.tx.key_pairs.named(tenant_id, work.region, command.name) is not None:
        raise BackendError(
            Code.KEY_PAIR_EXISTS, f"The keypair '{command.name}' already exists.", name=command.name
        )
    check_quota(work, QuotaName.KEY_PAIRS, lambda: work.tx.key_pairs.count(tenant_id), Code.QUOTA_KEY_PAIRS)
    pair = KeyPair(
        id=new_id("key"),
        tenant_id=tenant_id,
        region=work.region,
        name=command.name,
        key_type=command.key_type,
        fingerprint=command.fingerprint,
        public_key=command.public_key,
        created_at=work.now,
    )
    work.tx.key_pairs.insert(pair)
    give_tags(work, [pair.id], "key-pair", command.tags)
    return pair


def delete_key_pair(work: Work, command: commands.DeleteKeyPair) -> KeyPair | None:
    """Forget a key pair; machines that have it keep it (DeleteKeyPair)."""
    if command.key_pair_id is not None:
        pair = own_key_pair(work, command.key_pair_id)
    else:
        pair = work.tx.key_pairs.named(work.caller.tenant_id, work.region, command.name or "")
    if pair is None:
        return None
    work.tx.tags.drop([pair.id])
    work.tx.key_pairs.delete(pair.id)
    return pair


# Tag mixins ---------------------------------------------------------------------------------------------


def create_mixin(work: Work, command: commands.CreateMixin) -> UserMixin:
    """Add a tag mixin of the tenant's."""
    mine = work.tx.mixins.of(work.caller.tenant_id)
    if any(
        (known.scheme, known.term) == (command.scheme, command.term) or known.location == command.location
        for known in mine
    ):
        raise BackendError(
            Code.MIXIN_EXISTS, f"The mixin {command.scheme}{command.term} or its location is taken."
        )
    mixin = UserMixin(
        tenant_id=work.caller.tenant_id,
        scheme=command.scheme,
        term=command.term,
        title=command.title,
        location=command.location,
        created_at=work.now,
    )
    work.tx.mixins.insert(mixin)
    return mixin


def _mixin(work: Work, scheme: str, term: str) -> UserMixin:
    mixin = work.tx.mixins.get(work.caller.tenant_id, scheme, term)
    if mixin is None:
        raise BackendError(Code.MIXIN_NOT_FOUND, f"No such mixin: {scheme}{term}")
    return mixin


def delete_mixin(work: Work, command: commands.DeleteMixin) -> None:
    """Remove a tag mixin and its associations; the resources live on."""
    mixin = _mixin(work, command.scheme, command.term)
    work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term)
    work.tx.mixins.delete(mixin.tenant_id, mixin.scheme, mixin.term)


def associate(work: Work, command: commands.Associate) -> None:
    """Change the members of a tag mixin, all or none; they may be resources and links of any kind."""
    lock_tenant(work, work.caller.tenant_id)  # whoever replaces all members waits here
    mixin = _mixin(work, command.scheme, command.term)
    named = dict.fromkeys((*command.add, *command.remove))
    work.tx.instances.touch([each.id for each in own_instances(work, [*filter(_is_instance, named)])])
    for item in sorted(named):
        if not _is_instance(item):
            changed(work, item)
    if command.replace:
        work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term)
    work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term, command.remove)
    for item in dict.fromkeys(command.add):
        work.tx.mixins.associate(mixin.tenant_id, mixin.scheme, mixin.term, item)


def _is_instance(item: str) -> bool:
    return item.startswith("i-")
