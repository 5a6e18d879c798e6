"""The test guest keeps its promises (conformance/guest/README.md), seen with plain QEMU and nothing of ours between."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pycdlib
import pytest

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "conformance" / "guest" / "build"
PATIENCE = 120  # seconds after which a guest is stuck; a busy machine boots it in 20
MEBIBYTE = 1 << 20

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFCpJ2wA4MJ2cNQFBBCUnCDyAFh6jNmfuC7kBAF1VnLJ somebody@example"
META_DATA = f"instance-id: i-0123456789abcdef0\nlocal-hostname: ip-10-0-2-15\npublic-keys:\n  - {KEY}\n"

# q35 as libvirt makes it (hot plug goes to root ports) and the older machine, where it goes to the PCI bus itself.
MACHINES = {
    "q35": [
        "-device",
        "pcie-root-port,id=p1,chassis=1,slot=1",
        "-device",
        "pcie-root-port,id=p2,chassis=2,slot=2",
    ],
    "pc": [],
}


class Guest:
    """A running QEMU: its console as text, its monitor as calls."""

    def __init__(self, directory: Path, disk: Path, *devices: str, machine: str = "q35", network: str = ""):
        self.console, self.monitor_path = directory / "console", directory / "monitor"
        self.console.write_text("")
        nic = ["-netdev", f"user,id=n0,restrict=on{network}", "-device", "virtio-net-pci,netdev=n0"]
        self.process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-machine", f"{machine},accel=tcg", "-smp", "1", "-m", "128", "-nodefaults",
                "-display", "none", "-serial", f"file:{self.console}", "-qmp", "unix:monitor,server,nowait",
                "-drive", f"file={disk},if=virtio,format=qcow2", *MACHINES[machine], *nic, *devices,
            ],
            cwd=directory,  # a socket's path must be short
        )  # fmt: skip
        self.monitor: Any = None

    def say(self, command: str, **arguments: Any) -> Any:
        """One QMP command and its answer; events in between are of no interest."""
        if self.monitor is None:
            self.monitor = self.connect()
            self.say("qmp_capabilities")
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        for line in self.monitor:
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]
        raise AssertionError("the monitor closed")

    def connect(self) -> Any:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        here = Path.cwd()
        os.chdir(self.monitor_path.parent)
        try:
            until(lambda: Path("monitor").exists())
            connection.connect("monitor")
        finally:
            os.chdir(here)
        stream = connection.makefile("rw")
        stream.readline()
        return stream

    def line(self, pattern: str) -> re.Match[str]:
        """Wait until a whole line of the console matches."""
        return until(
            lambda: re.search(rf"^{pattern}\r?$", self.console.read_text(errors="replace"), re.MULTILINE)
        )

    def ready(self) -> dict[str, Any]:
        return json.loads(self.line(r"isthmus-guest: ready (\{.*\})")[1])

    def ended(self) -> int:
        return self.process.wait(PATIENCE)


def until(probe: Any) -> Any:
    """Poll until the probe finds something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.1)
    raise AssertionError("nothing came")


@contextlib.contextmanager
def booted(directory: Path, disk: Path, *devices: str, **options: Any) -> Iterator[Guest]:
    guest = Guest(directory, disk, *devices, **options)
    try:
        yield guest
    except AssertionError:
        print(guest.console.read_text(errors="replace"))
        raise
    finally:
        if guest.process.poll() is None:
            guest.process.kill()
        guest.process.wait()


