"""Documents for libvirt: valid by libvirt's own schemas, and saying what they must."""

from __future__ import annotations

import ipaddress
import os
from io import BytesIO
from pathlib import Path

import msgspec
import pycdlib
import pytest
from hypothesis import assume, given, settings
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
    user_netdev,
)
from backend.drivers.libvirt.keys import secret_document
from backend.drivers.libvirt.qcow2 import parse_qcow2
from backend.drivers.libvirt.seed import seed_image
from backend.drivers.libvirt.storage import safe_name
from backend.drivers.libvirt.volume_xml import backing_of, pool_document, qcow2_document, raw_document
from backend.drivers.libvirt.xml import ownership_of, usage_of
from backend.model import Capacity, new_id, uuid_of
from backend.ports import DiskSpec, DomainSpec, NicSpec, Seed, StepFailed

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
    nics=[NicSpec(mac="02:00:00:AA:00:01", address="10.9.0.5", cidr="10.9.0.0/24")],
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


@given(
    network=st.builds(
        lambda address, prefix: ipaddress.IPv4Network((address, prefix), strict=False),
        st.integers(0x0A000000, 0x0AFFFFFF),
        st.integers(16, 29),
    ),
    data=st.data(),
)
@settings(max_examples=100)
def test_gateway_and_resolver_never_collide_with_the_guests_address(network, data):
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    address = ipaddress.IPv4Address(data.draw(st.integers(first, last)))
    nic = NicSpec(mac="02:00:00:00:00:01", address=str(address), cidr=str(network))
    options = dict(part.split("=", 1) for part in user_netdev(nic, 3).split(",")[1:])
    places = [ipaddress.IPv4Address(options[name]) for name in ("host", "dns", "dhcpstart")]
    assert places[2] == address
    assert len(set(places)) == 3
    assert all(place in network for place in places)
    assert options["restrict"] == "on"
    assert options["ipv6"] == "off"


@pytest.mark.parametrize(
    ("mac", "address", "cidr"),
    [
        ("02:00:00:00:00:01", "10.8.0.5", "10.9.0.0/24"),
        ("02:00:00:00:00:01,addr=0x3", "10.9.0.5", "10.9.0.0/24"),
        ("02:00:00:00:00", "10.9.0.5", "10.9.0.0/24"),
        ("02:00:00:00:00:01", "10.9.0.1", "10.9.0.0/31"),
    ],
)
def test_nics_that_qemu_would_misread_are_refused(mac, address, cidr):
    nic = NicSpec(mac=mac, address=address, cidr=cidr)
    with pytest.raises(StepFailed):
        domain_document(msgspec.structs.replace(SPEC, nics=[nic]), LAYOUT, acceleration="tcg")


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


@given(user_data=st.binary(max_size=16384), meta=st.text(max_size=200), network=st.text(max_size=50))
@settings(max_examples=30)
def test_the_seed_gives_back_what_went_in(user_data, meta, network):
    assume(not any("\ud800" <= sign <= "\udfff" for sign in meta + network))
    image = seed_image(Seed(meta_data=meta, user_data=user_data, network_config=network))
    disc = pycdlib.PyCdlib()
    disc.open_fp(BytesIO(image))
    assert disc.pvd.volume_identifier.rstrip() == b"cidata"
    expected = {"meta-data": meta.encode(), "user-data": user_data}
    if network:
        expected["network-config"] = network.encode()
    for name, content in expected.items():
        for way in ("rr_path", "joliet_path"):
            read = BytesIO()
            disc.get_file_from_iso_fp(read, **{way: f"/{name}"})
            assert read.getvalue() == content


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
