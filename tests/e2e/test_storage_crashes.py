"""The worker, and QEMU, die as by ``kill -9`` at every step of the work on volumes, snapshots and images, with a real
guest that writes: no byte that it flushed is lost, no file is left that belongs to nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import writing_guest as guest
from live_cloud import LiveCloud, wait_for
from test_operating_crashes import LONG, Mortal

pytestmark = pytest.mark.qemu


@pytest.fixture
def failpoints(tmp_path: Path) -> Path:
    folder = tmp_path / "failpoints"
    folder.mkdir()
    return folder


@pytest.fixture
def mortal(tmp_path: Path, failpoints: Path, guest_image: Path) -> Iterator[Mortal]:
    cloud = LiveCloud(tmp_path).init("--host")
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    settings = cloud.home / "isthmus.toml"
    settings.write_text(settings.read_text() + f'\n[images]\ndirectories = ["{incoming}"]\n')
    cloud.image = cloud.cli("image", "import", str(guest_image), "--name", "guest", "--public")["id"]
    mortal = Mortal(cloud, failpoints)
    try:
        cloud.wait_ready()
        cloud.wait_hosts()
        yield mortal
    finally:
        mortal.stop()
        cloud.end()


class Scene:
    """One running guest and the client's view of it, with a worker that dies where it was told to."""

    def __init__(self, mortal: Mortal, failpoints: Path) -> None:
        self.mortal = mortal
        self.cloud = mortal.cloud
        self.failpoints = failpoints
        self.expected = 0
        self.ec2 = self.cloud.client()
        self.zone = self.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        self.vm = ""

    def arm(self, *acts: str) -> None:
        for act in acts:
            for when in ("before", "after"):
                (self.failpoints / f"{act}:{when}").touch()
                self.expected += 1

    def launch(self) -> None:
        made = self.ec2.run_instances(
            ImageId=self.cloud.image, MinCount=1, MaxCount=1, InstanceType="t2.nano", UserData=guest.SCRIPT
        )
        self.vm = made["Instances"][0]["InstanceId"]
        self.until(lambda: "isthmus-guest: ready" in self.console(), "guest ready")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        found = wait_for(condition, what, LONG)
        assert [path.name for path in self.failpoints.iterdir()] == []
        assert self.mortal.deaths == self.expected
        return found

    def console(self) -> str:
        return self.cloud.cli("vm", "console", self.vm)["output"]

    def state(self, volume: str) -> tuple[str, str]:
        row = self.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
        return row["State"], next((each["State"] for each in row["Attachments"]), "")

    def volume(self, **more: Any) -> str:
        volume = self.ec2.create_volume(**{"AvailabilityZone": self.zone, "Size": 1, **more})["VolumeId"]
        self.until(lambda: self.state(volume) == ("available", ""), f"{volume} available")
        return volume

    def attach(self, volume: str) -> None:
        self.ec2.attach_volume(VolumeId=volume, InstanceId=self.vm, Device="/dev/sdf")
        self.until(lambda: self.state(volume) == ("in-use", "attached"), f"{volume} attached")

    def detach(self, volume: str) -> None:
        self.ec2.detach_volume(VolumeId=volume)
        self.until(lambda: self.state(volume) == ("available", ""), f"{volume} detached")

    def is_tidy(self) -> None:
        self.until(lambda: self.cloud.cli("task", "list", "--open") == [], "all work done")
        assert self.cloud.cli("check") == []


@pytest.fixture
def scene(mortal: Mortal, failpoints: Path) -> Scene:
    return Scene(mortal, failpoints)


