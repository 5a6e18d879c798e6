"""What checks look at: made by the first that needs it, shared where it can be, taken away at the end.

In tables of requests ``{volume}`` stands for a shared thing, ``{new:volume}`` for one of the check's own,
``{no:vol}`` for an id of that prefix that does not exist, ``{name}`` for a name that is free.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final

from conformance.checks import Unknown
from conformance.ec2.reading import Node
from conformance.ec2.session import Ec2Session, Params, filters, worded

BLOCK: Final = "10.213.0.0/16"
SUBNETS: Final = "10.213.1.0/24"
PUBLIC_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f conformance@example.com"
)
USER_DATA: Final = "#!/bin/sh\necho conformance\n"
DEVICE: Final = "/dev/sdf"


def encoded(text: str) -> str:
    """Text in base64."""
    return base64.b64encode(text.encode()).decode()


# What there is ------------------------------------------------------------------------------------------


def zone(session: Ec2Session) -> str:
    """A zone that is available; that of the subnet where things are launched."""
    return session.shared("a zone", lambda: _subnet(session).text("availabilityZone"))


def subnet(session: Ec2Session) -> str:
    """A subnet to launch into: a default one, else one in a VPC of this run's."""
    return _subnet(session).text("subnetId")


def home(session: Ec2Session) -> str:
    """The VPC of the subnet to launch into."""
    return _subnet(session).text("vpcId")


def _subnet(session: Ec2Session) -> Node:
    def find() -> Node:
        found = session.ok("DescribeSubnets", filters({"default-for-az": "true"})).items("subnetSet")
        usable = sorted((each for each in found), key=lambda each: each.get("availabilityZone"))
        if usable:
            return usable[0]
        made = lab_subnet(session)
        return session.ok("DescribeSubnets", {"SubnetId.1": made}).node("subnetSet/item")

    return session.shared("a subnet to launch into", find)


def image(session: Ec2Session) -> str:
    """The image to launch: the one given, else one of the account's, else any that is public."""

    def find() -> str:
        if session.given_image:
            return session.given_image
        machines = {"image-type": "machine", "state": "available"}
        for owner in ({"Owner.1": "self"}, {}):
            found = session.ok("DescribeImages", {**owner, **filters(machines)}).items("imagesSet")
            if found:
                return found[0].text("imageId")
        raise Unknown("there is no image to launch; name one with --image")

    return session.shared("an image", find)


def other_type(session: Ec2Session) -> str:
    """An instance type that is not the one to launch."""
    for each in session.ok("DescribeInstanceTypes").texts("instanceTypeSet/item/instanceType"):
        if each != session.instance_type:
            return each
    raise Unknown("there is one instance type only")


# Machines -----------------------------------------------------------------------------------------------


def launch_params(session: Ec2Session, **more: object) -> dict[str, object]:
    """What a launch of this run's says."""
    return {
        "ImageId": image(session),
        "InstanceType": session.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": subnet(session),
        **more,
    }


def pair_params(session: Ec2Session) -> dict[str, object]:
    """The launch of the two machines that most checks look at, with its token."""

    def made() -> dict[str, object]:
        return {
            **launch_params(session),
            "MinCount": 2,
            "MaxCount": 2,
            "KeyName": key(session),
            "SecurityGroupId.1": group(session),
            "UserData": encoded(USER_DATA),
            "ClientToken": session.name("pair"),
        }

    return session.shared("the parameters of a launch", made)


def pair(session: Ec2Session) -> list[str]:
    """The ids of two machines of one launch, as soon as they are launched."""

    def made() -> list[str]:
        reply = session.make("RunInstances", pair_params(session), shared=True)
        found = sorted(reply.items("instancesSet"), key=lambda each: int(each.get("amiLaunchIndex") or 0))
        if len(found) != 2:
            raise Unknown(f"a launch of 2 instances made {len(found)}")
        return [each.text("instanceId") for each in found]

    return session.shared("two machines", made)


