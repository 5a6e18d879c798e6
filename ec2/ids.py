"""EC2 resource ids: prefixes, what is well-formed, and the exact refusals for each kind.

An id is a prefix, a hyphen and 17 lower-case hexadecimal digits; older ones have 8. The codes are irregular,
so they are data (EC2 API reference, "Error codes").
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence

import msgspec

from ec2.errors import Ec2Error

_DIGITS = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]{9})?")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An error code with its sentences: ``{ids}`` stands for one id, or several joined by a comma."""

    code: str
    one: str
    many: str = ""

    def error(self, ids: Sequence[str]) -> Ec2Error:
        """The error for these ids."""
        text = self.many if self.many and len(ids) > 1 else self.one
        return Ec2Error(self.code, text.replace("{ids}", ", ".join(each[:120] for each in ids)))


class IdKind(enum.Enum):
    """The kinds of resources by the prefix of their ids."""

    INSTANCE = "i"
    IMAGE = "ami"
    VOLUME = "vol"
    SNAPSHOT = "snap"
    KEY_PAIR = "key"
    SECURITY_GROUP = "sg"
    SECURITY_GROUP_RULE = "sgr"
    VPC = "vpc"
    SUBNET = "subnet"
    NETWORK_INTERFACE = "eni"
    NETWORK_INTERFACE_ATTACHMENT = "eni-attach"
    ALLOCATION = "eipalloc"
    ASSOCIATION = "eipassoc"
    ROUTE_TABLE = "rtb"
    ROUTE_TABLE_ASSOCIATION = "rtbassoc"
    INTERNET_GATEWAY = "igw"
    NAT_GATEWAY = "nat"
    NETWORK_ACL = "acl"
    NETWORK_ACL_ASSOCIATION = "aclassoc"
    VPC_CIDR_ASSOCIATION = "vpc-cidr-assoc"
    DHCP_OPTIONS = "dopt"
    LAUNCH_TEMPLATE = "lt"
    PLACEMENT_GROUP = "pg"
    RESERVATION = "r"
    IMAGE_IMPORT = "import-ami"
    SNAPSHOT_IMPORT = "import-snap"
    IMAGE_EXPORT = "export-ami"


def _expecting(code: str, prefix: str) -> Refusal:
    return Refusal(code=code, one=f'Invalid id: "{{ids}}" (expecting "{prefix}-...")')


def _value(word: str, prefix: str) -> Refusal:
    sentence = f"Value ({{ids}}) for parameter {word} is invalid. Expected: '{prefix}-...'."
    return Refusal(code="InvalidParameterValue", one=sentence)


def _missing(code: str, noun: str) -> Refusal:
    return Refusal(code=code, one=f"The {noun} '{{ids}}' does not exist")


MALFORMED: dict[IdKind, Refusal] = {
    IdKind.INSTANCE: _expecting("InvalidInstanceID.Malformed", "i"),
    IdKind.IMAGE: _expecting("InvalidAMIID.Malformed", "ami"),
    IdKind.SECURITY_GROUP: _expecting("InvalidGroupId.Malformed", "sg"),
    IdKind.DHCP_OPTIONS: _expecting("InvalidDhcpOptionsId.Malformed", "dopt"),
    IdKind.VOLUME: _value("volumes", "vol"),
    IdKind.SNAPSHOT: _value("snapshots", "snap"),
    IdKind.KEY_PAIR: _value("keyPairId", "key"),
    IdKind.SECURITY_GROUP_RULE: _value("securityGroupRuleId", "sgr"),
    IdKind.VPC: _value("vpcId", "vpc"),
    IdKind.SUBNET: _value("subnetId", "subnet"),
    IdKind.NETWORK_INTERFACE: _value("networkInterfaceId", "eni"),
    IdKind.NETWORK_INTERFACE_ATTACHMENT: _value("attachmentId", "eni-attach"),
    IdKind.ALLOCATION: _value("allocationId", "eipalloc"),
    IdKind.ASSOCIATION: _value("associationId", "eipassoc"),
    IdKind.ROUTE_TABLE: _value("routeTableId", "rtb"),
    IdKind.ROUTE_TABLE_ASSOCIATION: _value("associationId", "rtbassoc"),
    IdKind.INTERNET_GATEWAY: _value("internetGatewayId", "igw"),
    IdKind.NAT_GATEWAY: _value("natGatewayId", "nat"),
    IdKind.NETWORK_ACL: _value("networkAclId", "acl"),
    IdKind.NETWORK_ACL_ASSOCIATION: _value("associationId", "aclassoc"),
    IdKind.VPC_CIDR_ASSOCIATION: _value("associationId", "vpc-cidr-assoc"),
    IdKind.LAUNCH_TEMPLATE: _expecting("InvalidLaunchTemplateId.Malformed", "lt"),
    IdKind.PLACEMENT_GROUP: _expecting("InvalidPlacementGroupId.Malformed", "pg"),
    IdKind.RESERVATION: _value("reservationId", "r"),
    IdKind.IMAGE_IMPORT: _expecting("InvalidConversionTaskId.Malformed", "import-ami"),
    IdKind.SNAPSHOT_IMPORT: _expecting("InvalidConversionTaskId.Malformed", "import-snap"),
    IdKind.IMAGE_EXPORT: _expecting("InvalidExportTaskID.Malformed", "export-ami"),
}

