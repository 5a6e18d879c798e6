"""Each resource made by one face, read, changed and deleted by the other: both views are compared after each step."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cross_face import OURS, PUBLIC_KEY, SSH_KEY, USER_DATA, VIEWS, Faces, ec2_id, path_of
from live_cloud import LiveCloud, wait_for
from occi_client import INFRASTRUCTURE, JSON

SCRIPT = "#!/bin/sh\necho hello\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvBnYkZ0m6cWQYq3V0mU0iH5cD1x4xGQ1ybIY9l8iVn me"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK6b3yDySQLZNIXIPXub1ekxMeR2r7/OxhKLWekU44rB other"
NANO = f"{OURS}resource_tpl#t2_nano"
BY = pytest.mark.parametrize("by", ["ec2", "occi"])


@pytest.fixture(scope="module")
def faces(cloud: LiveCloud) -> Faces:
    """A tenant of this module's own."""
    faces = Faces(cloud, cloud.tenant("both faces"))
    faces.ec2.import_key_pair(KeyName="both", PublicKeyMaterial=KEY)
    return faces


@pytest.fixture(scope="module")
def machine(faces: Faces) -> Iterator[str]:
    """A machine to link things with."""
    made = faces.ec2.run_instances(ImageId=faces.cloud.image, InstanceType="t2.nano", MinCount=1, MaxCount=1)
    instance_id = made["Instances"][0]["InstanceId"]
    faces.agree("compute", instance_id, state="active")
    yield instance_id
    faces.said("DELETE", path_of("compute", instance_id))
    faces.gone("compute", instance_id)


def named(faces: Faces, entity_id: str, name: str) -> None:
    faces.ec2.create_tags(Resources=[entity_id], Tags=[{"Key": "Name", "Value": name}])


def titled(faces: Faces, path: str, title: str) -> None:
    faces.said("POST", path, {"title": title})


