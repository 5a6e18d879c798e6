"""Instances as EC2's reply documents. Pure functions; what is said of one changes with its version alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.model import Instance, Volume
from ec2.interface_mapping import Interface, group_identifier, instance_interface, is_attached
from ec2.mapping import (
    BANDWIDTH_WEIGHTING,
    BOOT_MODE,
    DNS_NAME_OPTIONS,
    HYPERVISOR,
    PLATFORM,
    ROOT_DEVICE_NAME,
    ROOT_DEVICE_TYPE,
    USAGE_OPERATION,
    Document,
    attached,
    block_devices,
    launch_time,
    metadata_options,
    moment,
    private_address,
    private_dns_name,
    state_document,
    state_name,
    state_reason,
    tag_list,
    transition_reason,
    writable,
    zone_id_of,
)


def interfaces_of(instance: Instance, interfaces: Sequence[Interface]) -> list[Interface]:
    """The interfaces that an instance is shown to have; an ended one has let go of all."""
    if state_name(instance) == "terminated":
        return []
    return [each for each in interfaces if is_attached(each.nic)]


def primary(interfaces: Sequence[Interface]) -> Interface | None:
    """The interface at index 0."""
    return next((each for each in interfaces if each.nic.index == 0), None)


def public_address(interfaces: Sequence[Interface]) -> str | None:
    """``PublicIpAddress``: the public address of the primary interface's primary private one."""
    first = primary(interfaces)
    public = first.primary_public if first is not None else None
    return public.ip if public is not None else None


def public_dns_name(interfaces: Sequence[Interface]) -> str:
    """``PublicDnsName``: the name of that address; empty without one."""
    first = primary(interfaces)
    public = first.primary_public if first is not None else None
    return first.public_name_of(public) if first is not None and public is not None else ""


def instance_document(
    instance: Instance,
    tags: Mapping[str, str],
    volumes: Sequence[Volume] = (),
    interfaces: Sequence[Interface] = (),
    group_name: str = "",
) -> Document:
    """``Instance`` of RunInstances and DescribeInstances; ``group_name`` is its placement group's."""
    reason = state_reason(instance)
    return {
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "State": state_document(state_name(instance)),
        "StateTransitionReason": transition_reason(instance),
        "StateReason": reason.document if reason is not None else None,
        "KeyName": writable(instance.key_name) or None,
        "AmiLaunchIndex": instance.launch_index,
        "ProductCodes": [],
        "InstanceType": instance.flavor,
        "LaunchTime": launch_time(instance),
        "Placement": placement(instance, group_name),
        "Monitoring": {"State": monitoring_state(instance)},
        "Tags": tag_list(tags),
        "BlockDeviceMappings": block_devices(attached(instance, volumes)),
        **_machine(instance),
        **_network(instance, interfaces_of(instance, interfaces)),
        **_options(instance),
    }


def monitoring_state(instance: Instance) -> str:
    """``Monitoring.State``: what is asked for comes with the machine's first run."""
    if not instance.monitoring:
        return "disabled"
    return "pending" if state_name(instance) == "pending" else "enabled"


def placement(instance: Instance, group_name: str = "") -> Document:
    """Where an instance is, as far as tenants may know."""
    return {
        "AvailabilityZone": instance.zone,
        "AvailabilityZoneId": zone_id_of(instance.region, instance.zone),
        "GroupId": instance.group_id if group_name else None,
        "GroupName": group_name,
        "PartitionNumber": instance.partition or None,
        "Tenancy": "default",
    }


def _machine(instance: Instance) -> Document:
    return {
        "Architecture": instance.architecture,
        "BootMode": BOOT_MODE,
        "CurrentInstanceBootMode": BOOT_MODE,
        "ClientToken": instance.client_token,
        "EbsOptimized": False,
        "EnaSupport": False,  # the interface is virtio
        "Hypervisor": HYPERVISOR,
        "PlatformDetails": PLATFORM,
        "RootDeviceName": ROOT_DEVICE_NAME,
        "RootDeviceType": ROOT_DEVICE_TYPE,
        "UsageOperation": USAGE_OPERATION,
        "UsageOperationUpdateTime": moment(instance.created_at),
        "VirtualizationType": "hvm",
    }


def _network(instance: Instance, interfaces: Sequence[Interface]) -> Document:
    first, address = primary(interfaces), private_address(instance)
    return {
        "VpcId": instance.vpc_id or None if address else None,
        "SubnetId": instance.subnet_id or None if address else None,
        "PrivateIpAddress": address,
        "PrivateDnsName": private_dns_name(instance),
        "PublicIpAddress": public_address(interfaces),
        "PublicDnsName": public_dns_name(interfaces),
        "NetworkInterfaces": [instance_interface(each) for each in interfaces],
        "SecurityGroups": [group_identifier(group) for group in first.groups] if first else [],
        "SourceDestCheck": first.nic.source_dest_check if first else None,
    }


def _options(instance: Instance) -> Document:
    return {
        "CpuOptions": {"CoreCount": instance.vcpus, "ThreadsPerCore": 1},
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "EnclaveOptions": {"Enabled": False},
        "HibernationOptions": {"Configured": instance.hibernation},
        "MaintenanceOptions": {"AutoRecovery": "disabled", "RebootMigration": "disabled"},
        "MetadataOptions": metadata_options(instance.metadata),
        "NetworkPerformanceOptions": {"BandwidthWeighting": BANDWIDTH_WEIGHTING},
        "Operator": {"Managed": False},
        "PrivateDnsNameOptions": dict(DNS_NAME_OPTIONS),
    }
