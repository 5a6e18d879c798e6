"""Instance types are the operator's flavors."""

from __future__ import annotations

from collections.abc import Sequence

from backend.engine.disks import most_volumes
from backend.engine.nics import MOST_ADDRESSES, MOST_NICS
from backend.launch_model import Strategy
from backend.model import Flavor
from ec2 import mapping
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.pages import PageLimits, Position

LIMITS = PageLimits(minimum=5, maximum=100, default=None, ids="InstanceTypes", ids_word="instanceTypeSet")
OFFERING_LIMITS = PageLimits(minimum=5, maximum=1000, default=None)
_DEFAULT_ARCHITECTURE = "x86_64"
# Hosts differ, so no more is promised than holds on every one of them.
_NETWORK_PERFORMANCE = "Best effort"
_DISK_TYPE = "hdd"
_GB = 10**9
_GIB = 1 << 30


def _absent(_row: Document) -> Value:
    return None


def _storage(row: Document) -> Document:
    """What a type says of its local disks; nothing without any."""
    return row["InstanceStorageInfo"] or {"Disks": ()}


_NOT_YET = (
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.baseline-iops",
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
    "ebs-info.ebs-optimized-info.maximum-iops",
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
    "network-info.bandwidth-weightings",
    "network-info.efa-info.maximum-efa-interfaces",
    "network-info.flexible-ena-queues-support",
    "nitro-tpm-info.supported-versions",
    "processor-info.supported-features",
    "processor-info.sustained-clock-speed-in-ghz",
)
"""Filters on things that no type says of itself: known, and matching nothing."""

FILTERS: FilterTable[Document] = FilterTable(
    {
        **dict.fromkeys(_NOT_YET, _absent),
        "auto-recovery-supported": lambda row: row["AutoRecoverySupported"],
        "bare-metal": lambda row: row["BareMetal"],
        "burstable-performance-supported": lambda row: row["BurstablePerformanceSupported"],
        "current-generation": lambda row: row["CurrentGeneration"],
        "dedicated-hosts-supported": lambda row: row["DedicatedHostsSupported"],
        "ebs-info.attachment-limit-type": lambda row: row["EbsInfo"]["AttachmentLimitType"],
        "ebs-info.maximum-ebs-attachments": lambda row: row["EbsInfo"]["MaximumEbsAttachments"],
        "ebs-info.ebs-optimized-support": lambda row: row["EbsInfo"]["EbsOptimizedSupport"],
        "ebs-info.encryption-support": lambda row: row["EbsInfo"]["EncryptionSupport"],
        "ebs-info.nvme-support": lambda row: row["EbsInfo"]["NvmeSupport"],
        "free-tier-eligible": lambda row: row["FreeTierEligible"],
        "hibernation-supported": lambda row: row["HibernationSupported"],
        "hypervisor": lambda row: row["Hypervisor"],
        "instance-storage-info.disk.count": lambda row: [disk["Count"] for disk in _storage(row)["Disks"]],
        "instance-storage-info.disk.size-in-gb": lambda row: [
            disk["SizeInGB"] for disk in _storage(row)["Disks"]
        ],
        "instance-storage-info.disk.type": lambda row: [disk["Type"] for disk in _storage(row)["Disks"]],
        "instance-storage-info.encryption-support": lambda row: _storage(row).get("EncryptionSupport"),
        "instance-storage-info.nvme-support": lambda row: _storage(row).get("NvmeSupport"),
        "instance-storage-info.total-size-in-gb": lambda row: _storage(row).get("TotalSizeInGB"),
        "instance-storage-supported": lambda row: row["InstanceStorageSupported"],
        "instance-type": lambda row: row["InstanceType"],
        "memory-info.size-in-mib": lambda row: row["MemoryInfo"]["SizeInMiB"],
        "network-info.efa-supported": lambda row: row["NetworkInfo"]["EfaSupported"],
        "network-info.ena-support": lambda row: row["NetworkInfo"]["EnaSupport"],
        "network-info.encryption-in-transit-supported": lambda row: row["NetworkInfo"][
            "EncryptionInTransitSupported"
        ],
        "network-info.ipv4-addresses-per-interface": lambda row: row["NetworkInfo"][
            "Ipv4AddressesPerInterface"
        ],
        "network-info.ipv6-addresses-per-interface": lambda row: row["NetworkInfo"][
            "Ipv6AddressesPerInterface"
        ],
        "network-info.ipv6-supported": lambda row: row["NetworkInfo"]["Ipv6Supported"],
        "network-info.maximum-network-cards": lambda row: row["NetworkInfo"]["MaximumNetworkCards"],
        "network-info.maximum-network-interfaces": lambda row: row["NetworkInfo"]["MaximumNetworkInterfaces"],
        "network-info.network-performance": lambda row: row["NetworkInfo"]["NetworkPerformance"],
        "nitro-enclaves-support": lambda row: row["NitroEnclavesSupport"],
        "nitro-tpm-support": lambda row: row["NitroTpmSupport"],
        "processor-info.supported-architecture": lambda row: row["ProcessorInfo"]["SupportedArchitectures"],
        "reboot-migration-support": lambda row: row["RebootMigrationSupport"],
        "supported-boot-mode": lambda row: row["SupportedBootModes"],
        "supported-root-device-type": lambda row: row["SupportedRootDeviceTypes"],
        "supported-usage-class": lambda row: row["SupportedUsageClasses"],
        "supported-virtualization-type": lambda row: row["SupportedVirtualizationTypes"],
        "vcpu-info.default-cores": lambda row: row["VCpuInfo"]["DefaultCores"],
        "vcpu-info.default-threads-per-core": lambda row: row["VCpuInfo"]["DefaultThreadsPerCore"],
        "vcpu-info.default-vcpus": lambda row: row["VCpuInfo"]["DefaultVCpus"],
        "vcpu-info.valid-cores": lambda row: row["VCpuInfo"]["ValidCores"],
        "vcpu-info.valid-threads-per-core": lambda row: row["VCpuInfo"]["ValidThreadsPerCore"],
    }
)


