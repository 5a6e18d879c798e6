"""Real libvirt daemons that hang, die and are edited by strangers: what tenants see, and that nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from libvirt_hosts import LibvirtDaemon, daemon_possible, libvirt_daemon
from live_cloud import LiveCloud, wait_for
from views import Machine, nothing_left

pytestmark = pytest.mark.qemu
LONG = 240.0


class Site(NamedTuple):
    """Zone ``a`` is simulated and always well; zone ``b`` is one real daemon, reached over TCP."""

    cloud: LiveCloud
    daemon: LibvirtDaemon

    def launch(self, zone: str) -> Machine:
        made = self.cloud.client().run_instances(
            ImageId=self.cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano",
            Placement={"AvailabilityZone": f"us-east-1{zone}"},
        )  # fmt: skip
        return Machine(self.cloud, made["Instances"][0]["InstanceId"])

    def virsh(self, *words: str) -> str:
        done = subprocess.run(
            ["virsh", "-q", "-c", self.daemon.uri, *words],
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    def domains(self) -> dict[str, str]:
        """Name and state of everything on the real host."""
        lines = self.virsh("list", "--all").splitlines()
        return {line.split()[1]: " ".join(line.split()[2:]) for line in lines if line.strip()}

    def host(self) -> dict[str, Any]:
        [found] = [host for host in self.cloud.cli("host", "list") if host["zone"] == "us-east-1b"]
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any, blank_image: Path) -> Iterator[Site]:
    if not daemon_possible() or shutil.which("libvirtd") is None:
        pytest.skip("a private libvirtd needs root and the package libvirt-daemon-system")
    cloud = LiveCloud(
        tmp_path_factory.mktemp("site"),
        ISTHMUS_REGIONS='{"us-east-1": ["us-east-1a", "us-east-1b"]}',
        ISTHMUS_POLL_INTERVAL="1",
        ISTHMUS_REFUSE_WHEN_FULL="false",  # launches wait for the daemon to come back
        ISTHMUS_DEADLINES__SHUTDOWN="2",  # an empty disk does not heed the power button
    ).init()
    cloud.image = cloud.cli("image", "import", str(blank_image), "--name", "blank", "--public")["id"]
    cloud.cli("host", "add", "test:///default", "--zone", "us-east-1a")
    with libvirt_daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        cloud.cli("host", "add", daemon.uri, "--zone", "us-east-1b")
        try:
            cloud.start().wait_hosts()
            yield Site(cloud, daemon)
        finally:
            cloud.end()


@pytest.fixture(scope="module")
def vm(site: Site) -> Machine:
    """A machine on the real host, running at the beginning and at the end of every test."""
    machine = site.launch("b")
    machine.both("running", "active")
    assert site.domains() == {machine.id: "running"}
    return machine


def test_a_stranger_destroys_the_domain(site, vm):
    site.virsh("destroy", vm.id)
    vm.both("stopped", "inactive")
    assert vm.described()["StateReason"]["Code"].startswith("Server.")
    assert _events(site, vm)[-1]["op"] == "destroyed_outside"
    vm.ec2.start_instances(InstanceIds=[vm.id])
    vm.both("running", "active")
    assert site.domains() == {vm.id: "running"}


def test_a_stranger_starts_the_domain(site, vm):
    vm.act("stop", "poweroff")
    vm.both("stopped", "inactive")
    site.virsh("start", vm.id)
    vm.both("running", "active")
    assert _events(site, vm)[-1]["op"] == "seen_running"


def test_a_stranger_pauses_and_resumes_the_domain(site, vm):
    site.virsh("suspend", vm.id)
    vm.both("stopped", "suspended")
    site.virsh("resume", vm.id)
    vm.both("running", "active")
    site.virsh("suspend", vm.id)
    vm.both("stopped", "suspended")
    vm.ec2.start_instances(InstanceIds=[vm.id])
    vm.both("running", "active")
    assert site.domains() == {vm.id: "running"}


def test_a_stranger_saves_the_domain(site, vm):
    site.virsh("managedsave", vm.id)
    vm.both("stopped", "suspended")
    vm.act("start")
    vm.both("running", "active")


def test_the_hypervisor_crashes(site, vm):
    site.daemon.kill_guests()
    vm.both("stopped", "inactive")
    assert _events(site, vm)[-1]["op"] == "crashed"
    vm.ec2.start_instances(InstanceIds=[vm.id])
    vm.both("running", "active")


def test_a_daemon_that_dies_and_comes_back(site, vm):
    """What runs there is unknown for a while, and is found running: nothing was started twice."""
    started = site.virsh("domid", vm.id)
    site.daemon.kill()
    _unknown(site, vm)
    status = vm.ec2.describe_instance_status(InstanceIds=[vm.id])["InstanceStatuses"][0]
    assert status["SystemStatus"]["Status"] == "impaired"
    _refused(vm.ec2.stop_instances, "IncorrectInstanceState", vm)
    _refused(vm.ec2.reboot_instances, "IncorrectInstanceState", vm)
    site.daemon.start()
    wait_for(lambda: _detail(site, vm) == "runn", "known again", LONG)
    vm.both("running", "active")
    assert site.virsh("domid", vm.id) == started
    status = vm.ec2.describe_instance_status(InstanceIds=[vm.id])["InstanceStatuses"][0]
    assert status["SystemStatus"]["Status"] in {"ok", "initializing"}


def test_a_daemon_that_hangs_slows_nobody_else(site, vm):
    """Neither reads nor the other host wait for it; what was asked of it is done when it answers."""
    site.daemon.stop()
    try:
        vm.ec2.stop_instances(InstanceIds=[vm.id], Force=True)  # accepted: nobody knows yet that it hangs
        for _ in range(3):
            other = site.launch("a")
            other.both("running", "active")
            other.ec2.terminate_instances(InstanceIds=[other.id])
            other.ec2.get_waiter("instance_terminated").wait(
                InstanceIds=[other.id], WaiterConfig={"Delay": 1}
            )
        assert vm.state() in {"stopping", "running"}
        waiting = site.launch("b")
        _unknown(site, vm)
        assert waiting.state() == "pending"
    finally:
        site.daemon.go()
    site.cloud.wait_hosts()
    waiting.both("running", "active")
    wait_for(lambda: _detail(site, vm) in {"runn", "poff"}, "known again", LONG)
    if vm.state() == "stopped":
        vm.ec2.start_instances(InstanceIds=[vm.id])
    vm.both("running", "active")
    assert site.domains() == {vm.id: "running", waiting.id: "running"}
    vm.ec2.terminate_instances(InstanceIds=[waiting.id])
    vm.ec2.get_waiter("instance_terminated").wait(InstanceIds=[waiting.id], WaiterConfig={"Delay": 1})


def test_an_end_asked_of_an_unknown_machine_comes_when_the_host_does(site, vm):
    """Asked once, done once; the last test of this machine."""
    site.daemon.kill()
    _unknown(site, vm)
    vm.ec2.terminate_instances(InstanceIds=[vm.id])
    assert vm.state() == "shutting-down"
    assert site.cloud.occi("GET", vm.path).status == 404
    site.daemon.start()
    vm.ec2.get_waiter("instance_terminated").wait(
        InstanceIds=[vm.id], WaiterConfig={"Delay": 1, "MaxAttempts": int(LONG)}
    )
    assert site.domains() == {}
    nothing_left(site.cloud, vm.id)
    left = [path for path in site.daemon.home.rglob(f"*{vm.id}*") if path.is_file()]
    assert [path for path in left if "log" not in path.parts] == []


def _detail(site: Site, vm: Machine) -> str:
    detail: str = site.cloud.cli("vm", "show", vm.id)["state"]
    return detail


def _events(site: Site, vm: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.cloud.cli("events", "list", "--vm", vm.id)
    return found


def _unknown(site: Site, vm: Machine) -> None:
    wait_for(lambda: site.host()["state"] == "err", "the host is in error", LONG)
    wait_for(lambda: _detail(site, vm) == "unkn", "the machine is unknown", LONG)
    assert vm.state() == "running"  # nothing proves the contrary


def _refused(call: Any, code: str, vm: Machine) -> None:
    with pytest.raises(ClientError) as refusal:
        call(InstanceIds=[vm.id])
    assert refusal.value.response["Error"]["Code"] == code
