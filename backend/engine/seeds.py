"""The disk by which a guest gets its data without a network: NoCloud's, or OpenStack's config drive. Pure.

Either is as good as the metadata service to cloud-init; which one an image's guests get, if any, is the
image's ``seed``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from backend.engine.disks import ROOT_DEVICE, ROOT_TARGET, SCRATCH_TARGET
from backend.model import Instance, SeedKind, uuid_of
from backend.network_model import Nic
from backend.ports import Seed

NOCLOUD_LABEL: Final = "cidata"
CONFIG_DRIVE_LABEL: Final = "config-2"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 @._+/=-]*\Z")


def seed_of(
    instance: Instance,
    kind: SeedKind,
    user_data: bytes,
    *,
    nics: Sequence[Nic] = (),
    tags: Mapping[str, str] | None = None,
) -> Seed | None:
    """The seed of an instance, of the kind that its image asks for; None when it wants none.

    ``nics`` are its interfaces and ``tags`` its tags, which a config drive tells besides.
    """
    match kind:
        case SeedKind.NONE:
            return None
        case SeedKind.DEFAULT | SeedKind.NOCLOUD:
            return _nocloud(instance, user_data)
        case SeedKind.CONFIG_DRIVE:
            return _config_drive(instance, user_data, nics, tags or {})


def hostname_of(instance: Instance) -> str:
    """The guest's name: the one given, else EC2's from the address."""
    return instance.hostname or "ip-" + instance.address.replace(".", "-")


# NoCloud ------------------------------------------------------------------------------------------------


def _nocloud(instance: Instance, user_data: bytes) -> Seed:
    """NoCloud's files. Values are plain YAML scalars, or JSON strings (which YAML contains) when in doubt."""
    lines = [f"instance-id: {instance.id}", f"local-hostname: {_scalar(hostname_of(instance))}"]
    if instance.public_keys:
        lines.append("public-keys:")
        lines.extend(f"  - {_scalar(key)}" for key in instance.public_keys)
    meta_data = "\n".join(lines) + "\n"
    return Seed(label=NOCLOUD_LABEL, files={"meta-data": meta_data.encode(), "user-data": user_data})


def _scalar(text: str) -> str:
    return text if _PLAIN.match(text) else json.dumps(text)


# Config drive -------------------------------------------------------------------------------------------


def _config_drive(instance: Instance, user_data: bytes, nics: Sequence[Nic], tags: Mapping[str, str]) -> Seed:
    """A config drive, version 2: OpenStack's documents, and EC2's beside them, as OpenStack makes it."""
    documents: dict[str, dict[str, Any]] = {
        "openstack/latest/meta_data.json": _meta_data(instance, tags),
        "openstack/latest/vendor_data.json": {},
        "ec2/latest/meta-data.json": _ec2_meta_data(instance),
    }
    if nics:  # without the document every interface asks for its address; with an empty one none would
        documents["openstack/latest/network_data.json"] = _network_data(nics)
    files = {path: json.dumps(document, sort_keys=True).encode() for path, document in documents.items()}
    if user_data:  # OpenStack leaves the file out, too
        files |= {"openstack/latest/user_data": user_data, "ec2/latest/user-data": user_data}
    return Seed(label=CONFIG_DRIVE_LABEL, files=files)


def _named_keys(instance: Instance) -> list[tuple[str, str]]:
    """The public keys with names, which OpenStack's have: the key pair's, or a number."""
    names = [instance.key_name or "key-0", *(f"key-{index}" for index in range(1, len(instance.public_keys)))]
    return list(zip(names, instance.public_keys, strict=False))


def _meta_data(instance: Instance, tags: Mapping[str, str]) -> dict[str, Any]:
    keys = _named_keys(instance)
    return {
        "uuid": uuid_of(instance.id),
        "name": hostname_of(instance),
        "hostname": hostname_of(instance),
        "availability_zone": instance.zone,
        "launch_index": instance.launch_index,
        "project_id": instance.tenant_id,
        "meta": dict(tags) if instance.metadata.tags else {},
        "public_keys": dict(keys),
        "keys": [{"name": name, "type": "ssh", "data": key} for name, key in keys],
        "devices": [],
    }


def _network_data(nics: Sequence[Nic]) -> dict[str, Any]:
    """Every interface by its MAC, with its address from the network (DHCP)."""
    links = [
        {"id": nic.id, "type": "phy", "ethernet_mac_address": nic.mac.lower(), "vif_id": nic.id, "mtu": None}
        for nic in nics
    ]
    networks = [
        {"id": f"network{nic.index}", "type": "ipv4_dhcp", "link": nic.id, "network_id": nic.subnet_id}
        for nic in nics
    ]
    return {"links": links, "networks": networks, "services": []}


def _ec2_meta_data(instance: Instance) -> dict[str, Any]:
    scratch = {"ephemeral0": SCRATCH_TARGET} if instance.ephemeral_gib else {}
    return {
        "ami-id": instance.image_id,
        "ami-launch-index": instance.launch_index,
        "block-device-mapping": {"ami": ROOT_TARGET, "root": ROOT_DEVICE, **scratch},
        "hostname": hostname_of(instance),
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-type": instance.flavor,
        "local-hostname": hostname_of(instance),
        "local-ipv4": instance.address,
        "placement": {"availability-zone": instance.zone},
        "public-keys": {
            str(index): {"_name": f"{index}={name}", "openssh-key": key}
            for index, (name, key) in enumerate(_named_keys(instance))
        },
        "reservation-id": instance.launch_id,
    }
