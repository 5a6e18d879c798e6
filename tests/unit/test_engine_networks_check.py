"""The check looks at interfaces on hosts, not at rows alone."""

from __future__ import annotations

import msgspec
from simulation import Cloud

from backend.engine.check import Checker


def found(cloud: Cloud) -> list[tuple[str, str]]:
    checker = Checker(cloud.engine, cloud.hosts, cloud.contents, cloud.worker.network, wait=lambda _: None)
    return [(finding.kind, finding.name) for finding in checker.findings()]


def test_interfaces_that_a_domain_lacks_or_has_too_many_are_found():
    cloud = Cloud()
    instance = cloud.started()
    cloud.worker.network.reconcile()
    assert found(cloud) == []
    there = cloud.host().interfaces[instance.id]
    [(mac, nic)] = there.items()
    there["52:54:00:00:00:01"] = msgspec.structs.replace(nic, mac="52:54:00:00:00:01")
    assert found(cloud) == [("interfaces", instance.id)]
    del there["52:54:00:00:00:01"], there[mac]
    assert found(cloud) == [("interfaces", instance.id)]


def test_rules_that_the_network_lacks_are_found():
    cloud = Cloud()
    cloud.started()
    cloud.worker.network.reconcile()
    group = next(each for each in cloud.network.there if each.startswith("sg-"))
    cloud.network.there = {key: value for key, value in cloud.network.there.items() if key != group}
    assert [kind for kind, _ in found(cloud)] == ["network"]
