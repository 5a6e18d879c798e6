"""Things of networks that a caller may change: its tenant's, in its region; others do not exist."""

from __future__ import annotations

from typing import TypeVar

from backend.engine.network_reads import ROWS, may_see, not_found
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import Owned
from backend.network_model import Nic, SecurityGroup, SecurityRule, Subnet, Vpc

T = TypeVar("T", bound=Owned)


def own(work: Work, kind: type[T], identity: str, *, lock: bool = False) -> T:
    """A thing by id; with ``lock`` nobody else changes it before this transaction has ended.

    Raises:
        BackendError: RESOURCE_NOT_FOUND.
    """
    rows = ROWS[kind](work.tx)
    found: T | None = rows.lock(identity) if lock else rows.get(identity)
    if found is None or not may_see(work.caller, found):
        raise not_found([identity])
    return found


def own_group(work: Work, name: str, vpc_id: str, *, lock: bool = False) -> SecurityGroup:
    """A group of a VPC by id, or by name; with ``lock`` it does not go before this transaction has ended."""
    if not name.startswith("sg-"):
        found = work.tx.security_groups.named(vpc_id, name)
        if lock and found is not None:
            found = work.tx.security_groups.lock(found.id)
        if found is None:
            raise BackendError(
                Code.GROUP_NOT_FOUND,
                f"The security group '{name}' does not exist in VPC '{vpc_id}'",
                name=name,
            )
        return found
    group = own(work, SecurityGroup, name, lock=lock)
    if group.vpc_id != vpc_id:
        raise BackendError(
            Code.NETWORK_MISMATCH,
            f"The security group {group.id} and the subnet belong to different networks.",
            ids=(group.id,),
        )
    return group


def own_rule(work: Work, rule_id: str) -> SecurityRule:
    """A rule of one of the caller's groups."""
    rule = work.tx.security_rules.get(rule_id)
    if rule is None or not may_see(work.caller, work.tx.security_groups.get(rule.group_id)):
        raise not_found([rule_id])
    return rule


def own_nic(work: Work, nic_id: str, *, lock: bool = False) -> Nic:
    """An interface that is the caller's to change: not one that a NAT gateway keeps for itself."""
    nic = own(work, Nic, nic_id, lock=lock)
    if nic.requester:
        raise BackendError(
            Code.NIC_NOT_YOURS,
            f"The network interface '{nic_id}' is managed by {nic.requester}.",
            ids=(nic_id,),
        )
    return nic


def default_vpc(work: Work) -> Vpc:
    """The default VPC of the caller's region."""
    vpc = work.tx.vpcs.default(work.caller.tenant_id, work.region)
    if vpc is None:
        raise BackendError(Code.NO_DEFAULT_VPC, "No default VPC for this user")
    return vpc


def vpc_or_default(work: Work, vpc_id: str | None) -> Vpc:
    """A VPC by id, or the default one."""
    return own(work, Vpc, vpc_id) if vpc_id else default_vpc(work)


def default_subnet(work: Work, zone: str) -> Subnet:
    """The default VPC's subnet in a zone."""
    subnet = work.tx.subnets.default(work.caller.tenant_id, work.region, zone)
    if subnet is not None:
        return subnet
    default_vpc(work)  # whether it is that which is missing
    raise BackendError(
        Code.PARAMETER_MISSING, f"No default subnet for zone '{zone}'; name a subnet.", parameter="subnetId"
    )