def test_no_byte_and_no_file_is_lost_wherever_the_worker_dies(
    scene: Scene, tmp_path: Path, guest_image: Path
):
    scene.launch()
    scene.arm("volume.create:0")
    volume = scene.volume()
    scene.arm("volume.attach:0")
    scene.attach(volume)
    scene.until(lambda: guest.written(scene.console(), volume) >= 3, "records")

    scene.arm("snapshot.create:0", "snapshot.create:1", "snapshot.create:2", "snapshot.create:3")
    before = guest.written(scene.console(), volume)
    snapshot = scene.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]

    def completed() -> bool:
        found = scene.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        ended = scene.cloud.cli("task", "list", "--open") == []  # it tidies up after it has completed
        return ended and found["State"] == "completed" and found["Progress"] == "100%"

    scene.until(completed, "snapshot completed")

    scene.arm("volume.modify:0")
    scene.ec2.modify_volume(VolumeId=volume, Size=2)
    scene.until(lambda: f"resized size={2 << 30}" in scene.console(), "the new size in the guest")

    scene.arm("volume.detach:0")
    scene.detach(volume)
    flushed = guest.written(scene.console(), volume)
    scene.attach(volume)
    scene.until(lambda: len(guest.found(scene.console(), volume)) == 2, "the volume again")
    kept = guest.found(scene.console(), volume)[1]
    assert kept.count in {flushed, flushed + 1}
    assert kept.checksum == guest.checksum(kept.count)

    copy = scene.volume(SnapshotId=snapshot)
    scene.ec2.attach_volume(VolumeId=copy, InstanceId=scene.vm, Device="/dev/sdg")
    scene.until(lambda: guest.found(scene.console(), copy), "the copy")
    (seen,) = guest.found(scene.console(), copy)
    assert seen.count >= before
    assert seen.checksum == guest.checksum(seen.count)

    incoming = tmp_path / "incoming" / "guest.qcow2"
    shutil.copyfile(guest_image, incoming)
    scene.arm("image.import:0")
    task = scene.ec2.import_image(DiskContainers=[{"Url": f"file://{incoming}"}])
    found = scene.until(lambda: _ended(scene, task["ImportTaskId"]), "import ended")
    assert found["Status"] == "completed", found
    digest = hashlib.sha256(guest_image.read_bytes()).hexdigest()
    image = scene.cloud.cli("image", "show", found["ImageId"])
    assert image["checksum"] == digest

    scene.arm("epil.done:0", "epil.done:3", "epil.done:4")
    scene.ec2.terminate_instances(InstanceIds=[scene.vm])
    scene.until(lambda: scene.state(volume) == ("available", ""), "the volume survives")
    scene.is_tidy()
    scene.arm("volume.delete:0")
    for each in (volume, copy):
        scene.ec2.delete_volume(VolumeId=each)
    scene.until(lambda: scene.ec2.describe_volumes()["Volumes"] == [], "no volume left")
    scene.is_tidy()


def _ended(scene: Scene, task_id: str) -> dict[str, Any] | None:
    (found,) = scene.ec2.describe_import_image_tasks(ImportTaskIds=[task_id])["ImportImageTasks"]
    ended = scene.cloud.cli("task", "list", "--open") == []
    return found if ended and found["Status"] in {"completed", "deleted", "error"} else None


def _snapshot(scene: Scene, volume: str) -> None:
    scene.ec2.create_snapshot(VolumeId=volume)


def _detach(scene: Scene, volume: str) -> None:
    scene.ec2.detach_volume(VolumeId=volume)


def _attach_another(scene: Scene, _volume: str) -> None:
    other = scene.volume()
    scene.ec2.attach_volume(VolumeId=other, InstanceId=scene.vm, Device="/dev/sdg")


def _grow(scene: Scene, volume: str) -> None:
    scene.ec2.modify_volume(VolumeId=volume, Size=2)


def test_a_hypervisor_that_dies_takes_no_flushed_byte_along(scene: Scene):
    """Killed in the middle of each kind of work, or soon after it."""
    scene.launch()
    volume = scene.volume()
    scene.attach(volume)
    seen = 1
    for deed in (_snapshot, _attach_another, _grow, _detach):
        before = guest.written(scene.console(), volume)
        scene.until(lambda before=before: guest.written(scene.console(), volume) >= before + 2, "records")
        deed(scene, volume)
        (qemu,) = scene.cloud.guests()
        os.kill(qemu, signal.SIGKILL)
        scene.until(lambda: _vm_state(scene) == "poff", "powered off")
        flushed = guest.written(scene.console(), volume)
        scene.is_tidy()
        if scene.state(volume)[0] == "available":
            scene.attach(volume)
        scene.ec2.start_instances(InstanceIds=[scene.vm])
        seen += 1
        scene.until(
            lambda seen=seen: len(guest.found(scene.console(), volume)) >= seen, "the volume after the crash"
        )
        kept = guest.found(scene.console(), volume)[-1]
        assert kept.count >= flushed
        assert kept.checksum == guest.checksum(kept.count)
    scene.is_tidy()


def _vm_state(scene: Scene) -> str:
    return scene.cloud.cli("vm", "show", scene.vm)["state"]
