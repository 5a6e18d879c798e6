"""Checks of volumes, snapshots and images."""

from __future__ import annotations

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.reading import Node, said
from conformance.ec2.session import Ec2Session, Record, filters
from conformance.ec2.suite import SUITE

DEVICE = "/dev/sdm"


def life(session: Ec2Session) -> Record:
    """A volume is made, attached to the machine, let go and deleted; its states are noted."""

    def make(record: Record) -> None:
        machine = things.machine(session)
        params = {"AvailabilityZone": things.zone(session), "Size": 1}
        made = session.make("CreateVolume", params, shared=True)
        volume = made.text("volumeId")
        seen = record.states["to available"] = [made.text("status")]
        _until(session, volume, "available", seen)
        target: dict[str, object] = {"VolumeId": volume}
        join = {**target, "InstanceId": machine, "Device": DEVICE}

        def note(name: str, action: str, params: dict[str, object]) -> None:
            record.answers[name] = session.send(action, params)

        note("AttachVolume", "AttachVolume", join)
        session.granted("AttachVolume", record.answers["AttachVolume"])
        session.afterwards(lambda: session.remove("DetachVolume", target), at_end=True)
        seen = record.states["to in-use"] = []
        _until(session, volume, "in-use", seen)
        session.until(f"attachment of {volume}", lambda: _attachment(session, volume, "attached"))
        note("DescribeVolumes", "DescribeVolumes", {"VolumeId.1": volume})
        note("DescribeInstances", "DescribeInstances", {"InstanceId.1": machine})
        note("DetachVolume from another device", "DetachVolume", {**target, "Device": "/dev/sdz"})
        note("DetachVolume", "DetachVolume", target)
        seen = record.states["back to available"] = []
        _until(session, volume, "available", seen)
        note("DescribeInstances after that", "DescribeInstances", {"InstanceId.1": machine})
        note("DetachVolume again", "DetachVolume", target)
        note("DeleteVolume", "DeleteVolume", target)
        record.states["to deleted"] = _leaving(session, volume)

    return session.recorded("a volume's life", make)


def _leaving(session: Ec2Session, volume: str) -> list[str]:
    """The states of a volume that was deleted; the last is the code of what is not there any more."""
    seen: list[str] = []

    def probe() -> list[str] | None:
        answer = session.send("DescribeVolumes", {"VolumeId.1": volume})
        told = said(answer)
        now = told.code if told else session.granted("DescribeVolumes", answer).text("volumeSet/item/status")
        if now not in seen[-1:]:
            seen.append(now)
        return seen if told or now == "deleted" else None

    return session.until(f"the end of {volume}", probe, within=60.0, due=True)


def _until(session: Ec2Session, volume: str, wanted: str, seen: list[str]) -> None:
    def probe() -> bool | None:
        now = session.ok("DescribeVolumes", {"VolumeId.1": volume}).text("volumeSet/item/status")
        if now not in seen[-1:]:
            seen.append(now)
        return True if now in {wanted, "error", "deleted"} else None

    session.until(f"{wanted} of {volume}", probe)


def _attachment(session: Ec2Session, volume: str, wanted: str) -> bool | None:
    found = session.ok("DescribeVolumes", {"VolumeId.1": volume})
    return True if wanted in found.texts("volumeSet/item/attachmentSet/item/status") else None


def _of(found: Node, volume: str) -> list[Node]:
    """The mappings of a volume at an instance."""
    mappings = found.items("reservationSet/item/instancesSet/item/blockDeviceMapping")
    return [each for each in mappings if each.get("ebs/volumeId") == volume]


@SUITE.check(
    "EC2-STATE-011", "EC2-WAIT-005", changes=True, cases=("to available", "to in-use", "back to available")
)
def states_of_a_volume(session: Ec2Session, case: str) -> None:
    """A volume goes from creating to available, in-use and back."""
    seen = life(session).states[case]
    wanted, through = {
        "to available": ("available", {"creating"}),
        "to in-use": ("in-use", {"available"}),
        "back to available": ("available", {"in-use"}),
    }[case]
    expect(seen[-1:] == [wanted] and set(seen[:-1]) <= through, f"the states were {', '.join(seen)}")


