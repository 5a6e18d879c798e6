"""What the metadata service tells: every path that clients read, and how listings look."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_guest import Guest, primary, service_of
from moto.instance_metadata.responses import INSTANCE_METADATA
from simulation import Cloud

from backend.launch_commands import CreatePlacementGroup
from backend.launch_model import Strategy
from backend.model import AttachState, MetadataOptions, Volume, VolumeState
from backend.network_model import Nic, PublicAddress
from gateway.metadata import documents
from gateway.metadata.documents import Folder, Leaf

USER_DATA = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


@pytest.fixture(scope="module")
def instance(cloud):
    return cloud.started(
        flavor="t2.large",
        user_data=USER_DATA,
        public_keys=("ssh-ed25519 AAAA first@example", "ssh-rsa BBBB second"),
        tags=(("Name", "web"), ("team:cost", "a b\n"), ("with space", "x"), ("a/b", "y"), ("_index", "z")),
        metadata=MetadataOptions(tags=True),
        public_ip=True,
    )


@pytest.fixture
def view(cloud, instance):
    return cloud.engine.networks.guest(primary(cloud, instance))


@pytest.fixture
def guest(cloud, instance):
    return Guest(service_of(cloud), primary(cloud, instance))


def folders(node, path=""):
    """Every folder of a tree, with its path."""
    if isinstance(node, Folder):
        yield path, node
        for name, entry in node.entries.items():
            yield from folders(entry, f"{path}/{name}")


def test_the_root_lists_every_version_with_latest_as_the_last(guest):
    versions = guest.ask("/").body.decode().split("\n")
    assert versions[0] == "1.0"
    assert versions[-1] == "latest"
    assert {"2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23"} <= set(versions)
    assert versions == sorted(versions)


@pytest.mark.parametrize("version", documents.VERSIONS)
def test_every_version_has_the_whole_tree(guest, instance, version):
    assert guest.ask(f"/{version}/meta-data/instance-id").body.decode() == instance.id
    assert guest.ask(f"/{version}/user-data").body == USER_DATA
    assert guest.ask(f"/{version}/").body == b"dynamic\nmeta-data\nuser-data"


@pytest.mark.parametrize("version", ["2009-04-05", "3.0", "late", "LATEST"])
def test_other_versions_are_not_found(guest, version):
    assert guest.ask(f"/{version}/meta-data/instance-id").status == 404


def test_top_level_values(guest, instance):
    name = f"ip-{instance.address.replace('.', '-')}.ec2.internal"
    expected = {
        "ami-id": instance.image_id,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": "t2.large",
        "local-hostname": name,
        "local-ipv4": instance.address,
        "mac": instance.mac,
        "profile": "default-hvm",
        "reservation-id": instance.launch_id,
        "security-groups": "default",
        "placement/availability-zone": "us-east-1a",
        "placement/availability-zone-id": "use1-az1",
        "placement/region": "us-east-1",
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
        "events/maintenance/scheduled": "[]",
        "events/maintenance/history": "[]",
        "hibernation/configured": "false",
        "block-device-mapping/ami": "/dev/vda",
        "block-device-mapping/root": "/dev/vda",
        "block-device-mapping/ephemeral0": "vdb",
    }
    assert {path: guest.read(f"meta-data/{path}") for path in expected} == expected


def test_what_moto_serves_is_served(guest):
    missing = [path for path in INSTANCE_METADATA if guest.ask(f"/latest/meta-data/{path}").status != 200]
    assert missing == ["public-hostname"]  # public addresses have no names where there is no domain for them


def test_public_addresses_have_names_where_there_is_a_domain_for_them(view):
    named = documents.tree(view, "example.org")
    (public,) = view.topology.public[view.nic_id]
    name = f"ec2-{public.ip.replace('.', '-')}.example.org".encode()
    meta = documents.find(named, ["latest", "meta-data"])
    assert isinstance(meta, Folder)
    assert meta.entries["public-hostname"] == Leaf(body=name)
    mac = ["network", "interfaces", "macs", view.instance.mac, "public-hostname"]
    assert documents.find(meta, mac) == Leaf(body=name)
    vpcs = {
        vpc_id: msgspec.structs.replace(vpc, dns_hostnames=False)
        for vpc_id, vpc in view.topology.vpcs.items()
    }
    topology = msgspec.structs.replace(view.topology, vpcs=vpcs)
    nameless = documents.tree(msgspec.structs.replace(view, topology=topology), "example.org")
    assert documents.find(nameless, ["latest", "meta-data", "public-hostname"]) is None


@pytest.mark.parametrize(
    "path",
    ["iam", "iam/security-credentials/", "managed-ssh-keys", "kernel-id", "ramdisk-id", "public-hostname"],
)
def test_what_an_instance_does_not_have_is_neither_listed_nor_found(guest, path):
    assert guest.ask(f"/latest/meta-data/{path}").status == 404
    names = guest.read("meta-data/").split("\n")
    assert path.split("/")[0] not in {name.rstrip("/") for name in names}


def test_listings_name_what_can_be_read_and_folders_with_a_slash(view, guest):
    seen = 0
    for path, folder in folders(documents.tree(view).entries["latest"]):
        names = guest.read(path.lstrip("/") + "/").split("\n")
        assert not any(name == "" for name in names)
        if path in {"", "/meta-data/public-keys"}:
            continue
        assert names == sorted(names)
        for name in names:
            found = documents.find(folder, [name.rstrip("/")])
            assert isinstance(found, Folder) == name.endswith("/"), (path, name)
            assert guest.ask(f"/latest{path}/{name}").status == 200
            seen += 1
    assert seen > 50


def test_a_listing_is_the_same_with_and_without_its_slash(guest):
    for path in ("meta-data", "dynamic/instance-identity", "meta-data/placement", "meta-data/public-keys/0"):
        assert guest.ask(f"/latest/{path}") == guest.ask(f"/latest/{path}/")
    assert guest.read("dynamic/instance-identity") == "document"


def test_public_keys_are_listed_by_number_and_name(guest):
    assert guest.read("meta-data/public-keys/") == "0=key-0\n1=key-1"
    assert guest.read("meta-data/public-keys/0/") == "openssh-key"
    assert guest.read("meta-data/public-keys/0/openssh-key") == "ssh-ed25519 AAAA first@example"
    assert guest.read("meta-data/public-keys/1/openssh-key") == "ssh-rsa BBBB second"
    assert guest.ask("/latest/meta-data/public-keys/2/openssh-key").status == 404


def test_the_key_pair_gives_its_name(view):
    named = msgspec.structs.replace(
        view, instance=msgspec.structs.replace(view.instance, key_name="my key", public_keys=("ssh-rsa A",))
    )
    keys = documents.find(documents.tree(named), ["latest", "meta-data", "public-keys"])
    assert isinstance(keys, Folder)
    assert keys.listing == b"0=my key"


def test_without_keys_there_is_no_folder_of_them(view):
    bare = msgspec.structs.replace(view, instance=msgspec.structs.replace(view.instance, public_keys=()))
    assert documents.find(documents.tree(bare), ["latest", "meta-data", "public-keys"]) is None


def test_user_data_is_byte_exact_and_absent_when_empty(view, guest):
    found = guest.ask("/latest/user-data")
    assert (found.body, found.media) == (USER_DATA, "application/octet-stream")
    empty = documents.tree(msgspec.structs.replace(view, user_data=b""))
    assert documents.find(empty, ["latest", "user-data"]) is None
    version = documents.find(empty, ["latest"])
    assert isinstance(version, Folder)
    assert version.listing == b"dynamic\nmeta-data"


def test_tags_are_shown_when_allowed_as_far_as_paths_can_spell_them(guest, view):
    assert guest.read("meta-data/tags/instance/").split("\n") == ["Name", "team:cost"]
    assert guest.read("meta-data/tags/instance/Name") == "web"
    assert guest.read("meta-data/tags/instance/team%3Acost") == "a b\n"
    assert guest.ask("/latest/meta-data/tags/instance/a%2Fb").status == 404
    secret = msgspec.structs.replace(view.instance, metadata=MetadataOptions(tags=False))
    hidden = documents.tree(msgspec.structs.replace(view, instance=secret))
    assert documents.find(hidden, ["latest", "meta-data", "tags"]) is None


def test_the_identity_document(guest, instance):
    text = guest.read("dynamic/instance-identity/document")
    assert json.loads(text) == {
        "accountId": "111122223333",
        "architecture": "x86_64",
        "availabilityZone": "us-east-1a",
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": "t2.large",
        "kernelId": None,
        "pendingTime": "2027-01-15T08:00:00Z",
        "privateIp": instance.address,
        "ramdiskId": None,
        "region": "us-east-1",
        "version": "2017-09-30",
    }
    assert '\n  "accountId" : "111122223333",\n' in text


# Interfaces ---------------------------------------------------------------------------------------------


def test_the_interface(guest, instance, view):
    (nic,) = view.nics
    mac = f"meta-data/network/interfaces/macs/{instance.mac}"
    assert guest.read("meta-data/network/interfaces/macs/") == f"{instance.mac}/"
    (subnet,) = [each for each in view.topology.subnets.values() if each.id == nic.subnet_id]
    (public,) = view.topology.public[nic.id]
    assert {
        path: guest.read(f"{mac}/{path}") for path in guest.read(f"{mac}/").split("\n") if path[-1] != "/"
    } == {
        "device-number": "0",
        "interface-id": nic.id,
        "local-hostname": f"ip-{nic.address.replace('.', '-')}.ec2.internal",
        "local-ipv4s": nic.address,
        "mac": instance.mac,
        "owner-id": "111122223333",
        "public-ipv4s": public.ip,
        "security-group-ids": nic.groups[0],
        "security-groups": "default",
        "subnet-id": subnet.id,
        "subnet-ipv4-cidr-block": subnet.cidr,
        "vpc-id": nic.vpc_id,
        "vpc-ipv4-cidr-block": "172.31.0.0/16",
        "vpc-ipv4-cidr-blocks": "172.31.0.0/16",
    }
    assert guest.read(f"{mac}/ipv4-associations/{public.ip}") == nic.address
    assert guest.read("meta-data/public-ipv4") == public.ip


def second(view, **changes):
    """A view with one more interface: two addresses of its own, two public ones, a group of its own."""
    first = view.nics[0]
    nic = msgspec.structs.replace(
        first, id="eni-2", mac="0A:BB:CC:DD:EE:FF", address="172.31.0.77", index=1, **changes
    )

    def public(ip, private, up=True):
        return PublicAddress(
            id=f"eipalloc-{ip}",
            tenant_id="t",
            account_id="1",
            region="us-east-1",
            created_at=0.0,
            ip=ip,
            pool="p",
            nic_id=nic.id,
            private_ip=private,
            up=up,
        )

    topology = msgspec.structs.replace(
        view.topology,
        nics=dict(view.topology.nics) | {nic.id: nic},
        leases=dict(view.topology.leases) | {nic.id: ("172.31.0.77", "172.31.0.78")},
        public=dict(view.topology.public)
        | {
            nic.id: (
                public("203.0.113.8", "172.31.0.78"),
                public("203.0.113.7", "172.31.0.77"),
                public("203.0.113.9", "172.31.0.77", up=False),
            )
        },
    )
    return msgspec.structs.replace(view, nics=(first, nic), topology=topology)


def test_every_interface_is_told_of_whichever_is_asked_through(view, instance):
    two = second(view)
    macs = documents.find(documents.tree(two), ["latest", "meta-data", "network", "interfaces", "macs"])
    assert isinstance(macs, Folder)
    assert set(macs.listing.decode().split("\n")) == {f"{instance.mac}/", "0a:bb:cc:dd:ee:ff/"}

    def read(*path):
        found = documents.find(macs, ["0a:bb:cc:dd:ee:ff", *path])
        assert isinstance(found, Leaf), path
        return found.body.decode()

    assert read("device-number") == "1"
    assert read("local-ipv4s") == "172.31.0.77\n172.31.0.78"
    assert read("public-ipv4s") == "203.0.113.7\n203.0.113.8"
    assert read("ipv4-associations", "203.0.113.8") == "172.31.0.78"
    through_second = documents.tree(msgspec.structs.replace(two, nic_id="eni-2"))
    assert through_second == documents.tree(two)


def test_addresses_of_other_interfaces_are_not_the_instances(view):
    topology = msgspec.structs.replace(
        second(view).topology, public={"eni-2": second(view).topology.public["eni-2"]}
    )
    two = documents.tree(msgspec.structs.replace(second(view), topology=topology))
    assert documents.find(two, ["latest", "meta-data", "public-ipv4"]) is None


def test_several_blocks_and_groups_are_one_a_line(view):
    nic = msgspec.structs.replace(view.nics[0], groups=("sg-b", "sg-a"))
    group = next(iter(view.topology.groups.values()))
    groups = {
        "sg-a": msgspec.structs.replace(group, id="sg-a", name="front"),
        "sg-b": msgspec.structs.replace(group, id="sg-b", name="back office"),
    }
    changed = msgspec.structs.replace(
        view, nics=(nic,), topology=msgspec.structs.replace(view.topology, groups=groups)
    )
    tree = documents.tree(changed)
    names = documents.find(tree, ["latest", "meta-data", "security-groups"])
    ids = documents.find(
        tree, ["latest", "meta-data", "network", "interfaces", "macs", nic.mac, "security-group-ids"]
    )
    assert names == Leaf(body=b"back office\nfront")
    assert ids == Leaf(body=b"sg-b\nsg-a")


def test_volumes_are_numbered_by_device(view):
    def volume(device, attach=AttachState.ATTACHED, boot=False):
        return Volume(
            id=f"vol-{device}",
            tenant_id="t",
            account_id="1",
            region="us-east-1",
            zone="us-east-1a",
            size_gib=1,
            state=VolumeState.IN_USE,
            created_at=0.0,
            instance_id=view.instance.id,
            device=device,
            boot=boot,
            attach=attach,
        )

    volumes = (
        volume("/dev/sda1", boot=True),
        volume("/dev/sdh"),
        volume("xvdf"),
        volume("/dev/sdg"),
        volume("/dev/sdz", attach=AttachState.NONE),
    )
    mapping = documents.find(
        documents.tree(msgspec.structs.replace(view, volumes=volumes)),
        ["latest", "meta-data", "block-device-mapping"],
    )
    assert isinstance(mapping, Folder)
    assert {name: leaf.body.decode() for name, leaf in mapping.entries.items()} == {
        "ami": "/dev/sda1",
        "root": "/dev/sda1",
        "ebs1": "sdg",
        "ebs2": "sdh",
        "ebs3": "xvdf",
        "ephemeral0": "vdb",
    }


def test_a_name_that_was_given_is_the_hosts(view):
    named = msgspec.structs.replace(
        view, instance=msgspec.structs.replace(view.instance, hostname="db.example.org")
    )
    meta = documents.find(documents.tree(named), ["latest", "meta-data"])
    assert isinstance(meta, Folder)
    assert meta.entries["local-hostname"] == meta.entries["hostname"] == Leaf(body=b"db.example.org")


def test_the_newest_time_is_the_last_change(view):
    later = msgspec.structs.replace(view.nics[0], attached_at=view.instance.state_since + 100)
    assert documents.modified(msgspec.structs.replace(view, nics=(later,))) == later.attached_at
    assert documents.modified(view) >= view.instance.created_at
    assert isinstance(view.nics[0], Nic)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_no_path_leads_out_of_the_tree(path):
    tree = Folder(entries={"a": Folder(entries={"b": Leaf(body=b"x")})})
    found = documents.find(tree, path)
    expected = {(): tree, ("a",): tree.entries["a"], ("a", "b"): Leaf(body=b"x")}
    assert found == expected.get(tuple(path))


def test_the_placement_group_is_told():
    cloud = Cloud()
    group = CreatePlacementGroup(name="db", strategy=Strategy.PARTITION)
    cloud.engine.execute(cloud.caller, group)
    instance = cloud.started(group="db", partition=2)
    guest = Guest(service_of(cloud), primary(cloud, instance))
    assert guest.read("meta-data/placement/group-name") == "db"
    assert guest.read("meta-data/placement/partition-number") == "2"