@pytest.fixture(scope="module")
def image() -> Path:
    done = subprocess.run([BUILD], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture
def disk(image: Path, tmp_path: Path) -> Path:
    """A linked clone on a disk larger than the image, as a flavour makes it."""
    path = tmp_path / "disk.qcow2"
    make_disk(path, "1G", "-b", str(image), "-F", "qcow2")
    return path


def make_disk(path: Path, size: str, *options: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)


def seed(directory: Path, *, user_data: str, meta_data: str = META_DATA, label: str = "cidata") -> list[str]:
    """QEMU options for a NoCloud seed as a read-only virtio disk."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for number, (name, text) in enumerate({"meta-data": meta_data, "user-data": user_data}.items()):
        source = directory / name
        source.write_text(text)
        iso.add_file(str(source), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    path = directory / "seed.iso"
    iso.write(str(path))
    iso.close()
    return ["-drive", f"file={path},if=virtio,format=raw,readonly=on"]


def test_the_seed_is_obeyed_and_the_power_button_ends_it(tmp_path: Path, disk: Path) -> None:
    script = "#!/bin/bash\necho for $INSTANCE_ID on $(hostname)\ncat /root/.ssh/authorized_keys\nprintf 'no newline'\n"
    with booted(tmp_path, disk, *seed(tmp_path, user_data=script)) as guest:
        ready = guest.ready()
        assert ready["instance_id"] == "i-0123456789abcdef0"
        assert ready["hostname"] == "ip-10-0-2-15"
        assert (ready["source"], ready["keys"], ready["user_data"]) == ("nocloud", 1, "ran")
        assert ready["ip"] == "10.0.2.15"
        assert ready["disks"]["vda"]["size"] == 1024 * MEBIBYTE
        assert ready["boots"] == 1
        before_ready = guest.console.read_text().partition("isthmus-guest: ready")[0]
        assert "user-data: for i-0123456789abcdef0 on ip-10-0-2-15" in before_ready
        assert f"user-data: {KEY}" in before_ready
        assert "user-data: no newline" in before_ready
        guest.say("system_powerdown")
        assert guest.ended() == 0
        guest.line("isthmus-guest: power button")


@pytest.mark.parametrize("machine", MACHINES)
def test_disks_and_nics_are_reported_as_they_come_and_go(tmp_path: Path, disk: Path, machine: str) -> None:
    make_disk(tmp_path / "extra.qcow2", "10M")
    ports = ({"bus": "p1"}, {"bus": "p2"}) if machine == "q35" else ({}, {})
    with booted(tmp_path, disk, *seed(tmp_path, user_data=""), machine=machine) as guest:
        assert guest.ready()["user_data"] == "none"
        guest.say(
            "blockdev-add",
            driver="qcow2",
            **{"node-name": "extra"},
            file={"driver": "file", "filename": "extra.qcow2"},
        )
        guest.say(
            "device_add",
            driver="virtio-blk-pci",
            drive="extra",
            serial="vol0123456789abcdef0",
            id="x1",
            **ports[0],
        )
        added = guest.line(r"isthmus-guest: disk (vd\w) added size=10485760 serial=vol0123456789abcdef0")
        guest.say("block_resize", **{"node-name": "extra"}, size=20 * MEBIBYTE)
        guest.line(f"isthmus-guest: disk {added[1]} resized size=20971520")
        guest.say("netdev_add", type="user", id="n1", net="10.9.0.0/24", restrict=True)
        guest.say(
            "device_add", driver="virtio-net-pci", netdev="n1", mac="52:54:00:aa:bb:cc", id="x2", **ports[1]
        )
        guest.line("isthmus-guest: nic eth1 added mac=52:54:00:aa:bb:cc")
        guest.line(r"isthmus-guest: nic eth1 address=10\.9\.0\.15")
        guest.say("device_del", id="x1")
        guest.line(f"isthmus-guest: disk {added[1]} removed")
        guest.say("device_del", id="x2")
        guest.line("isthmus-guest: nic eth1 removed")


def test_the_injected_key_opens_a_session_and_nothing_else_does(tmp_path: Path, disk: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    meta_data = f"instance-id: i-1\npublic-keys:\n  - {key.with_suffix('.pub').read_text()}"
    port = free_port()
    devices = seed(tmp_path, user_data="", meta_data=meta_data)
    with booted(tmp_path, disk, *devices, network=f",hostfwd=tcp:127.0.0.1:{port}-:22") as guest:
        assert guest.ready()["keys"] == 1
        session = ssh(port, "-i", str(key), "hostname; id -u")
        assert session.stdout.split() == ["isthmus-guest", "0"], session.stderr
        assert ssh(port, "-o", "PubkeyAuthentication=no", "id").returncode != 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ssh(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
    )
    command = ["ssh", "-F", "none", "-p", str(port), *(word for option in options for word in ("-o", option))]
    *flags, remote = arguments
    return subprocess.run(
        [*command, *flags, "root@127.0.0.1", remote],
        capture_output=True, text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_kept_disk_counts_its_boots_and_keeps_its_host_key(tmp_path: Path, disk: Path) -> None:
    script = "#!/bin/sh\nsha256sum </etc/dropbear/hostkey\n"
    seen = []
    for _ in range(2):
        with booted(tmp_path, disk, *seed(tmp_path, user_data=script)) as guest:
            ready = guest.ready()
            seen.append((ready["boots"], guest.line("user-data: ([0-9a-f]{64}) .*")[1], ready["boot_id"]))
            guest.say("system_powerdown")
            guest.ended()
    (first, first_key, first_boot), (second, second_key, second_boot) = seen
    assert (first, second) == (1, 2)
    assert first_key == second_key
    assert first_boot != second_boot


METADATA_SERVICE = """
import sys
TOKEN = "t0ken"
TREE = {{
    "meta-data/instance-id": "i-00000000000000abc", "meta-data/local-hostname": "ip-169-254-10-1",
    "meta-data/public-keys/": "0=first\\n1=second",
    "meta-data/public-keys/0/openssh-key": {key!r} + "\\n", "meta-data/public-keys/1/openssh-key": {key!r},
    "user-data": "#!/bin/sh\\necho from the metadata service\\n",
}}
while line := sys.stdin.readline():
    method, path, _ = line.split()
    headers = {{}}
    while (line := sys.stdin.readline().strip()):
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = TREE.get(path.removeprefix("/latest/"))
    if method == "PUT" and path == "/latest/api/token" and "x-aws-ec2-metadata-token-ttl-seconds" in headers:
        status, body = "200 OK", TOKEN
    elif headers.get("x-aws-ec2-metadata-token") != TOKEN:
        status, body = "401 Unauthorized", "no token"
    else:
        status, body = ("200 OK", body) if body is not None else ("404 Not Found", "")
    sys.stdout.write(f"HTTP/1.1 {{status}}\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n{{body}}")
    sys.stdout.flush()
"""


def test_without_a_seed_the_metadata_service_is_asked_with_a_token(tmp_path: Path, disk: Path) -> None:
    """The service answers on QEMU's forwarded stream, where it never learns that a guest's connection ended."""
    service = tmp_path / "service.py"
    service.write_text(METADATA_SERVICE.format(key=KEY))
    network = (
        ",net=169.254.0.0/16,host=169.254.0.2,dhcpstart=169.254.10.1,dns=169.254.0.3"
        f",guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {service}"
    )
    with booted(tmp_path, disk, network=network) as guest:
        ready = guest.ready()
        assert (ready["source"], ready["keys"], ready["user_data"]) == ("metadata", 2, "ran")
        assert (ready["instance_id"], ready["hostname"]) == ("i-00000000000000abc", "ip-169-254-10-1")
        guest.line("user-data: from the metadata service")


def test_without_any_instance_data_it_is_ready_all_the_same(tmp_path: Path, disk: Path) -> None:
    with booted(tmp_path, disk, machine="pc") as guest:
        ready = guest.ready()
        assert (ready["source"], ready["keys"], ready["instance_id"]) == ("none", 0, "")


def test_other_spellings_of_the_seed_are_read(tmp_path: Path, disk: Path) -> None:
    """An upper-case label, JSON instead of YAML lines, and user data that is no script."""
    meta_data = json.dumps({"instance-id": "i-1", "local-hostname": "json", "public-keys": [KEY, KEY]})
    devices = seed(tmp_path, user_data="#cloud-config\n{}\n", meta_data=meta_data, label="CIDATA")
    with booted(tmp_path, disk, *devices) as guest:
        ready = guest.ready()
        assert (ready["instance_id"], ready["keys"], ready["user_data"]) == ("i-1", 2, "data")
