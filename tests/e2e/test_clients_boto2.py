"""boto 2.49 against the gateway, with real guests: either signature, GET and POST, and the path of Eucalyptus.

The tests run in the order of their lines: they share a guest.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from client_guest import SCRIPT, Guest, serial
from live_cloud import Key, LiveCloud, key_of, wait_for

if sys.version_info >= (3, 12):
    pytest.skip("boto 2 knows no Python newer than 3.11", allow_module_level=True)

import boto
import boto.ec2
import boto.vpc
from boto.ec2.blockdevicemapping import BlockDeviceMapping, BlockDeviceType
from boto.ec2.networkinterface import NetworkInterfaceCollection, NetworkInterfaceSpecification
from boto.ec2.regioninfo import RegionInfo
from boto.ec2.volume import Volume
from boto.exception import EC2ResponseError

pytestmark = pytest.mark.qemu
LONG = 240.0
HOST = "127.0.0.1"
PUBLIC = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvBnYkZ0m6cWQYq3V0mU0iH5cD1x4xGQ1ybIY9l8iVn me"


@pytest.fixture(scope="module")
def key(client_cloud: LiveCloud) -> Key:
    return key_of(client_cloud.tenant("boto2"))


@pytest.fixture(scope="module")
def ec2(client_cloud: LiveCloud, key: Key) -> Any:
    """A connection that speaks of VPCs as well. It signs with version 4."""
    region = RegionInfo(name=client_cloud.facts["region"], endpoint=HOST)
    connection = boto.vpc.VPCConnection(
        key.id, key.secret, region=region, port=client_cloud.port, is_secure=False
    )
    return connection


@pytest.fixture(scope="module")
def instance(ec2: Any, client_cloud: LiveCloud) -> Any:
    """A running instance, launched with an interface that it describes itself."""
    ec2.import_key_pair("boto2", PUBLIC)
    [subnet] = ec2.get_all_subnets(filters={"defaultForAz": "true"})[:1]
    group = ec2.create_security_group("boto2", "of boto 2", vpc_id=subnet.vpc_id)
    interface = NetworkInterfaceSpecification(
        subnet_id=subnet.id, groups=[group.id], private_ip_address="172.31.0.99", delete_on_termination=True
    )
    disks = BlockDeviceMapping()
    disks["/dev/sdf"] = BlockDeviceType(size=1, delete_on_termination=True, volume_type="gp2")
    reservation = ec2.run_instances(
        client_cloud.image, instance_type="t2.nano", key_name="boto2", user_data=SCRIPT, block_device_map=disks,
        network_interfaces=NetworkInterfaceCollection(interface), client_token="boto2-once",
        instance_initiated_shutdown_behavior="terminate", disable_api_termination=True,
    )  # fmt: skip
    [made] = reservation.instances
    made.add_tag("Name", "boto2")
    becomes(made.update, "running")
    return made


@pytest.fixture(scope="module")
def guest(client_cloud: LiveCloud, instance: Any) -> Guest:
    return Guest(client_cloud, instance.id)


def becomes(update: Callable[[], str], state: str) -> None:
    wait_for(lambda: update() == state, state, LONG)


# Who may ask, and how -----------------------------------------------------------------------------------


def test_either_signature(client_cloud: LiveCloud, key: Key):
    """boto signs with version 4 of itself; version 2 is what a subclass or a configuration of old asks for."""

    class Old(boto.ec2.EC2Connection):
        def _required_auth_capability(self) -> list[str]:
            return ["ec2"]

    region = RegionInfo(name=client_cloud.facts["region"], endpoint=HOST)
    for version in ("2010-08-31", "2014-10-01"):
        old = Old(
            key.id, key.secret, region=region, port=client_cloud.port, is_secure=False, api_version=version
        )
        assert [each.name for each in old.get_all_regions()] == [client_cloud.facts["region"]]
        assert "default" in [each.name for each in old.get_all_security_groups()]
        with pytest.raises(EC2ResponseError) as refusal:
            Old(key.id, "wrong", region=region, port=client_cloud.port, is_secure=False).get_all_zones()
        assert (refusal.value.status, refusal.value.error_code) == (401, "AuthFailure")


@pytest.mark.parametrize("path", ["/services/Eucalyptus", "/services/Cloud", "/services/compute", "/"])
def test_connect_euca(client_cloud: LiveCloud, key: Key, path: str):
    """It signs for a region and a service that it takes from the host's name."""
    euca = boto.connect_euca(HOST, key.id, key.secret, port=client_cloud.port, path=path)
    [zone] = euca.get_all_zones()
    assert (zone.name, zone.state) == ("us-east-1a", "available")
    assert client_cloud.image in [each.id for each in euca.get_all_images()]
    with pytest.raises(EC2ResponseError) as refusal:
        euca.get_all_instances(instance_ids=["i-0123456789abcdef0"])
    assert refusal.value.error_code == "InvalidInstanceID.NotFound"