@SUITE.check("EC2-STATE-011", "EC2-WAIT-006", changes=True)
def a_deleted_volume(session: Ec2Session) -> None:
    """A volume that was deleted is deleting and deleted, and then InvalidVolume.NotFound."""
    record = life(session)
    record.reply("DeleteVolume")
    seen = record.states["to deleted"]
    wrong = set(seen) - {"available", "deleting", "deleted", "InvalidVolume.NotFound"}
    expect(not wrong, f"the states of a deleted volume were {', '.join(seen)}")


@SUITE.check("EC2-STATE-011", changes=True)
def an_attachment(session: Ec2Session) -> None:
    """An attachment is told by the call, and with the volume."""
    record = life(session)
    answered = record.reply("AttachVolume")
    expect(
        answered.get("status") in {"attaching", "attached"},
        f"AttachVolume answers {answered.get('status')!r}",
    )
    found = record.reply("DescribeVolumes").node("volumeSet/item/attachmentSet/item")
    for path, wanted in (("device", DEVICE), ("instanceId", things.machine(session)), ("status", "attached")):
        expect(found.get(path) == wanted, f"{path} of the attachment is {found.get(path)!r}, not {wanted!r}")


@SUITE.check("EC2-STATE-014", changes=True)
def an_attachment_at_the_instance(session: Ec2Session) -> None:
    """An attached volume is among its instance's block devices while it is."""
    record = life(session)
    volume = record.reply("AttachVolume").text("volumeId")
    [*found] = _of(record.reply("DescribeInstances"), volume)
    expect(len(found) == 1, f"{volume} is among the block devices of its instance {len(found)} times")
    expect(
        found[0].get("deviceName") == DEVICE, f"its device is {found[0].get('deviceName')!r}, not {DEVICE}"
    )
    expect(found[0].get("ebs/status") == "attached", f"its status is {found[0].get('ebs/status')!r}")
    after = _of(record.reply("DescribeInstances after that"), volume)
    expect(not after, f"{volume} was detached, and is among the block devices still")


@SUITE.check("EC2-STATE-011", "EC2-OP-DetachVolume", changes=True, cases=("another device", "not attached"))
def what_cannot_be_detached(session: Ec2Session, case: str) -> None:
    """A volume is not detached from a device that it is not at, nor when it is at none."""
    name, codes = {
        "another device": ("DetachVolume from another device", {"InvalidAttachment.NotFound"}),
        "not attached": ("DetachVolume again", {"IncorrectState"}),
    }[case]
    told = life(session).refusal(name)
    expect(told.code in codes, f"expected {' or '.join(codes)}, got {told}")


@SUITE.check("EC2-STATE-012", changes=True)
def a_volume_in_use_stays(session: Ec2Session) -> None:
    """A volume in use that was to be deleted is there, and in use."""
    volume = things.attached_volume(session)
    session.refused("DeleteVolume", {"VolumeId": volume}, "VolumeInUse")
    found = session.ok("DescribeVolumes", {"VolumeId.1": volume}).node("volumeSet/item")
    expect(found.text("status") == "in-use", f"after the refusal the volume is {found.text('status')}")
    expect(
        found.get("attachmentSet/item/status") == "attached", "after the refusal it is not attached any more"
    )


@SUITE.check("EC2-STATE-015", "EC2-WAIT-007", changes=True)
def a_snapshot(session: Ec2Session) -> None:
    """A snapshot becomes completed, with all of its volume."""
    volume = things.thing(session, "volume")
    made = session.make("CreateSnapshot", {"VolumeId": volume, "Description": "one & only"})
    snapshot = made.text("snapshotId")
    seen = [made.text("status")]

    def completed() -> Node | None:
        found = session.ok("DescribeSnapshots", {"SnapshotId.1": snapshot}).node("snapshotSet/item")
        seen.append(found.text("status"))
        return found if seen[-1] in {"completed", "error"} else None

    found = session.until(f"completion of {snapshot}", completed)
    expect(set(seen) <= {"pending", "completed"}, f"the states were {', '.join(seen)}")
    for path, wanted in (
        ("progress", "100%"),
        ("volumeId", volume),
        ("volumeSize", "1"),
        ("description", "one & only"),
    ):
        expect(found.get(path) == wanted, f"{path} is {found.get(path)!r}, not {wanted!r}")


