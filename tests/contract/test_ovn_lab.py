"""The lab itself: what it promises to the tests that are built on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from libvirt_hosts import guest_image
from ovn_lab import GATEWAY, NEXT_HOP, OFFLOADS_OFF, Chassis, Guest, OvnLab, lab_possible, ovn_lab

pytestmark = pytest.mark.skipif(not lab_possible(), reason="needs root, Open vSwitch and OVN")
SUBNET = "10.0.0.0/24"
BOOTED = 240.0
MACS = {11: "02:00:00:00:00:11", 12: "02:00:00:00:00:12", 13: "02:00:00:00:00:13"}


@pytest.fixture(scope="module")
def lab() -> Iterator[OvnLab]:
    with ovn_lab(("h1", "h2")) as made:
        made.nbctl("ls-add", "subnet")
        options = made.nbctl("create", "dhcp_options", f"cidr={SUBNET}")
        made.nbctl(
            "dhcp-options-set-options", options, "lease_time=3600", "router=10.0.0.1", "server_id=10.0.0.1",
            "server_mac=02:00:00:00:00:01", "mtu=1442",
        )  # fmt: skip
        for last, mac in MACS.items():
            made.nbctl(
                "lsp-add", "subnet", f"port-{last}",
                "--", "lsp-set-addresses", f"port-{last}", f"{mac} 10.0.0.{last}",
                "--", "lsp-set-dhcpv4-options", f"port-{last}", options,
            )  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def guests(lab: OvnLab) -> list[Guest]:
    return [lab.guest(lab.hosts[host], f"port-{last}", MACS[last]) for host, last in (("h1", 11), ("h2", 12))]


def up(lab: OvnLab, port: str) -> bool:
    return lab.nbctl("lsp-get-up", port) == "up"


def eventually(condition, patience: float = 20.0) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_guests_of_two_hosts_lease_their_addresses_and_hear_each_other(lab: OvnLab, guests: list[Guest]):
    assert eventually(lambda: all(up(lab, guest.iface_id) for guest in guests))
    for guest, last in zip(guests, (11, 12), strict=True):
        lease = guest.dhcp()
        assert (lease["ip"], lease["router"], lease["mtu"]) == (f"10.0.0.{last}", "10.0.0.1", "1442")
    assert eventually(lambda: guests[0].space.ping("10.0.0.12"))
    assert not guests[0].space.ping("10.0.0.99")


@pytest.mark.parametrize(
    "daemon",
    ["ovn-northd", "ovsdb-nb", "ovsdb-sb", "h2/ovn-controller", "h2/ovs-vswitchd", "h2/ovsdb-server"],
)
def test_a_daemon_that_was_killed_starts_again(lab: OvnLab, guests: list[Guest], daemon: str):
    for guest, last in zip(guests, (11, 12), strict=True):
        guest.static(f"10.0.0.{last}/24")
    before = lab.processes()
    lab.kill(daemon)
    assert len(before.keys() - lab.processes().keys()) == 1
    lab.start(daemon)
    lab.nbctl("sync", wait=True)
    assert eventually(lambda: guests[0].space.ping("10.0.0.12"))


def test_the_provider_network_reaches_outside(lab: OvnLab):
    lab.nbctl(
        "ls-add", "public",
        "--", "lsp-add", "public", "localnet", "--", "lsp-set-type", "localnet", "localnet",
        "--", "lsp-set-addresses", "localnet", "unknown",
        "--", "lsp-set-options", "localnet", "network_name=public",
        "--", "lsp-add", "public", "port-20", "--", "lsp-set-addresses", "port-20", "02:00:00:00:00:20",
    )  # fmt: skip
    guest = lab.guest(lab.hosts["h2"], "port-20", "02:00:00:00:00:20")
    guest.static("203.0.113.20/24")
    assert eventually(lambda: guest.space.ping(NEXT_HOP))
    guest.static("100.64.0.20/16")
    assert eventually(lambda: guest.space.ping(GATEWAY))


def test_a_rule_that_no_host_understands_is_found(lab: OvnLab, guests: list[Guest]):
    assert lab.refused_rules() == []
    lab.nbctl("acl-add", "subnet", "from-lport", "1", 'inport == "port-11" && !arp', "drop", wait=True)
    assert eventually(lambda: any("!arp" in line for line in lab.refused_rules()))
    lab.nbctl("acl-del", "subnet", wait=True)


@pytest.mark.qemu
def test_a_real_guest_gets_its_address_from_ovn(lab: OvnLab, guests: list[Guest]):
    libvirt = pytest.importorskip("libvirt")
    host = lab.hosts["h1"]
    connection = libvirt.open(host.libvirtd())
    try:
        console = lab.home / "guest.console"
        domain = connection.createXML(a_domain(host, "port-13", MACS[13], console))
        guests[1].static("10.0.0.12/24")
        assert eventually(lambda: console.exists() and "isthmus-guest: ready" in console.read_text(), BOOTED)
        assert "10.0.0.13" in console.read_text()
        assert eventually(lambda: guests[1].space.ping("10.0.0.13"))
        domain.destroy()
    finally:
        connection.close()


def a_domain(host: Chassis, port: str, mac: str, console: Path) -> str:
    disk = host.lab.home / f"{port}.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", guest_image(), disk], check=True
    )
    return f"""<domain type='qemu'><name>{port}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
      <devices>
        <disk type='file'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
          <target dev='vda' bus='virtio'/></disk>
        <interface type='bridge'><mac address='{mac}'/><source bridge='br-int'/>
          <virtualport type='openvswitch'>
            <parameters interfaceid='{interface_id(host.lab, port)}'/></virtualport>
          <model type='virtio'/>{OFFLOADS_OFF}</interface>
        <serial type='file'><source path='{console}'/></serial>
      </devices></domain>"""


def interface_id(lab: OvnLab, port: str) -> str:
    """libvirt wants a UUID, so the logical port is named by one."""
    uuid = lab.nbctl("--bare", "--columns=_uuid", "find", "logical_switch_port", f"name={port}")
    lab.nbctl("set", "logical_switch_port", uuid, f"name={uuid}")
    return uuid


def test_nothing_is_left_when_the_process_that_made_it_is_killed(tmp_path: Path):
    program = (
        "import sys, time; from ovn_lab import *\n"
        "with ovn_lab() as lab:\n"
        "    print(lab.home, *lab.processes(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    support = Path(__file__).resolve().parents[1] / "support"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=support
    ) as maker:
        home, *pids = maker.stdout.readline().split()
        assert len(pids) >= 7
        maker.send_signal(signal.SIGKILL)
    assert eventually(lambda: not Path(home).exists())
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_nothing_of_it_is_in_the_machines_own_network(lab: OvnLab):
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"br-(int|ex|tun|prov|mgmt)\b", links)
    assert os.readlink("/proc/self/ns/net") not in lab.fabric.run("readlink", "/proc/self/ns/net")