def tags(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


# Machines and their sizes -------------------------------------------------------------------------------


def machine_by(faces: Faces, by: str) -> str:
    if by == "occi":
        given = {
            "occi.core.title": "first", "occi.credentials.ssh.publickey": KEY,
            "occi.compute.userdata": base64.b64encode(SCRIPT.encode()).decode(),
        }  # fmt: skip
        return ec2_id(
            faces.made("compute", given, [f"{OURS}os_tpl#{faces.cloud.image}", NANO, SSH_KEY, USER_DATA])
        )
    made = faces.ec2.run_instances(
        ImageId=faces.cloud.image, InstanceType="t2.nano", KeyName="both", UserData=SCRIPT, MinCount=1, MaxCount=1,
        TagSpecifications=tags("instance", "first"),
    )  # fmt: skip
    return str(made["Instances"][0]["InstanceId"])


@BY
def test_a_machine(faces: Faces, by: str):
    vm = machine_by(faces, by)
    path = path_of("compute", vm)
    shown = faces.agree("compute", vm, state="active", core_title="first", memory=0.5)
    assert shown["attributes"]["occi.credentials.ssh.publickey"].split()[:2] == KEY.split()[:2]
    assert base64.b64decode(shown["attributes"]["occi.compute.userdata"]).decode() == SCRIPT
    faces.said("POST", path, {"mixins": [SSH_KEY], "attributes": {PUBLIC_KEY: OTHER_KEY}})
    changed = faces.agree("compute", vm)["attributes"][PUBLIC_KEY]
    assert changed.split()[:2] == OTHER_KEY.split()[:2]
    titled(faces, path, 'second; "quoted", ü')
    faces.agree("compute", vm, core_title='second; "quoted", ü')
    named(faces, vm, "third")
    faces.agree("compute", vm, core_title="third")
    faces.act("compute", vm, "suspend", method="suspend")
    faces.agree("compute", vm, state="suspended")
    faces.ec2.start_instances(InstanceIds=[vm])
    faces.agree("compute", vm, state="active")
    faces.ec2.stop_instances(InstanceIds=[vm], Force=True)
    faces.agree("compute", vm, state="inactive")
    faces.said("POST", "/resource_tpl/t2_micro/", [path])
    assert f"{OURS}resource_tpl#t2_micro" in faces.agree("compute", vm, memory=1.0)["mixins"]
    faces.ec2.modify_instance_attribute(InstanceId=vm, InstanceType={"Value": "t2.nano"})
    assert NANO in faces.agree("compute", vm, memory=0.5)["mixins"]
    faces.act("compute", vm, "start")
    faces.agree("compute", vm, state="active")
    if by == "ec2":
        faces.said("DELETE", path)
    else:
        faces.ec2.terminate_instances(InstanceIds=[vm])
    faces.gone("compute", vm)


def test_every_kind_has_its_words_in_ec2(faces: Faces):
    model = json.loads(faces.said("GET", "/-/").body)
    kinds = {each["term"] for each in model["kinds"] if each["scheme"] == INFRASTRUCTURE}
    assert kinds == VIEWS.keys() - {"floating"}


def test_sizes_images_and_places_are_templates_and_mixins(faces: Faces):
    mixins = {each["scheme"] + each["term"]: each for each in faces.occi.model()}
    children: dict[str, dict[str, Any]] = {}
    for name, each in mixins.items():
        for parent in each.get("depends", []):
            children.setdefault(parent.removeprefix(INFRASTRUCTURE), {})[name] = each
    types = {each["InstanceType"]: each for each in faces.ec2.describe_instance_types()["InstanceTypes"]}
    sizes = {
        (given["occi.compute.cores"]["default"], round(given["occi.compute.memory"]["default"] * 1024))
        for given in (each["attributes"] for each in children["resource_tpl"].values())
    }
    assert len(children["resource_tpl"]) == len(types)
    assert sizes == {(t["VCpuInfo"]["DefaultVCpus"], t["MemoryInfo"]["SizeInMiB"]) for t in types.values()}
    images = {each["ImageId"]: each["Name"] for each in faces.ec2.describe_images()["Images"]}
    assert {each["term"]: each["title"] for each in children["os_tpl"].values()} == images
    zones = faces.ec2.describe_availability_zones()["AvailabilityZones"]
    assert {each["term"] for each in children["availability_zone"].values()} == {
        each["ZoneName"] for each in zones
    }
    regions = {each["RegionName"] for each in zones}
    assert {each["term"] for each in children["region"].values()} == regions


# Storage ------------------------------------------------------------------------------------------------


def volume_by(faces: Faces, by: str) -> str:
    if by == "occi":
        zone = f"{OURS}availability_zone#{faces.zone}"
        return ec2_id(faces.made("storage", {"occi.core.title": "first", "occi.storage.size": 1}, [zone]))
    made = faces.ec2.create_volume(
        AvailabilityZone=faces.zone, Size=1, TagSpecifications=tags("volume", "first")
    )
    return str(made["VolumeId"])


@BY
def test_a_volume(faces: Faces, by: str):
    volume = volume_by(faces, by)
    path = path_of("storage", volume)
    faces.agree("storage", volume, core_title="first", size=1.0, state="online")
    titled(faces, path, "second")
    faces.agree("storage", volume, core_title="second")
    named(faces, volume, "third")
    whole = faces.agree("storage", volume, core_title="third")
    faces.said("PUT", path, {**whole, "title": "fourth"})
    faces.agree("storage", volume, core_title="fourth")
    faces.said("POST", path, {"attributes": {"occi.storage.size": 2}})
    faces.agree("storage", volume, size=2.0)
    wait_for(lambda: "growing" not in faces.shown(path)["attributes"]["occi.storage.state.message"], "grown")
    faces.ec2.modify_volume(VolumeId=volume, Size=3)
    faces.agree("storage", volume, size=3.0)
    wait_for(lambda: "growing" not in faces.shown(path)["attributes"]["occi.storage.state.message"], "grown")
    faces.act("storage", volume, "offline")
    faces.agree("storage", volume, state="offline")
    faces.act("storage", volume, "online")
    faces.act("storage", volume, "snapshot")
    mine = [{"Name": "volume-id", "Values": [volume]}, {"Name": "status", "Values": ["completed"]}]
    [snapshot] = wait_for(lambda: faces.ec2.describe_snapshots(Filters=mine)["Snapshots"], "the snapshot")
    faces.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    faces.agree("storage", volume, state="online")
    if by == "ec2":
        faces.said("DELETE", path)
    else:
        faces.ec2.delete_volume(VolumeId=volume)
    faces.gone("storage", volume)


@BY
def test_an_attachment(faces: Faces, machine: str, by: str):
    volume = volume_by(faces, "occi" if by == "ec2" else "ec2")
    ends = path_of("compute", machine), path_of("storage", volume)
    faces.agree("storage", volume, state="online")
    if by == "occi":
        given = {
            "occi.core.source": ends[0],
            "occi.core.target": ends[1],
            "occi.storagelink.deviceid": "/dev/vdf",
        }
        link = faces.made("storagelink", given)
    else:
        faces.ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/vdf")
        link = faces.link("storagelink", *ends)
    faces.agree("storagelink", volume, link, state="active", deviceid="/dev/vdf")
    faces.agree("compute", machine)
    assert faces.agree("storage", volume)["attributes"]["occi.storage.state.message"] == "in-use"
    faces.said("DELETE", ends[1], status=409)
    with faces.refused("VolumeInUse"):
        faces.ec2.delete_volume(VolumeId=volume)
    if by == "ec2":
        faces.said("DELETE", link)
    else:
        faces.ec2.detach_volume(VolumeId=volume)
    wait_for(lambda: link not in faces.listed("storagelink"), "the link's end")
    faces.gone("storagelink", volume, link)
    faces.agree("compute", machine)
    faces.said("DELETE", ends[1])
    faces.gone("storage", volume)


def test_a_path_of_choice(faces: Faces):
    path = "/storage/by-its-name"
    document = {"kind": f"{INFRASTRUCTURE}storage", "title": "first", "attributes": {"occi.storage.size": 1}}
    faces.said("PUT", path, document, status=201)
    mine = [{"Name": "tag:Name", "Values": ["first"]}]
    [volume] = faces.ec2.describe_volumes(Filters=mine)["Volumes"]
    shown = faces.agree("storage", volume["VolumeId"], path, state="online")
    assert shown["id"] == "by-its-name"
    assert path in faces.listed("storage")
    faces.said("PUT", path, {**document, "title": "second"})
    faces.agree("storage", volume["VolumeId"], path, core_title="second")
    faces.agree("storage", volume["VolumeId"])  # its own path is there, too
    faces.ec2.delete_volume(VolumeId=volume["VolumeId"])
    faces.gone("storage", volume["VolumeId"], path)


def test_what_ec2_changed_is_no_longer_as_it_was_read(faces: Faces):
    volume = volume_by(faces, "occi")
    path = path_of("storage", volume)
    faces.agree("storage", volume, state="online")
    read = faces.said("GET", path).headers["ETag"]
    body = {"body": json.dumps({"title": "lost"}), "headers": {"Content-Type": JSON, "If-Match": read}}
    named(faces, volume, "by ec2")
    assert faces.occi.send("POST", path, body).status == 412
    faces.agree("storage", volume, core_title="by ec2")
    body["headers"]["If-Match"] = faces.said("GET", path).headers["ETag"]
    assert faces.occi.send("DELETE", path, {"headers": {"If-Match": read}}).status == 412
    assert faces.occi.send("POST", path, body).status == 200
    faces.agree("storage", volume, core_title="lost")
    faces.said("DELETE", path)
    faces.gone("storage", volume)


# Images -------------------------------------------------------------------------------------------------


@BY
def test_an_image(faces: Faces, machine: str, by: str):
    if by == "occi":
        [template] = json.loads(
            faces.act("compute", machine, "save", method="hot", name="saved by occi").body
        )["mixins"]
        image = template["term"]
    else:
        made = faces.ec2.create_image(InstanceId=machine, Name="saved by ec2", NoReboot=True)
        image = made["ImageId"]
    shown = {each["term"]: each for each in faces.occi.model()}[image]
    assert shown["title"] == f"saved by {by}"
    faces.ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    [told] = faces.ec2.describe_images(ImageIds=[image])["Images"]
    assert told["Name"] == shown["title"]
    assert shown["scheme"] + shown["term"] == f"{OURS}os_tpl#{image}"
    other = ec2_id(faces.made("compute", {}, [f"{OURS}os_tpl#{image}", NANO]))
    faces.agree("compute", other, state="active")
    snapshots = [each["Ebs"]["SnapshotId"] for each in told["BlockDeviceMappings"] if "Ebs" in each]
    if by == "occi":
        faces.ec2.deregister_image(ImageId=image)
        for snapshot in snapshots:
            faces.ec2.delete_snapshot(SnapshotId=snapshot)
    else:
        faces.said("DELETE", "/-/", {"mixins": [shown]})
        with faces.refused("InvalidSnapshot.NotFound"):
            faces.ec2.describe_snapshots(SnapshotIds=snapshots)
    assert image not in {each["term"] for each in faces.occi.model()}
    document = {"kind": f"{INFRASTRUCTURE}compute", "mixins": [f"{OURS}os_tpl#{image}"]}
    faces.said("POST", "/compute/", document, status=404)
    with faces.refused("InvalidAMIID.Unavailable"):
        faces.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    faces.said("DELETE", path_of("compute", other))
    faces.gone("compute", other)


# Networks -----------------------------------------------------------------------------------------------


def vpc(faces: Faces) -> str:
    found = faces.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return str(found[0]["VpcId"])


def network_by(faces: Faces, by: str, cidr: str) -> str:
    if by == "occi":
        ip = f"{INFRASTRUCTURE[:-1]}/network#ipnetwork"
        return ec2_id(faces.made("network", {"occi.core.title": "first", "occi.network.address": cidr}, [ip]))
    made = faces.ec2.create_subnet(
        VpcId=vpc(faces), CidrBlock=cidr, TagSpecifications=tags("subnet", "first")
    )
    return str(made["Subnet"]["SubnetId"])


def end_network(faces: Faces, by: str, subnet: str) -> None:
    if by == "occi":
        faces.said("DELETE", path_of("network", subnet))
    else:
        faces.ec2.delete_subnet(SubnetId=subnet)
    faces.gone("network", subnet)


OTHER = {"ec2": "occi", "occi": "ec2"}


@BY
def test_a_network(faces: Faces, by: str):
    subnet = network_by(faces, by, "172.31.200.0/24")
    path = path_of("network", subnet)
    faces.agree("network", subnet, core_title="first", address="172.31.200.0/24", state="active")
    titled(faces, path, "second")
    faces.agree("network", subnet, core_title="second")
    named(faces, subnet, "third")
    faces.agree("network", subnet, core_title="third")
    table = faces.ec2.create_route_table(VpcId=vpc(faces))["RouteTable"]["RouteTableId"]
    tied = faces.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    assert any("private_net" in each for each in faces.agree("network", subnet)["mixins"])
    faces.ec2.disassociate_route_table(AssociationId=tied)
    assert any("public_net" in each for each in faces.agree("network", subnet)["mixins"])
    faces.ec2.delete_route_table(RouteTableId=table)
    faces.act("network", subnet, "down")
    faces.agree("network", subnet, state="inactive")
    with faces.refused("IncorrectState"):
        faces.ec2.create_network_interface(SubnetId=subnet)
    faces.act("network", subnet, "up")
    faces.agree("network", subnet, state="active")
    end_network(faces, OTHER[by], subnet)


@BY
def test_an_interface(faces: Faces, by: str):
    vm = machine_by(faces, by)
    faces.agree("compute", vm, state="active")
    faces.ec2.stop_instances(InstanceIds=[vm], Force=True)
    faces.agree("compute", vm, state="inactive")
    subnet = network_by(faces, OTHER[by], "172.31.201.0/24")
    if by == "occi":
        ends = {"occi.core.source": path_of("compute", vm), "occi.core.target": path_of("network", subnet)}
        link = faces.made("networkinterface", {**ends, "occi.networkinterface.address": "172.31.201.9"})
        nic = ec2_id(link)
    else:
        made = faces.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="172.31.201.9")
        nic = made["NetworkInterface"]["NetworkInterfaceId"]
        link = path_of("networkinterface", nic)
        faces.said("GET", link, status=404)  # what is attached to nothing is no link
        faces.ec2.attach_network_interface(NetworkInterfaceId=nic, InstanceId=vm, DeviceIndex=1)
    faces.agree("networkinterface", nic, interface="eth1", address="172.31.201.9", state="inactive")
    faces.agree("compute", vm)
    faces.said("POST", link, {"attributes": {"occi.networkinterface.address": "172.31.201.10"}})
    shown = faces.agree("networkinterface", nic, address="172.31.201.10")
    titled(faces, link, "back")
    faces.agree("networkinterface", nic, core_title="back")
    named(faces, nic, "front")
    faces.agree("networkinterface", nic, core_title="front")
    wait_for(lambda: faces.shown(path_of("compute", vm)).get("actions"), "plugged")
    faces.act("compute", vm, "start")
    faces.agree("networkinterface", nic, state="active")
    faces.act("compute", vm, "stop", method="poweroff")
    faces.agree(
        "networkinterface", nic, state="inactive", mac=shown["attributes"]["occi.networkinterface.mac"]
    )
    with faces.refused("DependencyViolation"):
        faces.ec2.delete_subnet(SubnetId=subnet)
    if by == "ec2":
        faces.said("DELETE", link)
    else:
        told = faces.ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"][0]
        faces.ec2.detach_network_interface(AttachmentId=told["Attachment"]["AttachmentId"])
    wait_for(lambda: link not in faces.listed("networkinterface"), "the link's end")
    faces.gone("networkinterface", nic)
    if by == "occi":  # EC2 detaches only
        faces.ec2.delete_network_interface(NetworkInterfaceId=nic)
    faces.said("DELETE", path_of("compute", vm))
    faces.gone("compute", vm)
    end_network(faces, by, subnet)


