"""The disks that tell a guest who it is: NoCloud's files as they always were, and OpenStack's config drive."""

from __future__ import annotations

import json

import msgspec
import pytest
import yaml
from simulation import Cloud

from backend.engine.seeds import hostname_of, seed_of
from backend.model import MetadataOptions, SeedKind, uuid_of

USER_DATA = b"\x1f\x8b\x00binary"


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


@pytest.fixture(scope="module")
def instance(cloud):
    return cloud.started(public_keys=("ssh-ed25519 AAAA me@example", "ssh-rsa BBBB"))


@pytest.fixture(scope="module")
def nics(cloud, instance):
    return cloud.engine.networks.nics_of([instance.id])[instance.id]


def changed(instance, **changes):
    return msgspec.structs.replace(instance, **changes)


def test_no_seed_for_images_that_want_none(instance):
    assert seed_of(instance, SeedKind.NONE, USER_DATA) is None


@pytest.mark.parametrize("kind", [SeedKind.DEFAULT, SeedKind.NOCLOUD])
def test_nocloud(instance, kind):
    seed = seed_of(instance, kind, USER_DATA)
    assert seed is not None
    assert seed.label == "cidata"
    assert dict(seed.files) == {
        "meta-data": (
            f"instance-id: {instance.id}\n"
            f"local-hostname: ip-{instance.address.replace('.', '-')}\n"
            "public-keys:\n"
            "  - ssh-ed25519 AAAA me@example\n"
            "  - ssh-rsa BBBB\n"
        ).encode(),
        "user-data": USER_DATA,
    }


def test_nocloud_without_keys_or_user_data(instance):
    seed = seed_of(changed(instance, public_keys=(), hostname="db"), SeedKind.DEFAULT, b"")
    assert seed is not None
    assert dict(seed.files) == {
        "meta-data": f"instance-id: {instance.id}\nlocal-hostname: db\n".encode(),
        "user-data": b"",
    }


@pytest.mark.parametrize("text", ["a: b", "#x", "- y", "true\nz: 1", "'", '"', "ä", "{}", "key with: colon"])
def test_whatever_is_given_stays_one_yaml_value(instance, text):
    odd = changed(instance, hostname=text, public_keys=(text,))
    seed = seed_of(odd, SeedKind.NOCLOUD, b"")
    assert seed is not None
    assert yaml.safe_load(seed.files["meta-data"]) == {
        "instance-id": instance.id,
        "local-hostname": text,
        "public-keys": [text],
    }


def drive(instance, user_data=USER_DATA, **more):
    seed = seed_of(instance, SeedKind.CONFIG_DRIVE, user_data, **more)
    assert seed is not None
    assert seed.label == "config-2"
    return seed.files


def test_a_config_drives_files(instance, nics):
    files = drive(instance, nics=nics)
    assert set(files) == {
        "openstack/latest/meta_data.json",
        "openstack/latest/network_data.json",
        "openstack/latest/vendor_data.json",
        "openstack/latest/user_data",
        "ec2/latest/meta-data.json",
        "ec2/latest/user-data",
    }
    assert files["openstack/latest/user_data"] == files["ec2/latest/user-data"] == USER_DATA
    assert json.loads(files["openstack/latest/vendor_data.json"]) == {}
    bare = set(files) - set(drive(instance, b""))
    assert bare == {
        "openstack/latest/network_data.json",  # an empty one would leave the guest without addresses
        "openstack/latest/user_data",
        "ec2/latest/user-data",
    }


def test_a_config_drives_meta_data(instance):
    tagged = changed(instance, key_name="mine", metadata=MetadataOptions(tags=True))
    found = json.loads(drive(tagged, tags={"Name": "web"})["openstack/latest/meta_data.json"])
    assert found == {
        "uuid": uuid_of(instance.id),
        "name": hostname_of(instance),
        "hostname": hostname_of(instance),
        "availability_zone": "us-east-1a",
        "launch_index": 0,
        "project_id": instance.tenant_id,
        "meta": {"Name": "web"},
        "public_keys": {"mine": "ssh-ed25519 AAAA me@example", "key-1": "ssh-rsa BBBB"},
        "keys": [
            {"name": "mine", "type": "ssh", "data": "ssh-ed25519 AAAA me@example"},
            {"name": "key-1", "type": "ssh", "data": "ssh-rsa BBBB"},
        ],
        "devices": [],
    }


def test_tags_are_told_only_to_instances_that_may_see_them(instance):
    found = json.loads(drive(instance, tags={"Name": "web"})["openstack/latest/meta_data.json"])
    assert found["meta"] == {}


def test_a_config_drives_network_is_each_interface_by_dhcp(instance, nics):
    second = changed(nics[0], id="eni-2", mac="0A:BB:CC:DD:EE:FF", index=1)
    found = json.loads(drive(instance, nics=[*nics, second])["openstack/latest/network_data.json"])
    assert [(link["id"], link["ethernet_mac_address"]) for link in found["links"]] == [
        (nics[0].id, nics[0].mac),
        ("eni-2", "0a:bb:cc:dd:ee:ff"),
    ]
    assert [(each["id"], each["link"], each["type"]) for each in found["networks"]] == [
        ("network0", nics[0].id, "ipv4_dhcp"),
        ("network1", "eni-2", "ipv4_dhcp"),
    ]
    assert found["services"] == []


def test_a_config_drives_ec2_part(instance):
    found = json.loads(drive(instance)["ec2/latest/meta-data.json"])
    assert found["instance-id"] == instance.id
    assert found["ami-id"] == instance.image_id
    assert found["local-ipv4"] == instance.address
    assert found["reservation-id"] == instance.launch_id
    assert found["block-device-mapping"] == {"ami": "vda", "root": "/dev/vda"}
    large = json.loads(drive(changed(instance, ephemeral_gib=2))["ec2/latest/meta-data.json"])
    assert large["block-device-mapping"]["ephemeral0"] == "vdb"
    assert found["placement"] == {"availability-zone": "us-east-1a"}
    assert found["public-keys"]["0"] == {"_name": "0=key-0", "openssh-key": "ssh-ed25519 AAAA me@example"}


def test_the_same_instance_gets_the_same_bytes(instance, nics):
    assert drive(instance, nics=nics) == drive(instance, nics=nics)