def test_it_can_be_told_what_to_sign_for(cloud: LiveCloud):
    """A cloud that insists on its region and service, as it does unless the operator relaxes it."""
    euca = boto.connect_euca(HOST, cloud.key.id, cloud.key.secret, port=cloud.port)
    with pytest.raises(EC2ResponseError) as refusal:
        euca.get_all_zones()
    assert (refusal.value.status, refusal.value.error_code) == (401, "AuthFailure")
    euca.auth_region_name, euca.auth_service_name = cloud.facts["region"], "ec2"
    assert [each.region_name for each in euca.get_all_zones()] == [cloud.facts["region"]]


def test_errors(ec2: Any):
    with pytest.raises(EC2ResponseError) as refusal:
        ec2.get_only_instances(["i-0123456789abcdef0"])
    error = refusal.value
    assert (error.status, error.reason) == (400, "Bad Request")
    assert error.error_code == "InvalidInstanceID.NotFound"
    assert error.message == "The instance ID 'i-0123456789abcdef0' does not exist"
    assert len(error.request_id) == 36
    with pytest.raises(EC2ResponseError) as refusal:
        ec2.create_volume(1, "us-east-1a", dry_run=True)
    assert (refusal.value.status, refusal.value.error_code) == (412, "DryRunOperation")


def test_keys_and_groups(ec2: Any, tmp_path: Any):
    made = ec2.create_key_pair("made")
    (tmp_path / "made.pem").write_text(made.material)  # its save() writes bytes, and has text under Python 3
    (tmp_path / "made.pem").chmod(0o600)
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "made.pem")], capture_output=True, text=True
    )
    assert done.stdout.startswith("2048 ")
    assert ec2.get_key_pair("made").fingerprint == made.fingerprint
    made.delete()
    assert ec2.get_key_pair("made") is None
    group = ec2.create_security_group("web", "of the web")
    assert group.authorize("tcp", 80, 80, "0.0.0.0/0")
    assert group.authorize(src_group=group, ip_protocol="tcp", from_port=0, to_port=65535)
    [shown] = ec2.get_all_security_groups(filters={"group-name": "web"})
    assert {
        each.to_port: [grant.cidr_ip or grant.group_id for grant in each.grants] for each in shown.rules
    } == {
        "80": ["0.0.0.0/0"],
        "65535": [group.id],
    }
    assert group.revoke("tcp", 80, 80, "0.0.0.0/0")
    with pytest.raises(EC2ResponseError, match=r"InvalidPermission\.NotFound"):
        ec2.revoke_security_group(
            group_id=group.id, ip_protocol="tcp", from_port=81, to_port=81, cidr_ip="10.0.0.0/8"
        )
    assert group.delete()