def machine(session: Ec2Session) -> str:
    """The id of a machine that runs, and that no check stops."""

    def made() -> str:
        first = pair(session)[0]
        running(session, first)
        return first

    return session.shared("a machine", made)


def worker(session: Ec2Session) -> str:
    """The id of the machine that is stopped and started, as soon as it is launched."""
    return pair(session)[1]


def instance(session: Ec2Session, instance_id: str) -> Node:
    """What DescribeInstances tells of an instance."""
    reply = session.ok("DescribeInstances", {"InstanceId.1": instance_id})
    return reply.node("reservationSet/item/instancesSet/item")


def state(session: Ec2Session, instance_id: str, wanted: str, *wrong: str) -> Node:
    """An instance as soon as it is in a state; the check is Unknown when it gets into a wrong one."""

    def probe() -> Node | None:
        found = instance(session, instance_id)
        now = found.text("instanceState/name")
        if now in wrong:
            raise Unknown(f"{instance_id} became {now}, not {wanted}: {found.get('stateReason/message')}")
        return found if now == wanted else None

    return session.until(f"{wanted} of {instance_id}", probe)


def follow(session: Ec2Session, instance_id: str, wanted: str) -> list[str]:
    """The states of an instance until it is in one: each time it was another than before."""
    seen: list[str] = []

    def probe() -> list[str] | None:
        now = instance(session, instance_id).text("instanceState/name")
        if now not in seen[-1:]:
            seen.append(now)
        return seen if now in {wanted, "terminated"} else None

    return session.until(f"{wanted} of {instance_id}", probe)


def running(session: Ec2Session, instance_id: str) -> Node:
    """An instance as soon as it runs."""
    return state(session, instance_id, "running", "terminated", "shutting-down", "stopping")


# Block storage ------------------------------------------------------------------------------------------


def volume_state(session: Ec2Session, volume_id: str, wanted: str) -> Node:
    """A volume as soon as it is in a state."""

    def probe() -> Node | None:
        found = session.ok("DescribeVolumes", {"VolumeId.1": volume_id}).node("volumeSet/item")
        if found.text("status") == "error":
            raise Unknown(f"{volume_id} is in error")
        return found if found.text("status") == wanted else None

    return session.until(f"{wanted} of {volume_id}", probe)


def new_volume(session: Ec2Session, *, shared: bool = False) -> str:
    """An empty volume of 1 GiB, available."""
    made = session.make("CreateVolume", {"AvailabilityZone": zone(session), "Size": 1}, shared=shared)
    found = made.text("volumeId")
    volume_state(session, found, "available")
    return found


def attached_volume(session: Ec2Session) -> str:
    """A volume that is attached to the machine; no check detaches it."""

    def made() -> str:
        found = new_volume(session, shared=True)
        session.make(
            "AttachVolume",
            {"VolumeId": found, "InstanceId": machine(session), "Device": DEVICE},
            shared=True,
        )
        volume_state(session, found, "in-use")
        session.until(f"attachment of {found}", lambda: _attached(session, found))
        return found

    return session.shared("an attached volume", made)


def _attached(session: Ec2Session, volume_id: str) -> bool | None:
    found = session.ok("DescribeVolumes", {"VolumeId.1": volume_id})
    status = found.get("volumeSet/item/attachmentSet/item/status")
    return True if status == "attached" else None


def new_snapshot(session: Ec2Session, *, shared: bool = False) -> str:
    """A snapshot of the shared volume, completed."""
    made = session.make("CreateSnapshot", {"VolumeId": _shared_volume(session)}, shared=shared)
    found = made.text("snapshotId")
    session.until(f"completion of {found}", lambda: _completed(session, found))
    return found


def _completed(session: Ec2Session, snapshot_id: str) -> bool | None:
    found = session.ok("DescribeSnapshots", {"SnapshotId.1": snapshot_id}).node("snapshotSet/item")
    if found.text("status") == "error":
        raise Unknown(f"{snapshot_id} is in error")
    return True if found.text("status") == "completed" else None


