"""A network that is in trouble: what one object cannot have holds up nobody else, and no host is blamed."""

from __future__ import annotations

import pytest
from network_cloud import network_cloud
from network_deeds import default_group, do, follows, pending
from simulation import Cloud

from backend.drivers.memory import Fault
from backend.drivers.memory.network import MemoryNetwork
from backend.network_commands import AuthorizeRules, CreateSecurityGroup, RuleSpec
from backend.network_model import ANYWHERE
from backend.ports import StepFailed


class Refusing(MemoryNetwork):
    """A network that cannot make one object."""

    def __init__(self) -> None:
        super().__init__()
        self.never = ""

    def apply(self, topology, scopes=None):
        if scopes is not None and self.never in scopes:
            raise StepFailed(f"{self.never}: there cannot be such a thing")
        super().apply(topology, scopes)


@pytest.fixture
def cloud() -> Cloud:
    made = network_cloud()
    made.network = Refusing()
    made.restart_worker()
    made.worker.network.reconcile()
    return made


def test_what_is_refused_holds_up_nothing_else(cloud):
    refused = do(cloud, CreateSecurityGroup(name="refused", description=""))
    cloud.network.never = refused.id
    mine = default_group(cloud)
    rule = RuleSpec(egress=False, protocol="tcp", from_port=22, to_port=22, cidr=ANYWHERE)
    do(cloud, AuthorizeRules(group_id=mine.id, rules=(rule,)))
    assert cloud.worker.network.drain() is not None  # to be tried again
    assert pending(cloud) == {refused.id}
    assert list(cloud.worker.network.differences()) == [f"{refused.id} differs"]
    cloud.network.never = ""
    follows(cloud)


def test_silence_at_the_last_moment_is_not_the_hosts(cloud):
    (instance,) = cloud.launch()
    while cloud.get(instance).detail != "boot.new":
        cloud.step()

    def late(_call: str) -> Fault:
        job = cloud.engine.jobs(cloud.caller, instance_id=instance.id)[-1]
        cloud.clock.now = max(cloud.clock.now, job.deadline - 0.000_15)
        return Fault.SILENT_BEFORE

    cloud.network.fault = late
    for _ in range(40):
        cloud.step()
        cloud.sweep()
    assert "unkn" not in cloud.details(instance)
    assert cloud.host().starts == []