def test_a_network_of_ones_own(ec2: Any):
    vpc = ec2.create_vpc("10.40.0.0/16")
    vpc.add_tag("Name", "lab")
    subnet = ec2.create_subnet(vpc.id, "10.40.1.0/24")
    gateway = ec2.create_internet_gateway()
    assert ec2.attach_internet_gateway(gateway.id, vpc.id)
    table = ec2.create_route_table(vpc.id)
    assert ec2.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
    association = ec2.associate_route_table(table.id, subnet.id)
    [shown] = ec2.get_all_route_tables(filters={"route.gateway-id": gateway.id})
    assert {(each.destination_cidr_block, each.gateway_id) for each in shown.routes} == {
        ("10.40.0.0/16", "local"),
        ("0.0.0.0/0", gateway.id),
    }
    interface = ec2.create_network_interface(subnet.id, "10.40.1.9", "spare")
    assert (
        ec2.get_all_network_interfaces(filters={"subnet-id": subnet.id})[0].private_ip_address == "10.40.1.9"
    )
    assert interface.delete()
    assert ec2.disassociate_route_table(association)
    assert ec2.delete_route_table(table.id)
    assert ec2.detach_internet_gateway(gateway.id, vpc.id)
    assert ec2.delete_internet_gateway(gateway.id)
    assert ec2.delete_subnet(subnet.id)
    assert vpc.delete()
    assert ec2.get_all_vpcs(filters={"tag:Name": "lab"}) == []


# A guest ------------------------------------------------------------------------------------------------


def test_what_was_launched_is_what_runs(ec2: Any, instance: Any, guest: Guest):
    told = guest.ready()
    assert (told["instance_id"], told["keys"], told["user_data"]) == (instance.id, 1, "ran")
    assert told["ip"] == instance.private_ip_address == "172.31.0.99"
    assert (guest.shown()["state"], guest.runs()) == ("runn", True)
    wait_for(
        lambda: "isthmus-guest: ready" in (instance.get_console_output().output or b"").decode(),
        "the console",
    )
    assert f"user-data: hello from {instance.id}" in instance.get_console_output().output.decode()
    [shown] = ec2.get_only_instances(filters={"tag:Name": "boto2", "instance-state-name": "running"})
    assert (shown.id, shown.tags, shown.key_name) == (instance.id, {"Name": "boto2"}, "boto2")
    assert shown.block_device_mapping["/dev/sdf"].volume_id is not None
    assert [each.description for each in shown.interfaces] == [""]
    assert [each.name for each in shown.groups] == ["boto2"]
    data = instance.get_attribute("userData")["userData"]
    assert base64.b64decode(data).decode() == SCRIPT
    assert instance.get_attribute("disableApiTermination")["disableApiTermination"] is True
    assert instance.get_attribute("instanceInitiatedShutdownBehavior") == {
        "instanceInitiatedShutdownBehavior": "terminate"
    }


def test_pages(ec2: Any):
    made = [ec2.create_volume(1, "us-east-1a") for _ in range(7)]
    seen, more = [], {}
    while True:
        page = ec2.get_list("DescribeVolumes", {"MaxResults": "5", **more}, [("item", Volume)])
        assert 0 < len(page) <= 5
        seen += [each.id for each in page]
        if not page.next_token:
            break
        more = {"NextToken": page.next_token}
    assert sorted(seen) == sorted(each.id for each in ec2.get_all_volumes())
    assert {each.id for each in made} < set(seen)
    for each in made:
        becomes(each.update, "available")
        assert each.delete()


def test_volumes(ec2: Any, instance: Any, guest: Guest):
    volume = ec2.create_volume(1, instance.placement, volume_type="gp2")
    volume.add_tag("Name", "data")
    becomes(volume.update, "available")
    assert volume.attach(instance.id, "/dev/sdg")
    guest.says(f"added size={1 << 30} serial={serial(volume.id)}")
    becomes(volume.update, "in-use")
    wait_for(lambda: volume.update() and volume.attachment_state() == "attached", "attached", LONG)
    snapshot = volume.create_snapshot("kept")
    wait_for(lambda: snapshot.update() == "100%", "the snapshot", LONG)
    assert snapshot.status == "completed"
    restored = snapshot.create_volume(instance.placement)
    becomes(restored.update, "available")
    assert (restored.size, restored.snapshot_id) == (1, snapshot.id)
    assert ec2.attach_volume(restored.id, instance.id, "/dev/sdh")
    guest.says(f"added size={1 << 30} serial={serial(restored.id)}")
    wait_for(lambda: restored.update() and restored.attachment_state() == "attached", "attached", LONG)
    removed = guest.console().count(" removed")
    assert restored.detach()
    assert volume.detach()
    for each in (volume, restored):
        becomes(each.update, "available")
    guest.says(" removed", removed + 2)
    for each in (volume, restored, snapshot):
        assert each.delete()


