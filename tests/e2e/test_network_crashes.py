"""Whatever dies in the middle of whatever change of a network: what is in force afterwards is what the database
says, and never was a guest without its rules.

From first to last, packets that nobody allowed are sent to every address that a guest has or gets, from
another guest's place and from outside. They are counted where they would reach a guest: on the cables of all
guests on both hosts, from before each guest starts until after it has ended.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_cloud import wait_for
from network_guest import AGENT
from network_tenant import Machine, allow, only
from ovn_cloud import OvnCloud
from ovn_lab import NEXT_HOP, OvnLab, lab_possible, ovn_lab
from packet_watch import Count, flood

from backend.model import uuid_of

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(not lab_possible(), reason="needs root, Open vSwitch and OVN"),
]

UNASKED = 7777
SSH = 22
STAYING, COMING, PLUGGED, SENDER = "172.31.0.10", "172.31.0.30", "172.31.0.40", "172.31.0.50"
DOWN = 0.5  # seconds for which something stays dead
MOMENTS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)  # seconds after a change was asked for
PARTS = ("worker", "ovn-northd", "h1/ovn-controller", "h1/ovs-vswitchd", "h1/libvirtd")
AGAIN = 240.0  # seconds in which everything has recovered: libvirt may hold a domain for a while

REACHES = """
import socket, sys
with socket.create_connection((sys.argv[1], 22), 1) as there:
    print(there.recv(7).decode())
"""


class Scene:
    """One guest that stays, what is done with another one, and the packets that nobody asked for."""

    def __init__(self, cloud: OvnCloud, lab: OvnLab) -> None:
        self.cloud = cloud
        self.lab = lab
        self.ec2 = cloud.client()
        self.moments = itertools.cycle(MOMENTS)
        [vpc] = self.ec2.describe_vpcs()["Vpcs"]
        self.subnet = self.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        self.group, self.other = (
            self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc["VpcId"])["GroupId"]
            for name in ("one", "other")
        )
        self.counts = [Count(host.space, UNASKED) for host in lab.hosts.values()]
        held = self.ec2.allocate_address(Domain="vpc")
        self.allocation, self.elastic = held["AllocationId"], held["PublicIp"]
        self.sender = self._neighbour()
        lent = [f"203.0.113.{last}" for last in range(64, 128)]
        targets = [STAYING, COMING, PLUGGED]
        self.floods = [
            flood(self.sender, UNASKED, *targets),
            flood(lab.outside, UNASKED, *(each for other in lent for each in (self.elastic, other))),
        ]
        self.staying = self.launch(STAYING)
        self.coming: Machine | None = None
        self.staying.ready()
        self.associate(self.staying)

    def _neighbour(self) -> Any:
        """A namespace in the place of another guest, on the second host: it sends faster than one."""
        made = self.ec2.create_network_interface(SubnetId=self.subnet, PrivateIpAddress=SENDER)
        nic = made["NetworkInterface"]
        guest = self.lab.guest(self.lab.hosts["h2"], uuid_of(nic["NetworkInterfaceId"]), nic["MacAddress"])
        wait_for(lambda: self._leased(guest), "a lease for the neighbour", AGAIN)
        return guest.space

    @staticmethod
    def _leased(guest: Any) -> bool:
        try:
            return bool(guest.dhcp(seconds=3)["ip"] == SENDER)
        except RuntimeError:
            return False

    def launch(self, address: str) -> Machine:
        with only(self.cloud, "h1"):
            machine = self.ask_launch(address)
            machine.is_state("running")
            machine.open()
        return machine

    def ask_launch(self, address: str) -> Machine:
        made = self.ec2.run_instances(
            ImageId=self.cloud.image, InstanceType="t2.nano", MinCount=1, MaxCount=1, SubnetId=self.subnet,
            SecurityGroupIds=[self.group], PrivateIpAddress=address, UserData=AGENT,
        )  # fmt: skip
        row = made["Instances"][0]
        self.known(row["NetworkInterfaces"][0])
        return Machine(self.cloud, self.ec2, row["InstanceId"], "h1")

    def known(self, nic: dict[str, Any]) -> None:
        """The neighbour sends to an interface before anybody could tell where it is."""
        address, mac = nic["PrivateIpAddress"], nic["MacAddress"]
        self.sender.ip(f"neighbour replace {address} lladdr {mac} dev eth0 nud permanent")

    # What is seen -----------------------------------------------------------------------------------------

    def unasked(self) -> int:
        """Packets that have reached a guest."""
        return sum(sum(count.seen().values()) for count in self.counts)

    def reached(self, address: str) -> bool:
        """Whether somebody outside is answered by ssh."""
        said = self.lab.outside.run(sys.executable, "-c", REACHES, address, check=False)
        return said.strip() == "SSH-2.0"

    def has(self, machine: Machine) -> bool:
        """Whether the elastic address is shown as a guest's."""
        return bool(machine.row.get("PublicIpAddress") == self.elastic)

    def associate(self, machine: Machine) -> None:
        """Give the elastic address to a guest, whoever has it."""
        self.ec2.associate_address(
            AllocationId=self.allocation, AllowReassociation=True, InstanceId=machine.id
        )

    def settled(self) -> None:
        """All work is done, and rules, leases and addresses are what the database says."""
        wait_for(lambda: self.cloud.cli("task", "list", "--open") == [], "all work done", AGAIN)
        wait_for(lambda: self.cloud.run("check").returncode == 0, self.cloud.run("check").stdout, AGAIN)
        assert self.lab.refused_rules() == []

    # What dies ---------------------------------------------------------------------------------------------

    def dies(self, part: str) -> None:
        """A part is killed soon after now, and comes back."""
        time.sleep(next(self.moments))
        if part == "worker":
            self.cloud.kill_part(part)
            time.sleep(DOWN)
            self.cloud.start_part(part)
        else:
            self.lab.kill(part)
            time.sleep(DOWN)
            self.lab.start(part)

    # What changes -------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
        """The kinds of changes: the name, what is asked for, and what is so afterwards."""
        ec2, staying = self.ec2, self.staying

        def come() -> None:
            self.coming = self.ask_launch(COMING)

        def state(name: str) -> bool:
            assert self.coming is not None
            return self.coming.row["State"]["Name"] == name

        yield "launch", come, lambda: state("running")
        coming = self.coming
        assert coming is not None
        rule: list[str] = []
        yield (
            "authorise",
            lambda: rule.append(allow(ec2, self.group, "tcp", SSH, f"{NEXT_HOP}/32")),
            lambda: self.reached(self.elastic),
        )
        yield "other groups", lambda: staying.join(self.other), lambda: not self.reached(self.elastic)
        yield "its groups again", lambda: staying.join(self.group), lambda: self.reached(self.elastic)
        yield "move", lambda: self.associate(coming), lambda: self.has(coming) and not self.has(staying)
        yield "move back", lambda: self.associate(staying), lambda: self.reached(self.elastic)
        made = ec2.create_network_interface(
            SubnetId=self.subnet, PrivateIpAddress=PLUGGED, Groups=[self.group]
        )["NetworkInterface"]
        self.known(made)
        nic = made["NetworkInterfaceId"]
        attachment: list[str] = []

        def plug() -> None:
            answer = ec2.attach_network_interface(
                NetworkInterfaceId=nic, InstanceId=staying.id, DeviceIndex=1
            )
            attachment.append(answer["AttachmentId"])

        def interface() -> tuple[str, str]:
            row = ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"][0]
            return row["Status"], row.get("Attachment", {}).get("Status", "")

        yield "attach", plug, lambda: interface() == ("in-use", "attached")
        leased = f"ip -4 address show dev eth1 | grep {PLUGGED}"  # by itself the guest asks only once
        wait_for(
            lambda: staying.terminal.run(f"{leased} || udhcpc -i eth1 -t 2 -T 2 -n -q -S; {leased}")[0] == 0,
            "a lease for the new interface", AGAIN,
        )  # fmt: skip
        yield (
            "detach",
            lambda: ec2.detach_network_interface(AttachmentId=attachment[0]),
            lambda: interface() == ("available", ""),
        )
        ec2.delete_network_interface(NetworkInterfaceId=nic)
        yield (
            "revoke",
            lambda: ec2.revoke_security_group_ingress(GroupId=self.group, SecurityGroupRuleIds=rule),
            lambda: not self.reached(self.elastic),
        )
        yield (
            "terminate",
            lambda: ec2.terminate_instances(InstanceIds=[coming.id]),
            lambda: state("terminated"),
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, guest_image: Path) -> Iterator[Scene]:
    with ovn_lab(("h1", "h2")) as lab:
        cloud = OvnCloud(tmp_path_factory.mktemp("networks"), lab).make()
        cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
        try:
            cloud.start().wait_hosts()
            yield Scene(cloud, lab)
        finally:
            cloud.end()
            cloud.keep_logs()


