"""What to use in place of an operation that this cloud has not: one sentence for a family of them.

A refusal that says so saves its reader a search. The first family whose pattern is in the operation's name
is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NOTHING_TO_BUY = "There is nothing to reserve or to buy: launch with RunInstances, as far as quotas allow."
_NO_IPV6 = "Networks are IPv4 only."
_FAMILIES: Sequence[tuple[str, str]] = (
    (
        "Spot|Fleet",
        "There is no spot market and there are no fleets: launch with RunInstances, and many by MaxCount.",
    ),
    ("Reserved|CapacityReservation|CapacityBlock|HostReservation|Interruptible", _NOTHING_TO_BUY),
    ("CapacityManager", "What is used is told by DescribeInstances and DescribeAccountAttributes."),
    ("ScheduledInstance", _NOTHING_TO_BUY),
    (
        "Hosts",
        "There are no dedicated hosts: keep instances apart by a placement group of the strategy spread.",
    ),
    ("MacSystem|MacVolume|MacModification", "There are no Macs."),
    (
        "Ipv6|EgressOnlyInternetGateway|SubnetCidrBlock",
        f"{_NO_IPV6} Use IPv4 subnets with an internet gateway or a NAT gateway.",
    ),
    (
        "VpcPeering",
        "VPCs are not joined: use subnets and route tables within one VPC, or public addresses between them.",
    ),
    (
        "TransitGateway|RouteServer|Vgw|LocalGateway|Coip|CarrierGateway",
        "Use route tables within a VPC: routes lead to gateways, interfaces and instances.",
    ),
    (
        "Vpn|CustomerGateway",
        "There are no VPNs: run one in an instance, with sourceDestCheck off and a route to it.",
    ),
    (
        "VpcEndpoint|VerifiedAccess|InstanceConnectEndpoint",
        "VPCs have no endpoints: use an internet gateway or a NAT gateway, and elastic addresses.",
    ),
    (
        "SecurityGroupVpc|SecurityGroupQuotas",
        "A security group is of one VPC: create it in each with CreateSecurityGroup.",
    ),
    ("PrefixList", "There are no prefix lists: name each CIDR in rules and routes."),
    ("ClassicLink|MoveAddress|RestoreAddress", "All instances and addresses are in VPCs."),
    (
        "NatGatewayAddress",
        "A NAT gateway has one address: create another one, and ReplaceRoute to it.",
    ),
    (
        "Ipam|Byoip|PublicIpv4Pool|AddressTransfer",
        "Public addresses come from the operator: use AllocateAddress, and DescribePublicIpv4Pools.",
    ),
    ("AddressAttribute", "There are no reverse names of addresses."),
    (
        "FlowLog|TrafficMirror|NetworkInsights|ReachabilityAnalyzer|NetworkPerformance",
        "What a network lets pass is told by its security groups, network ACLs and route tables.",
    ),
    ("NetworkInterfacePermission", "An interface is its account's own."),
    (
        "Trunk|Secondary(Interface|Network|Subnet)",
        "Use CreateNetworkInterface with secondary private addresses.",
    ),
    ("SubnetCidrReservation", "Choose addresses with PrivateIpAddress where they matter."),
    (
        "IamInstanceProfile|EnclaveCertificate",
        "Instances have no roles: give them keys by user data.",
    ),
    ("KmsKey", "Each encrypted volume has a key of its own, which the service keeps; none can be chosen."),
    (
        "FastSnapshotRestore|SnapshotTier|LockSnapshot|UnlockSnapshot",
        "Snapshots are all in one tier, at hand at once, and go only when they are deleted.",
    ),
    (
        "RecycleBin|DeregistrationProtection",
        "What is deleted is gone: keep a copy with CopyImage or CopySnapshot.",
    ),
    (
        "BlockPublicAccess",
        "Nothing of an account is public but what it makes public itself.",
    ),
    ("AllowedImages", "Any image that is seen may be launched: choose it by its id."),
    ("ImageReferences|ImageUsageReport", "DescribeInstanceImageMetadata tells the images of instances."),
    (
        "StoreImage|RestoreImage|BundleInstance|BundleTask|FpgaImage|ImageWatermark",
        "Use CreateImage, ExportImage and ImportImage.",
    ),
    ("ImportInstance|ImportVolume|ConversionTask", "Use ImportImage or ImportSnapshot."),
    ("InstanceExport|CancelExport", "Use CreateImage, and ExportImage of the image."),
    ("CopyVolumes", "Use CreateSnapshot, and CreateVolume of the snapshot."),
    ("ReplaceRootVolume", "Stop the instance, DetachVolume its root, and AttachVolume another as /dev/vda."),
    ("SerialConsole|DiagnosticInterrupt", "GetConsoleOutput tells what the serial console said."),
    ("CreditSpecification", "Instances have the credit option standard, and credits do not run out."),
    ("EventWindow|EventStartTime|EventNotification", "There are no scheduled events."),
    ("ReportInstanceStatus", "Tell the operator."),
    ("IdFormat", "All ids are long."),
    ("AvailabilityZoneGroup", "All zones are open to everybody."),
    ("ApplicationStatus", "DescribeInstanceStatus tells whether instances run."),
    ("ImageLaunchPermission", "The owner of an image says by ModifyImageAttribute who may launch it."),
    ("ImageInstanceType", "Any type may be launched from any image."),
    (
        "DeclarativePolicies|ManagedResource|MetricCategory",
        "Accounts stand alone, each with its own settings.",
    ),
    ("FlexCost", "There is nothing to pay for."),
    ("VpcEncryption", "Networks do not encrypt what they carry: encrypt it in the guests."),
    ("PublicIpDnsName", "The operator decides in which domain public addresses have names."),
    ("TpmEkPub|UefiData", "Machines boot by BIOS and have no TPM."),
    ("Windows|FastLaunch|SqlHa|ProductInstance", "There is nothing for Windows in particular."),
)
_COMPILED = [(re.compile(pattern), sentence) for pattern, sentence in _FAMILIES]


def instead_of(operation: str) -> str:
    """What to use in place of an operation, as a sentence; empty where there is nothing like it."""
    return next((sentence for pattern, sentence in _COMPILED if pattern.search(operation)), "")
