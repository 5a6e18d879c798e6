"""What tenants draw is what packets do: real guests on two hosts, OVN between them, through both faces.

Two guests of one tenant, one on each host, and one of another tenant that has the same range and the very
same private address. They are told what to do by their consoles; see :mod:`network_guest`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from live_cloud import key_of, wait_for
from network_guest import script
from network_tenant import ANYWHERE, SSH, Machine, allow, only, rules, soon
from occi_client import INFRASTRUCTURE, JSON
from ovn_cloud import OvnCloud
from ovn_lab import NEXT_HOP, OvnLab, lab_possible, ovn_lab
from typer.testing import CliRunner
from views import aws

from gateway.cli import app

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(not lab_possible(), reason="needs root, Open vSwitch and OVN"),
]

WEB = 80
FIRST, SECOND, EXTRA = "172.31.0.10", "172.31.0.20", "172.31.200.0/24"
SERVER = "mkdir -p /srv; echo $INSTANCE_ID >/srv/index.html; httpd -p 80 -h /srv"

GREETING = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as there:
    there.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n" if sys.argv[2] == "80" else b"")
    print(there.makefile().read() if sys.argv[2] == "80" else there.makefile().readline(), end="")
"""
SEEN_AS = """
import socket
with socket.create_server(("", 8080)) as listener:
    print("listening", flush=True)
    while True:
        there, (address, _) = listener.accept()
        there.sendall(address.encode() + b"\\n")
        there.close()
"""


class Scene:
    """The cloud, two tenants and their guests."""

    def __init__(self, cloud: OvnCloud, lab: OvnLab) -> None:
        self.cloud = cloud
        self.lab = lab
        self.ann = cloud.client()
        self.bob = cloud.client(key=key_of(cloud.tenant("bob")))
        [vpc] = self.ann.describe_vpcs()["Vpcs"]
        assert vpc["IsDefault"]
        assert vpc["CidrBlock"] == "172.31.0.0/16"
        self.vpc = vpc["VpcId"]
        self.subnet = self.ann.describe_subnets()["Subnets"][0]["SubnetId"]
        self.servers = self.group("servers")
        self.clients = self.group("clients")

    def group(self, name: str) -> str:
        made = self.ann.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return str(made["GroupId"])

    def launch(self, ec2: Any, subnet: str, group: str, address: str, host: str) -> Machine:
        """A guest on a host; others take nothing meanwhile."""
        with only(self.cloud, host):
            made = ec2.run_instances(
                ImageId=self.cloud.image, InstanceType="t2.nano", MinCount=1, MaxCount=1, SubnetId=subnet,
                SecurityGroupIds=[group], PrivateIpAddress=address, UserData=script(SERVER),
            )  # fmt: skip
            machine = Machine(self.cloud, ec2, made["Instances"][0]["InstanceId"], host)
            machine.is_state("running")
            machine.open()
        return machine

    def boot(self) -> None:
        """All the guests, at the same time."""
        own = self.bob.create_vpc(CidrBlock="172.31.0.0/16")["Vpc"]["VpcId"]
        subnet = self.bob.create_subnet(VpcId=own, CidrBlock="172.31.0.0/20")["Subnet"]["SubnetId"]
        named = [{"Name": "vpc-id", "Values": [own]}]
        [group] = self.bob.describe_security_groups(Filters=named)["SecurityGroups"]
        allow(self.bob, group["GroupId"], "-1")
        self.first = self.launch(self.ann, self.subnet, self.servers, FIRST, "h1")
        self.second = self.launch(self.ann, self.subnet, self.clients, SECOND, "h2")
        self.foreign = self.launch(self.bob, subnet, group["GroupId"], FIRST, "h2")
        for machine in (self.first, self.second, self.foreign):
            machine.ready()

    def public(self, machine: Machine) -> str:
        """An address under which outside knows a guest, for one test."""
        held = self.ann.allocate_address(Domain="vpc")
        self.ann.associate_address(AllocationId=held["AllocationId"], InstanceId=machine.id)
        return str(held["PublicIp"])

    def release(self) -> None:
        """Give every elastic address back."""
        for held in self.ann.describe_addresses()["Addresses"]:
            if "AssociationId" in held:
                self.ann.disassociate_address(AssociationId=held["AssociationId"])
            self.ann.release_address(AllocationId=held["AllocationId"])

    # From outside ---------------------------------------------------------------------------------------

    def greeting(self, address: str, port: int = WEB, seconds: float = 1) -> str:
        """What a server says to somebody outside; the last line of it."""
        said = self.lab.outside.run(
            sys.executable, "-c", GREETING, address, str(port), str(seconds), check=False
        )
        return said.strip().rpartition("\n")[2]

    def settled(self) -> None:
        """Nothing is left to be done, and hosts and network are as the database says."""
        wait_for(lambda: self.cloud.cli("task", "list", "--open") == [], "all work done", 60)
        assert self.cloud.cli("check") == []
        assert self.lab.refused_rules() == []


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, guest_image: Path) -> Iterator[Scene]:
    with ovn_lab(("h1", "h2")) as lab:
        cloud = OvnCloud(tmp_path_factory.mktemp("networks"), lab).make()
        cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
        try:
            cloud.start().wait_hosts()
            scene = Scene(cloud, lab)
            scene.boot()
            yield scene
        finally:
            cloud.end()
            cloud.keep_logs()


