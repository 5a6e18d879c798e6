"""What end-to-end tests of networks say again and again: machines by their consoles, rules, and how soon."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from live_cloud import wait_for
from network_guest import Terminal
from ovn_cloud import OvnCloud

from backend.commands import SetHostState
from backend.model import HostState
from gateway.installation import Installation, operator

BOOTED = 300.0  # seconds in which guests boot under emulation on a busy machine
SOON = 5.0  # one second is promised; a busy machine may take longer to notice
ANYWHERE = "0.0.0.0/0"
SSH = "SSH-2.0-dropbear"


class Machine:
    """A guest on a host of a lab: its row, its console, and what it tells."""

    def __init__(self, cloud: OvnCloud, ec2: Any, vm: str, host: str) -> None:
        self.cloud = cloud
        self.ec2 = ec2
        self.id = vm
        self.host = host
        self._terminal: Terminal | None = None

    def open(self) -> None:
        """Listen to its console from now on; it runs."""
        self._terminal = Terminal(self.cloud.uris[self.host], self.id)

    def ready(self, boots: int = 1) -> None:
        """Wait until it has booted, on a disk that it has booted from so often."""
        self.terminal.wait(f'"boots":{boots},', BOOTED)

    @property
    def terminal(self) -> Terminal:
        assert self._terminal is not None
        return self._terminal

    @property
    def row(self) -> dict[str, Any]:
        """What its tenant sees of it."""
        return self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"][0]

    @property
    def nic(self) -> dict[str, Any]:
        """Its primary interface."""
        return next(each for each in self.row["NetworkInterfaces"] if each["Attachment"]["DeviceIndex"] == 0)

    def is_state(self, state: str) -> None:
        wait_for(lambda: self.row["State"]["Name"] == state, f"{self.id} {state}", BOOTED)

    def join(self, *groups: str) -> None:
        """Be in these groups and in no other."""
        self.ec2.modify_instance_attribute(InstanceId=self.id, Groups=list(groups))

    def speaks(self, address: str) -> bool:
        """Whether an ssh server there answers it."""
        return self.terminal.banner(address).startswith(SSH)

    def count(self, line: str, column: int) -> int:
        """One of the kernel's counters of packets."""
        return int(self.terminal.ask(f"grep ^{line}: /proc/net/snmp | tail -n 1 | cut -d' ' -f{column + 1}"))

    @property
    def echoes(self) -> int:
        """Pings that it has heard."""
        return self.count("Icmp", 9)


@contextlib.contextmanager
def only(cloud: OvnCloud, host: str) -> Iterator[None]:
    """Meanwhile new guests are placed on one host of a lab."""
    with contextlib.closing(Installation.at(cloud.home)) as installation:

        def let(state: HostState) -> None:
            for name, host_id in cloud.hosts.items():
                if name != host:
                    installation.engine.execute(operator(), SetHostState(host_id=host_id, state=state))

        let(HostState.DISABLED)
        yield
        let(HostState.INIT)


def permission(protocol: str, port: int | None = None, peer: str = ANYWHERE) -> list[dict[str, Any]]:
    """EC2's IpPermissions of one rule; the peer is a range or a group."""
    grouped = peer.startswith("sg-")
    whom = {"UserIdGroupPairs": [{"GroupId": peer}]} if grouped else {"IpRanges": [{"CidrIp": peer}]}
    number = -1 if port is None else port
    ports = {} if protocol == "-1" else {"FromPort": number, "ToPort": number}
    return [{"IpProtocol": protocol, **ports, **whom}]


def allow(
    ec2: Any,
    group: str,
    protocol: str,
    port: int | None = None,
    peer: str = ANYWHERE,
    *,
    egress: bool = False,
) -> str:
    """Authorise, and answer the rule's id."""
    call = ec2.authorize_security_group_egress if egress else ec2.authorize_security_group_ingress
    made = call(GroupId=group, IpPermissions=permission(protocol, port, peer))
    return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def rules(ec2: Any, group: str) -> list[dict[str, Any]]:
    """The rules of a group."""
    answer = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    return list(answer["SecurityGroupRules"])


def soon(what: str, condition: Callable[[], Any], patience: float = SOON) -> float:
    """Seconds until it is so; printed, and not many."""
    asked = time.monotonic()
    wait_for(condition, what, patience)
    took = time.monotonic() - asked
    print(f"{what}: {took:.2f} s")
    return took
