"""Apache Libcloud against the gateway, with real guests: the EC2 driver, and Eucalyptus's with signature 2.

The tests run in the order of their lines: they share a guest.
"""

from __future__ import annotations

from typing import Any

import pytest
from client_guest import SCRIPT, Guest, serial
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError
from libcloud.compute.base import NodeAuthSSHKey, NodeImage
from libcloud.compute.providers import get_driver
from libcloud.compute.types import KeyPairDoesNotExistError, NodeState, Provider, StorageVolumeState
from live_cloud import Key, LiveCloud, key_of, wait_for

pytestmark = pytest.mark.qemu
LONG = 240.0
HOST = "127.0.0.1"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvBnYkZ0m6cWQYq3V0mU0iH5cD1x4xGQ1ybIY9l8iVn me"


@pytest.fixture(scope="module")
def key(client_cloud: LiveCloud) -> Key:
    return key_of(client_cloud.tenant("libcloud"))


@pytest.fixture(scope="module")
def driver(client_cloud: LiveCloud, key: Key) -> Any:
    return get_driver(Provider.EC2)(
        key.id,
        key.secret,
        region=client_cloud.facts["region"],
        secure=False,
        host=HOST,
        port=client_cloud.port,
    )


@pytest.fixture(scope="module")
def node(driver: Any, client_cloud: LiveCloud) -> Any:
    """A running node with much said of it."""
    [subnet] = driver.ex_list_subnets(filters={"default-for-az": "true"})
    group = driver.ex_create_security_group("libcloud", "of Libcloud", vpc_id=subnet.extra["vpc_id"])[
        "group_id"
    ]
    size = next(each for each in driver.list_sizes() if each.id == "t2.nano")
    made = driver.create_node(
        name="libcloud", image=driver.get_image(client_cloud.image), size=size, ex_userdata=SCRIPT,
        auth=NodeAuthSSHKey(PUBLIC), ex_subnet=subnet, ex_security_group_ids=[group],
        ex_metadata={"stage": "test"}, ex_clienttoken="libcloud-once", ex_terminate_on_shutdown=True,
        ex_blockdevicemappings=[
            {"DeviceName": "/dev/sdf", "Ebs.VolumeSize": 1, "Ebs.DeleteOnTermination": "true"}
        ],
    )  # fmt: skip
    [(running, addresses)] = driver.wait_until_running(
        [made], wait_period=1, timeout=LONG, ssh_interface="private_ips"
    )
    assert addresses == running.private_ips
    return running


@pytest.fixture(scope="module")
def guest(client_cloud: LiveCloud, node: Any) -> Guest:
    return Guest(client_cloud, node.id)


def again(driver: Any, node: Any) -> Any:
    """The node as it is now."""
    [found] = driver.list_nodes(ex_node_ids=[node.id])
    return found


def volume_is(driver: Any, volume: Any, state: str) -> None:
    def now() -> bool:
        return any(each.id == volume.id and each.state == state for each in driver.list_volumes())

    wait_for(now, f"{volume.id} {state}", LONG)


# Before there is a guest --------------------------------------------------------------------------------


def test_errors(driver: Any, client_cloud: LiveCloud, key: Key):
    with pytest.raises(BaseHTTPError) as refusal:
        driver.list_nodes(ex_node_ids=["i-0123456789abcdef0"])
    assert refusal.value.code == 400
    assert "InvalidInstanceID.NotFound: The instance ID 'i-0123456789abcdef0' does not exist" in str(
        refusal.value
    )
    stranger = get_driver(Provider.EC2)(
        key.id, "wrong", region=client_cloud.facts["region"], secure=False, host=HOST, port=client_cloud.port
    )
    with pytest.raises(InvalidCredsError):
        stranger.list_nodes()


def test_locations_images_and_limits(driver: Any, client_cloud: LiveCloud):
    [location] = driver.list_locations()
    assert (location.availability_zone.name, location.availability_zone.zone_state) == (
        "us-east-1a",
        "available",
    )
    [image] = driver.list_images(ex_image_ids=[client_cloud.image])
    assert (image.name, image.extra["architecture"], image.extra["state"]) == ("guest", "x86_64", "available")
    limits = driver.ex_get_limits()["resource"]
    assert int(limits["max-instances"]) > 0