def control(scene: Scene) -> None:
    """The packets are there and are counted: once allowed they arrive, once revoked no more."""
    before, heard = scene.unasked(), scene.staying.terminal.heard()
    rule = allow(scene.ec2, scene.group, "udp", UNASKED)
    wait_for(lambda: scene.unasked() > before + 100, "allowed packets are counted", AGAIN)
    wait_for(lambda: scene.staying.terminal.heard() > heard + 50, "the guest counts them, too", AGAIN)
    scene.ec2.revoke_security_group_ingress(GroupId=scene.group, SecurityGroupRuleIds=[rule])

    def quiet() -> bool:
        now = scene.unasked()
        time.sleep(0.5)
        return scene.unasked() == now

    wait_for(quiet, "revoked", AGAIN)


@pytest.mark.parametrize("part", PARTS)
def test_what_dies_leaves_the_rules_in_force(scene: Scene, part: str):
    control(scene)
    before = scene.unasked()
    with only(scene.cloud, "h1"):  # where parts die
        for name, ask, done in scene.changes():
            asked = time.monotonic()
            ask()
            scene.dies(part)
            wait_for(done, f"{name}, while {part} died", AGAIN)
            print(f"{name}: {time.monotonic() - asked:.1f} s")
            assert scene.unasked() == before, f"{name}, while {part} died"
    scene.settled()
    assert scene.unasked() == before
    assert all(each.poll() is None for each in scene.floods)
    control(scene)
