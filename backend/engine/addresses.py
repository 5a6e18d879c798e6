"""Public addresses: elastic ones, which tenants allocate, and those lent to running instances (§11)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend import network_commands as commands
from backend.engine.access import own_instances
from backend.engine.claims import addresses_of, choose
from backend.engine.link_ends import association_ended
from backend.engine.network_access import own, own_nic
from backend.engine.network_reads import not_found
from backend.engine.registry import check_quota, lock_tenant
from backend.engine.tagging import check_tags, give_tags
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.model import Desired, QuotaName, new_id
from backend.network_model import Nic, PublicAddress

# Allocating ---------------------------------------------------------------------------------------------


def allocate_address(work: Work, command: commands.AllocateAddress) -> PublicAddress:
    """An elastic address: held for its owner until released (AllocateAddress)."""
    check_tags(command.tags)
    tenant = lock_tenant(work, work.caller.tenant_id)
    check_quota(
        work,
        QuotaName.ADDRESSES,
        lambda: work.tx.public_addresses.count_elastic(tenant.id),
        Code.QUOTA_ADDRESSES,
    )
    pool = _pool(work, command.pool)
    ip = _wanted(work, pool, command.ip) if command.ip else _any(work, pool)
    address = PublicAddress(
        id=new_id("eipalloc"),
        tenant_id=tenant.id,
        account_id=tenant.account_id,
        region=work.region,
        ip=ip,
        pool=pool,
        api=work.caller.api,
        summary=command.summary,
        created_at=work.now,
    )
    work.tx.public_addresses.insert(address)
    give_tags(work, [address.id], "elastic-ip", command.tags)
    for scheme, term in command.mixins:
        work.tx.mixins.associate(work.caller.tenant_id, scheme, term, address.id)
    return address


def _pool(work: Work, name: str) -> str:
    pools = work.settings.network.pools
    if name and name not in pools:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "There is no such address pool.",
            parameter="publicIpv4Pool",
            value=name[:80],
        )
    if not pools:
        raise _exhausted()
    return name or next(iter(pools))


def _exhausted() -> BackendError:
    return BackendError(Code.PUBLIC_ADDRESSES_EXHAUSTED, "Insufficient addresses: the pool has none left.")


def _any(work: Work, pool: str) -> str:
    found = _free(work, pool, 1)
    if not found:
        raise _exhausted()
    return found[0]


def _free(work: Work, pool: str, count: int) -> list[str]:
    ranges = addresses_of(work.settings.network.pools[pool])
    return choose(ranges, count, work.tx.public_addresses.taken)


def _wanted(work: Work, pool: str, ip: str) -> str:
    try:
        number = int(ipaddress.IPv4Address(ip))
    except ValueError:
        raise BackendError(
            Code.PARAMETER_INVALID, "Invalid IPv4 address.", parameter="address", value=ip[:80]
        ) from None
    inside = any(number in each for each in addresses_of(work.settings.network.pools[pool]))
    if not inside or work.tx.public_addresses.taken([ip]):
        raise BackendError(Code.ADDRESS_IN_USE, f"The address {ip} is not available.", value=ip)
    return ip


def release_address(work: Work, command: commands.ReleaseAddress) -> PublicAddress:
    """Give an address back to its pool; refused while it leads somewhere (ReleaseAddress)."""
    address = own_address(work, command.allocation_id)
    if address.nic_id is not None:
        raise BackendError(
            Code.ADDRESS_IN_USE, f"Address '{address.ip}' is in use.", ids=(address.id,), value=address.ip
        )
    work.tx.tags.drop([address.id])
    work.tx.forget([address.id])
    work.tx.public_addresses.delete(address.id)
    return address


def own_address(work: Work, allocation_id: str) -> PublicAddress:
    """An elastic address of the caller's; one that was lent is nobody's to change."""
    address = own(work, PublicAddress, allocation_id, lock=True)
    if address.auto:
        raise not_found([allocation_id])
    return address


def modify_address(work: Work, command: commands.ModifyAddress) -> PublicAddress:
    """Switch an address on or off, or change its summary (OCCI)."""
    address = own_address(work, command.allocation_id)
    changes: dict[str, Any] = {
        name: getattr(command, name) for name in ("up", "summary") if getattr(command, name) is not None
    }
    if not changes:
        return address
    changed = work.tx.public_addresses.update(address, **changes)
    if changed.nic_id is not None:
        _told(work, work.tx.nics.get(changed.nic_id))
    return changed


# Associating --------------------------------------------------------------------------------------------


def associate_address(work: Work, command: commands.AssociateAddress) -> PublicAddress:
    """Let an elastic address lead to a private one (AssociateAddress)."""
    address = own_address(work, command.allocation_id)
    nic = _target(work, command)
    private = command.private_ip or nic.address
    if private not in work.tx.leases.of_nic(nic.id):
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"{private[:80]} is no address of {nic.id}.",
            parameter="privateIpAddress",
            value=private[:80],
        )
    if (address.nic_id, address.private_ip) == (nic.id, private):
        return address
    there = [each for each in _leading_to(work, nic) if each.private_ip == private]
    elastic = [each for each in there if not each.auto]
    if not command.move and (address.nic_id is not None or elastic):
        taken = address if address.nic_id is not None else elastic[0]
        raise BackendError(
            Code.ALREADY_ASSOCIATED,
            f"resource {taken.id} is already associated with associate-id {taken.association_id}",
            ids=(taken.id,),
        )
    before = own_nic(work, address.nic_id) if address.nic_id is not None else None
    for each in there:
        unlink(work, each)
    _told(work, before)
    linked = link(work, address, nic, private)
    _told(work, nic)
    return linked


def _target(work: Work, command: commands.AssociateAddress) -> Nic:
    if command.nic_id:
        nic = own_nic(work, command.nic_id, lock=True)
        if command.instance_id and nic.instance_id != command.instance_id:
            raise BackendError(
                Code.PARAMETER_COMBINATION, "The interface is not one of the instance's.", ids=(nic.id,)
            )
        return nic
    if not command.instance_id:
        raise BackendError(
            Code.PARAMETER_MISSING, "An instance or an interface is needed.", parameter="instanceId"
        )
    [instance] = own_instances(work, [command.instance_id])
    if instance.desired is Desired.GONE:
        raise wrong_state(instance, "associate an address with")
    nics = work.tx.nics.of_instance(instance.id)
    if len(nics) > 1 and not command.private_ip:
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            f"There are multiple interfaces attached to instance '{instance.id}'. "
            "Please specify an interface ID for the operation instead.",
            ids=(instance.id,),
        )
    for nic in nics:
        if not command.private_ip or command.private_ip in work.tx.leases.of_nic(nic.id):
            return own_nic(work, nic.id, lock=True)
    raise BackendError(
        Code.PARAMETER_INVALID,
        "The instance has no such address.",
        parameter="privateIpAddress",
        value=command.private_ip[:80],
    )


def _leading_to(work: Work, nic: Nic) -> tuple[PublicAddress, ...]:
    return work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ())


def link(work: Work, address: PublicAddress, nic: Nic, private_ip: str) -> PublicAddress:
    """Let an address lead to an interface, in the database."""
    association_ended(work, address)
    return work.tx.public_addresses.update(
        address,
        nic_id=nic.id,
        private_ip=private_ip,
        association_id=new_id("eipassoc"),
        associated_at=work.now,
    )


def unlink(work: Work, address: PublicAddress) -> PublicAddress:
    """Let an address lead nowhere, in the database; a lent one goes back to its pool."""
    association_ended(work, address)
    if address.auto:
        work.tx.public_addresses.delete(address.id)
        return address
    return work.tx.public_addresses.update(
        address, nic_id=None, private_ip="", association_id="", associated_at=None
    )


def disassociate_address(work: Work, command: commands.DisassociateAddress) -> PublicAddress:
    """Let an elastic address lead nowhere (DisassociateAddress)."""
    found = work.tx.public_addresses.by_association(command.association_id)
    if found is None or found.auto or found.tenant_id != own_tenant(work, found):
        raise _no_association(command)
    address = own_address(work, found.id)
    if address.association_id != command.association_id:  # moved since we looked
        raise _no_association(command)
    nic = work.tx.nics.get(str(address.nic_id))
    if nic is not None and nic.requester:
        own_nic(work, nic.id)
    free = unlink(work, address)
    _told(work, nic)
    return free


def _no_association(command: commands.DisassociateAddress) -> BackendError:
    return BackendError(
        Code.ASSOCIATION_NOT_FOUND,
        f"The association ID '{command.association_id[:80]}' does not exist",
        ids=(command.association_id[:80],),
    )


def own_tenant(work: Work, address: PublicAddress) -> str:
    """The tenant whose addresses the caller may change: an administrator's is everybody's."""
    return address.tenant_id if not work.caller.tenant_id else work.caller.tenant_id


def _told(work: Work, nic: Nic | None) -> None:
    """What is shown of an interface's instance has changed, and so has what packets do."""
    if nic is None:
        return
    work.network_changed(nic.id)
    if nic.instance_id is not None:
        work.tx.instances.touch([nic.instance_id])