@pytest.fixture(autouse=True)
def as_before(scene: Scene) -> Iterator[None]:
    """Each test finds guests in their own groups, which say what new groups say, and no elastic address."""
    yield
    scene.release()
    scene.first.join(scene.servers)
    scene.second.join(scene.clients)
    for group in (scene.servers, scene.clients):
        for rule in rules(scene.ann, group):
            revoke = (
                scene.ann.revoke_security_group_egress
                if rule["IsEgress"]
                else scene.ann.revoke_security_group_ingress
            )
            if not (rule["IsEgress"] and rule["IpProtocol"] == "-1"):
                revoke(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
        if not any(rule["IsEgress"] and rule["IpProtocol"] == "-1" for rule in rules(scene.ann, group)):
            allow(scene.ann, group, "-1", egress=True)


# 1: security groups -----------------------------------------------------------------------------------------


def test_ssh_is_refused_then_allowed_within_a_second_then_refused_again(scene: Scene):
    ann, first, second = scene.ann, scene.first, scene.second
    assert first.terminal.banner("127.0.0.1").startswith(SSH)
    assert not second.speaks(FIRST)
    rule = allow(ann, scene.servers, "tcp", 22, f"{SECOND}/32")
    soon("authorised", lambda: second.speaks(FIRST))
    assert not first.speaks(SECOND)  # the other way nobody allowed
    ann.revoke_security_group_ingress(GroupId=scene.servers, SecurityGroupRuleIds=[rule])
    soon("revoked", lambda: not second.speaks(FIRST))
    allow(ann, scene.servers, "tcp", 22, "172.31.0.21/32")
    allow(ann, scene.servers, "tcp", 23)
    allow(ann, scene.servers, "udp", 22)
    assert not any(second.speaks(FIRST) for _ in range(3))


def test_a_group_as_source_means_its_members_of_now(scene: Scene):
    ann, second = scene.ann, scene.second
    allow(ann, scene.servers, "tcp", 22, scene.clients)
    soon("a member", lambda: second.speaks(FIRST))
    second.join(scene.servers)
    soon("not a member any more", lambda: not second.speaks(FIRST))
    nic = second.nic["NetworkInterfaceId"]
    ann.modify_network_interface_attribute(NetworkInterfaceId=nic, Groups=[scene.servers, scene.clients])
    soon("a member again", lambda: second.speaks(FIRST))
    with pytest.raises(ClientError, match="DependencyViolation"):
        ann.delete_security_group(GroupId=scene.clients)


def test_egress_rules(scene: Scene):
    ann, second = scene.ann, scene.second
    allow(ann, scene.servers, "-1")
    soon("everything", lambda: second.speaks(FIRST))
    [everything] = [rule["SecurityGroupRuleId"] for rule in rules(ann, scene.clients)]
    ann.revoke_security_group_egress(GroupId=scene.clients, SecurityGroupRuleIds=[everything])
    soon("nothing leaves", lambda: not second.speaks(FIRST))
    assert not second.terminal.pings(FIRST)
    assert second.terminal.metadata("meta-data/instance-id") == second.id
    allow(ann, scene.clients, "tcp", 22, f"{FIRST}/32", egress=True)
    soon("only ssh leaves", lambda: second.speaks(FIRST))
    assert not second.terminal.pings(FIRST)
    assert second.terminal.fetch(FIRST) != scene.first.id


def test_a_guest_that_forges_its_address_is_not_heard(scene: Scene):
    first, second = scene.first, scene.second
    allow(scene.ann, scene.servers, "-1")
    allow(scene.ann, scene.clients, "-1")
    soon("pings", lambda: second.terminal.pings(FIRST))
    heard = first.echoes
    assert second.terminal.pings(FIRST)
    assert first.echoes == heard + 1  # so the count works

    second.terminal.ask("ip address add 172.31.0.99/20 dev eth0")
    second.terminal.run("arping -c 2 -w 2 -U -I eth0 -s 172.31.0.99 172.31.0.99")
    for _ in range(3):
        assert not second.terminal.pings(FIRST, "-I 172.31.0.99")
    second.terminal.run(f"arping -c 2 -w 2 -I eth0 -s {FIRST} 172.31.0.1")
    second.terminal.ask("ip address del 172.31.0.99/20 dev eth0")
    assert first.echoes == heard + 1
    assert "172.31.0.99" not in first.terminal.ask("ip neigh")

    mac = second.terminal.ask("cat /sys/class/net/eth0/address")
    second.terminal.ask("ip link set eth0 address 02:00:00:00:00:99")
    try:
        for _ in range(3):
            assert not second.terminal.pings(FIRST)
        assert first.echoes == heard + 1
        assert "02:00:00:00:00:99" not in first.terminal.ask("ip neigh")
    finally:
        second.terminal.ask(f"ip link set eth0 address {mac}")
    soon("itself again", lambda: second.terminal.pings(FIRST))


def test_security_groups_over_occi(scene: Scene):
    cloud, second = scene.cloud, scene.second

    def send(method: str, path: str, document: dict[str, Any] | None = None, *expected: int) -> Any:
        body = None if document is None else json.dumps(document)
        answer = cloud.occi(method, path, body, {"Accept": JSON, "Content-Type": JSON})
        assert answer.status in (expected or (200, 201, 204)), answer
        return answer

    def rule(port: str) -> dict[str, str]:
        return {
            "type": "inbound",
            "protocol": "tcp",
            "port": port,
            "range": f"{SECOND}/32",
            "ipversion": "ipv4",
        }

    def shaped(port: str) -> dict[str, Any]:
        attributes = {"occi.core.title": "occi", "occi.securitygroup.rules": [rule(port)]}
        return {"kind": f"{INFRASTRUCTURE}securitygroup", "attributes": attributes}

    group = send("POST", "/securitygroup/", shaped("22"), 201).headers["Location"]
    group = group.removeprefix(cloud.endpoint)
    compute = f"/compute/{json.loads(send('GET', f'/compute/{scene.first.id}').body)['id']}"
    assert not second.speaks(FIRST)
    link = {
        "kind": f"{INFRASTRUCTURE}securitygrouplink",
        "attributes": {"occi.core.source": compute, "occi.core.target": group},
    }
    made = send("POST", "/securitygrouplink/", link, 201).headers["Location"].removeprefix(cloud.endpoint)
    soon("linked", lambda: second.speaks(FIRST))
    assert len(scene.first.row["SecurityGroups"]) == 2
    assert json.loads(send("GET", made).body)["attributes"]["occi.securitygrouplink.state"] == "active"
    changed = {"attributes": {"occi.securitygroup.rules": [rule("23")]}}
    send("POST", group, changed)
    soon("another rule", lambda: not second.speaks(FIRST))
    send("POST", group, {"attributes": {"occi.securitygroup.rules": [rule("22")]}})
    soon("the rule again", lambda: second.speaks(FIRST))
    send("DELETE", made)
    soon("unlinked", lambda: not second.speaks(FIRST))
    send("DELETE", group)
    send("GET", group, None, 404)


# 2: tenants ---------------------------------------------------------------------------------------------------


def test_tenants_with_the_same_addresses_have_their_own_metadata(scene: Scene):
    sent = hashlib.md5(script(SERVER).encode(), usedforsecurity=False).hexdigest()
    for machine, address in ((scene.first, FIRST), (scene.second, SECOND), (scene.foreign, FIRST)):
        terminal = machine.terminal
        assert terminal.metadata("meta-data/instance-id") == machine.id
        assert terminal.metadata("meta-data/local-ipv4") == address
        assert terminal.metadata("meta-data/mac") == terminal.ask("cat /sys/class/net/eth0/address")
        assert terminal.ask("wget -q -O - http://169.254.169.254/latest/user-data | md5sum").startswith(sent)
    answer = (
        "for i in 1 2 3 4 5; do wget -q -O - http://169.254.169.254/latest/meta-data/instance-id; echo; done"
    )
    assert set(scene.first.terminal.ask(answer).split()) == {scene.first.id}
    assert set(scene.foreign.terminal.ask(answer).split()) == {scene.foreign.id}


def test_tenants_do_not_hear_each_other(scene: Scene):
    allow(scene.ann, scene.servers, "-1")
    allow(scene.ann, scene.clients, "-1")
    soon("served by its own neighbour", lambda: scene.second.terminal.fetch(FIRST) == scene.first.id)
    before = scene.foreign.count("Ip", 3), scene.second.echoes
    assert [scene.second.terminal.fetch(FIRST) for _ in range(2)] == [scene.first.id] * 2
    assert not scene.foreign.terminal.pings(SECOND)  # to which it is a stranger, rules or not
    assert scene.foreign.terminal.fetch(SECOND) == ""
    received = scene.foreign.count("Ip", 3)
    assert received - before[0] <= 2, "only what it asked its own router"
    assert scene.second.echoes == before[1]


# 3 and 5: public addresses, hosts -----------------------------------------------------------------------------


def test_guests_are_on_two_hosts(scene: Scene):
    for machine in (scene.first, scene.second):
        shown = scene.cloud.cli("vm", "show", machine.id)
        assert shown["host"] == scene.cloud.uris[machine.host]
    assert scene.first.row["SubnetId"] == scene.second.row["SubnetId"]
    allow(scene.ann, scene.servers, "icmp", peer=scene.clients)
    soon("across hosts", lambda: scene.second.terminal.pings(FIRST))
    large = scene.second.terminal.run(f"ping -c 2 -W 1 -s 1300 {FIRST}")
    assert large[0] == 0, large


def test_addresses_stay_over_stop_and_start_and_a_lent_one_changes(scene: Scene):
    ann, guest = scene.ann, scene.first
    allow(ann, scene.servers, "tcp", WEB)
    before, lent = guest.nic, guest.row["PublicIpAddress"]
    soon("answers", lambda: scene.greeting(lent) == guest.id)
    ann.stop_instances(InstanceIds=[guest.id], Force=True)
    guest.is_state("stopped")
    assert "PublicIpAddress" not in guest.row
    assert scene.greeting(lent) == ""
    kept = guest.nic
    assert (kept["PrivateIpAddress"], kept["MacAddress"]) == (FIRST, before["MacAddress"])

    ann.allocate_address(Domain="vpc", Address=lent)  # so that nobody gets the same one again by chance
    with only(scene.cloud, guest.host):
        ann.start_instances(InstanceIds=[guest.id])
        guest.is_state("running")
    after = guest.row["PublicIpAddress"]
    assert after != lent
    guest.open()
    guest.ready(boots=2)
    assert guest.terminal.ask("cat /sys/class/net/eth0/address") == before["MacAddress"]
    assert FIRST in guest.terminal.ask("ip -4 address show dev eth0")
    soon("answers under the new one", lambda: scene.greeting(after) == guest.id)


def test_an_elastic_address_answers_moves_and_is_released(scene: Scene):
    ann, first, second = scene.ann, scene.first, scene.second
    made = aws(scene.cloud, "allocate-address", "--domain", "vpc")
    address, allocation = made["PublicIp"], made["AllocationId"]
    aws(scene.cloud, "associate-address", "--allocation-id", allocation, "--instance-id", first.id)
    assert scene.greeting(address) == ""
    allow(ann, scene.servers, "tcp", WEB, f"{NEXT_HOP}/32")
    soon("answers on the first host", lambda: scene.greeting(address) == first.id)
    assert scene.greeting(address, 22) == ""
    assert first.row["PublicIpAddress"] == address
    assert first.terminal.metadata("meta-data/public-ipv4") == address

    ann.associate_address(
        AllocationId=allocation,
        NetworkInterfaceId=second.nic["NetworkInterfaceId"],
        AllowReassociation=True,
    )
    soon("refused by the second guest", lambda: scene.greeting(address) == "")
    allow(ann, scene.clients, "tcp", WEB, f"{NEXT_HOP}/32")
    soon("answers on the second host", lambda: scene.greeting(address) == second.id)
    assert second.row["PublicIpAddress"] == address
    served = scene.lab.outside.popen(sys.executable, "-c", SEEN_AS, stdout=subprocess.PIPE)
    try:
        assert served.stdout is not None
        assert served.stdout.readline() == b"listening\n"
        assert second.terminal.banner(NEXT_HOP, 8080, 2) == address  # it also leaves under it
    finally:
        served.kill()
        served.wait()
    rows = {each["PublicIp"]: each for each in ann.describe_addresses()["Addresses"]}
    ann.disassociate_address(AssociationId=rows[address]["AssociationId"])
    soon("answers no more", lambda: scene.greeting(address) == "")
    aws(scene.cloud, "release-address", "--allocation-id", allocation)
    with pytest.raises(ClientError, match="InvalidAllocationID.NotFound"):
        ann.describe_addresses(AllocationIds=[allocation])


# Routes, gateways, network ACLs ---------------------------------------------------------------------------------


def test_routes_and_gateways_decide_what_a_guest_reaches(scene: Scene):
    """A guest loses its public address; then its subnet's routes change."""
    ann, guest = scene.ann, scene.second
    served = scene.lab.outside.popen(sys.executable, "-c", SEEN_AS, stdout=subprocess.PIPE)
    try:
        assert served.stdout is not None
        assert served.stdout.readline() == b"listening\n"

        def seen_as() -> str:
            return guest.terminal.banner(NEXT_HOP, 8080, 1)

        own = scene.public(guest)
        soon("by its own address", lambda: seen_as() == own)
        scene.release()
        soon("without an address", lambda: seen_as() == "")
        outer = ann.create_subnet(VpcId=scene.vpc, CidrBlock="172.31.201.0/24")["Subnet"]["SubnetId"]
        held = ann.allocate_address(Domain="vpc")
        nat = ann.create_nat_gateway(SubnetId=outer, AllocationId=held["AllocationId"])["NatGateway"]
        ann.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat["NatGatewayId"]])
        table = ann.create_route_table(VpcId=scene.vpc)["RouteTable"]["RouteTableId"]
        association = ann.associate_route_table(RouteTableId=table, SubnetId=scene.subnet)["AssociationId"]
        try:
            soon("no route", lambda: seen_as() == "")
            assert guest.terminal.metadata("meta-data/instance-id") == guest.id
            ann.create_route(
                RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat["NatGatewayId"]
            )
            soon("by the NAT gateway", lambda: seen_as() == held["PublicIp"])
            [gateway] = ann.describe_internet_gateways()["InternetGateways"]
            ann.replace_route(
                RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway["InternetGatewayId"]
            )
            soon("the internet gateway leads nobody out who has no address", lambda: seen_as() == "")
            ann.replace_route(
                RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat["NatGatewayId"]
            )
            soon("by the NAT gateway again", lambda: seen_as() == held["PublicIp"])
            ann.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
            soon("no route again", lambda: seen_as() == "")
        finally:
            ann.disassociate_route_table(AssociationId=association)
            ann.delete_route_table(RouteTableId=table)
            ann.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
        ann.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat["NatGatewayId"]])
        ann.release_address(AllocationId=held["AllocationId"])
        ann.delete_subnet(SubnetId=outer)
    finally:
        served.kill()
        served.wait()


