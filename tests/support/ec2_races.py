"""What happens when two clients of a tenant ask for the same thing at once, by operation.

Each :class:`Race` makes what the request is about, gives the parameters that both send, and states the
outcome: how each of the two is answered. ``OK`` is success. Which of the two gets which answer is a matter of
chance; that together they get these, and leave what one after the other would have left, is not.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ec2_face import Ec2Cloud
from simulation import ADMIN

from backend.commands import SetQuota
from backend.model import QUOTA_DEFAULTS

OK = ""
BOTH = (OK, OK)
Parameters = Mapping[str, Any]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJhY2VyYWNlcmFjZXJhY2VyYWNlcmFjZXJhY2VyYWNl race@example"


class World:
    """A tenant's cloud in which things are made for one race after the other."""

    def __init__(self, face: Ec2Cloud) -> None:
        self.face = face
        self.cloud = face.cloud
        self.client = face.ann
        self._numbers = itertools.count(1)
        self.zone = "us-east-1a"

    def name(self) -> str:
        return f"race-{next(self._numbers)}"

    def quota(self, **limits: int) -> None:
        """Limits of the tenant; -2 is none."""
        self.cloud.engine.execute(ADMIN, SetQuota(tenant_id=self.cloud.tenant.id, quotas=limits))

    def unlimited(self) -> None:
        self.quota(**dict.fromkeys(QUOTA_DEFAULTS, -2))

    def settle(self) -> None:
        self.cloud.settle()

    # Things ---------------------------------------------------------------------------------------------

    def instance(self, state: str = "running", **parameters: Any) -> str:
        [made] = self.face.run(InstanceType="t2.nano", **parameters)
        self.settle()
        if state == "stopped":
            self.client.stop_instances(InstanceIds=[made], Force=True)
            self.settle()
        return made

    def volume(self, **parameters: Any) -> str:
        made = self.client.create_volume(AvailabilityZone=self.zone, **{"Size": 1} | parameters)["VolumeId"]
        self.settle()
        return str(made)

    def snapshot(self) -> str:
        made = self.client.create_snapshot(VolumeId=self.volume())["SnapshotId"]
        self.settle()
        return str(made)

    def image(self) -> str:
        return str(self.cloud.register(self.name(), public=False).id)

    def vpc(self) -> str:
        return str(self.client.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"])

    def subnet(self, vpc: str = "", cidr: str = "10.7.1.0/24") -> str:
        vpc = vpc or self.vpc()
        made = self.client.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=self.zone)
        return str(made["Subnet"]["SubnetId"])

    def default_subnet(self) -> str:
        found = self.client.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
        return str(found["Subnets"][0]["SubnetId"])

    def interface(self) -> str:
        made = self.client.create_network_interface(SubnetId=self.default_subnet())
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def attached_interface(self) -> tuple[str, str]:
        """An interface of a running instance besides its first, and the attachment's id."""
        nic = self.interface()
        made = self.client.attach_network_interface(
            NetworkInterfaceId=nic, InstanceId=self.instance(), DeviceIndex=1
        )
        self.settle()
        return nic, str(made["AttachmentId"])

    def group(self, vpc: str = "") -> str:
        place = {"VpcId": vpc} if vpc else {}
        made = self.client.create_security_group(GroupName=self.name(), Description="race", **place)
        return str(made["GroupId"])

    def address(self) -> str:
        return str(self.client.allocate_address()["AllocationId"])

    def gateway(self, vpc: str = "") -> str:
        made = str(self.client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        if vpc:
            self.client.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
        return made

    def table(self, vpc: str = "") -> str:
        made = self.client.create_route_table(VpcId=vpc or self.vpc())
        return str(made["RouteTable"]["RouteTableId"])

    def route(self) -> dict[str, str]:
        vpc = self.vpc()
        parameters = {
            "RouteTableId": self.table(vpc),
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": self.gateway(vpc),
        }
        self.client.create_route(**parameters)
        return parameters

    def acl(self, vpc: str = "") -> str:
        made = self.client.create_network_acl(VpcId=vpc or self.vpc())
        return str(made["NetworkAcl"]["NetworkAclId"])

    def acl_entry(self) -> dict[str, Any]:
        entry = _entry(self.acl())
        self.client.create_network_acl_entry(**entry)
        return entry

    def options(self) -> str:
        made = self.client.create_dhcp_options(
            DhcpConfigurations=[{"Key": "domain-name", "Values": ["race.example"]}]
        )
        return str(made["DhcpOptions"]["DhcpOptionsId"])

    def nat(self) -> str:
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        self.gateway(vpc)
        made = self.client.create_nat_gateway(SubnetId=subnet, AllocationId=self.address())
        return str(made["NatGateway"]["NatGatewayId"])

    def rule(self, *, egress: bool = False) -> tuple[str, str]:
        """A group, and the id of a rule of it."""
        group = self.group()
        call = (
            self.client.authorize_security_group_egress
            if egress
            else self.client.authorize_security_group_ingress
        )
        made = call(GroupId=group, IpPermissions=_SSH)
        return group, str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def template(self) -> str:
        made = self.client.create_launch_template(
            LaunchTemplateName=self.name(), LaunchTemplateData={"InstanceType": "t2.nano"}
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def template_of_two(self) -> str:
        template = self.template()
        self.client.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData={"InstanceType": "t2.large"}
        )
        return template

    def placement_group(self) -> str:
        name = self.name()
        self.client.create_placement_group(GroupName=name, Strategy="spread")
        return name

    def associated_address(self) -> str:
        made = self.client.associate_address(AllocationId=self.address(), NetworkInterfaceId=self.interface())
        return str(made["AssociationId"])

    def table_association(self) -> tuple[str, str]:
        vpc = self.vpc()
        made = self.client.associate_route_table(RouteTableId=self.table(vpc), SubnetId=self.subnet(vpc))
        return vpc, str(made["AssociationId"])

    def acl_association(self) -> dict[str, str]:
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        found = self.client.describe_network_acls(
            Filters=[{"Name": "association.subnet-id", "Values": [subnet]}]
        )["NetworkAcls"][0]["Associations"]
        mine = next(each for each in found if each["SubnetId"] == subnet)
        return {"AssociationId": mine["NetworkAclAssociationId"], "NetworkAclId": self.acl(vpc)}

    def further_block(self) -> str:
        made = self.client.associate_vpc_cidr_block(VpcId=self.vpc(), CidrBlock="10.8.0.0/16")
        return str(made["CidrBlockAssociation"]["AssociationId"])

    # What a race needs a moment before ------------------------------------------------------------------

    def one_left(self, name: str) -> dict[str, Any]:
        """The tenant may have one more of something; answers no parameters."""
        self.quota(**{name: self.used(name) + 1})
        return {}

    def used(self, name: str) -> int:
        tenant = self.cloud.tenant.id
        with self.cloud.store.read() as tx:
            match name:
                case "instances":
                    return tx.instances.usage(tenant)[0]
                case "volumes":
                    return tx.volumes.usage(tenant)[0]
                case "snapshots":
                    return tx.snapshots.count(tenant)
                case "vpcs":
                    return tx.vpcs.count(tenant, "us-east-1")
                case "floating_ips":
                    return tx.public_addresses.count_elastic(tenant)
        raise AssertionError(name)

    def key_pair(self) -> str:
        name = self.name()
        self.client.import_key_pair(KeyName=name, PublicKeyMaterial=KEY.encode())
        return name

    def with_tags(self, count: int) -> str:
        volume = self.volume()
        tags = [{"Key": f"k{number}", "Value": ""} for number in range(count)]
        self.client.create_tags(Resources=[volume], Tags=tags)
        return volume

    def attached_volume(self) -> str:
        volume = self.volume()
        self.client.attach_volume(VolumeId=volume, InstanceId=self.instance(), Device="/dev/sdf")
        self.settle()
        return volume

    def registration(self) -> dict[str, Any]:
        device = {"DeviceName": "/dev/vda", "Ebs": {"SnapshotId": self.snapshot()}}
        return {"Name": self.name(), "RootDeviceName": "/dev/vda", "BlockDeviceMappings": [device]}

    def disabled_image(self) -> str:
        image = self.image()
        self.client.disable_image(ImageId=image)
        return image

    def source(self) -> str:
        """A URL that images can be imported from."""
        url = f"http://images.example/{self.name()}"
        self.cloud.contents.sources[url] = url.encode()
        return url

    def import_task(self) -> str:
        """An import that nobody has begun."""
        made = self.client.import_image(DiskContainers=[{"Format": "qcow2", "Url": self.source()}])
        return str(made["ImportTaskId"])

    def export(self) -> dict[str, Any]:
        return {
            "ImageId": self.image(),
            "DiskImageFormat": "RAW",
            "S3ExportLocation": {"S3Bucket": "bucket", "S3Prefix": self.name()},
        }

    def no_default_vpc(self) -> dict[str, Any]:
        """The tenant's default VPC goes, with all that is in it."""
        self.empty_default_vpc()
        found = self.client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        for vpc in found:
            mine = [{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}]
            for gateway in self.client.describe_internet_gateways(Filters=mine)["InternetGateways"]:
                there = gateway["InternetGatewayId"]
                self.client.detach_internet_gateway(InternetGatewayId=there, VpcId=vpc["VpcId"])
                self.client.delete_internet_gateway(InternetGatewayId=there)
            self.client.delete_vpc(VpcId=vpc["VpcId"])
        return {}

    def no_default_subnet(self) -> dict[str, Any]:
        self.empty_default_vpc()
        return {"AvailabilityZone": self.zone}

    def empty_default_vpc(self) -> None:
        """No instance, no interface, no group and no subnet is left there."""
        found = self.client.describe_instances()["Reservations"]
        every = [each["InstanceId"] for row in found for each in row["Instances"]]
        if every:
            self.client.terminate_instances(InstanceIds=every, Force=True)
            self.settle()
        for vpc in self.client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]:
            within = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
            for nic in self.client.describe_network_interfaces(Filters=within)["NetworkInterfaces"]:
                association = nic.get("Association", {}).get("AssociationId")
                if association:
                    self.client.disassociate_address(AssociationId=association)
                self.client.delete_network_interface(NetworkInterfaceId=nic["NetworkInterfaceId"])
            for group in self.client.describe_security_groups(Filters=within)["SecurityGroups"]:
                if group["GroupName"] != "default":
                    self.client.delete_security_group(GroupId=group["GroupId"])
            for subnet in self.client.describe_subnets(Filters=within)["Subnets"]:
                self.client.delete_subnet(SubnetId=subnet["SubnetId"])

    def table_and_subnet(self) -> dict[str, Any]:
        vpc = self.vpc()
        return {"RouteTableId": self.table(vpc), "SubnetId": self.subnet(vpc)}

    def replacement(self) -> dict[str, Any]:
        vpc, association = self.table_association()
        return {"AssociationId": association, "RouteTableId": self.table(vpc)}

    def new_route(self) -> dict[str, Any]:
        vpc = self.vpc()
        gateway = self.gateway(vpc)
        return {"RouteTableId": self.table(vpc), "DestinationCidrBlock": _ANY, "GatewayId": gateway}

    def attached_gateway(self) -> dict[str, Any]:
        vpc = self.vpc()
        return {"VpcId": vpc, "InternetGatewayId": self.gateway(vpc)}

    def new_nat(self) -> dict[str, Any]:
        vpc = self.vpc()
        subnet = self.subnet(vpc)
        self.gateway(vpc)
        return {"SubnetId": subnet, "AllocationId": self.address()}

    def rules(self, *, egress: bool = False) -> tuple[str, list[str]]:
        group, rule = self.rule(egress=egress)
        return group, [rule]

    def changed_rule(self) -> dict[str, Any]:
        group, rule = self.rule()
        now = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": _ANY}
        return {
            "GroupId": group,
            "SecurityGroupRules": [{"SecurityGroupRuleId": rule, "SecurityGroupRule": now}],
        }

    def described_rule(self, *, egress: bool = False) -> dict[str, Any]:
        group, rule = self.rule(egress=egress)
        described = {"SecurityGroupRuleId": rule, "Description": "race"}
        return {"GroupId": group, "SecurityGroupRuleDescriptions": [described]}

    def free_address(self) -> str:
        """A private address of the default subnet that nobody has."""
        within = [{"Name": "subnet-id", "Values": [self.default_subnet()]}]
        nics = self.client.describe_network_interfaces(Filters=within)["NetworkInterfaces"]
        taken = {each["PrivateIpAddress"] for nic in nics for each in nic["PrivateIpAddresses"]}
        subnet = self.client.describe_subnets(SubnetIds=[self.default_subnet()])["Subnets"][0]
        hosts = itertools.islice(ipaddress.IPv4Network(subnet["CidrBlock"]).hosts(), 20, None)
        return next(str(each) for each in hosts if str(each) not in taken)

    def narrow_subnet(self) -> str:
        """A subnet with one address left."""
        subnet = self.subnet(cidr="10.7.1.0/28")
        for _ in range(10):
            self.client.create_network_interface(SubnetId=subnet)
        return subnet

    def secondary(self) -> dict[str, Any]:
        nic, address = self.interface(), self.free_address()
        self.client.assign_private_ip_addresses(NetworkInterfaceId=nic, PrivateIpAddresses=[address])
        return {"NetworkInterfaceId": nic, "PrivateIpAddresses": [address]}

    def free_public_address(self) -> str:
        allocation = self.address()
        found = self.client.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
        self.client.release_address(AllocationId=allocation)
        return str(found["PublicIp"])