OFFERING_FILTERS: FilterTable[Document] = FilterTable(
    {
        "instance-type": lambda row: row["InstanceType"],
        "location": lambda row: row["Location"],
    }
)


def describe_instance_types(context: Ec2Context, params: Params) -> Document:
    """Flavors by name (DescribeInstanceTypes)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    rows: list[tuple[Position, Document]] = [
        ((document["InstanceType"],), document)
        for document in type_documents(context, params.get("InstanceTypes") or ())
        if matches(document)
    ]
    page, token = page_of(context, params, rows, LIMITS)
    return {"InstanceTypes": page, "NextToken": token}


def type_documents(context: Ec2Context, names: Sequence[str] = ()) -> list[Document]:
    """Types by name, all of them without any; raises InvalidInstanceType for one that is not there."""
    architectures = _architectures(context)
    addresses = MOST_ADDRESSES if context.engine.settings.network.capabilities.secondary_addresses else 1
    return [type_document(flavor, architectures, addresses) for flavor in _chosen(context, names)]


def _chosen(context: Ec2Context, wanted: Sequence[str]) -> list[Flavor]:
    flavors = sorted(context.engine.flavors(), key=lambda flavor: flavor.name)
    if not wanted:
        return flavors
    unknown = [name for name in dict.fromkeys(wanted) if name not in {flavor.name for flavor in flavors}]
    if unknown:
        raise Ec2Error(
            "InvalidInstanceType",
            f"The following supplied instance types do not exist: [{', '.join(unknown)[:240]}]",
        )
    return [flavor for flavor in flavors if flavor.name in wanted]


def _architectures(context: Ec2Context) -> list[str]:
    """What the hosts of the region are; a cloud without hosts yet is going to have the usual one."""
    found = {host.architecture for host in context.engine.hosts() if host.region == context.region}
    return sorted(found - {""}) or [_DEFAULT_ARCHITECTURE]


def type_document(flavor: Flavor, architectures: list[str], addresses: int) -> Document:
    """``InstanceTypeInfo``: a flavor. EC2's enumeration of hypervisors has ``nitro`` for KVM.

    ``addresses`` is how many private ones an interface can have to any effect.
    """
    return {
        "InstanceType": flavor.name,
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": [mapping.ROOT_DEVICE_TYPE],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "ProcessorInfo": {"SupportedArchitectures": architectures},
        "VCpuInfo": _cpu_info(flavor.vcpus),
        "MemoryInfo": {"SizeInMiB": flavor.memory_mib},
        "InstanceStorageSupported": flavor.ephemeral_gib > 0,
        "InstanceStorageInfo": _storage_info(flavor.ephemeral_gib) if flavor.ephemeral_gib else None,
        "EbsInfo": {
            "EbsOptimizedSupport": "unsupported",
            "EncryptionSupport": "supported",
            "NvmeSupport": "unsupported",
            "MaximumEbsAttachments": most_volumes(scratch=flavor.ephemeral_gib > 0),
            "AttachmentLimitType": "dedicated",  # interfaces do not count
        },
        "NetworkInfo": _network_info(addresses),
        "PlacementGroupInfo": {"SupportedStrategies": [each.value for each in Strategy]},
        "HibernationSupported": True,
        "BurstablePerformanceSupported": False,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
        "SupportedBootModes": [mapping.BOOT_MODE],
        "NitroEnclavesSupport": "unsupported",
        "NitroTpmSupport": "unsupported",
        "PhcSupport": "unsupported",
        "RebootMigrationSupport": "unsupported",
        "SupportedInRegion": True,
    }


def _cpu_info(vcpus: int) -> Document:
    return {
        "DefaultVCpus": vcpus,
        "DefaultCores": vcpus,
        "DefaultThreadsPerCore": 1,
        "ValidCores": [vcpus],
        "ValidThreadsPerCore": [1],
    }


def _storage_info(gib: int) -> Document:
    size = gib * _GIB // _GB
    return {
        "TotalSizeInGB": size,
        "Disks": [{"SizeInGB": size, "Count": 1, "Type": _DISK_TYPE}],
        "NvmeSupport": "unsupported",
        "EncryptionSupport": "unsupported",
    }


def _network_info(addresses: int) -> Document:
    return {
        "MaximumNetworkInterfaces": MOST_NICS,
        "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [
            {
                "NetworkCardIndex": 0,
                "MaximumNetworkInterfaces": MOST_NICS,
                "NetworkPerformance": _NETWORK_PERFORMANCE,
            }
        ],
        "NetworkPerformance": _NETWORK_PERFORMANCE,
        "Ipv4AddressesPerInterface": addresses,
        "Ipv6AddressesPerInterface": 0,
        "Ipv6Supported": False,
        "EnaSupport": "unsupported",
        "EfaSupported": False,
        "EncryptionInTransitSupported": False,
        "EnaSrdSupported": False,
    }


def describe_instance_type_offerings(context: Ec2Context, params: Params) -> Document:
    """Every flavor in every place of the kind asked for (DescribeInstanceTypeOfferings)."""
    matches = OFFERING_FILTERS.compile(params.get("Filters", ()))
    kind = params.get("LocationType", "region")
    documents = [
        {"InstanceType": flavor.name, "LocationType": kind, "Location": location}
        for flavor in context.engine.flavors()
        for location in _locations(context, kind)
    ]
    rows = [((row["InstanceType"], row["Location"]), row) for row in documents if matches(row)]
    page, token = page_of(context, params, sorted(rows, key=lambda row: row[0]), OFFERING_LIMITS)
    return {"InstanceTypeOfferings": page, "NextToken": token}


def _locations(context: Ec2Context, kind: str) -> list[str]:
    match kind:
        case "region":
            return [context.region]
        case "availability-zone":
            return list(context.zones)
        case "availability-zone-id":
            ids = [mapping.zone_id_of(context.region, name) for name in context.zones]
            return [item for item in ids if item is not None]
        case _:
            return []