def register_params(session: Ec2Session, snapshot_id: str) -> dict[str, object]:
    """The registration of an image of a snapshot."""
    return {
        "Name": session.name("image"),
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMapping.1.DeviceName": "/dev/sda1",
        "BlockDeviceMapping.1.Ebs.SnapshotId": snapshot_id,
    }


def new_image(session: Ec2Session, *, shared: bool = False) -> str:
    """An image of a snapshot, available."""
    snapshot = new_snapshot(session, shared=shared)
    made = session.make("RegisterImage", register_params(session, snapshot), shared=shared)
    found = made.text("imageId")
    session.until(f"availability of {found}", lambda: _image_available(session, found))
    return found


def _image_available(session: Ec2Session, image_id: str) -> bool | None:
    found = session.ok("DescribeImages", {"ImageId.1": image_id}).node("imagesSet/item")
    if found.text("imageState") in {"failed", "error"}:
        raise Unknown(f"{image_id} is {found.text('imageState')}")
    return True if found.text("imageState") == "available" else None


# Keys, groups, networks ---------------------------------------------------------------------------------


def key(session: Ec2Session) -> str:
    """The name of a key pair."""
    return session.shared("a key pair", lambda: new_key(session, shared=True))


def new_key(session: Ec2Session, *, shared: bool = False) -> str:
    """The name of a key pair of the check's own."""
    name = session.name("key")
    session.make("ImportKeyPair", {"KeyName": name, "PublicKeyMaterial": encoded(PUBLIC_KEY)}, shared=shared)
    return name


def group(session: Ec2Session) -> str:
    """A security group with one rule, of the VPC that things are launched into."""

    def made() -> str:
        found = new_group(session, shared=True)
        session.ok("AuthorizeSecurityGroupIngress", rule(found, 22, "192.0.2.0/24"))
        return found

    return session.shared("a security group", made)


def new_group(session: Ec2Session, *, shared: bool = False) -> str:
    """A security group of the check's own."""
    params = {
        "GroupName": session.name("group"),
        "GroupDescription": "made by a conformance test",
        "VpcId": home(session),
    }
    return session.make("CreateSecurityGroup", params, shared=shared).text("groupId")


def rule(group_id: str, port: int, block: str) -> dict[str, object]:
    """One TCP rule of a group as parameters."""
    return {
        "GroupId": group_id,
        "IpPermissions.1.IpProtocol": "tcp",
        "IpPermissions.1.FromPort": port,
        "IpPermissions.1.ToPort": port,
        "IpPermissions.1.IpRanges.1.CidrIp": block,
    }


def group_rule(session: Ec2Session) -> str:
    """The id of a rule of the shared group."""
    found = session.ok("DescribeSecurityGroupRules", filters({"group-id": group(session)}))
    return found.text("securityGroupRuleSet/item/securityGroupRuleId")


def new_vpc(session: Ec2Session, *, shared: bool = False) -> str:
    """A VPC."""
    found = session.make("CreateVpc", {"CidrBlock": BLOCK}, shared=shared).text("vpc/vpcId")

    def available() -> bool | None:
        reply = session.ok("DescribeVpcs", {"VpcId.1": found})
        return True if reply.text("vpcSet/item/state") == "available" else None

    session.until(f"availability of {found}", available)
    return found


def lab_subnet(session: Ec2Session) -> str:
    """A subnet of a VPC of this run's."""
    params = {"VpcId": _shared_vpc(session), "CidrBlock": SUBNETS}
    return session.shared(
        "a subnet", lambda: session.make("CreateSubnet", params, shared=True).text("subnet/subnetId")
    )


def address(session: Ec2Session) -> str:
    """The allocation id of an address that is joined to nothing."""
    return session.shared("an address", lambda: new_address(session, shared=True))


