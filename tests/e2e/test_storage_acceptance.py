"""Volumes, snapshots and images on real guests: bytes written in one are found in another, through both faces."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import writing_guest as guest
from live_cloud import LiveCloud, wait_for

pytestmark = pytest.mark.qemu
BOOTED = 240.0  # seconds in which a guest boots under emulation on a busy machine
LONG = 180.0


class Tenant:
    """The first tenant's client, and what tests do with it again and again."""

    def __init__(self, cloud: LiveCloud) -> None:
        self.cloud = cloud
        self.ec2 = cloud.client()
        self.zone = self.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        self.machines: list[str] = []
        self.volumes: list[str] = []

    def machine(self, script: str = guest.SCRIPT, **more: Any) -> str:
        made = self.ec2.run_instances(
            **{"ImageId": self.cloud.image, "InstanceType": "t2.nano", **more},
            MinCount=1, MaxCount=1, UserData=script,
        )  # fmt: skip
        vm = made["Instances"][0]["InstanceId"]
        self.machines.append(vm)
        return vm

    def ready(self, vm: str) -> str:
        self.until(lambda: "isthmus-guest: ready" in self.console(vm), f"{vm} ready", BOOTED)
        return vm

    def volume(self, **more: Any) -> str:
        made = self.ec2.create_volume(**{"AvailabilityZone": self.zone, "Size": 1, **more})
        self.volumes.append(made["VolumeId"])
        self.is_volume(made["VolumeId"], "available")
        return made["VolumeId"]

    def console(self, vm: str) -> str:
        return self.cloud.cli("vm", "console", vm)["output"]

    def row(self, volume: str) -> dict[str, Any]:
        return self.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]

    def attachment(self, volume: str) -> str:
        return next((each["State"] for each in self.row(volume)["Attachments"]), "")

    def is_volume(self, volume: str, state: str) -> None:
        self.until(lambda: self.row(volume)["State"] == state, f"{volume} {state}")

    def is_attached(self, volume: str, state: str = "attached") -> None:
        self.until(lambda: self.attachment(volume) == state, f"{volume} {state}")

    def is_machine(self, vm: str, state: str) -> None:
        def now() -> str:
            shown = self.ec2.describe_instances(InstanceIds=[vm])["Reservations"][0]["Instances"][0]
            return shown["State"]["Name"]

        self.until(lambda: now() == state, f"{vm} {state}", BOOTED)

    def snapshot(self, volume: str) -> str:
        made = self.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        self.is_completed(made)
        return made

    def is_completed(self, snapshot: str) -> None:
        def state() -> str:
            return self.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"]

        self.until(lambda: state() == "completed", f"{snapshot} completed")

    def until(self, condition: Callable[[], Any], what: str, patience: float = LONG) -> Any:
        return wait_for(condition, what, patience)

    def end(self) -> None:
        if self.machines:
            self.ec2.terminate_instances(InstanceIds=self.machines)
        for vm in self.machines:
            self.is_machine(vm, "terminated")
        for volume in {each["VolumeId"] for each in self.ec2.describe_volumes()["Volumes"]} & set(
            self.volumes
        ):
            self.is_volume(volume, "available")
            self.ec2.delete_volume(VolumeId=volume)


@pytest.fixture
def tenant(real_cloud: LiveCloud) -> Iterator[Tenant]:
    tenant = Tenant(real_cloud)
    yield tenant
    tenant.end()
    wait_for(lambda: real_cloud.cli("task", "list", "--open") == [], "all work done", LONG)
    assert real_cloud.cli("check") == []


