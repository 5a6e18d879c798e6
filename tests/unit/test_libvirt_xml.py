"""Documents for libvirt: valid by libvirt's own schemas, and saying what they must."""

from __future__ import annotations

import ipaddress
import os
from io import BytesIO
from pathlib import Path

import msgspec
import pycdlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from backend.drivers.libvirt.boot_probe import PROBE_BYTES, boot_probe
from backend.drivers.libvirt.domain_xml import (
    DiskFile,
    Layout,
    domain_document,
    key_uuid,
    probe_document,
    simulated_document,
)
from backend.drivers.libvirt.keys import secret_document
from backend.drivers.libvirt.nic_xml import (
    interface_element,
    interface_in,
    macs_in,
    user_netdev,
    user_nics,
    with_link,
)
from backend.drivers.libvirt.nics import forwards_in
from backend.drivers.libvirt.qcow2 import parse_qcow2
from backend.drivers.libvirt.seed import seed_image
from backend.drivers.libvirt.storage import safe_name
from backend.drivers.libvirt.volume_xml import backing_of, pool_document, qcow2_document, raw_document
from backend.drivers.libvirt.xml import ownership_of, usage_of
from backend.model import Capacity, new_id, uuid_of
from backend.ports import DiskSpec, DomainSpec, Forward, NicSpec, Seed, StepFailed

SCHEMAS = Path("/usr/share/libvirt/schemas")
ID = "i-0123456789abcdef0"
SPEC = DomainSpec(
    instance_id=ID,
    epoch=7,
    uuid=uuid_of(ID),
    vcpus=2,
    memory_mib=512,
    architecture="x86_64",
    disks=[
        DiskSpec(target="vda", name="vol-0123456789abcdef0", serial="vol0123456789abcdef0"),
        DiskSpec(target="vdb", name=f"{ID}.vdb"),
        DiskSpec(target="vdf", name="vol-1", key=b"secret", iops=300, mib_per_second=125),
    ],
    nics=[
        NicSpec(
            id="eni-0123456789abcdef0",
            index=0,
            mac="02:00:00:AA:00:01",
            address="172.31.0.5",
            cidr="172.31.0.0/20",
            guest_address="172.31.0.5",
            guest_cidr="168.0.0.0/5",
            metadata_socket="/h/md,1/eni 1",
        ),
        NicSpec(
            id="eni-0123456789abcdef1",
            index=1,
            mac="02:00:00:AA:00:02",
            address="172.31.0.6",
            cidr="172.31.0.0/20",
            mtu=1400,
            up=False,
            bridge="br-int",
            offload=False,
        ),
    ],
    title="a <b> & c",
)
LAYOUT = Layout(
    disks={
        "vda": DiskFile(path="/d/vda.qcow2"),
        "vdb": DiskFile(path="/d/vdb.raw", format="raw"),
        "vdf": DiskFile(path="/d/vdf.qcow2"),
    },
    seed="/d/seed.iso",
    console="/d/console.log",
)


def validate(document: str, schema: str) -> etree._Element:
    root = etree.fromstring(document)
    if not SCHEMAS.exists():
        pytest.skip("libvirt's schemas are not installed")
    rules = etree.RelaxNG(etree.parse(SCHEMAS / schema))
    rules.assertValid(root)
    return root


@pytest.mark.parametrize(
    ("document", "schema"),
    [
        (domain_document(SPEC, LAYOUT, acceleration="tcg"), "domain.rng"),
        (domain_document(SPEC, LAYOUT, acceleration="kvm"), "domain.rng"),
        (
            domain_document(
                msgspec.structs.replace(SPEC, nics=(), title=""),
                Layout(disks=LAYOUT.disks),
                acceleration="tcg",
            ),
            "domain.rng",
        ),
        (simulated_document(SPEC), "domain.rng"),
        (probe_document("isthmus-probe-kvm", "/d/probe.img", acceleration="kvm"), "domain.rng"),
        (secret_document("vol-1", lasting=False), "secret.rng"),
        (pool_document("isthmus", "/srv/isthmus"), "storagepool.rng"),
        (qcow2_document("a.qcow2", 1 << 30, backing="/srv/b.raw", backing_format="raw"), "storagevol.rng"),
        (qcow2_document("a.qcow2", 1 << 30), "storagevol.rng"),
        (raw_document("a.iso", 4096), "storagevol.rng"),
    ],
)
def test_documents_are_valid_by_libvirts_schemas(document, schema):
    validate(document, schema)


def test_the_schemas_catch_a_misspelt_element():
    document = domain_document(SPEC, LAYOUT, acceleration="tcg").replace("on_crash", "on_crush")
    with pytest.raises(etree.DocumentInvalid):
        validate(document, "domain.rng")