@SUITE.check("EC2-STATE-026", changes=True)
def a_volume_of_a_snapshot(session: Ec2Session) -> None:
    """A volume of a snapshot names it and is as large, and a smaller one is refused."""
    grown = things.thing(session, "grown")
    made = session.make("CreateSnapshot", {"VolumeId": grown}).text("snapshotId")

    def completed() -> bool | None:
        found = session.ok("DescribeSnapshots", {"SnapshotId.1": made})
        return True if found.get("snapshotSet/item/status") == "completed" else None

    session.until(f"completion of {made}", completed)
    params = {"AvailabilityZone": things.zone(session), "SnapshotId": made}
    volume = session.make("CreateVolume", params).text("volumeId")
    found = things.volume_state(session, volume, "available")
    told = (found.get("snapshotId"), found.get("size"))
    expect(told == (made, "2"), f"a volume of {made} (2 GiB) has snapshot and size {told}")
    session.refused("CreateVolume", {**params, "Size": 1}, "InvalidParameterValue")


@SUITE.check("EC2-STATE-016", changes=True)
def a_snapshot_in_use(session: Ec2Session) -> None:
    """The snapshot of an image is InvalidSnapshot.InUse, until the image is deregistered."""
    snapshot = things.new_snapshot(session)
    image = session.make("RegisterImage", things.register_params(session, snapshot)).text("imageId")
    session.refused("DeleteSnapshot", {"SnapshotId": snapshot}, "InvalidSnapshot.InUse")
    session.ok("DescribeSnapshots", {"SnapshotId.1": snapshot})
    session.ok("DeregisterImage", {"ImageId": image})
    session.ok("DeleteSnapshot", {"SnapshotId": snapshot})


@SUITE.check("EC2-STATE-017", changes=True)
def a_deregistered_image(session: Ec2Session) -> None:
    """A deregistered image is not launched."""
    image = things.new_image(session)
    session.ok("DeregisterImage", {"ImageId": image})
    params = {**things.launch_params(session), "ImageId": image}
    session.refused("RunInstances", params, "InvalidAMIID.Unavailable", "InvalidAMIID.NotFound")
    found = session.ok("DescribeImages", {**filters({"image-id": image}), "Owner.1": "self"})
    states = set(found.texts("imagesSet/item/imageState"))
    expect(states <= {"deregistered"}, f"a deregistered image is {', '.join(states)}")


@SUITE.check("EC2-STATE-024", "EC2-WAIT-008", changes=True)
def an_image_of_an_instance(session: Ec2Session) -> None:
    """An image of an instance becomes available, and is what it was made of."""
    name = session.name("image")
    params = {"InstanceId": things.machine(session), "Name": name, "Description": "of <it>", "NoReboot": True}
    image = session.make("CreateImage", params).text("imageId")
    seen: list[str] = []

    def available() -> Node | None:
        found = session.ok("DescribeImages", {"ImageId.1": image}).node("imagesSet/item")
        seen.append(found.text("imageState"))
        return found if seen[-1] in {"available", "failed", "error"} else None

    found = session.until(f"availability of {image}", available)
    expect(set(seen) <= {"pending", "available"}, f"the states were {', '.join(seen)}")
    for path, wanted in (("name", name), ("description", "of <it>"), ("isPublic", "false")):
        expect(found.get(path) == wanted, f"{path} is {found.get(path)!r}, not {wanted!r}")
    snapshot = found.get("blockDeviceMapping/item/ebs/snapshotId")
    expect(snapshot, "the image names no snapshot")
    own = session.ok("DescribeImages", {"Owner.1": "self", **filters({"image-id": image})})
    expect(own.texts("imagesSet/item/imageId") == [image], "the image is not among the account's own")
    session.refused("CreateImage", params, "InvalidAMIName.Duplicate")


@SUITE.check("EC2-STATE-025", changes=True)
def a_grown_volume(session: Ec2Session) -> None:
    """A volume that was grown is told with its new size, and not made smaller."""
    volume = things.new_volume(session)
    session.ok("ModifyVolume", {"VolumeId": volume, "Size": 3})

    def grown() -> bool | None:
        found = session.ok("DescribeVolumes", {"VolumeId.1": volume}).text("volumeSet/item/size")
        return True if found == "3" else None

    session.until(f"the growth of {volume}", grown)
    codes = ("InvalidParameterValue", "IncorrectModificationState", "VolumeModificationRateExceeded")
    session.refused("ModifyVolume", {"VolumeId": volume, "Size": 2}, *codes)