def new_address(session: Ec2Session, *, shared: bool = False) -> str:
    """The allocation id of an address of the check's own."""
    return session.make("AllocateAddress", {"Domain": "vpc"}, shared=shared).text("allocationId")


def association(session: Ec2Session) -> tuple[str, str]:
    """Allocation and association of an address that leads to the machine; no check changes it."""

    def made() -> tuple[str, str]:
        allocated = new_address(session, shared=True)
        params = {"AllocationId": allocated, "NetworkInterfaceId": _plugged(session)}
        return allocated, session.make("AssociateAddress", params, shared=True).text("associationId")

    return session.shared("an associated address", made)


def _plugged(session: Ec2Session) -> str:
    return instance(session, machine(session)).text("networkInterfaceSet/item/networkInterfaceId")


def _maker(action: str, path: str, params: Callable[[Ec2Session], Params]) -> Callable[..., str]:
    def make(session: Ec2Session, *, shared: bool = False) -> str:
        return session.make(action, params(session), shared=shared).text(path)

    return make


def _nothing(_session: Ec2Session) -> Params:
    return {}


def _in_lab(session: Ec2Session) -> Params:
    return {"VpcId": _shared_vpc(session)}


NEW: Final[Mapping[str, Callable[..., str]]] = {
    "volume": new_volume,
    "snapshot": new_snapshot,
    "image": new_image,
    "key": new_key,
    "group": new_group,
    "vpc": new_vpc,
    "address": new_address,
    "interface": _maker(
        "CreateNetworkInterface",
        "networkInterface/networkInterfaceId",
        lambda session: {"SubnetId": subnet(session)},
    ),
    "table": _maker("CreateRouteTable", "routeTable/routeTableId", _in_lab),
    "gateway": _maker("CreateInternetGateway", "internetGateway/internetGatewayId", _nothing),
    "acl": _maker("CreateNetworkAcl", "networkAcl/networkAclId", _in_lab),
    "dhcp": _maker(
        "CreateDhcpOptions",
        "dhcpOptions/dhcpOptionsId",
        lambda _: {"DhcpConfiguration.1.Key": "domain-name", "DhcpConfiguration.1.Value.1": "example.com"},
    ),
    "template": _maker(
        "CreateLaunchTemplate",
        "launchTemplate/launchTemplateId",
        lambda session: {
            "LaunchTemplateName": session.name("template"),
            "LaunchTemplateData.InstanceType": session.instance_type,
        },
    ),
}
"""Things that a check can have for its own."""


def _placement(session: Ec2Session, *, shared: bool = False) -> str:
    name = session.name("placement")
    session.make("CreatePlacementGroup", {"GroupName": name, "Strategy": "spread"}, shared=shared)
    return name


def new_subnet(session: Ec2Session, number: int) -> str:
    """A subnet of the check's own in the shared VPC."""
    params = {"VpcId": _shared_vpc(session), "CidrBlock": f"10.213.{number}.0/24"}
    return session.make("CreateSubnet", params).text("subnet/subnetId")


def attached_gateway(session: Ec2Session) -> str:
    """An internet gateway that is attached to the shared VPC."""

    def made() -> str:
        found = NEW["gateway"](session, shared=True)
        params = {"InternetGatewayId": found, "VpcId": _shared_vpc(session)}
        session.make("AttachInternetGateway", params, shared=True)
        return found

    return session.shared("an attached gateway", made)


def _of_2_gib(session: Ec2Session) -> str:
    params = {"AvailabilityZone": zone(session), "Size": 2}
    found = session.make("CreateVolume", params, shared=True).text("volumeId")
    volume_state(session, found, "available")
    return found


def _with_entry(session: Ec2Session) -> str:
    found = NEW["acl"](session)
    entry = {"RuleNumber": 100, "Protocol": "-1", "RuleAction": "allow", "CidrBlock": "192.0.2.0/24"}
    session.ok("CreateNetworkAclEntry", {"NetworkAclId": found, **entry, "Egress": False})
    return found


