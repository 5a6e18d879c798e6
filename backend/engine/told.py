"""What stands for a resource or a link: the rows whose versions change when anything told of it does.

Some links have no row of their own. An attachment is its volume's, an association its public address's, and
a membership in a security group is its instance's.
"""

from __future__ import annotations

from backend.engine.access import own_instances, own_volume, scope
from backend.engine.leaving import touch
from backend.engine.network_access import own
from backend.engine.network_reads import ROWS, may_see
from backend.engine.tagging import TAGGED
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.network_model import membership_id


def changed(work: Work, resource_id: str, *, instance_id: str = "") -> str:
    """Raise the versions of what tells of a resource or a link of the caller's; answers its tenant.

    Nobody else changes those rows before this transaction has ended. ``instance_id`` is where a membership
    in a security group begins; without it, it is looked for.

    Raises:
        BackendError: there is no such thing for the caller.
    """
    prefix, _, digits = resource_id.partition("-")
    match prefix:
        case "i":
            return _instance(work, resource_id)
        case "vol" | "att":
            return _volume(work, resource_id, f"vol-{digits}", link=prefix == "att")
        case "eipassoc":
            return _association(work, resource_id)
        case "sglink":
            return _membership(work, resource_id, instance_id or _member(work, resource_id))
        case _:
            return _other(work, resource_id, prefix)


def _instance(work: Work, instance_id: str) -> str:
    [instance] = own_instances(work, [instance_id])
    work.tx.instances.touch([instance.id])
    return instance.tenant_id


def _volume(work: Work, named: str, volume_id: str, *, link: bool) -> str:
    volume = own_volume(work, volume_id)
    if link and volume.instance_id is None:
        raise _unknown(named)
    return touch(work, work.tx.volumes.update(volume)).tenant_id


def _association(work: Work, association_id: str) -> str:
    address = work.tx.public_addresses.by_association(association_id)
    if address is None or not may_see(work.caller, address):
        raise _unknown(association_id)
    work.tx.public_addresses.update(address)
    _touch_owner(work, str(address.nic_id))
    return address.tenant_id


def _membership(work: Work, named: str, instance_id: str) -> str:
    tenant_id = _instance(work, instance_id)
    groups = {group_id for nic in work.tx.nics.of_instance(instance_id) for group_id in nic.groups}
    if named not in {membership_id(instance_id, group_id) for group_id in groups}:
        raise _unknown(named)
    return tenant_id


def _member(work: Work, named: str) -> str:
    for nic in work.tx.nics.of_tenant(scope(work.caller), work.region):
        for group_id in nic.groups:
            if nic.instance_id is not None and membership_id(nic.instance_id, group_id) == named:
                return nic.instance_id
    raise _unknown(named)


def _other(work: Work, named: str, prefix: str) -> str:
    if prefix not in TAGGED:
        raise _unknown(named)
    kind = TAGGED[prefix][1]
    found = ROWS[kind](work.tx).update(own(work, kind, named, lock=True))
    if prefix == "eni":
        _touch_owner(work, named)
    return str(found.tenant_id)


def _touch_owner(work: Work, nic_id: str) -> None:
    nic = work.tx.nics.get(nic_id)
    if nic is not None and nic.instance_id is not None:
        work.tx.instances.touch([nic.instance_id])


def _unknown(named: str) -> BackendError:
    return BackendError(Code.RESOURCE_NOT_FOUND, f"The ID '{named}' does not exist", ids=(named,))