_ANY = "0.0.0.0/0"
_SSH = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}]


def _entry(acl: str) -> dict[str, Any]:
    return {
        "NetworkAclId": acl,
        "RuleNumber": 100,
        "Protocol": "-1",
        "RuleAction": "allow",
        "Egress": False,
        "CidrBlock": "0.0.0.0/0",
    }


class Race(NamedTuple):
    """One request, sent twice at once.

    ``arrange`` makes what it is about and answers its parameters. ``outcome`` is how the two are answered,
    sorted: error codes, and OK.
    """

    operation: str
    arrange: Callable[[World], Parameters]
    outcome: tuple[str, str] = BOTH
    about: str = ""

    @property
    def name(self) -> str:
        return f"{self.operation}: {self.about}" if self.about else self.operation


def one_ok(code: str) -> tuple[str, str]:
    """One succeeds, the other is refused."""
    return (OK, code)


RACES: tuple[Race, ...] = (
    # Instances
    Race("RunInstances", lambda w: {"ImageId": w.cloud.image.id, "MinCount": 1, "MaxCount": 1}),
    Race(
        "RunInstances",
        lambda w: w.one_left("instances") | {"ImageId": w.cloud.image.id, "MinCount": 1, "MaxCount": 1},
        one_ok("InstanceLimitExceeded"),
        "the last of a quota",
    ),
    Race(
        "RunInstances",
        lambda w: {
            "ImageId": w.cloud.image.id,
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": w.default_subnet(),
            "PrivateIpAddress": w.free_address(),
        },
        one_ok("InvalidIPAddress.InUse"),
        "one private address",
    ),
    Race(
        "RunInstances",
        lambda w: {
            "ImageId": w.cloud.image.id,
            "MinCount": 1,
            "MaxCount": 1,
            "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": w.interface()}],
        },
        one_ok("InvalidNetworkInterface.InUse"),
        "one interface",
    ),
    Race("StartInstances", lambda w: {"InstanceIds": [w.instance("stopped")]}),
    Race("StopInstances", lambda w: {"InstanceIds": [w.instance()]}),
    Race("RebootInstances", lambda w: {"InstanceIds": [w.instance()]}),
    Race("TerminateInstances", lambda w: {"InstanceIds": [w.instance()]}),
    Race("MonitorInstances", lambda w: {"InstanceIds": [w.instance()]}),
    Race("UnmonitorInstances", lambda w: {"InstanceIds": [w.instance()]}),
    Race(
        "ModifyInstanceAttribute",
        lambda w: {"InstanceId": w.instance("stopped"), "InstanceType": {"Value": "t2.large"}},
    ),
    Race("ResetInstanceAttribute", lambda w: {"InstanceId": w.instance(), "Attribute": "sourceDestCheck"}),
    Race("ModifyInstanceMetadataOptions", lambda w: {"InstanceId": w.instance(), "HttpTokens": "required"}),
    Race(
        "ModifyInstancePlacement",
        lambda w: {"InstanceId": w.instance("stopped"), "GroupName": w.placement_group()},
    ),
    # What stays as it is
    Race(
        "ModifyInstanceCapacityReservationAttributes",
        lambda w: {
            "InstanceId": w.instance("stopped"),
            "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
        },
    ),
    Race("ModifyInstanceCpuOptions", lambda w: {"InstanceId": w.instance("stopped"), "ThreadsPerCore": 1}),
    Race(
        "ModifyInstanceCreditSpecification",
        lambda w: {"InstanceCreditSpecifications": [{"InstanceId": w.instance(), "CpuCredits": "standard"}]},
    ),
    Race(
        "ModifyInstanceMaintenanceOptions", lambda w: {"InstanceId": w.instance(), "AutoRecovery": "disabled"}
    ),
    Race(
        "ModifyInstanceNetworkPerformanceOptions",
        lambda w: {"InstanceId": w.instance("stopped"), "BandwidthWeighting": "default"},
    ),
    Race(
        "ModifyPrivateDnsNameOptions",
        lambda w: {"InstanceId": w.instance("stopped"), "PrivateDnsHostnameType": "ip-name"},
    ),
    Race("ModifyInstanceMetadataDefaults", lambda _: {"HttpTokens": "no-preference"}),
    Race("DisableAllowedImagesSettings", lambda _: {}),
    Race("DisableImageBlockPublicAccess", lambda _: {}),
    Race("DisableSerialConsoleAccess", lambda _: {}),
    Race("DisableSnapshotBlockPublicAccess", lambda _: {}),
    # Keys, tags, templates, groups of places
    Race("CreateKeyPair", lambda w: {"KeyName": w.name()}, one_ok("InvalidKeyPair.Duplicate")),
    Race(
        "ImportKeyPair",
        lambda w: {"KeyName": w.name(), "PublicKeyMaterial": KEY.encode()},
        one_ok("InvalidKeyPair.Duplicate"),
    ),
    Race("DeleteKeyPair", lambda w: {"KeyName": w.key_pair()}),
    Race("CreateTags", lambda w: {"Resources": [w.volume()], "Tags": [{"Key": "k", "Value": "v"}]}),
    Race(
        "CreateTags",
        lambda w: {"Resources": [w.with_tags(49)], "Tags": [{"Key": w.name(), "Value": ""}]},
        BOTH,
        "the last of fifty, with one key",
    ),
    Race("DeleteTags", lambda w: {"Resources": [w.with_tags(3)]}),
    Race(
        "CreateLaunchTemplate",
        lambda w: {"LaunchTemplateName": w.name(), "LaunchTemplateData": {"InstanceType": "t2.nano"}},
        one_ok("InvalidLaunchTemplateName.AlreadyExistsException"),
    ),
    Race(
        "CreateLaunchTemplateVersion",
        lambda w: {"LaunchTemplateId": w.template(), "LaunchTemplateData": {"InstanceType": "t2.nano"}},
    ),
    Race("ModifyLaunchTemplate", lambda w: {"LaunchTemplateId": w.template_of_two(), "DefaultVersion": "2"}),
    Race(
        "DeleteLaunchTemplateVersions", lambda w: {"LaunchTemplateId": w.template_of_two(), "Versions": ["2"]}
    ),
    Race(
        "DeleteLaunchTemplate",
        lambda w: {"LaunchTemplateId": w.template()},
        one_ok("InvalidLaunchTemplateId.NotFound"),
    ),
    Race(
        "CreatePlacementGroup",
        lambda w: {"GroupName": w.name(), "Strategy": "cluster"},
        one_ok("InvalidPlacementGroup.Duplicate"),
    ),
    Race(
        "DeletePlacementGroup",
        lambda w: {"GroupName": w.placement_group()},
        one_ok("InvalidPlacementGroup.Unknown"),
    ),
    # Volumes, snapshots, images
    Race("CreateVolume", lambda w: {"AvailabilityZone": w.zone, "Size": 1}),
    Race(
        "CreateVolume",
        lambda w: w.one_left("volumes") | {"AvailabilityZone": w.zone, "Size": 1},
        one_ok("VolumeLimitExceeded"),
        "the last of a quota",
    ),
    Race(
        "AttachVolume",
        lambda w: {"VolumeId": w.volume(), "InstanceId": w.instance(), "Device": "/dev/sdf"},
        one_ok("VolumeInUse"),
        "one volume",
    ),
    Race("DetachVolume", lambda w: {"VolumeId": w.attached_volume()}),
    Race("DeleteVolume", lambda w: {"VolumeId": w.volume()}),
    Race("ModifyVolume", lambda w: {"VolumeId": w.volume(), "Size": 2}, one_ok("IncorrectModificationState")),
    Race("ModifyVolumeAttribute", lambda w: {"VolumeId": w.volume(), "AutoEnableIO": {"Value": False}}),
    Race("EnableVolumeIO", lambda w: {"VolumeId": w.volume()}),
    Race("CreateSnapshot", lambda w: {"VolumeId": w.volume()}),
    Race(
        "CreateSnapshot",
        lambda w: {"VolumeId": w.volume()} | w.one_left("snapshots"),
        one_ok("SnapshotLimitExceeded"),
        "the last of a quota",
    ),
    Race("CreateSnapshots", lambda w: {"InstanceSpecification": {"InstanceId": w.instance()}}),
    Race("CopySnapshot", lambda w: {"SourceSnapshotId": w.snapshot(), "SourceRegion": "us-east-1"}),
    Race("DeleteSnapshot", lambda w: {"SnapshotId": w.snapshot()}, one_ok("InvalidSnapshot.NotFound")),
    Race(
        "ModifySnapshotAttribute",
        lambda w: {
            "SnapshotId": w.snapshot(),
            "Attribute": "createVolumePermission",
            "OperationType": "add",
            "UserIds": ["123412341234"],
        },
    ),
    Race(
        "ResetSnapshotAttribute",
        lambda w: {"SnapshotId": w.snapshot(), "Attribute": "createVolumePermission"},
    ),
    Race("RegisterImage", lambda w: w.registration(), one_ok("InvalidAMIName.Duplicate")),
    Race(
        "CreateImage",
        lambda w: {"InstanceId": w.instance(), "Name": w.name(), "NoReboot": True},
        one_ok("InvalidAMIName.Duplicate"),
    ),
    Race(
        "CopyImage",
        lambda w: {"Name": w.name(), "SourceImageId": w.image(), "SourceRegion": "us-east-1"},
        one_ok("InvalidAMIName.Duplicate"),
    ),
    Race("DeregisterImage", lambda w: {"ImageId": w.image()}, one_ok("InvalidAMIID.Unavailable")),
    Race("ModifyImageAttribute", lambda w: {"ImageId": w.image(), "Description": {"Value": "race"}}),
    Race("ResetImageAttribute", lambda w: {"ImageId": w.image(), "Attribute": "launchPermission"}),
    Race("DisableImage", lambda w: {"ImageId": w.image()}),
    Race("EnableImage", lambda w: {"ImageId": w.disabled_image()}),
    Race("EnableImageDeprecation", lambda w: {"ImageId": w.image(), "DeprecateAt": "2033-01-01T00:00:00Z"}),
    Race("DisableImageDeprecation", lambda w: {"ImageId": w.image()}),
    Race("ImportImage", lambda w: {"DiskContainers": [{"Format": "qcow2", "Url": w.source()}]}),
    Race("ImportSnapshot", lambda w: {"DiskContainer": {"Format": "qcow2", "Url": w.source()}}),
    Race("ExportImage", lambda w: w.export()),
    Race("CancelImportTask", lambda w: {"ImportTaskId": w.import_task()}, one_ok("IncorrectState")),
    Race("EnableEbsEncryptionByDefault", lambda w: {}),
    Race("DisableEbsEncryptionByDefault", lambda w: {}),
    # VPCs
    Race("CreateVpc", lambda w: {"CidrBlock": "10.9.0.0/16"}),
    Race(
        "CreateVpc",
        lambda w: {"CidrBlock": "10.9.0.0/16"} | w.one_left("vpcs"),
        one_ok("VpcLimitExceeded"),
        "the last of a quota",
    ),
    Race("CreateDefaultVpc", lambda w: w.no_default_vpc(), one_ok("DefaultVpcAlreadyExists")),
    Race(
        "CreateDefaultSubnet",
        lambda w: w.no_default_subnet(),
        one_ok("DefaultSubnetAlreadyExistsInAvailabilityZone"),
    ),
    Race("DeleteVpc", lambda w: {"VpcId": w.vpc()}, one_ok("InvalidVpcID.NotFound")),
    Race("ModifyVpcAttribute", lambda w: {"VpcId": w.vpc(), "EnableDnsHostnames": {"Value": True}}),
    Race("ModifyVpcTenancy", lambda w: {"VpcId": w.vpc(), "InstanceTenancy": "default"}),
    Race(
        "AssociateVpcCidrBlock",
        lambda w: {"VpcId": w.vpc(), "CidrBlock": "10.8.0.0/16"},
        one_ok("InvalidVpc.Range"),
    ),
    Race(
        "DisassociateVpcCidrBlock",
        lambda w: {"AssociationId": w.further_block()},
        one_ok("InvalidVpcCidrBlockAssociationID.NotFound"),
    ),
    Race(
        "CreateSubnet",
        lambda w: {"VpcId": w.vpc(), "CidrBlock": "10.7.1.0/24"},
        one_ok("InvalidSubnet.Conflict"),
    ),
    Race("DeleteSubnet", lambda w: {"SubnetId": w.subnet()}, one_ok("InvalidSubnetID.NotFound")),
    Race("ModifySubnetAttribute", lambda w: {"SubnetId": w.subnet(), "MapPublicIpOnLaunch": {"Value": True}}),
    Race("CreateRouteTable", lambda w: {"VpcId": w.vpc()}),
    Race("DeleteRouteTable", lambda w: {"RouteTableId": w.table()}, one_ok("InvalidRouteTableID.NotFound")),
    Race("AssociateRouteTable", lambda w: w.table_and_subnet()),
    Race(
        "DisassociateRouteTable",
        lambda w: {"AssociationId": w.table_association()[1]},
        one_ok("InvalidAssociationID.NotFound"),
    ),
    Race("ReplaceRouteTableAssociation", lambda w: w.replacement(), one_ok("InvalidAssociationID.NotFound")),
    Race("CreateRoute", lambda w: w.new_route(), one_ok("RouteAlreadyExists")),
    Race("ReplaceRoute", lambda w: w.route()),
    Race(
        "DeleteRoute",
        lambda w: {key: value for key, value in w.route().items() if key != "GatewayId"},
        one_ok("InvalidRoute.NotFound"),
    ),
    Race("CreateInternetGateway", lambda w: {}),
    Race(
        "AttachInternetGateway",
        lambda w: {"VpcId": w.vpc(), "InternetGatewayId": w.gateway()},
        one_ok("Resource.AlreadyAssociated"),
    ),
    Race("DetachInternetGateway", lambda w: w.attached_gateway(), one_ok("Gateway.NotAttached")),
    Race(
        "DeleteInternetGateway",
        lambda w: {"InternetGatewayId": w.gateway()},
        one_ok("InvalidInternetGatewayID.NotFound"),
    ),
    Race("CreateNatGateway", lambda w: w.new_nat(), one_ok("Resource.AlreadyAssociated"), "one address"),
    Race("DeleteNatGateway", lambda w: {"NatGatewayId": w.nat()}),
    Race(
        "CreateDhcpOptions",
        lambda w: {"DhcpConfigurations": [{"Key": "domain-name", "Values": ["race.example"]}]},
    ),
    Race("AssociateDhcpOptions", lambda w: {"DhcpOptionsId": w.options(), "VpcId": w.vpc()}),
    Race(
        "DeleteDhcpOptions", lambda w: {"DhcpOptionsId": w.options()}, one_ok("InvalidDhcpOptionID.NotFound")
    ),
    Race("CreateNetworkAcl", lambda w: {"VpcId": w.vpc()}),
    Race("DeleteNetworkAcl", lambda w: {"NetworkAclId": w.acl()}, one_ok("InvalidNetworkAclID.NotFound")),
    Race("CreateNetworkAclEntry", lambda w: _entry(w.acl()), one_ok("NetworkAclEntryAlreadyExists")),
    Race("ReplaceNetworkAclEntry", lambda w: w.acl_entry()),
    Race(
        "DeleteNetworkAclEntry",
        lambda w: {key: w.acl_entry()[key] for key in ("NetworkAclId", "RuleNumber", "Egress")},
        one_ok("InvalidNetworkAclEntry.NotFound"),
    ),
    Race(
        "ReplaceNetworkAclAssociation", lambda w: w.acl_association(), one_ok("InvalidAssociationID.NotFound")
    ),
    # Security groups
    Race(
        "CreateSecurityGroup",
        lambda w: {"GroupName": w.name(), "Description": "race"},
        one_ok("InvalidGroup.Duplicate"),
    ),
    Race("DeleteSecurityGroup", lambda w: {"GroupId": w.group()}, one_ok("InvalidGroup.NotFound")),
    Race(
        "AuthorizeSecurityGroupIngress",
        lambda w: {"GroupId": w.group(), "IpPermissions": _SSH},
        one_ok("InvalidPermission.Duplicate"),
    ),
    Race(
        "AuthorizeSecurityGroupEgress",
        lambda w: {"GroupId": w.group(), "IpPermissions": _SSH},
        one_ok("InvalidPermission.Duplicate"),
    ),
    Race(
        "RevokeSecurityGroupIngress",
        lambda w: dict(zip(("GroupId", "SecurityGroupRuleIds"), w.rules(), strict=True)),
        one_ok("InvalidSecurityGroupRuleId.NotFound"),
    ),
    Race(
        "RevokeSecurityGroupEgress",
        lambda w: dict(zip(("GroupId", "SecurityGroupRuleIds"), w.rules(egress=True), strict=True)),
        one_ok("InvalidSecurityGroupRuleId.NotFound"),
    ),
    Race("ModifySecurityGroupRules", lambda w: w.changed_rule()),
    Race("UpdateSecurityGroupRuleDescriptionsIngress", lambda w: w.described_rule()),
    Race("UpdateSecurityGroupRuleDescriptionsEgress", lambda w: w.described_rule(egress=True)),
    # Interfaces and addresses
    Race("CreateNetworkInterface", lambda w: {"SubnetId": w.default_subnet()}),
    Race(
        "CreateNetworkInterface",
        lambda w: {"SubnetId": w.default_subnet(), "PrivateIpAddress": w.free_address()},
        one_ok("InvalidIPAddress.InUse"),
        "one private address",
    ),
    Race(
        "CreateNetworkInterface",
        lambda w: {"SubnetId": w.narrow_subnet()},
        one_ok("InsufficientFreeAddressesInSubnet"),
        "the last address",
    ),
    Race(
        "DeleteNetworkInterface",
        lambda w: {"NetworkInterfaceId": w.interface()},
        one_ok("InvalidNetworkInterfaceID.NotFound"),
    ),
    Race(
        "AttachNetworkInterface",
        lambda w: {"NetworkInterfaceId": w.interface(), "InstanceId": w.instance(), "DeviceIndex": 1},
        one_ok("InvalidNetworkInterface.InUse"),
        "one interface",
    ),
    Race("DetachNetworkInterface", lambda w: {"AttachmentId": w.attached_interface()[1]}),
    Race(
        "ModifyNetworkInterfaceAttribute",
        lambda w: {"NetworkInterfaceId": w.interface(), "SourceDestCheck": {"Value": False}},
    ),
    Race(
        "ResetNetworkInterfaceAttribute",
        lambda w: {"NetworkInterfaceId": w.interface(), "SourceDestCheck": "true"},
    ),
    Race(
        "AssignPrivateIpAddresses",
        lambda w: {"NetworkInterfaceId": w.interface(), "PrivateIpAddresses": [w.free_address()]},
    ),
    Race("UnassignPrivateIpAddresses", lambda w: w.secondary(), one_ok("InvalidParameterValue")),
    Race("AllocateAddress", lambda w: {}),
    Race(
        "AllocateAddress",
        lambda w: w.one_left("floating_ips"),
        one_ok("AddressLimitExceeded"),
        "the last of a quota",
    ),
    Race(
        "AllocateAddress",
        lambda w: {"Address": w.free_public_address()},
        one_ok("InvalidIPAddress.InUse"),
        "a certain address",
    ),
    Race("AssociateAddress", lambda w: {"AllocationId": w.address(), "NetworkInterfaceId": w.interface()}),
    Race(
        "DisassociateAddress",
        lambda w: {"AssociationId": w.associated_address()},
        one_ok("InvalidAssociationID.NotFound"),
    ),
    Race("ReleaseAddress", lambda w: {"AllocationId": w.address()}, one_ok("InvalidAllocationID.NotFound")),
)
"""Every operation that changes something, at least once."""