def _shared_volume(session: Ec2Session) -> str:
    return session.shared("a volume", lambda: new_volume(session, shared=True))


def _shared_vpc(session: Ec2Session) -> str:
    return session.shared("a VPC", lambda: new_vpc(session, shared=True))


def main_table(session: Ec2Session) -> str:
    """The main route table of the shared VPC."""
    wanted = filters({"vpc-id": _shared_vpc(session), "association.main": "true"})
    return session.ok("DescribeRouteTables", wanted).text("routeTableSet/item/routeTableId")


def tagged(session: Ec2Session) -> str:
    """A volume with seven tags."""

    def made() -> str:
        params = {"AvailabilityZone": zone(session), "Size": 1}
        found = session.make("CreateVolume", params, shared=True).text("volumeId")
        wanted = {"ResourceId.1": found}
        for number in range(1, 8):
            wanted |= {f"Tag.{number}.Key": f"key {number}", f"Tag.{number}.Value": f"value {number}"}
        session.ok("CreateTags", wanted)
        return found

    return session.shared("a volume with tags", made)


SHARED: Final[Mapping[str, Callable[[Ec2Session], str]]] = {
    "zone": zone,
    "image": image,
    "type": lambda session: session.instance_type,
    "region": lambda session: session.signing.region,
    "subnet": subnet,
    "home": home,
    "key": key,
    "group": group,
    "group-in-use": lambda session: (machine(session), group(session))[1],
    "rule": group_rule,
    "machine": machine,
    "worker": worker,
    "volume": _shared_volume,
    "attached": attached_volume,
    "tagged": tagged,
    "root": lambda session: instance(session, machine(session)).text("blockDeviceMapping/item/ebs/volumeId"),
    "nic": _plugged,
    "device-of-attached": lambda session: (attached_volume(session), DEVICE)[1],
    "grown": lambda session: session.shared("a volume of 2 GiB", lambda: _of_2_gib(session)),
    "vpc-with-subnet": lambda session: (lab_subnet(session), _shared_vpc(session))[1],
    "acl-with-entry": _with_entry,
    "lab-subnet": lab_subnet,
    "main-table": main_table,
    "attached-gateway": attached_gateway,
    "address": address,
    "used-address": lambda session: association(session)[0],
    "association": lambda session: association(session)[1],
    "vpc": _shared_vpc,
    "placement": lambda session: session.shared(
        "a placement group", lambda: _placement(session, shared=True)
    ),
    "name": lambda session: session.name(),
    "public-key": lambda _: encoded(PUBLIC_KEY),
    "user-data": lambda _: encoded(USER_DATA),
    "new:placement": _placement,
    "new:subnet": lambda session: new_subnet(session, 77),
}
"""Things that several checks look at, by what tables of requests call them."""

_HOLE = re.compile(r"\{([^{}]+)\}")


def thing(session: Ec2Session, name: str) -> str:
    """What a word in braces stands for."""
    if name in SHARED:
        return SHARED[name](session)
    kind, _, what = name.partition(":")
    if kind == "no":
        return session.unknown(what)
    if kind == "new":
        return NEW[what](session)
    return session.shared(f"a thing: {name}", lambda: NEW[name](session, shared=True))


def filled(session: Ec2Session, params: Params) -> dict[str, str]:
    """Parameters of a table, with what words in braces stand for."""
    return {
        name: _HOLE.sub(lambda hole: thing(session, hole.group(1)), worded(value))
        for name, value in params.items()
    }


def makes_something(params: Params) -> bool:
    """Whether the words in braces of some parameters have something made."""
    harmless = {"zone", "image", "type", "region", "subnet", "home", "name", "public-key", "user-data"}
    holes = {hole for value in params.values() for hole in _HOLE.findall(str(value))}
    return any(hole not in harmless and not hole.startswith("no:") for hole in holes)
