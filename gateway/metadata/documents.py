"""What a guest may read about itself, as a tree of folders and documents. Pure: a view in, a tree out.

The paths, their spelling and the look of listings are EC2's (instance metadata categories), so that programs
made for it find what they look for. What an instance does not have is not listed and not found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from backend.engine.disks import SCRATCH_TARGET
from backend.engine.network_reads import GuestView
from backend.model import AttachState, Instance, Value
from backend.network_model import Nic, PublicAddress
from ec2.mapping import private_name, public_name, zone_id_of

TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"

LATEST: Final = "latest"
VERSIONS: Final = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    LATEST,
)
"""Every version that clients ask for. All show the newest tree: what was added later harms nobody."""

_IDENTITY_VERSION: Final = "2017-09-30"
_TAG_KEY: Final = re.compile(r"[A-Za-z0-9+\-=.,_:@]+")
_NO_TAG_KEYS: Final = frozenset({".", "..", "_index"})


class Leaf(Value, frozen=True, kw_only=True):
    """A document: its bytes, and what kind of bytes they are."""

    body: bytes
    media: str = TEXT


class Folder(Value, frozen=True, kw_only=True):
    """Named documents and folders. ``labels`` are what a listing calls entries that it calls otherwise."""

    entries: Mapping[str, Leaf | Folder]
    labels: Mapping[str, str] = {}

    @property
    def listing(self) -> bytes:
        """One name a line, without a newline at the end; a folder's has a slash."""
        names = [
            self.labels.get(name) or (f"{name}/" if isinstance(entry, Folder) else name)
            for name, entry in sorted(self.entries.items())
        ]
        return "\n".join(names).encode()


Node = Leaf | Folder


def find(tree: Folder, path: Sequence[str]) -> Node | None:
    """What a path (its segments, decoded) leads to, if anything."""
    node: Node | None = tree
    for segment in path:
        if not isinstance(node, Folder):
            return None
        node = node.entries.get(segment)
    return node


def tree(view: GuestView, public_domain: str = "") -> Folder:
    """Everything that the guest may read, below the versions.

    ``public_domain`` is where public addresses have names; empty where they have none.
    """
    entries: dict[str, Node | None] = {
        "dynamic": Folder(
            entries={"instance-identity": Folder(entries={"document": _identity_document(view)})}
        ),
        "meta-data": _meta_data(view, public_domain),
        "user-data": Leaf(body=view.user_data, media=BYTES) if view.user_data else None,
    }
    there = {name: entry for name, entry in entries.items() if entry is not None}
    version = Folder(entries=there, labels={name: name for name in there})
    return Folder(entries=dict.fromkeys(VERSIONS, version), labels={name: name for name in VERSIONS})


def modified(view: GuestView) -> float:
    """When the newest thing in the tree that has a time changed (Unix seconds)."""
    instance = view.instance
    times = [instance.created_at, instance.state_since, instance.launched_at, instance.started_at]
    times += [nic.attached_at for nic in view.nics]
    times += [each.associated_at for nic in view.nics for each in view.topology.public.get(nic.id, ())]
    times += [volume.attached_at for volume in view.volumes]
    return max(time for time in times if time is not None)


# meta-data ----------------------------------------------------------------------------------------------


def _meta_data(view: GuestView, public_domain: str) -> Folder:
    instance, name = view.instance, host_name(view.instance)
    primary = next((nic for nic in view.nics if nic.index == 0), None)
    public = _primary_public(view, primary) if primary is not None else ""
    return _folder(
        {
            "ami-id": instance.image_id,
            "ami-launch-index": str(instance.launch_index),
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": _block_devices(view),
            "events": _folder({"maintenance": _folder({"history": "[]", "scheduled": "[]"})}),
            "hibernation": _folder({"configured": "true" if instance.hibernation else "false"}),
            "hostname": name,
            "instance-action": "none",
            "instance-id": instance.id,
            "instance-life-cycle": "on-demand",
            "instance-type": instance.flavor,
            "local-hostname": name,
            "local-ipv4": instance.address,
            "mac": instance.mac.lower(),
            "network": _folder({"interfaces": _folder({"macs": _interfaces(view, public_domain)})}),
            "placement": _placement(view),
            "profile": "default-hvm",
            "public-hostname": _public_name(view, public, instance.vpc_id, public_domain),
            "public-ipv4": public,
            "public-keys": _public_keys(instance),
            "reservation-id": instance.launch_id,
            "security-groups": _lines(_group_names(view, primary)),
            "services": _folder({"domain": "amazonaws.com", "partition": "aws"}),
            "system": "nitro",
            "tags": _folder({"instance": _tags(view)}),
        }
    )


def _folder(entries: Mapping[str, str | Node | None], labels: Mapping[str, str] | None = None) -> Folder:
    """A folder of what is there: an empty text or folder is not."""
    found: dict[str, Leaf | Folder] = {}
    for name, entry in entries.items():
        if isinstance(entry, str):
            if entry:
                found[name] = Leaf(body=entry.encode())
        elif isinstance(entry, Leaf) or (entry is not None and entry.entries):
            found[name] = entry
    return Folder(entries=found, labels=labels or {})


def _lines(values: Iterable[str]) -> str:
    return "\n".join(values)