# Lending ------------------------------------------------------------------------------------------------


def lend(work: Work, nics: Sequence[Nic]) -> list[PublicAddress]:
    """Lend a public address to each interface that is to have one and has none.

    As far as the first pool reaches: who is refused one runs without.
    """
    wanting = [nic for nic in nics if nic.lends]
    if not wanting:
        return []
    have = work.tx.public_addresses.of_nics([nic.id for nic in wanting])
    return lend_new(work, [nic for nic in wanting if nic.id not in have])


def lend_new(work: Work, nics: Sequence[Nic]) -> list[PublicAddress]:
    """Lend a public address to each interface that is to have one, of such as have none yet."""
    pools = work.settings.network.pools
    wanting = [nic for nic in nics if nic.lends]
    if not pools or not wanting:
        return []
    pool = next(iter(pools))
    lent = [
        PublicAddress(
            id=new_id("eipalloc"),
            tenant_id=nic.tenant_id,
            account_id=nic.account_id,
            region=nic.region,
            ip=ip,
            pool=pool,
            auto=True,
            nic_id=nic.id,
            private_ip=nic.address,
            association_id=new_id("eipassoc"),
            associated_at=work.now,
            created_at=work.now,
        )
        for nic, ip in zip(wanting, _free(work, pool, len(wanting)), strict=False)
    ]
    work.tx.public_addresses.insert_all(lent)
    return lent


def take_back(work: Work, nics: Sequence[Nic]) -> None:
    """Give what was lent to interfaces back to its pool."""
    for nic_id, addresses in work.tx.public_addresses.of_nics([nic.id for nic in nics]).items():
        for address in addresses:
            if address.auto:
                association_ended(work, address)
                work.tx.public_addresses.delete(address.id)
                work.network_changed(nic_id)


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.AllocateAddress: allocate_address,
    commands.ReleaseAddress: release_address,
    commands.ModifyAddress: modify_address,
    commands.AssociateAddress: associate_address,
    commands.DisassociateAddress: disassociate_address,
}
