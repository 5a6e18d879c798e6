"""An instance, a volume, a snapshot and their networks out of thin air, for tests of pure functions."""

from __future__ import annotations

import msgspec

from backend.model import AttachState, Instance, Snapshot, SnapshotState, Volume, VolumeState
from backend.network_model import Nic, PublicAddress, SecurityGroup, SecurityRule
from ec2.interface_mapping import Interface

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
        vpc_id="vpc-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
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


def a_group(**changes) -> SecurityGroup:
    """A group of the instance's VPC."""
    row = SecurityGroup(
        id="sg-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="eu-central-1",
        created_at=AT,
        vpc_id="vpc-0123456789abcdef0",
        name="web",
        description="what the web may do",
    )
    return msgspec.structs.replace(row, **changes)


def a_rule(**changes) -> SecurityRule:
    """One of its rules: https from anywhere."""
    row = SecurityRule(
        id="sgr-0123456789abcdef0",
        group_id="sg-0123456789abcdef0",
        tenant_id="t-1",
        egress=False,
        protocol="tcp",
        from_port=443,
        to_port=443,
        cidr="0.0.0.0/0",
        created_at=AT,
    )
    return msgspec.structs.replace(row, **changes)


def a_nic(**changes) -> Nic:
    """The primary interface of the instance."""
    row = Nic(
        id="eni-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="eu-central-1",
        created_at=AT,
        zone="eu-central-1b",
        vpc_id="vpc-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        mac="52:54:0a:01:02:03",
        address="10.1.2.3",
        groups=("sg-0123456789abcdef0",),
        instance_id="i-0123456789abcdef0",
        attach=AttachState.ATTACHED,
        attachment_id="eni-attach-0123456789abcdef0",
        delete_on_termination=True,
        asked_at=AT,
        attached_at=AT + 5,
    )
    return msgspec.structs.replace(row, **changes)


def an_address(**changes) -> PublicAddress:
    """An elastic address that leads to it."""
    row = PublicAddress(
        id="eipalloc-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="eu-central-1",
        created_at=AT,
        ip="203.0.113.10",
        pool="public",
        nic_id="eni-0123456789abcdef0",
        private_ip="10.1.2.3",
        association_id="eipassoc-0123456789abcdef0",
        associated_at=AT,
    )
    return msgspec.structs.replace(row, **changes)


def an_interface(nic: Nic | None = None, **changes) -> Interface:
    """The interface with all that is told of it."""
    nic = nic or a_nic()
    row = Interface(nic=nic, addresses=(nic.address,), groups=(a_group(),))
    return msgspec.structs.replace(row, **changes)