# Security groups ----------------------------------------------------------------------------------------

SSH = {
    "IpProtocol": "tcp",
    "FromPort": 22,
    "ToPort": 22,
    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "us"}],
}
WEB = {"type": "inbound", "protocol": "tcp", "port": "80-443", "range": "0.0.0.0/0"}


def group_by(faces: Faces, by: str) -> str:
    if by == "occi":
        return ec2_id(
            faces.made("securitygroup", {"occi.core.title": "doors", "occi.securitygroup.rules": [WEB]})
        )
    made = faces.ec2.create_security_group(GroupName="doors", Description="who may come in", VpcId=vpc(faces))
    return str(made["GroupId"])


def end_group(faces: Faces, by: str, group: str) -> None:
    if by == "occi":
        faces.said("DELETE", path_of("securitygroup", group))
    else:
        faces.ec2.delete_security_group(GroupId=group)
    faces.gone("securitygroup", group)


@BY
def test_a_security_group(faces: Faces, by: str):
    group = group_by(faces, by)
    path = path_of("securitygroup", group)
    faces.agree("securitygroup", group, core_title="doors")
    titled(faces, path, "second")
    faces.agree("securitygroup", group, core_title="second")
    named(faces, group, "third")
    faces.agree("securitygroup", group, core_title="third")
    faces.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[SSH])
    own = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    faces.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[own])
    rules = faces.agree("securitygroup", group)["attributes"]["occi.securitygroup.rules"]
    assert {"type": "inbound", "protocol": "all", "group": path} in rules
    ping = {
        "type": "inbound",
        "protocol": "icmp",
        "port": "8",
        "range": "192.168.0.0/16",
        "ipversion": "ipv4",
    }
    faces.said("POST", path, {"attributes": {"occi.securitygroup.rules": [*rules, ping]}})
    again = faces.agree("securitygroup", group)["attributes"]["occi.securitygroup.rules"]
    assert sorted(again, key=repr) == sorted([*rules, ping], key=repr)
    faces.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[SSH])
    faces.agree("securitygroup", group)
    faces.said("POST", path, {"attributes": {"occi.securitygroup.rules": [WEB]}})
    assert faces.agree("securitygroup", group)["attributes"]["occi.securitygroup.rules"] == [
        {**WEB, "ipversion": "ipv4"}
    ]
    end_group(faces, OTHER[by], group)


