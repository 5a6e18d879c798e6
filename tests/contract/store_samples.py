"""Rows for the store's tests: only what a test says differs from a plain, valid one."""

from __future__ import annotations

from typing import Any

from backend.model import (
    Content,
    Host,
    Image,
    ImageState,
    Instance,
    Job,
    Snapshot,
    SnapshotState,
    Tag,
    Task,
    TaskKind,
    Tenant,
    Volume,
    VolumeState,
)

TENANT = "t-1"
REGION = "north"


def tenant(number: int = 1) -> Tenant:
    return Tenant(id=f"t-{number}", name=f"tenant{number}", account_id=f"{number:012d}", created_at=1.0)


def image(number: int = 1, **changes: Any) -> Image:
    fields: dict[str, Any] = {
        "id": f"ami-{number:017x}",
        "tenant_id": TENANT,
        "account_id": "000000000001",
        "name": f"image{number}",
        "state": ImageState.READY,
        "format": "qcow2",
        "checksum": "c" * 64,
        "size_bytes": 10_000_000_000,
        "virtual_bytes": 20_000_000_000,
        "created_at": float(number),
    }
    return Image(**fields | changes)


def instance(number: int, **changes: Any) -> Instance:
    fields: dict[str, Any] = {
        "id": f"i-{number:017x}",
        "tenant_id": TENANT,
        "account_id": "000000000001",
        "owner": "ann",
        "launch_id": f"r-{number:017x}",
        "launch_index": 0,
        "region": REGION,
        "zone": "north-a",
        "flavor": "m1.small",
        "vcpus": 2,
        "memory_mib": 2048,
        "root_gib": 10,
        "ephemeral_gib": 0,
        "architecture": "x86_64",
        "image_id": image().id,
        "vpc_id": "vpc-1",
        "subnet_id": "subnet-1",
        "address": f"10.0.{number // 250}.{number % 250 + 4}",
        "mac": f"52:54:00:00:{number // 250:02x}:{number % 250:02x}",
        "detail": "runn",
        "created_at": 100.0 + number,
        "state_since": 100.0 + number,
    }
    return Instance(**fields | changes)


def host(number: int = 1, **changes: Any) -> Host:
    fields: dict[str, Any] = {
        "id": f"h-{number}",
        "uri": f"test:///{number}",
        "region": REGION,
        "zone": "north-a",
        "created_at": 1.0,
    }
    return Host(**fields | changes)


def job(number: int, instance_id: str, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": f"job-{number}",
        "instance_id": instance_id,
        "op": "launch",
        "stages": ("prol.new", "boot.new"),
        "on_failed": ("fail.prol", "fail.boot"),
        "on_lost": ("unkn", "unkn"),
        "on_ok": "runn",
        "origin": "pend",
        "actor": "ec2:ann",
        "created_at": float(number),
    }
    return Job(**fields | changes)


def tag(instance_id: str, key: str, value: str, tenant_id: str = TENANT) -> Tag:
    return Tag(resource_id=instance_id, resource_type="instance", tenant_id=tenant_id, key=key, value=value)


def content(letter: str = "c", **changes: Any) -> Content:
    """A content whose checksum is one letter, many times."""
    fields: dict[str, Any] = {
        "checksum": letter * 64,
        "path": f"/contents/{letter}",
        "format": "qcow2",
        "size_bytes": 10_000_000_000,
        "virtual_bytes": 20_000_000_000,
    }
    return Content(**fields | changes)


def volume(number: int, **changes: Any) -> Volume:
    fields: dict[str, Any] = {
        "id": f"vol-{number:017x}",
        "tenant_id": TENANT,
        "account_id": "000000000001",
        "region": REGION,
        "zone": "north-a",
        "size_gib": 10,
        "state": VolumeState.AVAILABLE,
        "created_at": float(number),
    }
    return Volume(**fields | changes)


def snapshot(number: int, **changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "id": f"snap-{number:017x}",
        "tenant_id": TENANT,
        "account_id": "000000000001",
        "region": REGION,
        "volume_id": volume(1).id,
        "size_gib": 10,
        "state": SnapshotState.COMPLETED,
        "started_at": float(number),
    }
    return Snapshot(**fields | changes)


def task(number: int, **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "id": f"task-{number}",
        "kind": TaskKind.VOLUME_CREATE,
        "resource_id": volume(1).id,
        "tenant_id": TENANT,
        "actor": "ec2:ann",
        "created_at": float(number),
    }
    return Task(**fields | changes)
