"""The network in memory keeps to the port's contract, so that tests of the engine can rely on it."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from backend.drivers.memory import Fault
from backend.drivers.memory.network import MemoryNetwork, draw
from backend.network_model import (
    AclEntry,
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NatState,
    NetworkAcl,
    Nic,
    PublicAddress,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Topology,
    Vpc,
)
from backend.ports import HostSilent, StepFailed

REPLACE = msgspec.structs.replace
OWNED = {"tenant_id": "t", "account_id": "1", "region": "r", "created_at": 0.0}
VPC = Vpc(id="vpc-1", **OWNED, cidr="10.0.0.0/16", dhcp_options_id="dopt-1")
SUBNET = Subnet(
    id="subnet-1", **OWNED, vpc_id="vpc-1", zone="z", cidr="10.0.1.0/24", acl_id="acl-1",
    acl_association_id="aclassoc-1",
)  # fmt: skip
GROUP = SecurityGroup(id="sg-1", **OWNED, vpc_id="vpc-1", name="g")
RULE = SecurityRule(
    id="sgr-1", group_id="sg-1", tenant_id="t", created_at=0.0, egress=False, protocol="tcp", from_port=22,
    to_port=22, cidr="0.0.0.0/0",
)  # fmt: skip
NIC = Nic(
    id="eni-1", **OWNED, zone="z", vpc_id="vpc-1", subnet_id="subnet-1", mac="02:00:00:00:00:01",
    address="10.0.1.5", groups=("sg-1",),
)  # fmt: skip
PUBLIC = PublicAddress(
    id="eipalloc-1", **OWNED, ip="203.0.113.5", pool="p", nic_id="eni-1", private_ip="10.0.1.5"
)
TABLE = RouteTable(id="rtb-1", **OWNED, vpc_id="vpc-1", main=True)
NAT = NatGateway(
    id="nat-1", **OWNED, vpc_id="vpc-1", subnet_id="subnet-1", nic_id="eni-9", allocation_id="eipalloc-9",
    public_ip="203.0.113.9", private_ip="10.0.1.9",
)  # fmt: skip
WHOLE = Topology(
    vpcs={"vpc-1": VPC},
    subnets={"subnet-1": SUBNET},
    route_tables={"rtb-1": TABLE},
    nat_gateways={"nat-1": NAT},
    dhcp_options={"dopt-1": DhcpOptions(id="dopt-1", **OWNED, options={"domain-name": ("a",)})},
    acls={"acl-1": NetworkAcl(id="acl-1", **OWNED, vpc_id="vpc-1")},
    groups={"sg-1": GROUP},
    rules={"sg-1": (RULE,)},
    nics={"eni-1": NIC},
    leases={"eni-1": ("10.0.1.5",)},
    public={"eni-1": (PUBLIC,)},
)
ENTRY = AclEntry(number=1, egress=False, allow=True, protocol="-1", cidr="0.0.0.0/0")
ROUTE = Route(destination="0.0.0.0/0", target="igw-1")


@pytest.mark.parametrize(
    ("scope", "change"),
    [
        ("sg-1", {"rules": {"sg-1": (REPLACE(RULE, to_port=23),)}}),
        ("sg-1", {"rules": {}}),
        ("eni-1", {"nics": {"eni-1": REPLACE(NIC, up=False)}}),
        ("eni-1", {"nics": {"eni-1": REPLACE(NIC, groups=())}}),
        ("eni-1", {"leases": {"eni-1": ("10.0.1.5", "10.0.1.6")}}),
        ("eni-1", {"public": {}}),
        ("eni-1", {"public": {"eni-1": (REPLACE(PUBLIC, up=False),)}}),
        ("eni-1", {"infra": {"eni-1": "100.64.0.9"}}),
        ("eni-1", {"nics": {}}),
        ("subnet-1", {"acls": {"acl-1": NetworkAcl(id="acl-1", **OWNED, vpc_id="vpc-1", entries=(ENTRY,))}}),
        ("subnet-1", {"dhcp_options": {}}),
        ("vpc-1", {"route_tables": {"rtb-1": REPLACE(TABLE, routes=(ROUTE,))}}),
        ("vpc-1", {"internet_gateways": {"igw-1": InternetGateway(id="igw-1", **OWNED, vpc_id="vpc-1")}}),
        ("vpc-1", {"nat_gateways": {"nat-1": REPLACE(NAT, state=NatState.DELETED)}}),
    ],
)
def test_what_changes_is_seen_and_made_true_by_its_scope_alone(scope, change):
    network = MemoryNetwork()
    network.apply(WHOLE)
    changed = REPLACE(WHOLE, **change)
    for other in sorted(draw(WHOLE).keys() - {scope}):
        network.apply(changed, [other])
    assert network.differences(changed) == [f"{scope} differs"]
    assert network.differences(WHOLE) == []
    for _ in range(2):
        network.apply(changed, [scope])
        assert network.differences(changed) == []


def test_what_packets_do_not_depend_on_is_no_difference():
    network = MemoryNetwork()
    network.apply(WHOLE)
    described = {"nics": {"eni-1": REPLACE(NIC, description="d", version=9, summary="s")}}
    assert network.differences(REPLACE(WHOLE, **described)) == []
    reordered = {"rules": {"sg-1": (RULE, REPLACE(RULE, id="sgr-2"))}}
    assert network.differences(REPLACE(WHOLE, **reordered)) == []


def test_without_scopes_all_else_goes():
    network = MemoryNetwork()
    network.apply(WHOLE)
    network.apply(Topology())
    assert network.there == {}


def test_what_was_applied_cannot_change_afterwards():
    network = MemoryNetwork()
    options = {"domain-name": ("a",)}
    shared = {"dopt-1": DhcpOptions(id="dopt-1", **OWNED, options=options)}
    network.apply(REPLACE(WHOLE, dhcp_options=shared))
    options["domain-name"] = ("b",)
    assert network.differences(WHOLE) == []


@pytest.mark.parametrize(
    ("fault", "raised", "done"),
    [
        (Fault.FAIL_BEFORE, StepFailed, False),
        (Fault.FAIL_AFTER, StepFailed, True),
        (Fault.SILENT_BEFORE, HostSilent, False),
        (Fault.SILENT_AFTER, HostSilent, True),
    ],
)
def test_it_misbehaves_as_told(fault, raised, done):
    network = MemoryNetwork()
    network.fault = lambda call: fault if call == "apply" else Fault.NONE
    with pytest.raises(raised):
        network.apply(WHOLE)
    assert (network.differences(WHOLE) == []) is done
    network.silent = True
    with pytest.raises(HostSilent):
        network.differences(WHOLE)


def test_it_hangs_as_told_and_another_caller_goes_on():
    network, told = MemoryNetwork(), threading.Event()

    def hang(_call: str) -> Fault:
        if threading.current_thread() is not threading.main_thread():
            told.wait(10)
        return Fault.NONE

    network.fault = hang
    hanging = threading.Thread(target=lambda: network.apply(WHOLE))
    hanging.start()
    time.sleep(0.05)
    assert network.differences(Topology()) == []
    told.set()
    hanging.join()
    assert network.differences(WHOLE) == []
