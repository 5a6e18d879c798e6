"""The user network with real guests: rules and public addresses as packets meet them, on an embedded host."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from libvirt_hosts import guest_image, kill_embedded_guests

from backend.drivers.libvirt.hosts import LibvirtHosts
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.drivers.user_network import UserNetwork
from backend.model import new_id, uuid_of
from backend.network_model import Nic, PublicAddress, SecurityRule, Subnet, Topology
from backend.ports import DiskSpec, DomainSpec, HostDriver, ImageSource, Seed, VolumeSpec

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

REPLACE = msgspec.structs.replace
OWNED = {"tenant_id": "t", "account_id": "1", "region": "r", "created_at": 0.0}
ADDRESSES = tuple(f"127.100.{os.getpid() % 250 + 1}.{number}" for number in (1, 2))
"""Other ones in each process: tests may run beside each other."""
LOWEST = 1024
"""As for a user who is not root: the guest's ssh port is forwarded from 10022."""

SCRIPT = b"""#!/bin/sh
serve() { while :; do echo "$1 is here" | nc -l -p $2; done; }
serve echo 7777 &
count() { # datagrams that came for nobody
    while sleep 0.3; do
        set -- $(grep '^Udp: [0-9]' /proc/net/snmp)
        [ "$3" = "$last" ] || echo "datagrams $3"
        last=$3
    done
}
count &
ask() { printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc 169.254.169.254 80 | tail -n 1; }
echo "identity $(ask)"
for place in @PLACES@; do
    answer=$(echo hello | timeout 2 nc ${place%:*} ${place#*:} 2>/dev/null | head -c 3)
    echo "tried $place [$answer]"
done
ip -4 -o addr show eth0 | sed -n 's/.* inet \\([0-9.]*\\).*/address \\1/p'
echo script done
"""