def image_checksums(cloud: LiveCloud) -> dict[str, str]:
    """The SHA-256 of every file in the image store and in the hosts' caches."""
    files = [*(cloud.home / "images").glob("*.*"), *(cloud.home / "hosts").glob("*/isthmus/images/*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def test_bytes_written_in_one_guest_are_found_in_another(tenant: Tenant):
    before = image_checksums(tenant.cloud)
    first = tenant.ready(tenant.machine())
    volume = tenant.volume()
    answer = tenant.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    assert answer["State"] == "attaching"
    tenant.is_attached(volume)
    tenant.until(lambda: guest.written(tenant.console(first), volume) >= 3, "records on the volume")

    asked = guest.written(tenant.console(first), volume)
    snapshot = tenant.snapshot(volume)
    ended = guest.written(tenant.console(first), volume)
    tenant.until(lambda: guest.written(tenant.console(first), volume) > ended, "the guest writes on")

    second = tenant.ready(tenant.machine())
    copy = tenant.volume(SnapshotId=snapshot)
    tenant.ec2.attach_volume(VolumeId=copy, InstanceId=second, Device="/dev/sdg")
    tenant.until(lambda: guest.found(tenant.console(second), copy), "the copy in the second guest")
    (seen,) = guest.found(tenant.console(second), copy)
    assert asked <= seen.count <= ended + 1  # as it was at one moment of the request
    assert seen.checksum == guest.checksum(seen.count)

    tenant.ec2.detach_volume(VolumeId=volume)
    tenant.is_volume(volume, "available")
    flushed = guest.written(tenant.console(first), volume)
    tenant.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdh")
    tenant.until(lambda: guest.found(tenant.console(second), volume), "the volume in the second guest")
    (kept,) = guest.found(tenant.console(second), volume)
    assert kept.count in {flushed, flushed + 1}
    assert kept.checksum == guest.checksum(kept.count)

    tenant.ec2.terminate_instances(InstanceIds=[first, second])
    tenant.is_machine(second, "terminated")
    assert tenant.row(volume)["State"] == "available"
    after = image_checksums(tenant.cloud)
    assert {path: after[path] for path in before} == before


def test_three_volumes_at_once_and_one_grows(tenant: Tenant):
    vm = tenant.ready(tenant.machine(script="#!/bin/sh\ntrue\n"))
    volumes = [tenant.volume() for _ in range(3)]
    for letter, volume in zip("fgh", volumes, strict=True):
        tenant.ec2.attach_volume(VolumeId=volume, InstanceId=vm, Device=f"/dev/sd{letter}")
    tenant.ec2.get_waiter("volume_in_use").wait(VolumeIds=volumes)
    for volume in volumes:
        tenant.is_attached(volume)
        serial = guest.serial(volume)
        tenant.until(lambda serial=serial: f"serial={serial}" in tenant.console(vm), f"{volume} in the guest")
    shown = tenant.ec2.describe_instances(InstanceIds=[vm])["Reservations"][0]["Instances"][0]
    named = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in shown["BlockDeviceMappings"]}
    assert {name: named[name] for name in ("/dev/sdf", "/dev/sdg", "/dev/sdh")} == dict(
        zip(("/dev/sdf", "/dev/sdg", "/dev/sdh"), volumes, strict=True)
    )
    tenant.ec2.modify_volume(VolumeId=volumes[1], Size=3)
    tenant.until(lambda: f"resized size={3 << 30}" in tenant.console(vm), "the new size in the guest")

    def modification() -> str:
        found = tenant.ec2.describe_volumes_modifications(VolumeIds=[volumes[1]])["VolumesModifications"]
        return found[0]["ModificationState"]

    tenant.until(lambda: modification() in {"optimizing", "completed"}, "modified")
    assert tenant.row(volumes[1])["Size"] == 3


def test_a_guest_that_keeps_a_disk(tenant: Tenant):
    """A guest that hears nothing of devices: the disk is its own until it is switched off, or by force."""
    deaf = (
        "#!/bin/sh\n"
        "( until [ -e /sys/block/vdc ]; do sleep 1; done; "
        "echo disable > /sys/firmware/acpi/interrupts/gpe01; echo deaf now > /dev/console ) &\n"
    )
    vm = tenant.ready(tenant.machine(script=deaf))
    volume = tenant.volume()
    tenant.ec2.attach_volume(VolumeId=volume, InstanceId=vm, Device="/dev/sdf")
    tenant.is_attached(volume)
    tenant.until(lambda: "deaf now" in tenant.console(vm), "deaf")

    tenant.ec2.detach_volume(VolumeId=volume)
    tenant.is_attached(volume, "busy")
    assert tenant.row(volume)["State"] == "in-use"
    tenant.ec2.detach_volume(VolumeId=volume, Force=True)
    tenant.is_volume(volume, "available")
    tenant.is_machine(vm, "stopped")


def test_an_encrypted_volume_is_encrypted_on_the_host_and_clear_in_the_guest(tenant: Tenant):
    vm = tenant.ready(tenant.machine())
    volume = tenant.volume(Encrypted=True)
    tenant.ec2.attach_volume(VolumeId=volume, InstanceId=vm, Device="/dev/sdf")
    tenant.until(lambda: guest.written(tenant.console(vm), volume) >= 2, "records on the volume")
    tenant.ec2.detach_volume(VolumeId=volume)
    tenant.is_volume(volume, "available")
    (path,) = (tenant.cloud.home / "hosts").rglob(f"{volume}*")
    assert b"rec0000000000000" not in path.read_bytes()

    store = Path(tenant.cloud.home / "images")
    before = set(store.glob("*.*"))  # other tests keep theirs in clear
    snapshot = tenant.snapshot(volume)
    (kept,) = set(store.glob("*.*")) - before
    assert b"rec0000000000000" not in kept.read_bytes()
    assert tenant.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["Encrypted"]
    copy = tenant.volume(SnapshotId=snapshot)
    assert tenant.row(copy)["Encrypted"]
    tenant.ec2.attach_volume(VolumeId=copy, InstanceId=vm, Device="/dev/sdg")
    tenant.until(lambda: guest.found(tenant.console(vm), copy), "the copy in the guest")
    (seen,) = guest.found(tenant.console(vm), copy)
    assert seen.count >= 2
    assert seen.checksum == guest.checksum(seen.count)


def test_a_root_disk_of_a_plain_image_is_encrypted_where_all_volumes_are_to_be(tenant: Tenant):
    tenant.ec2.enable_ebs_encryption_by_default()
    try:
        vm = tenant.machine()
    finally:
        tenant.ec2.disable_ebs_encryption_by_default()
    tenant.ready(vm)
    mine = [{"Name": "attachment.instance-id", "Values": [vm]}]
    (root,) = tenant.ec2.describe_volumes(Filters=mine)["Volumes"]
    assert root["Encrypted"]
    (path,) = (tenant.cloud.home / "hosts").rglob(f"{root['VolumeId']}*")
    told = json.loads(
        subprocess.run(
            ["qemu-img", "info", "-U", "--output", "json", str(path)], check=True, capture_output=True
        ).stdout
    )
    assert told["encrypted"]
    assert "backing-filename" not in told