def test_a_domain_is_ours_by_id_and_epoch_and_boots_from_its_first_disk():
    document = domain_document(SPEC, LAYOUT, acceleration="tcg")
    root = etree.fromstring(document)
    owner = ownership_of(document)
    assert (owner.instance_id, owner.epoch) == (ID, 7)
    assert root.get("type") == "qemu"
    assert (root.findtext("name"), root.findtext("uuid")) == (ID, uuid_of(ID))
    assert root.findtext("title") == "a <b> & c"
    assert root.xpath("devices/disk[boot]/target/@dev") == ["vda"]
    assert root.xpath("devices/disk/driver[@discard='unmap']/@type") == ["qcow2", "raw", "qcow2"]
    assert root.xpath("devices/disk/serial/text()") == ["vol0123456789abcdef0"]
    assert root.xpath("devices/disk[readonly]/source/@file") == ["/d/seed.iso"]
    assert root.xpath("devices/disk[readonly]/target/@bus") == ["virtio"]
    assert len(root.xpath("devices/controller[@model='pcie-root-port']")) >= 32
    assert root.xpath("devices/serial/log/@file") == ["/d/console.log"]
    assert root.xpath("devices/serial/log/@append") == ["on"]


def test_a_disk_has_its_limits_and_tells_of_its_key_by_name_alone():
    document = domain_document(SPEC, LAYOUT, acceleration="tcg")
    root = etree.fromstring(document)
    assert root.xpath("devices/disk[iotune]/target/@dev") == ["vdf"]
    assert root.xpath("devices/disk/iotune/total_iops_sec/text()") == ["300"]
    assert root.xpath("devices/disk/iotune/total_bytes_sec/text()") == [str(125 << 20)]
    assert root.xpath("devices/disk/source/encryption[@format='luks']/secret/@uuid") == [key_uuid("vol-1")]
    assert "secret<" not in document
    assert key_uuid("vol-1") != key_uuid("vol-2")


def test_hardware_virtualisation_is_used_only_when_it_was_found_to_work():
    kvm = etree.fromstring(domain_document(SPEC, LAYOUT, acceleration="kvm"))
    tcg = etree.fromstring(domain_document(SPEC, LAYOUT, acceleration="tcg"))
    assert (kvm.get("type"), kvm.find("cpu").get("mode")) == ("kvm", "host-passthrough")
    assert (tcg.get("type"), tcg.find("cpu").get("mode")) == ("qemu", "maximum")


def test_text_of_users_cannot_become_markup():
    document = domain_document(
        msgspec.structs.replace(SPEC, title="</title><devices/>\n\0 x"), LAYOUT, acceleration="tcg"
    )
    root = validate(document, "domain.rng")
    assert root.findtext("title") == "</title><devices/> x"


def test_a_serial_that_virtio_would_cut_is_refused():
    disk = DiskSpec(target="vda", name="vol-1", serial="vol-0123456789abcdef0")
    with pytest.raises(StepFailed, match="20 bytes"):
        domain_document(msgspec.structs.replace(SPEC, disks=[disk]), LAYOUT, acceleration="tcg")


def test_an_architecture_without_machine_type_is_refused():
    with pytest.raises(StepFailed, match="riscv64"):
        domain_document(msgspec.structs.replace(SPEC, architecture="riscv64"), LAYOUT, acceleration="tcg")


def test_an_interface_on_a_bridge_is_a_logical_port_by_its_uuid():
    root = validate(domain_document(SPEC, LAYOUT, acceleration="tcg"), "domain.rng")
    (interface,) = root.xpath("devices/interface")
    assert interface.get("type") == "bridge"
    assert interface.xpath("source/@bridge") == ["br-int"]
    assert interface.xpath("virtualport[@type='openvswitch']/parameters/@interfaceid") == [
        uuid_of("eni-0123456789abcdef1")
    ]
    assert interface.xpath("mac/@address") == ["02:00:00:aa:00:02"]
    assert interface.xpath("model/@type") == ["virtio"]
    assert interface.xpath("mtu/@size") == ["1400"]
    assert interface.xpath("link/@state") == ["down"]
    assert interface.xpath("alias/@name") == ["ua-eni-0123456789abcdef1"]
    assert interface.xpath("driver/host/@*") == ["off"] * 6
    assert interface.xpath("driver/guest/@*") == ["off"] * 5
    plain = interface_element(msgspec.structs.replace(SPEC.nics[1], offload=True, mtu=0, up=True))
    assert plain.xpath("driver | mtu") == []
    assert plain.xpath("link/@state") == ["up"]


def test_interfaces_are_found_again_by_their_macs():
    document = domain_document(SPEC, LAYOUT, acceleration="tcg")
    assert macs_in(document) == {"02:00:00:aa:00:01", "02:00:00:aa:00:02"}
    assert user_nics(document) == {0: "02:00:00:aa:00:01"}
    assert interface_in(document, "02:00:00:AA:00:01") is None
    found = interface_in(document, "02:00:00:AA:00:02")
    assert found is not None
    assert with_link(found, up=False) is None
    assert with_link(found, up=True).xpath("link/@state") == ["up"]