NOT_FOUND: dict[IdKind, Refusal] = {
    IdKind.INSTANCE: Refusal(
        code="InvalidInstanceID.NotFound",
        one="The instance ID '{ids}' does not exist",
        many="The instance IDs '{ids}' do not exist",
    ),
    IdKind.IMAGE: Refusal(
        code="InvalidAMIID.NotFound",
        one="The image id '[{ids}]' does not exist",
        many="The image ids '[{ids}]' do not exist",
    ),
    IdKind.VOLUME: Refusal(
        code="InvalidVolume.NotFound",
        one="The volume '{ids}' does not exist.",
        many="The volumes '{ids}' do not exist.",
    ),
    IdKind.SNAPSHOT: Refusal(
        code="InvalidSnapshot.NotFound",
        one="The snapshot '{ids}' does not exist.",
        many="The snapshots '{ids}' do not exist.",
    ),
    IdKind.KEY_PAIR: Refusal(
        code="InvalidKeyPair.NotFound",
        one="The key pair '{ids}' does not exist",
        many="The key pairs '{ids}' do not exist",
    ),
    IdKind.SECURITY_GROUP: _missing("InvalidGroup.NotFound", "security group"),
    IdKind.SECURITY_GROUP_RULE: _missing("InvalidSecurityGroupRuleId.NotFound", "security group rule ID"),
    IdKind.VPC: _missing("InvalidVpcID.NotFound", "vpc ID"),
    IdKind.SUBNET: _missing("InvalidSubnetID.NotFound", "subnet ID"),
    IdKind.NETWORK_INTERFACE: _missing("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
    IdKind.NETWORK_INTERFACE_ATTACHMENT: _missing("InvalidAttachmentID.NotFound", "attachment ID"),
    IdKind.ALLOCATION: _missing("InvalidAllocationID.NotFound", "allocation ID"),
    IdKind.ASSOCIATION: _missing("InvalidAssociationID.NotFound", "association ID"),
    IdKind.ROUTE_TABLE: _missing("InvalidRouteTableID.NotFound", "routeTable ID"),
    IdKind.ROUTE_TABLE_ASSOCIATION: _missing("InvalidAssociationID.NotFound", "association ID"),
    IdKind.INTERNET_GATEWAY: _missing("InvalidInternetGatewayID.NotFound", "internetGateway ID"),
    IdKind.NAT_GATEWAY: Refusal(code="NatGatewayNotFound", one="The Nat Gateway {ids} was not found"),
    IdKind.NETWORK_ACL: _missing("InvalidNetworkAclID.NotFound", "networkAcl ID"),
    IdKind.NETWORK_ACL_ASSOCIATION: _missing("InvalidAssociationID.NotFound", "association ID"),
    IdKind.VPC_CIDR_ASSOCIATION: _missing(
        "InvalidVpcCidrBlockAssociationID.NotFound", "vpc CIDR block association ID"
    ),
    IdKind.DHCP_OPTIONS: _missing("InvalidDhcpOptionID.NotFound", "dhcpOption ID"),
    IdKind.LAUNCH_TEMPLATE: Refusal(
        code="InvalidLaunchTemplateId.NotFound",
        one="The specified launch template, with template ID {ids}, does not exist.",
        many="The specified launch templates, with template IDs {ids}, do not exist.",
    ),
    IdKind.PLACEMENT_GROUP: Refusal(
        code="InvalidPlacementGroup.Unknown", one="The Placement Group '{ids}' is unknown."
    ),
    IdKind.RESERVATION: _missing("InvalidReservationID.NotFound", "reservation ID"),
    IdKind.IMAGE_IMPORT: _missing("InvalidConversionTaskId.NotFound", "task ID"),
    IdKind.SNAPSHOT_IMPORT: _missing("InvalidConversionTaskId.NotFound", "task ID"),
    IdKind.IMAGE_EXPORT: _missing("InvalidExportTaskID.NotFound", "task ID"),
}

#: A deregistered image, and an id that CreateTags cannot place.
IMAGE_UNAVAILABLE = Refusal(
    code="InvalidAMIID.Unavailable",
    one="The image id '[{ids}]' is no longer available",
    many="The image ids '[{ids}]' are no longer available",
)
UNKNOWN_ID = Refusal(code="InvalidID", one="The ID '{ids}' is not valid")

_BY_PREFIX = {kind.value: kind for kind in IdKind}


def well_formed(kind: IdKind, text: str) -> bool:
    """Whether a text has the shape of an id of this kind."""
    prefix, _, digits = text.rpartition("-")
    return prefix == kind.value and _DIGITS.fullmatch(digits) is not None


def kind_of(text: str) -> IdKind | None:
    """The kind of a well-formed id, None for anything else."""
    prefix, _, digits = text.rpartition("-")
    return _BY_PREFIX.get(prefix) if _DIGITS.fullmatch(digits) else None


def require_well_formed(kind: IdKind, ids: Iterable[str]) -> None:
    """Raise the kind's Malformed error for the first id that has another shape."""
    for text in ids:
        if not well_formed(kind, text):
            raise MALFORMED[kind].error([text])


def not_found(kind: IdKind, ids: Sequence[str]) -> Ec2Error:
    """The kind's NotFound error for ids that are well-formed and unknown to the caller."""
    return NOT_FOUND[kind].error(ids)