class Doors:
    """A socket for each interface that answers every request with the interface's id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, socketserver.ThreadingUnixStreamServer] = {}

    def path(self, nic_id: str) -> str:
        return str(self._folder / nic_id)

    def open(self, nic_id: str) -> str:
        if nic_id not in self._servers:
            server = socketserver.ThreadingUnixStreamServer(self.path(nic_id), answering(nic_id.encode()))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._servers[nic_id] = server
        return self.path(nic_id)

    def close(self, nic_id: str) -> None:
        if server := self._servers.pop(nic_id, None):
            server.shutdown()
            server.server_close()
            Path(self.path(nic_id)).unlink()


def answering(body: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class World:
    """An embedded host with two guests, and the rows that their networks follow."""

    def __init__(self, driver: HostDriver, doors: Doors) -> None:
        self.driver = driver
        self.network = UserNetwork({"h": driver}.get, doors, lowest=LOWEST)
        subnet = Subnet(
            id="subnet-1", **OWNED, vpc_id="vpc-1", zone="z", cidr="172.31.0.0/20", acl_id="acl-1",
            acl_association_id="aclassoc-1",
        )  # fmt: skip
        self.nics = [self._nic(number) for number in range(2)]
        self.topology = Topology(
            subnets={subnet.id: subnet},
            nics={nic.id: nic for nic in self.nics},
            places={nic.id: "h" for nic in self.nics},
        )

    def _nic(self, number: int) -> Nic:
        return Nic(
            id=new_id("eni"), **OWNED, zone="z", vpc_id="vpc-1", subnet_id="subnet-1", groups=("sg-1",),
            mac=f"02:00:00:00:00:{number:02x}", address=f"172.31.0.{number + 10}", instance_id=new_id("i"),
        )  # fmt: skip

    def rules(self, *ports: tuple[str, int]) -> None:
        """These ports are allowed from everywhere, and no others."""
        rules = tuple(
            SecurityRule(
                id=new_id("sgr"), group_id="sg-1", tenant_id="t", created_at=0.0, egress=False,
                protocol=protocol, from_port=port, to_port=port, cidr="0.0.0.0/0",
            )
            for protocol, port in ports
        )  # fmt: skip
        self.topology = REPLACE(self.topology, rules={"sg-1": rules})
        self.network.apply(self.topology, ["sg-1"])

    def addresses(self, *owners: int) -> None:
        """The public addresses, in their order, lead to these guests."""
        public: dict[str, tuple[PublicAddress, ...]] = {}
        for ip, owner in zip(ADDRESSES, owners, strict=False):
            nic = self.nics[owner]
            found = PublicAddress(
                id=f"eipalloc-{ip}", **OWNED, ip=ip, pool="p", nic_id=nic.id, private_ip=nic.address
            )
            public[nic.id] = (*public.get(nic.id, ()), found)
        self.topology = REPLACE(self.topology, public=public)
        self.network.apply(self.topology, [nic.id for nic in self.nics])

    def start(self, number: int, image: ImageSource, script: bytes) -> None:
        nic = self.nics[number]
        name = str(nic.instance_id)
        self.network.apply(self.topology, [nic.id])
        disk = DiskSpec(target="vda", name=f"vol-{number}")
        self.driver.clone(VolumeSpec(name=disk.name, size_bytes=1 << 30, source=image))
        meta_data = f"instance-id: {name}\n".encode()
        self.driver.context(name, Seed(label="cidata", files={"meta-data": meta_data, "user-data": script}))
        self.driver.start(
            DomainSpec(
                instance_id=name, epoch=1, uuid=uuid_of(name), vcpus=1, memory_mib=192,
                architecture="x86_64", disks=[disk], nics=[self.network.plug(self.topology, nic)],
            )
        )  # fmt: skip

    def console(self, number: int) -> str:
        return self.driver.console(str(self.nics[number].instance_id), 65536).decode(errors="replace")


def until(true: Callable[[], object], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def heard(address: str, port: int) -> bytes | None:
    """What is said to who connects; None when nobody may."""
    try:
        with socket.create_connection((address, port), 10) as connection:
            connection.settimeout(10)
            return connection.recv(100)
    except ConnectionRefusedError:
        return None
    except OSError:
        return b""


@pytest.fixture
def world(embedded_root) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="doors-") as folder:
        driver = LibvirtHosts().driver("h", f"qemu:///embed?root={embedded_root}&acceleration=tcg")
        doors = Doors(Path(folder))
        found = World(driver, doors)
        yield found
        for nic in found.nics:
            driver.destroy(str(nic.instance_id))
            doors.close(nic.id)
        kill_embedded_guests(embedded_root)


@pytest.fixture
def loopback() -> Iterator[int]:
    """The port of a service that only this machine is meant to reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.sendall(b"secret\n")
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_rules_and_addresses_decide_who_reaches_which_guest(world, loopback):
    path = guest_image()
    image = ImageSource(
        image_id="ami-0123456789abcdef0",
        path=str(path),
        format="qcow2",
        checksum="sha256:0123456789abcdef",
        size_bytes=path.stat().st_size,
        virtual_bytes=read_qcow2(path).virtual_bytes,
    )
    world.rules(("tcp", 22))
    world.addresses(0, 1)
    places = [
        f"{address}:{loopback}" for address in ("172.31.0.1", "172.31.0.2", "127.0.0.1", "169.254.169.254")
    ]
    places += [f"{world.nics[1].address}:22", f"{ADDRESSES[1]}:10022"]  # another guest, both ways
    for number in range(2):
        world.start(number, image, SCRIPT.replace(b"@PLACES@", " ".join(places).encode()))
    for number in range(2):
        until(lambda number=number: "script done" in world.console(number))

    # Each is known by its own socket, has its own address, and reaches nothing else.
    for number, nic in enumerate(world.nics):
        words = world.console(number)
        assert f"identity {nic.id}" in words
        assert f"address {nic.address}" in words
        tried = re.findall(r"tried (\S+) \[(.*)\]", words)
        own = {f"{nic.address}:22"}  # a guest reaches itself
        assert {place for place, answer in tried if answer} - own == set()
        assert len(tried) == len(places)

    # Ports of root are forwarded from higher ones, for who is not root.
    for address in ADDRESSES:
        assert (heard(address, 10022) or b"").startswith(b"SSH-2.0")
        assert heard(address, 7777) is None

    # A rule more and a rule less, for both members of the group, while they run.
    world.rules(("tcp", 7777), ("udp", 5353))
    for address in ADDRESSES:
        until(lambda address=address: heard(address, 7777) == b"echo is here\n")
        assert heard(address, 10022) is None
    before = [world.console(number).count("datagrams") for number in range(2)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        until(
            lambda: (
                sender.sendto(b"to nobody\n", (ADDRESSES[1], 5353))
                and world.console(1).count("datagrams") > before[1]
            )
        )
    assert world.console(0).count("datagrams") == before[0]
    assert world.network.differences(world.topology) == []

    # The addresses change places, and one is taken away.
    world.rules(("tcp", 22), ("tcp", 7777))
    world.addresses(1, 0)
    assert world.network.differences(world.topology) == []
    world.addresses(1)
    assert (heard(ADDRESSES[0], 10022) or b"").startswith(b"SSH-2.0")
    assert heard(ADDRESSES[1], 10022) is None

    # What somebody else changes is found, and put right.
    second = world.network.plug(world.topology, world.nics[1])
    world.driver.update_nic(str(world.nics[1].instance_id), REPLACE(second, forwards=()))
    assert len(world.network.differences(world.topology)) == 2
    world.network.apply(world.topology)
    assert world.network.differences(world.topology) == []