def arguments(document: str) -> list[str]:
    return etree.fromstring(document).xpath(
        "q:commandline/q:arg/@value", namespaces={"q": "http://libvirt.org/schemas/domain/qemu/1.0"}
    )


def test_the_metadata_service_is_relayed_to_where_the_sandbox_is_ours():
    widened = arguments(domain_document(SPEC, LAYOUT, acceleration="tcg", own_sandbox=True))
    (netdev,) = [one for one in widened if one.startswith("user,")]
    assert ",guestfwd=tcp:169.254.169.254:80-cmd:/" in netdev
    assert netdev.endswith(" '/h/md,,1/eni 1'")
    assert widened[-2:] == ["-sandbox", "on,obsolete=deny,resourcecontrol=deny"]
    alone = msgspec.structs.replace(SPEC, nics=SPEC.nics[1:])
    narrow = arguments(domain_document(alone, LAYOUT, acceleration="tcg", own_sandbox=True))
    assert narrow == [
        "-sandbox",
        "on,obsolete=deny,resourcecontrol=deny,elevateprivileges=deny,spawn=deny",
    ]
    libvirts = arguments(domain_document(SPEC, LAYOUT, acceleration="tcg"))
    assert "guestfwd" not in " ".join(libvirts)
    assert "-sandbox" not in libvirts


def test_a_domain_without_a_seed_has_no_disk_for_it():
    root = etree.fromstring(domain_document(SPEC, Layout(disks=LAYOUT.disks), acceleration="tcg"))
    assert root.xpath("devices/disk/target/@dev") == ["vda", "vdb", "vdf"]


def user_nic(address: str, cidr: str, **more: object) -> NicSpec:
    given = {"address": address, "cidr": cidr, "guest_address": address, "guest_cidr": cidr} | more
    return NicSpec(id="eni-1", index=3, mac="02:00:00:00:00:01", **given)


@given(
    network=st.builds(
        lambda address, prefix: ipaddress.IPv4Network((address, prefix), strict=False),
        st.one_of(st.integers(0x0A000000, 0x0AFFFFFF), st.integers(0xA9FE0000, 0xA9FEFFFF)),
        st.integers(16, 29),
    ),
    outbound=st.booleans(),
    data=st.data(),
)
@settings(max_examples=100)
def test_gateway_and_resolver_never_collide_with_other_addresses(network, outbound, data):
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    address = ipaddress.IPv4Address(data.draw(st.integers(first, last)))
    nic = user_nic(str(address), str(network), outbound=outbound)
    options = dict(part.split("=", 1) for part in user_netdev(nic).split(",")[1:])
    places = [ipaddress.IPv4Address(options[name]) for name in ("host", "dns", "dhcpstart")]
    assert places[2] == address
    assert len({*places, ipaddress.IPv4Address("169.254.169.254")}) == 3 + (str(address) != "169.254.169.254")
    assert all(place in network for place in places)
    assert options["restrict"] == ("off" if outbound else "on")
    assert options["ipv6"] == "off"
    assert options["id"] == "n3"


def test_a_guest_with_its_private_address_has_its_subnets_gateway():
    (netdev,) = [
        one for one in arguments(domain_document(SPEC, LAYOUT, acceleration="tcg")) if one.startswith("user,")
    ]
    assert "net=168.0.0.0/5,host=172.31.0.1,dns=172.31.0.2,dhcpstart=172.31.0.5,restrict=on" in netdev


@pytest.mark.parametrize(
    "wrong",
    [
        {"guest_address": "10.8.0.5"},
        {"mac": "02:00:00:00:00:01,addr=0x3"},
        {"mac": "02:00:00:00:00"},
        {
            "address": "10.9.0.1",
            "guest_address": "10.9.0.1",
            "cidr": "10.9.0.0/31",
            "guest_cidr": "10.9.0.0/31",
        },
        {"index": 15},
    ],
)
def test_nics_that_qemu_would_misread_are_refused(wrong):
    nic = msgspec.structs.replace(user_nic("10.9.0.5", "10.9.0.0/24"), **wrong)
    with pytest.raises(StepFailed):
        domain_document(msgspec.structs.replace(SPEC, nics=[nic]), LAYOUT, acceleration="tcg")


USERNET = """\
Hub -1 (n0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[ESTABLISHED]   14       127.0.0.1 40001      172.31.0.5    22     0     0\r
  TCP[TIME_WAIT]     15       127.0.0.1 12223      172.31.0.5    22     0     0\r
  TCP[HOST_FORWARD]  12      127.0.0.10 12223      172.31.0.5    22     0     0\r
  UDP[HOST_FORWARD]  13               *  5353      172.31.0.5    53     0     0\r
  UDP[236 sec]       16      172.31.0.5 68     172.31.0.1    67     0     0\r
Hub -1 (n1):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
"""


