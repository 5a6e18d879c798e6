"""A cloud in memory that holds at least one of everything EC2 speaks of, for two tenants, and can be put back.

Requests made up by a generator need things that exist, things of somebody else, and a cloud that is the same
for each of them: :meth:`Population.restore` undoes whatever a request has done.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore import xform_name
from ec2_face import Ec2Cloud
from lxml import etree
from simulation import NETWORK, Cloud

from backend import model
from backend.engine import EngineSettings
from backend.model import Content
from ec2.actions import ACTIONS, console
from ec2.service import EC2

ZONES = ("us-east-1a", "us-east-1b")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example.com"
SOURCE = "https://images.example/guest.qcow2"
BUCKET = "bucket"

_ID = re.compile(r"\b([a-z]+(?:-[a-z]+)*)-(?:[0-9a-f]{17}|[0-9a-f]{8})\b")
#: Describe calls that need to be told nothing.
_LOOKED_AT = sorted(
    name
    for name, endpoint in EC2.endpoints.items()
    if name.startswith("Describe") and not any(each.required for each in endpoint.shape.input.members)
    if name != "DescribeSpotDatafeedSubscription"  # there is none, and that is refused
)
#: … and what one of them must be told nevertheless.
_TOLD = {"DescribeLaunchTemplateVersions": {"LaunchTemplateName": "template"}}

Ids = Mapping[str, list[str]]


class _Dice:
    """Ids that are the same in every run, so that a request that was made up once can be made again."""

    def __init__(self) -> None:
        self._random = random.Random(5)

    def token_hex(self, size: int) -> str:
        """So many bytes in hexadecimal."""
        return self._random.randbytes(size).hex()


class Importer:
    """Stands for the gateway's: allows what the cloud's image store knows a source for."""

    def __init__(self, cloud: Cloud) -> None:
        self.contents = cloud.contents

    def resolve(self, location: str, tenant_id: str) -> str | None:
        found = location.replace("upload:", f"upload:{tenant_id}/")
        return found if found in self.contents.sources else None

    def import_location(self, location: str, form: str) -> Content:
        return self.contents.bring("now", location, form)


def tags(kind: str, **values: str) -> list[dict[str, Any]]:
    """``TagSpecifications`` of one kind."""
    named = [{"Key": key, "Value": value} for key, value in values.items()]
    return [{"ResourceType": kind, "Tags": named}]


class Population:
    """The cloud with its face, the ids of what is there by prefix, and the state to go back to.

    ``mine`` are the ids that the tenant of the requests sees, ``theirs`` those that only the other one does.
    ``named`` are those of the tenant's things that a request may need a certain one of.
    """

    named: dict[str, str]

    def __init__(self, monkeypatch: Any, folder: Path) -> None:
        (folder / BUCKET).mkdir()
        monkeypatch.setattr(model, "secrets", _Dice())
        settings = EngineSettings(zones={"us-east-1": ZONES}, network=NETWORK)
        self.cloud = Cloud(settings=settings)
        self.cloud.add_host(zone=ZONES[1])
        self.cloud.poll()
        self.cloud.contents.sources[SOURCE] = b"a disk image"
        self.face = Ec2Cloud(
            monkeypatch,
            cloud=self.cloud,
            importer=Importer(self.cloud),
            export_directory=folder,
            public_domain="compute.example.com",
        )
        monkeypatch.setattr(console, "_pause", lambda _: self.cloud.settle())  # the worker works meanwhile
        for client in (self.face.bob, self.face.ann):
            self._populate(client)
        self.mine = self.ids(self.face.ann)
        theirs = self.ids(self.face.bob)
        known = {each for found in self.mine.values() for each in found}
        self.theirs = {
            prefix: [each for each in found if each not in known] for prefix, found in theirs.items()
        }
        self._saved = self._image()
        self._queued = deque(self.cloud.queue.work)

    # What is there

    def _populate(self, ec2: Any) -> None:
        settle = self.cloud.settle
        self.named = {"image": self.cloud.image.id}
        ec2.import_key_pair(
            KeyName="ours", PublicKeyMaterial=KEY.encode(), TagSpecifications=tags("key-pair", Name="ours")
        )
        made = ec2.import_key_pair(KeyName="plain", PublicKeyMaterial=KEY.encode())
        self._note("key", made["KeyPairId"])
        far = [{"Name": "availability-zone", "Values": [ZONES[1]]}]
        ec2.delete_subnet(SubnetId=ec2.describe_subnets(Filters=far)["Subnets"][0]["SubnetId"])
        self._network(ec2)
        self._routing(ec2)
        self._launch_things(ec2)
        self._instances(ec2)
        self._storage(ec2)
        self._images(ec2)
        self._addresses(ec2)
        settle()
        made = ec2.run_instances(ImageId=self.named["image"], MinCount=2, MaxCount=2)["Instances"]
        self.named["pending"] = made[0]["InstanceId"]
        self.named["pending snapshot"] = ec2.create_snapshot(VolumeId=self.named["volume"])["SnapshotId"]
        task = ec2.import_snapshot(DiskContainer={"Url": SOURCE, "Format": "qcow2"})
        self.named["import"] = task["ImportTaskId"]
        ec2.export_image(
            ImageId=self.named["saved image"], DiskImageFormat="RAW", S3ExportLocation={"S3Bucket": BUCKET}
        )

    def _note(self, name: str, identity: str) -> str:
        self.named[name] = identity
        return identity

    def _instances(self, ec2: Any) -> None:
        def run(name: str, **parameters: Any) -> str:
            launched = {"ImageId": self.named["image"], "MinCount": 1, "MaxCount": 1} | parameters
            made = ec2.run_instances(InstanceType="t2.nano", **launched)["Instances"][0]
            return self._note(name, made["InstanceId"])

        here = {"Placement": {"AvailabilityZone": ZONES[0]}}
        run("running", KeyName="ours", UserData="x", TagSpecifications=tags("instance", Name="web"), **here)
        stopped, ended = run("stopped", **here), run("ended", TagSpecifications=tags("instance", Name="old"))
        apart = {"Placement": {"GroupName": "apart"}} if "CreatePlacementGroup" in ACTIONS else {}
        run("far", SubnetId=self.named["subnet"], SecurityGroupIds=[self.named["group"]], **apart)
        parts = {"Placement": {"GroupName": "parts"}} if "CreatePlacementGroup" in ACTIONS else {}
        run("sleeper", HibernationOptions={"Configured": True}, **parts)
        self.cloud.settle()
        ec2.stop_instances(InstanceIds=[stopped])
        ec2.terminate_instances(InstanceIds=[ended])
        self.cloud.settle()

    def _network(self, ec2: Any) -> None:
        vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16", TagSpecifications=tags("vpc", Name="net"))["Vpc"]
        vpc_id = self._note("vpc", vpc["VpcId"])
        self._note("empty vpc", ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"])
        added = ec2.associate_vpc_cidr_block(VpcId=vpc_id, CidrBlock="10.9.0.0/16")
        self._note("block", added["CidrBlockAssociation"]["AssociationId"])
        for name, cidr, zone in (
            ("subnet", "10.8.1.0/24", ZONES[0]),
            ("empty subnet", "10.8.2.0/24", ZONES[1]),
        ):
            made = ec2.create_subnet(
                VpcId=vpc_id, CidrBlock=cidr, AvailabilityZone=zone,
                TagSpecifications=tags("subnet", Name=name),
            )  # fmt: skip
            self._note(name, made["Subnet"]["SubnetId"])
        group = ec2.create_security_group(
            GroupName="web", Description="what the web may do", VpcId=vpc_id,
            TagSpecifications=tags("security-group", Name="web"),
        )["GroupId"]  # fmt: skip
        self._note("group", group)
        plain = ec2.create_security_group(GroupName="plain", Description="in the default VPC")
        self._note("plain group", plain["GroupId"])
        every = {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}
        ec2.authorize_security_group_egress(
            GroupId=group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": group}]},
                {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
            ],
        )
        rules = ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **every},
                {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
                {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
            ],
            TagSpecifications=tags("security-group-rule", Name="https"),
        )["SecurityGroupRules"]
        self._note("rule", rules[0]["SecurityGroupRuleId"])
        self._note("peer rule", rules[1]["SecurityGroupRuleId"])
        for name, more in (
            ("nic", {"TagSpecifications": tags("network-interface", Name="spare"), "Description": "spare"}),
            (
                "second nic",
                {
                    "SecondaryPrivateIpAddressCount": 1,
                    "TagSpecifications": tags("network-interface", Name="second"),
                },
            ),
        ):
            made = ec2.create_network_interface(SubnetId=self.named["subnet"], **more)["NetworkInterface"]
            self._note(name, made["NetworkInterfaceId"])
            self._note(f"{name} address", made["PrivateIpAddresses"][-1]["PrivateIpAddress"])

    def _routing(self, ec2: Any) -> None:
        vpc = self.named["vpc"]
        gateway = self._note("gateway", ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        spare = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway", Name="spare"))
        self._note("spare gateway", spare["InternetGateway"]["InternetGatewayId"])
        idle = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        quiet = self._note("quiet vpc", ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"])
        ec2.attach_internet_gateway(InternetGatewayId=self._note("idle gateway", idle), VpcId=quiet)
        named = {"TagSpecifications": tags("route-table", Name="t")}
        made = ec2.create_route_table(VpcId=vpc, **named)["RouteTable"]
        table = self._note("table", made["RouteTableId"])
        self._note("spare table", ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])
        made = ec2.associate_route_table(RouteTableId=table, SubnetId=self.named["subnet"])
        self._note("table association", made["AssociationId"])
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        for name, domain in (("options", "example.com"), ("spare options", "example.org")):
            made = ec2.create_dhcp_options(
                DhcpConfigurations=[{"Key": "domain-name", "Values": [domain]}],
                TagSpecifications=tags("dhcp-options", Name=domain),
            )
            self._note(name, made["DhcpOptions"]["DhcpOptionsId"])
        ec2.associate_dhcp_options(DhcpOptionsId=self.named["options"], VpcId=vpc)
        made = ec2.create_network_acl(VpcId=vpc, TagSpecifications=tags("network-acl", Name="a"))
        acl = self._note("acl", made["NetworkAcl"]["NetworkAclId"])
        entry = {"NetworkAclId": acl, "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
        ec2.create_network_acl_entry(
            RuleNumber=100, Protocol="6", Egress=False, PortRange={"From": 22, "To": 22}, **entry
        )
        ec2.create_network_acl_entry(
            RuleNumber=110, Protocol="1", Egress=True, IcmpTypeCode={"Type": 8, "Code": -1}, **entry
        )
        listed = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        used = next(each["Associations"] for each in listed if each["Associations"])
        self._note("acl association", used[0]["NetworkAclAssociationId"])

    def _launch_things(self, ec2: Any) -> None:
        """Launch templates and placement groups, where they are served."""
        if "CreateLaunchTemplate" in ACTIONS:
            data = {"ImageId": self.named["image"], "InstanceType": "t2.nano"}
            made = ec2.create_launch_template(
                LaunchTemplateName="template", LaunchTemplateData=data,
                TagSpecifications=tags("launch-template", Name="t"),
            )  # fmt: skip
            self._note("template", made["LaunchTemplate"]["LaunchTemplateId"])
            ec2.create_launch_template_version(
                LaunchTemplateName="template", LaunchTemplateData={"KeyName": "ours"}, SourceVersion="1"
            )
        if "CreatePlacementGroup" in ACTIONS:
            named = {"TagSpecifications": tags("placement-group", Name="apart")}
            ec2.create_placement_group(GroupName="apart", Strategy="spread", **named)
            ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=3)
            ec2.create_placement_group(GroupName="empty", Strategy="partition", PartitionCount=3)

    def _storage(self, ec2: Any) -> None:
        settle, zone = self.cloud.settle, {"AvailabilityZone": ZONES[0]}
        free = self._note("volume", ec2.create_volume(Size=1, **zone)["VolumeId"])
        data = ec2.create_volume(
            Size=2, VolumeType="gp3", TagSpecifications=tags("volume", Name="data"), **zone
        )["VolumeId"]
        self._note("data volume", data)
        settle()
        ec2.attach_volume(VolumeId=data, InstanceId=self.named["running"], Device="/dev/sdf")
        kept = ec2.create_snapshot(VolumeId=free, TagSpecifications=tags("snapshot", Name="kept"))
        self._note("snapshot", kept["SnapshotId"])
        settle()
        ec2.modify_volume(VolumeId=data, Size=3)
        self._note("second volume", ec2.create_volume(SnapshotId=self.named["snapshot"], **zone)["VolumeId"])
        settle()

    def _images(self, ec2: Any) -> None:
        source = {"Url": SOURCE, "Format": "qcow2"}
        image = ec2.create_image(
            InstanceId=self.named["running"], Name="saved", NoReboot=True, Description="of web"
        )["ImageId"]
        self._note("saved image", image)
        self.cloud.settle()
        ec2.create_tags(Resources=[image], Tags=[{"Key": "Name", "Value": "saved"}])
        gone = ec2.register_image(Name="gone", ImageLocation=SOURCE, RootDeviceName="/dev/vda")["ImageId"]
        self._note("gone image", gone)
        ec2.deregister_image(ImageId=gone)
        ec2.import_image(DiskContainers=[source], Description="brought")
        ec2.import_snapshot(DiskContainer=source)
        self.cloud.settle()

    def _addresses(self, ec2: Any) -> None:
        first = ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", Name="front"))
        made = ec2.associate_address(AllocationId=first["AllocationId"], InstanceId=self.named["running"])
        self._note("address association", made["AssociationId"])
        self._note("address", ec2.allocate_address(Domain="vpc")["AllocationId"])
        self._note("second address", ec2.allocate_address(Domain="vpc")["AllocationId"])
        for_nat = ec2.allocate_address(Domain="vpc")["AllocationId"]
        made = ec2.create_nat_gateway(
            SubnetId=self.named["subnet"],
            AllocationId=for_nat,
            TagSpecifications=tags("natgateway", Name="n"),
        )
        self._note("nat", made["NatGateway"]["NatGatewayId"])
        ec2.create_route(
            RouteTableId=self.named["table"], DestinationCidrBlock="10.97.0.0/16",
            NatGatewayId=self.named["nat"],
        )  # fmt: skip
        nic = self.named["second nic"]
        made = ec2.attach_network_interface(
            NetworkInterfaceId=nic, InstanceId=self.named["far"], DeviceIndex=1
        )
        self._note("attachment", made["AttachmentId"])
        ec2.create_route(
            RouteTableId=self.named["table"], DestinationCidrBlock="10.99.0.0/16", NetworkInterfaceId=nic
        )

    # What there is to be named

    def ids(self, ec2: Any) -> dict[str, list[str]]:
        """Ids of all that a tenant can see, by prefix, in the order of the ids."""
        found: dict[str, set[str]] = {}
        for name in _LOOKED_AT:
            getattr(ec2, xform_name(name))(**_TOLD.get(name, {}))
            for match in _ID.finditer(self.face.transport.last.text):
                found.setdefault(match[1], set()).add(match[0])
        return {prefix: sorted(each) for prefix, each in sorted(found.items())}

    # The way back

    def _image(self) -> bytes:
        return bytes(self._connection().serialize())

    def _connection(self) -> sqlite3.Connection:
        driver = self.cloud.store.engine.raw_connection().driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return driver

    def changed(self) -> bool:
        """Whether any row differs from what was there in the beginning, or work was queued."""
        if self.cloud.queue.work != self._queued:
            return True
        now = self._image()
        return now != self._saved and _rows(now) != _rows(self._saved)

    def restore(self) -> None:
        """Be as in the beginning: rows, queue, and nothing remembered of what was."""
        with sqlite3.connect(":memory:") as saved:
            saved.deserialize(self._saved)
            saved.backup(self._connection())
        self.cloud.queue.work = deque(self._queued)
        rendered = self.face.face._rendered
        rendered._young, rendered._old = {}, {}

    def post(self, pairs: list[tuple[str, str]], action: str) -> Any:
        """Send an action with parameters as they are on the wire."""
        return self.face.post(action, **dict(pairs))


def _rows(image: bytes) -> list[str]:
    with sqlite3.connect(":memory:") as database:
        database.deserialize(image)
        return list(database.iterdump())


def text_of(reply: Any, tag: str) -> str | None:
    """The text of an element of a reply, in whatever namespace."""
    found: str | None = etree.fromstring(reply.content).findtext(f".//{{*}}{tag}")
    return found