def test_keys_and_groups(driver: Any):
    made = driver.create_key_pair("made")
    assert made.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----")
    imported = driver.import_key_pair_from_string("mine", PUBLIC)
    assert {each.name for each in driver.list_key_pairs()} >= {"made", "mine"}
    assert driver.get_key_pair("made").fingerprint == made.fingerprint
    for each in (made, imported):
        assert driver.delete_key_pair(each)
    with pytest.raises(KeyPairDoesNotExistError, match="made"):
        driver.get_key_pair("made")
    group = driver.ex_create_security_group("web", "of the web")["group_id"]
    assert driver.ex_authorize_security_group_ingress(group, 80, 80, cidr_ips=["0.0.0.0/0"])
    assert driver.ex_authorize_security_group_egress(group, 53, 53, cidr_ips=["10.0.0.0/8"], protocol="udp")
    [shown] = driver.ex_get_security_groups(group_ids=[group])
    assert [(each["from_port"], each["cidr_ips"]) for each in shown.ingress_rules] == [("80", ["0.0.0.0/0"])]
    assert driver.ex_revoke_security_group_ingress(group, 80, 80, cidr_ips=["0.0.0.0/0"])
    assert driver.ex_delete_security_group_by_id(group)
    assert "web" not in driver.ex_list_security_groups()


def test_a_network_of_ones_own(driver: Any):
    vpc = driver.ex_create_network("10.50.0.0/16", name="lab")
    subnet = driver.ex_create_subnet(vpc.id, "10.50.1.0/24", "us-east-1a", name="lab")
    assert driver.ex_modify_subnet_attribute(subnet, "auto_public_ip", value=True)
    gateway = driver.ex_create_internet_gateway(name="lab")
    assert driver.ex_attach_internet_gateway(gateway, vpc)
    table = driver.ex_create_route_table(vpc, name="lab")
    assert driver.ex_create_route(table, "0.0.0.0/0", internet_gateway=gateway)
    association = driver.ex_associate_route_table(table, subnet)
    [shown] = driver.ex_list_route_tables(route_table_ids=[table.id])
    assert {(each.cidr, each.gateway_id, each.state) for each in shown.routes} == {
        ("10.50.0.0/16", "local", "active"),
        ("0.0.0.0/0", gateway.id, "active"),
    }
    [attached] = shown.subnet_associations
    assert (attached.id, attached.subnet_id) == (association, subnet.id)
    interface = driver.ex_create_network_interface(
        subnet, name="spare", description="spare", private_ip_address="10.50.1.9"
    )
    found = next(each for each in driver.ex_list_network_interfaces() if each.id == interface.id)
    assert found.extra["private_ips"][0]["private_ip"] == "10.50.1.9"
    assert driver.ex_delete_network_interface(interface)
    assert driver.ex_dissociate_route_table(attached)
    assert driver.ex_delete_route(table, "0.0.0.0/0")
    assert driver.ex_delete_route_table(table)
    assert driver.ex_detach_internet_gateway(gateway, vpc)
    assert driver.ex_delete_internet_gateway(gateway)
    assert driver.ex_delete_subnet(subnet)
    assert driver.ex_delete_network(vpc)
    assert driver.ex_list_networks(filters={"tag:Name": "lab"}) == []


# A guest ------------------------------------------------------------------------------------------------


def test_what_was_launched_is_what_runs(driver: Any, node: Any, guest: Guest):
    told = guest.ready()
    assert (told["instance_id"], told["keys"], told["user_data"]) == (node.id, 1, "ran")
    assert [told["ip"]] == node.private_ips
    assert (guest.shown()["state"], guest.runs()) == ("runn", True)
    shown = again(driver, node)
    assert (shown.name, shown.state, shown.extra["status"]) == ("libcloud", NodeState.RUNNING, "running")
    assert (shown.extra["instance_type"], shown.extra["availability"]) == ("t2.nano", "us-east-1a")
    assert driver.ex_get_metadata_for_node(shown) == {"Name": "libcloud", "stage": "test"}
    assert [each["group_name"] for each in shown.extra["groups"]] == ["libcloud"]
    said = driver.ex_get_console_output(node)
    assert f"user-data: hello from {node.id}" in said["output"]
    mapped = {each["device_name"]: each["ebs"]["volume_id"] for each in shown.extra["block_device_mapping"]}
    assert serial(mapped["/dev/sdf"]) in {each["serial"] for each in told["disks"].values()}