def test_a_network_acl_is_met_at_the_border_without_memory(scene: Scene):
    ann, guest = scene.ann, scene.first
    address = scene.public(guest)
    allow(ann, scene.servers, "-1")
    soon("served", lambda: scene.greeting(address) == guest.id)
    acl = ann.create_network_acl(VpcId=scene.vpc)["NetworkAcl"]["NetworkAclId"]
    subnet = [{"Name": "association.subnet-id", "Values": [scene.subnet]}]
    [before] = ann.describe_network_acls(Filters=subnet)["NetworkAcls"]
    [ours] = [each for each in before["Associations"] if each["SubnetId"] == scene.subnet]
    new = ann.replace_network_acl_association(
        AssociationId=ours["NetworkAclAssociationId"], NetworkAclId=acl
    )["NewAssociationId"]
    try:
        soon("nothing passes", lambda: scene.greeting(address) == "")
        assert guest.terminal.metadata("meta-data/instance-id") == guest.id
        assert scene.second.terminal.fetch(FIRST) == guest.id  # within the subnet no border is crossed

        def entry(number: int, action: str, low: int, high: int, *, egress: bool) -> None:
            ann.create_network_acl_entry(
                NetworkAclId=acl, RuleNumber=number, Protocol="6", RuleAction=action, Egress=egress,
                CidrBlock=ANYWHERE, PortRange={"From": low, "To": high},
            )  # fmt: skip

        entry(100, "allow", WEB, WEB, egress=False)
        assert scene.greeting(address) == ""  # questions come in, answers do not go out
        entry(100, "allow", 1024, 65535, egress=True)
        soon("with answers", lambda: scene.greeting(address) == guest.id)
        entry(50, "deny", WEB, WEB, egress=False)
        soon("the lower number decides", lambda: scene.greeting(address) == "")
    finally:
        ann.replace_network_acl_association(AssociationId=new, NetworkAclId=before["NetworkAclId"])
        ann.delete_network_acl(NetworkAclId=acl)
    soon("as before", lambda: scene.greeting(address) == guest.id)


