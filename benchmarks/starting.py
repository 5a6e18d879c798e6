"""From accepted to a started domain, against the same work by hand with qemu-img and virsh."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.client import Ec2
from benchmarks.report import Row, show
from benchmarks.servers import isthmus

ROOT = Path(__file__).parent.parent


def run(*, quick: bool) -> None:
    """Measure and print."""
    guest = Path(
        subprocess.run(
            [str(ROOT / "conformance/guest/build")], check=True, capture_output=True, text=True
        ).stdout.split()[-1]
    )
    repeats = 3 if quick else 7
    with isthmus("qemu:///embed?root={home}/hosts/embed", image=guest) as (target, _home):
        client = Ec2(target)
        ours = [_launch(client) for _ in range(repeats + 1)][1:]
    by_hand = _by_hand(guest, repeats)
    show(
        "RunInstances to running (seconds, median; ratio = by hand / isthmus)",
        [Row("accepted to domain started", {"isthmus": statistics.median(ours), "by hand": by_hand})],
    )


def _launch(client: Ec2) -> float:
    """One launch, watched until running and then ended; the request itself is part of the time."""
    begun = time.perf_counter()
    reply = client.call(
        "RunInstances", ImageId=client.target.image, InstanceType="t2.nano", MinCount=1, MaxCount=1
    )
    instance = re.search(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", reply)[1].decode()  # type: ignore[index]
    while b"<name>running</name>" not in client.call("DescribeInstances", **{"InstanceId.1": instance}):
        time.sleep(0.01)
    taken = time.perf_counter() - begun
    client.call("TerminateInstances", **{"InstanceId.1": instance, "Force": "true"})
    while b"<name>terminated</name>" not in client.call("DescribeInstances", **{"InstanceId.1": instance}):
        time.sleep(0.1)
    return taken


def _by_hand(guest: Path, repeats: int) -> float:
    """What an administrator would type, on an embedded QEMU of virsh's own, kept open as ours is."""
    with tempfile.TemporaryDirectory(prefix="hand-") as folder:
        settings = Path(folder) / "root" / "etc" / "qemu.conf"  # as our driver sets its own
        settings.parent.mkdir(parents=True)
        words = ['security_driver = "none"', 'user = "root"', 'group = "root"', "namespaces = []"]
        settings.write_text("\n".join([*words, 'stdio_handler = "file"', ""]))
        shell = subprocess.Popen(
            ["virsh", "-q", "-c", f"qemu:///embed?root={folder}/root"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        times = [_once(shell, guest, Path(folder), number) for number in range(repeats + 1)][1:]
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(30)
        return statistics.median(times)


def _once(shell: subprocess.Popen[str], guest: Path, folder: Path, number: int) -> float:
    name = f"hand{number}"
    disk, seed, text = folder / f"{name}.qcow2", folder / f"{name}.iso", folder / f"{name}.xml"
    begun = time.perf_counter()
    clone = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(guest), str(disk), "1G"]
    subprocess.run(clone, check=True)
    (folder / "meta-data").write_text(f"instance-id: {name}\n")
    (folder / "user-data").write_text("")
    subprocess.run(
        [
            "xorrisofs",
            "-quiet",
            "-J",
            "-r",
            "-V",
            "cidata",
            "-o",
            str(seed),
            str(folder / "meta-data"),
            str(folder / "user-data"),
        ],
        check=True,
        capture_output=True,
    )
    text.write_text(_domain(name, disk, seed, folder))
    _virsh(shell, f"define {text}")
    _virsh(shell, f"start {name}")
    taken = time.perf_counter() - begun
    _virsh(shell, f"destroy {name}")
    _virsh(shell, f"undefine {name}")
    return taken


def _virsh(shell: subprocess.Popen[str], command: str) -> None:
    """One command, and a mark after it that the shell prints when it is done."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{command}\necho <done>\n")
    shell.stdin.flush()
    said = ""
    while not said.replace("echo <done>", "").endswith("<done>"):
        letter = shell.stdout.read(1)
        said += letter
        if not letter or said.endswith("error:"):
            raise RuntimeError(f"virsh {command}: {said} {shell.stdout.readline()}")


def _domain(name: str, disk: Path, seed: Path, folder: Path) -> str:
    return f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{seed}'/>
<target dev='vdb' bus='virtio'/><readonly/></disk>
<interface type='user'><model type='virtio'/></interface>
<serial type='file'><source path='{folder}/{name}.log'/></serial></devices></domain>"""