def test_forwards_are_read_from_what_qemu_says():
    assert forwards_in(USERNET) == {
        "n0": {
            Forward(protocol="tcp", address="127.0.0.10", port=12223, guest_port=22),
            Forward(protocol="udp", address="*", port=5353, guest_port=53),
        },
        "n1": frozenset(),
    }
    assert forwards_in("") == {}


def test_documents_of_other_peoples_domains_are_counted_and_not_ours():
    foreign = "<domain type='kvm'><name>x</name><memory unit='GiB'>2</memory><vcpu>4</vcpu></domain>"
    assert ownership_of(foreign) is None
    assert usage_of(foreign) == Capacity(cpu=400, memory_mib=2048)
    assert ownership_of('<instance id="i-1" epoch="3"/>').epoch == 3
    assert ownership_of('<instance id="i-1" epoch="x"/>') is None


def test_volumes_are_sparse_and_version_3():
    root = etree.fromstring(qcow2_document("a", 1 << 30, backing="/srv/b.qcow2"))
    assert root.findtext("allocation") == "0"
    assert root.findtext("target/compat") == "1.1"
    assert backing_of(qcow2_document("a", 1, backing="/srv/b.qcow2")) == "/srv/b.qcow2"
    assert backing_of(raw_document("a", 1)) == ""
    assert etree.fromstring(raw_document("a", 1)).findtext("allocation") == "0"


@given(
    label=st.sampled_from(["cidata", "config-2"]),
    files=st.dictionaries(
        st.sampled_from(
            [
                "meta-data",
                "user-data",
                "network-config",
                "openstack/latest/meta_data.json",
                "openstack/latest/user_data",
                "openstack/2018-08-27/user_data",
                "ec2/latest/meta-data.json",
            ]
        ),
        st.binary(max_size=16384),
    ),
)
@settings(max_examples=30)
def test_the_seed_gives_back_what_went_in(label, files):
    disc = pycdlib.PyCdlib()
    disc.open_fp(BytesIO(seed_image(Seed(label=label, files=files))))
    assert disc.pvd.volume_identifier.rstrip() == label.encode()
    for name, content in files.items():
        for way in ("rr_path", "joliet_path"):
            read = BytesIO()
            disc.get_file_from_iso_fp(read, **{way: f"/{name}"})
            assert read.getvalue() == content


@pytest.mark.parametrize("files", [["/etc/x"], ["../x"], ["a/../b"], [""], ["a", "a/b"]])
def test_a_seed_has_no_files_outside_or_in_files(files):
    with pytest.raises(StepFailed):
        seed_image(Seed(label="cidata", files=dict.fromkeys(files, b"")))


def header(version=3, offset=0, length=0, size=1 << 30, bits=0, incompatible=0) -> bytes:
    import struct

    head = b"QFI\xfb" + struct.pack(">IQIIQ", version, offset, length, bits, size)
    return head.ljust(72, b"\0") + struct.pack(">Q", incompatible)


def test_a_qcow2_header_tells_what_other_files_it_leads_to():
    plain = parse_qcow2(BytesIO(header()))
    assert (plain.version, plain.virtual_bytes, plain.backing, plain.external_data) == (3, 1 << 30, "", False)
    linked = parse_qcow2(BytesIO(header(offset=104, length=11).ljust(104, b"\0") + b"/etc/shadow"))
    assert linked.backing == "/etc/shadow"
    assert parse_qcow2(BytesIO(header(incompatible=4))).external_data
    assert parse_qcow2(BytesIO(b"\x7fELF" + bytes(100))) is None
    assert parse_qcow2(BytesIO(b"")) is None


@pytest.mark.parametrize("name", ["..", "a/b", "", "-rf", "a b", "a.b"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(StepFailed):
        safe_name(name)


def test_ids_and_checksums_are_safe_names():
    instance_id = new_id("i")
    assert safe_name(instance_id) == instance_id
    assert safe_name("sha256:abc") == "sha256-abc"


def test_the_boot_probe_is_a_bootable_disk():
    disk = boot_probe()
    assert len(disk) == PROBE_BYTES
    assert disk[510:512] == b"\x55\xaa"
    assert os.path.commonprefix([disk[512:], bytes(PROBE_BYTES)]) == disk[512:]


def test_a_guest_has_a_display_that_nobody_is_connected_to():
    devices = etree.fromstring(domain_document(SPEC, LAYOUT, acceleration="kvm")).find("devices")
    assert [each.get("type") for each in devices.findall("video/model")] == ["vga"]
    assert devices.findall("graphics") == []
