"""Whatever the network is drawn for, what depends on hosts is drawn as they are in the end."""

from collections.abc import Collection

import pytest

from backend.drivers.memory import Fault
from backend.drivers.memory.network import MemoryNetwork
from backend.engine.network_applier import NetworkApplier
from backend.model import HostState
from backend.network_model import Topology, Vpc
from backend.ports import StepFailed
from tests.support.simulation import Cloud


class Gateways(MemoryNetwork):
    """Draws with everything which chassis carry what all share, as OVN does."""

    chassis: tuple[str, ...] = ()

    def apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        super().apply(topology, scopes)
        self.chassis = topology.chassis


@pytest.fixture
def cloud():
    return Cloud()


@pytest.fixture
def network():
    return Gateways()


@pytest.fixture
def applier(cloud, network):
    with cloud.engine.store.begin() as tx:
        for number, host in enumerate(tx.hosts.all()):
            tx.hosts.update(host, state=HostState.ON, capabilities={"chassis": f"c{number}"})
    made = NetworkApplier(cloud.engine, network)
    made.follow_hosts()
    assert "c0" in network.chassis
    return made


def put(cloud, state):
    """The first chassis' host is in another state."""
    with cloud.engine.store.begin() as tx:
        for host in tx.hosts.all():
            if host.capabilities["chassis"] == "c0":
                tx.hosts.update(host, state=state)


def test_a_host_that_was_out_for_a_moment_carries_again(cloud, network, applier):
    [vpc] = cloud.engine.networks.all(cloud.caller, Vpc)
    put(cloud, HostState.MAINTENANCE)
    applier.follow([vpc.id])  # something else is drawn in this moment
    assert "c0" not in network.chassis
    put(cloud, HostState.ON)
    applier.follow_hosts()
    assert "c0" in network.chassis


def test_hosts_are_followed_again_after_a_failure(cloud, network, applier):
    put(cloud, HostState.ERR)
    network.fault = lambda _call: Fault.FAIL_BEFORE
    with pytest.raises(StepFailed):
        applier.follow_hosts()
    network.fault = lambda _call: Fault.NONE
    applier.follow_hosts()
    assert "c0" not in network.chassis


def test_hosts_that_serve_as_before_cost_nothing(cloud, network, applier):
    network.silent = True
    applier.follow_hosts()
    put(cloud, HostState.DISABLED)
    applier.follow_hosts()
