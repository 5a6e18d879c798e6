"""An instance, a volume and a snapshot out of thin air, for tests of pure functions."""

from __future__ import annotations

import msgspec

from backend.model import AttachState, Instance, Snapshot, SnapshotState, Volume, VolumeState

AT = 1_767_323_045.0  # 2026-01-02 03:04:05 UTC


def an_instance(**changes) -> Instance:
    row = Instance(
        id="i-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        owner="u-1",
        launch_id="r-1",
        launch_index=0,
        region="eu-central-1",
        zone="eu-central-1b",
        flavor="t2.nano",
        vcpus=2,
        memory_mib=512,
        root_gib=1,
        ephemeral_gib=0,
        architecture="x86_64",
        image_id="ami-1",
        address="10.1.2.3",
        mac="52:54:0a:01:02:03",
        detail="runn",
        created_at=AT,
        state_since=AT,
    )
    return msgspec.structs.replace(row, **changes)


def a_volume(**changes) -> Volume:
    """The root disk of the instance."""
    row = Volume(
        id="vol-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="eu-central-1",
        zone="eu-central-1b",
        size_gib=8,
        state=VolumeState.IN_USE,
        created_at=AT,
        instance_id="i-0123456789abcdef0",
        attach=AttachState.ATTACHED,
        device="/dev/vda",
        target="vda",
        boot=True,
        delete_on_termination=True,
        asked_at=AT,
        attached_at=AT + 5,
    )
    return msgspec.structs.replace(row, **changes)


def a_snapshot(**changes) -> Snapshot:
    """A finished snapshot of that disk."""
    row = Snapshot(
        id="snap-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="eu-central-1",
        volume_id="vol-0123456789abcdef0",
        size_gib=8,
        state=SnapshotState.COMPLETED,
        started_at=AT,
        progress=100,
        completed_at=AT + 60,
    )
    return msgspec.structs.replace(row, **changes)
