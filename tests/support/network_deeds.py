"""Commands about networks as tests give them: what they answer, refuse, and tell the network."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import Cloud

from backend.errors import BackendError
from backend.model import Caller
from backend.network_model import Nic, PublicAddress, SecurityGroup, SecurityRule, Subnet, Vpc


def do(cloud: Cloud, command: Any, caller: Caller | None = None) -> Any:
    """What a command answers."""
    return cloud.engine.execute(caller or cloud.caller, command)


def refusal(cloud: Cloud, command: Any, caller: Caller | None = None) -> BackendError:
    """The refusal of a command, which changed nothing."""
    before = cloud._standing()
    with pytest.raises(BackendError) as refused:
        do(cloud, command, caller)
    assert cloud._standing() == before
    return refused.value


def told(cloud: Cloud, command: Any, caller: Caller | None = None) -> tuple[Any, set[str]]:
    """What a command answers, and the scopes that it tells the network of."""
    cloud.worker.network.drain()
    answer = do(cloud, command, caller)
    return answer, pending(cloud)


def pending(cloud: Cloud) -> set[str]:
    """What the network has yet to follow."""
    with cloud.store.read() as tx:
        return {change.scope for change in tx.network_changes.all()}


def follows(cloud: Cloud) -> None:
    """The network follows all that is noted, and is as the rows say in whole."""
    assert cloud.worker.network.drain() is None
    assert pending(cloud) == set()
    assert list(cloud.worker.network.differences()) == []


def default_vpc(cloud: Cloud, caller: Caller | None = None) -> Vpc:
    """The default VPC of a caller's."""
    [found] = [each for each in cloud.engine.networks.all(caller or cloud.caller, Vpc) if each.default]
    return found


def subnet_in(cloud: Cloud, zone: str = "us-east-1a", caller: Caller | None = None) -> Subnet:
    """The default subnet of a zone."""
    every = cloud.engine.networks.all(caller or cloud.caller, Subnet)
    [found] = [each for each in every if each.default and each.zone == zone]
    return found


def default_group(cloud: Cloud, vpc_id: str = "") -> SecurityGroup:
    """The default group of a VPC, or of the default one."""
    vpc_id = vpc_id or default_vpc(cloud).id
    every = cloud.engine.networks.all(cloud.caller, SecurityGroup)
    [found] = [each for each in every if each.vpc_id == vpc_id and each.name == "default"]
    return found


def nics_of(cloud: Cloud, instance: Any) -> list[Nic]:
    """The interfaces of an instance, the primary one first."""
    return cloud.engine.networks.nics_of([instance.id]).get(instance.id, [])


def nic_as_is(cloud: Cloud, nic: Nic) -> Nic | None:
    """An interface as it is now."""
    return cloud.engine.networks.nics_by_id([nic.id]).get(nic.id)


def leases_of(cloud: Cloud, nic: Nic) -> tuple[str, ...]:
    """Its addresses, the primary one first."""
    return cloud.engine.networks.leases_of([nic.id]).get(nic.id, ())


def public_of(cloud: Cloud, nic: Nic) -> tuple[PublicAddress, ...]:
    """The public addresses that lead to it."""
    return cloud.engine.networks.public_of([nic.id]).get(nic.id, ())


def rules_of(cloud: Cloud, group: SecurityGroup) -> tuple[SecurityRule, ...]:
    """The rules of a group."""
    return cloud.engine.networks.rules_of([group.id]).get(group.id, ())