def test_addresses(ec2: Any, instance: Any):
    address = ec2.allocate_address(domain="vpc")
    assert address.associate(instance.id, allow_reassociation=True)
    instance.update()
    assert instance.ip_address == address.public_ip
    [shown] = ec2.get_all_addresses(allocation_ids=[address.allocation_id])
    assert (shown.instance_id, shown.domain) == (instance.id, "vpc")
    assert ec2.disassociate_address(association_id=shown.association_id)
    assert ec2.release_address(allocation_id=address.allocation_id)
    assert ec2.get_all_addresses() == []


def test_status_checks(ec2: Any, instance: Any):
    def status() -> tuple[str, str]:
        [shown] = ec2.get_all_instance_status([instance.id])
        return shown.state_name, shown.instance_status.status

    wait_for(lambda: status() == ("running", "ok"), "ok", LONG)


def test_rebooted_stopped_changed_and_started(ec2: Any, instance: Any, guest: Guest):
    before = guest.ready()
    assert instance.reboot() in {True, None}
    assert guest.ready(2)["boot_id"] != before["boot_id"]
    [stopping] = ec2.stop_instances([instance.id])
    assert (stopping.state, stopping.state_code) == ("stopping", 64)
    becomes(instance.update, "stopped")
    assert (guest.runs(), guest.shown()["state"]) == (False, "poff")
    assert instance.modify_attribute("instanceType", "t2.micro")
    changed = base64.b64encode(SCRIPT.replace("hello", "hello again").encode()).decode()
    assert instance.modify_attribute("userData", changed)
    instance.start()
    becomes(instance.update, "running")
    guest.ready(3)
    assert f"hello again from {instance.id}" in guest.console()
    assert (instance.instance_type, guest.shown()["flavor"]) == ("t2.micro", "t2.micro")


def test_an_image_of_it(ec2: Any, instance: Any, guest: Guest):
    made = ec2.create_image(instance.id, "boto2", "as it runs", no_reboot=True)
    image = ec2.get_image(made)
    becomes(image.update, "available")
    assert image.set_launch_permissions(group_names="all")
    assert image.get_launch_permissions() == {"groups": ["all"]}
    [other] = image.run(instance_type="t2.nano").instances
    copy = Guest(guest.cloud, other.id)
    try:
        assert copy.ready(4)["instance_id"] == other.id
    finally:
        other.terminate()
    becomes(other.update, "terminated")
    assert image.deregister(delete_snapshot=True)
    assert ec2.get_all_images(owners=["self"]) == []


def test_terminated(ec2: Any, instance: Any, guest: Guest):
    with pytest.raises(EC2ResponseError, match="OperationNotPermitted"):
        instance.terminate()
    assert instance.modify_attribute("disableApiTermination", False)
    instance.terminate()
    becomes(instance.update, "terminated")
    assert not guest.runs()
    assert guest.cloud.cli("check") == []


def test_a_program_with_a_configuration_file(client_cloud: LiveCloud, key: Key, tmp_path: Any):
    """What ~/.boto says is enough for a program that knows no endpoint."""
    (tmp_path / "boto.cfg").write_text(
        textwrap.dedent(f"""\
        [Credentials]
        aws_access_key_id = {key.id}
        aws_secret_access_key = {key.secret}
        [Boto]
        is_secure = False
        ec2_region_name = {client_cloud.facts["region"]}
        ec2_region_endpoint = {HOST}
        """)
    )
    program = (
        f"import boto; print([z.name for z in boto.connect_ec2(port={client_cloud.port}).get_all_zones()])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], check=False, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "BOTO_CONFIG": str(tmp_path / "boto.cfg")},
    )  # fmt: skip
    assert done.stdout.strip() == "['us-east-1a']", done.stderr
