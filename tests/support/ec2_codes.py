"""The error codes of EC2 that a client may meet here, from the EC2 API reference, "Error codes"."""

from __future__ import annotations

#: Faults of the server or of its size; only those that a caller can bring about by asking for too much.
SERVER_CODES = frozenset(
    {
        "InsufficientAddressCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientVolumeCapacity",
        "RequestLimitExceeded",
    }
)

CODES = frozenset(
    """
    InstanceCreditSpecification.NotSupported InvalidInstanceAttributeValue InvalidPrefixListID.NotFound InvalidInstanceID
    InvalidPublicIpv4PoolID.NotFound
    InvalidPlacementGroupId.Malformed
    AddressLimitExceeded AttachmentLimitExceeded AuthFailure CannotDelete CidrLimitExceeded
    DefaultSubnetAlreadyExistsInAvailabilityZone DefaultVpcAlreadyExists DependencyViolation
    DryRunOperation FilterLimitExceeded Gateway.NotAttached IdempotentInstanceTerminated
    IdempotentParameterMismatch IncorrectInstanceState IncorrectModificationState IncorrectState
    InstanceLimitExceeded InsufficientFreeAddressesInSubnet InternetGatewayLimitExceeded
    InvalidAMIAttributeItemValue InvalidAMIID.Malformed InvalidAMIID.NotFound
    InvalidAMIID.Unavailable InvalidAMIName.Duplicate InvalidAMIName.Malformed InvalidAction
    InvalidAddress.NotFound InvalidAddressID.NotFound InvalidAllocationID.NotFound
    InvalidAssociationID.NotFound InvalidAttachment.NotFound InvalidAttachmentID.NotFound
    InvalidBlockDeviceMapping InvalidCidrBlock.InUse InvalidConversionTaskId.Malformed
    InvalidConversionTaskId.NotFound InvalidDhcpOptionID.NotFound InvalidDhcpOptionsID.NotFound
    InvalidDhcpOptionsId.Malformed InvalidExportTaskID.Malformed InvalidExportTaskID.NotFound
    InvalidGatewayID.NotFound InvalidGroup.Duplicate InvalidGroup.InUse InvalidGroup.NotFound
    InvalidGroup.Reserved InvalidGroupId.Malformed InvalidID InvalidIPAddress.InUse InvalidInput
    InvalidInstanceID.Malformed InvalidInstanceID.NotFound InvalidInstanceType
    InvalidInternetGatewayID.NotFound InvalidKeyPair.Duplicate InvalidKeyPair.Format
    InvalidKeyPair.NotFound InvalidLaunchTemplateId.Malformed InvalidLaunchTemplateId.NotFound
    InvalidLaunchTemplateId.VersionNotFound InvalidLaunchTemplateName.AlreadyExistsException
    InvalidLaunchTemplateName.MalformedException InvalidLaunchTemplateName.NotFoundException
    InvalidNetworkAclEntry.NotFound InvalidNetworkAclID.NotFound InvalidNetworkInterface.InUse
    InvalidNetworkInterfaceID.NotFound InvalidNextToken InvalidParameter InvalidParameterCombination
    InvalidParameterDependency InvalidParameterValue InvalidPermission.Duplicate
    InvalidPermission.NotFound InvalidPlacementGroup.Duplicate InvalidPlacementGroup.InUse
    InvalidPlacementGroup.Unknown InvalidRequest InvalidReservationID.NotFound InvalidRoute.NotFound
    InvalidRouteTableID.NotFound InvalidSecurityGroupRuleId.NotFound InvalidSnapshot.InUse
    InvalidSnapshot.NotFound InvalidSpotDatafeed.NotFound InvalidSubnet.Conflict InvalidSubnet.Range
    InvalidSubnetID.NotFound InvalidUserData.Malformed InvalidVolume.NotFound
    InvalidVolume.ZoneMismatch InvalidVolumeModification.NotFound InvalidVpc.Range
    InvalidVpcCidrBlockAssociationID.NotFound InvalidVpcID.NotFound InvalidZone.NotFound
    MalformedQueryString MissingAction MissingParameter NatGatewayLimitExceeded NatGatewayNotFound
    NetworkAclEntryAlreadyExists NetworkAclEntryLimitExceeded NetworkAclLimitExceeded
    NetworkInterfaceLimitExceeded NoSuchVersion OperationNotPermitted PlacementGroupLimitExceeded
    PrivateIpAddressLimitExceeded RequestEntityTooLarge Resource.AlreadyAssociated
    ResourceLimitExceeded RouteAlreadyExists RouteLimitExceeded RouteTableLimitExceeded
    RulesPerSecurityGroupLimitExceeded SecurityGroupLimitExceeded
    SecurityGroupsPerInstanceLimitExceeded SecurityGroupsPerInterfaceLimitExceeded
    SnapshotCreationPerVolumeRateExceeded SnapshotLimitExceeded SubnetLimitExceeded TagLimitExceeded
    UnauthorizedOperation UnknownParameter Unsupported UnsupportedHibernationConfiguration
    UnsupportedOperation VPCIdNotSpecified VcpuLimitExceeded VolumeInUse VolumeLimitExceeded
    VolumeModificationRateExceeded VpcLimitExceeded
    """.split()
)
"""Faults of the caller: what may be answered with 4xx."""