def test_volumes(driver: Any, node: Any, guest: Guest):
    volume = driver.create_volume(1, "data", location=driver.list_locations()[0], ex_volume_type="gp2")
    volume_is(driver, volume, StorageVolumeState.AVAILABLE)
    assert driver.attach_volume(node, volume, "/dev/sdg")
    guest.says(f"added size={1 << 30} serial={serial(volume.id)}")
    volume_is(driver, volume, StorageVolumeState.INUSE)
    assert {each.name for each in driver.list_volumes(node)} >= {"data"}
    change = driver.ex_modify_volume(volume, {"Size": 2})
    assert (change.original_size, change.target_size) == (1, 2)
    guest.says(f"resized size={2 << 30}")
    snapshot = driver.create_volume_snapshot(volume, "kept")

    def kept() -> Any:
        [shown] = driver.list_volume_snapshots(volume)
        return shown if shown.state == "available" else None

    assert wait_for(kept, "the snapshot", LONG).size == 2
    restored = driver.create_volume(2, "restored", location=driver.list_locations()[0], snapshot=snapshot)
    volume_is(driver, restored, StorageVolumeState.AVAILABLE)
    removed = guest.console().count(" removed")
    assert driver.detach_volume(volume)
    volume_is(driver, volume, StorageVolumeState.AVAILABLE)
    guest.says(" removed", removed + 1)
    for each in (volume, restored):
        assert driver.destroy_volume(each)
    assert driver.destroy_volume_snapshot(snapshot)


def test_addresses_and_tags(driver: Any, node: Any):
    held = driver.ex_allocate_address(domain="vpc")
    assert driver.ex_associate_address_with_node(node, held, domain="vpc")
    assert set(again(driver, node).public_ips) == {held.ip}  # Libcloud counts an elastic address twice
    [shown] = driver.ex_describe_all_addresses(only_associated=True)
    assert (shown.ip, shown.instance_id) == (held.ip, node.id)
    assert driver.ex_disassociate_address(shown, domain="vpc")
    assert driver.ex_release_address(shown, domain="vpc")
    assert driver.ex_create_tags(node, {"first": "1", "second": "2"})  # it counts from 0
    assert driver.ex_describe_tags(node).items() >= {"first": "1", "second": "2"}.items()
    assert driver.ex_delete_tags(node, {"first": "1"})
    assert "first" not in driver.ex_describe_tags(node)


def test_the_driver_of_eucalyptus(driver: Any, node: Any, client_cloud: LiveCloud, key: Key):
    euca = get_driver(Provider.EUCALYPTUS)(
        key.id, key.secret, secure=False, host=HOST, port=client_cloud.port
    )
    assert [each.name for each in euca.list_nodes()] == ["libcloud"]
    assert client_cloud.image in [each.id for each in euca.list_images()]
    assert "libcloud" in euca.ex_list_security_groups()
    stranger = get_driver(Provider.EUCALYPTUS)(
        key.id, "wrong", secure=False, host=HOST, port=client_cloud.port
    )
    with pytest.raises(InvalidCredsError):
        stranger.list_nodes()
    assert euca.reboot_node(node)
    Guest(client_cloud, node.id).ready(2)


def test_stopped_changed_and_started(driver: Any, node: Any, guest: Guest):
    assert node.stop_node()
    wait_for(lambda: again(driver, node).state == NodeState.STOPPED, "stopped", LONG)
    assert (guest.runs(), guest.shown()["state"]) == (False, "poff")
    size = next(each for each in driver.list_sizes() if each.id == "t2.micro")
    assert driver.ex_change_node_size(node, size)
    assert node.start()
    driver.wait_until_running([node], wait_period=1, timeout=LONG, ssh_interface="private_ips")
    guest.ready(3)
    assert again(driver, node).extra["instance_type"] == guest.shown()["flavor"] == "t2.micro"


def test_an_image_of_it(driver: Any, node: Any, guest: Guest):
    image = driver.create_image(node, "libcloud", description="as it runs")

    def kept() -> Any:
        shown = driver.get_image(image.id)
        return shown if shown.extra["state"] == "available" else None

    assert wait_for(kept, "the image", LONG).extra["description"] == "as it runs"
    assert guest.runs()
    size = next(each for each in driver.list_sizes() if each.id == "t2.nano")
    other = driver.create_node(name="copy", image=NodeImage(image.id, "libcloud", driver), size=size)
    copy = Guest(guest.cloud, other.id)
    try:
        assert copy.ready(4)["instance_id"] == other.id
    finally:
        assert driver.destroy_node(other)
    wait_for(lambda: again(driver, other).state == NodeState.TERMINATED, "terminated", LONG)
    assert driver.delete_image(image)
    for snapshot in driver.list_snapshots(owner="self"):
        assert driver.destroy_volume_snapshot(snapshot)


def test_terminated(driver: Any, node: Any, guest: Guest):
    assert node.destroy()
    wait_for(lambda: again(driver, node).state == NodeState.TERMINATED, "terminated", LONG)
    assert not guest.runs()
    assert driver.list_volumes() == []
    assert driver.ex_delete_security_group("libcloud")
    assert guest.cloud.cli("check") == []
