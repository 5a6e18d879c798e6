"""Launch templates as EC2's reply documents, and instances as the data of a template. Pure functions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from backend.engine.tagging import is_reserved
from backend.launch_model import LaunchTemplate, LaunchTemplateVersion
from backend.model import Instance, Volume
from backend.volume_types import VOLUME_TYPES
from ec2 import instance_mapping, launch_data
from ec2.interface_mapping import Interface
from ec2.mapping import (
    BANDWIDTH_WEIGHTING,
    DNS_NAME_OPTIONS,
    Document,
    attached,
    enabled,
    moment,
    tag_list,
    writable,
)

Tags = Mapping[str, str]
OPERATOR: Document = {"Managed": False}


def template_document(template: LaunchTemplate, tags: Tags) -> Document:
    """``LaunchTemplate`` of DescribeLaunchTemplates and of what changes one."""
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "CreateTime": moment(template.created_at),
        "CreatedBy": writable(template.created_by),
        "DefaultVersionNumber": template.default_version,
        "LatestVersionNumber": template.latest_version,
        "Operator": OPERATOR,
        "Tags": tag_list(tags),
    }


def version_document(template: LaunchTemplate, version: LaunchTemplateVersion) -> Document:
    """``LaunchTemplateVersion`` of DescribeLaunchTemplateVersions."""
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": version.number,
        "VersionDescription": version.description or None,
        "CreateTime": moment(version.created_at),
        "CreatedBy": writable(version.created_by),
        "DefaultVersion": version.number == template.default_version,
        "LaunchTemplateData": launch_data.told(version.data),
        "Operator": OPERATOR,
    }


# Instances as templates ---------------------------------------------------------------------------------


def data_of_instance(
    instance: Instance,
    *,
    volumes: Sequence[Volume],
    interfaces: Sequence[Interface],
    tags: Mapping[str, Tags],
    user_data: bytes,
    group_name: str,
) -> Document:
    """``ResponseLaunchTemplateData``: what a template would have to say to launch an instance again.

    Addresses and ids of interfaces are left out, which are this one's alone. ``tags`` are those of the
    instance, its volumes and interfaces, by id.
    """
    disks = attached(instance, volumes)
    nics = instance_mapping.interfaces_of(instance, interfaces)
    return {
        "ImageId": instance.image_id,
        "InstanceType": instance.flavor,
        "KeyName": writable(instance.key_name) or None,
        "UserData": base64.b64encode(user_data).decode("ascii") or None,
        "BlockDeviceMappings": [_disk(each) for each in disks],
        "NetworkInterfaces": [_nic(each, alone=len(nics) == 1) for each in nics],
        "Placement": _placement(instance, group_name),
        "TagSpecifications": [
            *_tagged("instance", [instance.id], tags),
            *_tagged("volume", [each.id for each in disks], tags),
            *_tagged("network-interface", [each.nic.id for each in nics], tags),
        ],
        "DisableApiStop": instance.locked_stop,
        "DisableApiTermination": instance.locked_terminate,
        "EbsOptimized": False,
        "InstanceInitiatedShutdownBehavior": instance.on_guest_shutdown.value,
        "Monitoring": {"Enabled": instance.monitoring},
        "MetadataOptions": _metadata(instance),
        **_as_all(instance),
    }


def _as_all(instance: Instance) -> Document:
    """Options that every instance has."""
    return {
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "EnclaveOptions": {"Enabled": False},
        "HibernationOptions": {"Configured": instance.hibernation},
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "NetworkPerformanceOptions": {"BandwidthWeighting": BANDWIDTH_WEIGHTING},
        "PrivateDnsNameOptions": dict(DNS_NAME_OPTIONS),
    }


def _metadata(instance: Instance) -> Document:
    options = instance.metadata
    return {
        "HttpTokens": options.tokens,
        "HttpPutResponseHopLimit": options.hop_limit,
        "HttpEndpoint": enabled(options.endpoint),
        "HttpProtocolIpv6": enabled(False),
        "InstanceMetadataTags": enabled(options.tags),
    }


def _placement(instance: Instance, group_name: str) -> Document:
    said = instance_mapping.placement(instance, group_name)
    kept = ("AvailabilityZone", "GroupName", "PartitionNumber", "Tenancy")
    return {name: said[name] for name in kept if name in said}


def _disk(volume: Volume) -> Document:
    kind = VOLUME_TYPES[volume.type]
    return {
        "DeviceName": volume.device,
        "Ebs": {
            "DeleteOnTermination": volume.delete_on_termination,
            "Encrypted": volume.encrypted,
            "Iops": volume.iops or None if kind.may_ask_iops else None,
            "SnapshotId": volume.snapshot_id or None,
            "Throughput": volume.throughput or None if kind.may_ask_throughput else None,
            "VolumeSize": volume.size_gib,
            "VolumeType": volume.type,
        },
    }


def _nic(interface: Interface, *, alone: bool) -> Document:
    """An interface to be made like one there is; only a single one may ask for a public address."""
    nic = interface.nic
    more = len(interface.addresses) - 1
    return {
        "AssociatePublicIpAddress": interface.primary_public is not None if alone else None,
        "DeleteOnTermination": nic.delete_on_termination,
        "Description": writable(nic.description),
        "DeviceIndex": nic.index,
        "Groups": list(nic.groups),
        "InterfaceType": "interface",
        "Ipv6Addresses": [],
        "NetworkCardIndex": 0,
        "SecondaryPrivateIpAddressCount": more or None,
        "SubnetId": nic.subnet_id,
    }


def _tagged(kind: str, ids: Sequence[str], tags: Mapping[str, Tags]) -> list[dict[str, Any]]:
    """The tags that all of some resources have: a launch gives each of a kind the same ones."""
    have = [{(key, value) for key, value in tags.get(each, {}).items()} for each in ids]
    common = set.intersection(*have) if have else set()
    given = tag_list({key: value for key, value in common if not is_reserved(key)})
    return [{"ResourceType": kind, "Tags": given}] if given else []