def host_name(instance: Instance) -> str:
    """What the guest is to call itself: the name given, else EC2's private name."""
    return instance.hostname or private_name(instance.address, instance.region)


def _block_devices(view: GuestView) -> Folder:
    """``root`` and ``ami`` with the root disk's name, the others numbered by device, without ``/dev/``."""
    attached = [volume for volume in view.volumes if volume.attach is not AttachState.NONE]
    root = next((volume.device for volume in attached if volume.boot), "")
    others = sorted(volume.device.removeprefix("/dev/") for volume in attached if not volume.boot)
    entries = {"ami": root, "root": root}
    entries |= {f"ebs{number}": device for number, device in enumerate(others, start=1)}
    if view.instance.ephemeral_gib:
        entries["ephemeral0"] = SCRATCH_TARGET
    return _folder(entries)


def _placement(view: GuestView) -> Folder:
    instance = view.instance
    return _folder(
        {
            "availability-zone": instance.zone,
            "availability-zone-id": zone_id_of(instance.region, instance.zone),
            "group-name": view.group_name,
            "partition-number": str(instance.partition) if instance.partition else "",
            "region": instance.region,
        }
    )


def _public_keys(instance: Instance) -> Folder:
    """Listed as ``0=NAME``, found below ``0``."""
    names = [instance.key_name or "key-0", *(f"key-{index}" for index in range(1, len(instance.public_keys)))]
    return _folder(
        {str(index): _folder({"openssh-key": key}) for index, key in enumerate(instance.public_keys)},
        labels={str(index): f"{index}={name}" for index, name in enumerate(names)},
    )


def _tags(view: GuestView) -> Folder:
    """Only when the owner lets the instance see them; keys that no path can spell are left out, as in EC2."""
    if not view.instance.metadata.tags:
        return Folder(entries={})
    return Folder(
        entries={
            key: Leaf(body=value.encode())
            for key, value in view.tags.items()
            if _TAG_KEY.fullmatch(key) and key not in _NO_TAG_KEYS
        }
    )


# Interfaces ---------------------------------------------------------------------------------------------


def _interfaces(view: GuestView, public_domain: str) -> Folder:
    return _folder({nic.mac.lower(): _interface(view, nic, public_domain) for nic in view.nics})


def _interface(view: GuestView, nic: Nic, public_domain: str) -> Folder:
    topology = view.topology
    subnet, vpc = topology.subnets.get(nic.subnet_id), topology.vpcs.get(nic.vpc_id)
    public = _public(view, nic)
    return _folder(
        {
            "device-number": str(nic.index),
            "interface-id": nic.id,
            "ipv4-associations": _folder({each.ip: each.private_ip or nic.address for each in public}),
            "local-hostname": private_name(nic.address, nic.region),
            "local-ipv4s": _lines(topology.leases.get(nic.id) or (nic.address,)),
            "mac": nic.mac.lower(),
            "owner-id": nic.account_id,
            "public-hostname": _public_name(view, _primary_public(view, nic), nic.vpc_id, public_domain),
            "public-ipv4s": _lines(each.ip for each in public),
            "security-group-ids": _lines(nic.groups),
            "security-groups": _lines(_group_names(view, nic)),
            "subnet-id": nic.subnet_id,
            "subnet-ipv4-cidr-block": subnet.cidr if subnet is not None else "",
            "vpc-id": nic.vpc_id,
            "vpc-ipv4-cidr-block": vpc.cidr if vpc is not None else "",
            "vpc-ipv4-cidr-blocks": _lines(vpc.cidrs) if vpc is not None else "",
        }
    )


def _public(view: GuestView, nic: Nic) -> list[PublicAddress]:
    """The public addresses that lead to an interface, the one of its primary address first."""
    found = [each for each in view.topology.public.get(nic.id, ()) if each.up]
    return sorted(found, key=lambda each: each.private_ip not in {"", nic.address})


def _primary_public(view: GuestView, nic: Nic) -> str:
    return next((each.ip for each in _public(view, nic) if each.private_ip in {"", nic.address}), "")


def _public_name(view: GuestView, address: str, vpc_id: str, domain: str) -> str:
    """The name of a public address, in VPCs that have such names."""
    vpc = view.topology.vpcs.get(vpc_id)
    named = vpc is not None and vpc.dns_support and vpc.dns_hostnames
    return public_name(address, domain) if named else ""


def _group_names(view: GuestView, nic: Nic | None) -> list[str]:
    groups = [view.topology.groups.get(each) for each in nic.groups] if nic is not None else []
    return [group.name for group in groups if group is not None]


# dynamic ------------------------------------------------------------------------------------------------


def _identity_document(view: GuestView) -> Leaf:
    """Who the instance is, in one JSON document, laid out as Amazon does."""
    instance = view.instance
    began = datetime.fromtimestamp(instance.launched_at or instance.created_at, UTC)
    document = {
        "accountId": instance.account_id,
        "architecture": instance.architecture,
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.flavor,
        "kernelId": None,
        "pendingTime": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "privateIp": instance.address,
        "ramdiskId": None,
        "region": instance.region,
        "version": _IDENTITY_VERSION,
    }
    return Leaf(body=json.dumps(document, indent=2, separators=(",", " : ")).encode())