# Interfaces -------------------------------------------------------------------------------------------------


def test_an_interface_is_plugged_into_a_running_guest_and_out_again(scene: Scene):
    ann, first, second = scene.ann, scene.first, scene.second
    allow(ann, scene.servers, "icmp")
    extra = ann.create_subnet(VpcId=scene.vpc, CidrBlock=EXTRA)["Subnet"]["SubnetId"]
    made = ann.create_network_interface(
        SubnetId=extra, PrivateIpAddress="172.31.200.10", Groups=[scene.servers]
    )["NetworkInterface"]
    nic = made["NetworkInterfaceId"]
    assert not second.terminal.pings("172.31.200.10")
    attached = ann.attach_network_interface(NetworkInterfaceId=nic, InstanceId=first.id, DeviceIndex=1)
    shows = "ip -4 address show dev eth1 | grep -w 172.31.200.10"
    wait_for(lambda: first.terminal.run(shows)[0] == 0, "its address in the guest", 60)
    assert first.terminal.ask("cat /sys/class/net/eth1/address") == made["MacAddress"]
    row = ann.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"][0]
    assert (row["Status"], row["Attachment"]["Status"]) == ("in-use", "attached")
    # Its own subnet's answers go out by eth1; what comes from another subnet would be answered by eth0.
    first.terminal.ask("ip route replace 172.31.0.20/32 via 172.31.200.1 dev eth1")
    soon("by the second interface", lambda: second.terminal.pings("172.31.200.10"))
    first.terminal.ask("ip route del 172.31.0.20/32")

    ann.detach_network_interface(AttachmentId=attached["AttachmentId"])
    wait_for(lambda: first.terminal.run("ls /sys/class/net/eth1")[0] != 0, "gone from the guest", 60)
    ann.get_waiter("network_interface_available").wait(
        NetworkInterfaceIds=[nic], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert not second.terminal.pings("172.31.200.10")
    ann.delete_network_interface(NetworkInterfaceId=nic)
    ann.delete_subnet(SubnetId=extra)
    assert [each["Attachment"]["DeviceIndex"] for each in first.row["NetworkInterfaces"]] == [0]


# What is told of a packet is what becomes of it --------------------------------------------------------------


Way = tuple[str, str, str, int, bool]


def ways(public: str) -> Sequence[Way]:
    """Who sends, to what address, by which protocol, to which port (or type), and whether it arrives;
    ``public`` is the first guest's.
    """
    return (
        ("second", FIRST, "tcp", 22, True),
        ("second", FIRST, "tcp", WEB, False),
        ("second", FIRST, "icmp", 8, True),
        ("first", SECOND, "icmp", 8, False),
        ("first", SECOND, "tcp", 22, False),
        ("foreign", SECOND, "icmp", 8, False),
        ("outside", public, "tcp", WEB, True),
        ("outside", public, "tcp", 22, False),
        ("second", public, "tcp", WEB, False),
        ("second", NEXT_HOP, "icmp", 8, True),
        ("first", NEXT_HOP, "icmp", 8, False),
        ("foreign", NEXT_HOP, "icmp", 8, False),
    )


def test_trace_tells_what_packets_do(scene: Scene):
    ann = scene.ann
    allow(ann, scene.servers, "tcp", 22, scene.clients)
    allow(ann, scene.servers, "icmp", peer=f"{SECOND}/32")
    allow(ann, scene.servers, "tcp", WEB, f"{NEXT_HOP}/32")
    [everything] = [rule["SecurityGroupRuleId"] for rule in rules(ann, scene.servers) if rule["IsEgress"]]
    ann.revoke_security_group_egress(GroupId=scene.servers, SecurityGroupRuleIds=[everything])
    soon("in force", lambda: scene.second.speaks(FIRST) and not scene.first.terminal.pings(NEXT_HOP))
    scene.public(scene.second)
    drawn = ways(scene.public(scene.first))
    machines = {"first": scene.first, "second": scene.second, "foreign": scene.foreign}
    told, seen = {}, {}
    for way in drawn:
        sender, address, protocol, port, _ = way
        source = NEXT_HOP if sender == "outside" else machines[sender].id
        words = [
            "trace",
            source,
            f"{address}:{port}",
            "--protocol",
            protocol,
            "--home",
            str(scene.cloud.home),
        ]
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code in {0, 1}, answer.output
        assert ("STOP" in answer.output) == (answer.exit_code == 1)
        told[way] = answer.exit_code == 0
        if sender == "outside":
            seen[way] = scene.greeting(address, port) != ""
        elif protocol == "icmp":
            seen[way] = machines[sender].terminal.pings(address)
        elif port == WEB:
            seen[way] = machines[sender].terminal.fetch(address) != ""
        else:
            seen[way] = machines[sender].terminal.banner(address, port) != ""
    expected = {way: way[-1] for way in drawn}
    assert seen == expected
    assert told == expected


def test_the_network_is_as_the_database_says(scene: Scene):
    scene.settled()