@BY
def test_a_membership(faces: Faces, machine: str, by: str):
    group = group_by(faces, OTHER[by])
    [before] = faces.ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0][
        "SecurityGroups"
    ]
    ends = path_of("compute", machine), path_of("securitygroup", group)
    if by == "occi":
        link = faces.made("securitygrouplink", {"occi.core.source": ends[0], "occi.core.target": ends[1]})
    else:
        faces.ec2.modify_instance_attribute(InstanceId=machine, Groups=[before["GroupId"], group])
        link = faces.link("securitygrouplink", *ends)
    faces.agree("securitygrouplink", f"{machine} {group}", link, state="active")
    faces.agree("compute", machine)
    faces.said("DELETE", ends[1], status=409)
    with faces.refused("DependencyViolation"):
        faces.ec2.delete_security_group(GroupId=group)
    if by == "ec2":
        faces.said("DELETE", link)
    else:
        faces.ec2.modify_instance_attribute(InstanceId=machine, Groups=[before["GroupId"]])
    faces.gone("securitygrouplink", f"{machine} {group}", link)
    faces.agree("compute", machine)
    end_group(faces, by, group)


# Addresses ----------------------------------------------------------------------------------------------


@BY
def test_an_address(faces: Faces, machine: str, by: str):
    if by == "occi":
        path = faces.made("ipreservation", {"occi.core.title": "first"})
        address = ec2_id(path)
    else:
        made = faces.ec2.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip", "first"))
        address = made["AllocationId"]
        path = path_of("ipreservation", address)
    faces.agree("ipreservation", address, core_title="first", used=False)
    titled(faces, path, "second")
    faces.agree("ipreservation", address, core_title="second")
    named(faces, address, "third")
    faces.agree("ipreservation", address, core_title="third")
    if by == "ec2":
        link = faces.made(
            "networkinterface", {"occi.core.source": path_of("compute", machine), "occi.core.target": path}
        )
    else:
        faces.ec2.associate_address(AllocationId=address, InstanceId=machine)
        link = faces.link("networkinterface", path_of("compute", machine), path)
    faces.agree("ipreservation", address, used=True)
    faces.agree("floating", address, link)
    faces.agree("compute", machine)
    faces.said("DELETE", path, status=409)
    with faces.refused("InvalidIPAddress.InUse"):
        faces.ec2.release_address(AllocationId=address)
    if by == "occi":
        faces.said("DELETE", link)
    else:
        told = faces.ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
        faces.ec2.disassociate_address(AssociationId=told["AssociationId"])
    faces.said("GET", link, status=404)
    faces.agree("ipreservation", address, used=False)
    faces.agree("compute", machine)
    if by == "ec2":
        faces.said("DELETE", path)
    else:
        faces.ec2.release_address(AllocationId=address)
    faces.gone("ipreservation", address)
