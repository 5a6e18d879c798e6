"""Disk images are judged by their own bytes before any program opens them."""

from __future__ import annotations

import struct
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BackendError, Code
from backend.images.formats import FORMATS, detect, inspect, inspect_own, named
from backend.images.reading import Limits, opened
from tests.support.disk_images import CLUSTER, MIB, converted, patched, qcow2, raw_disk, vmdk, vmdk_descriptor

LIMITS = Limits()


def judged(path, told="", limits=LIMITS):
    with opened(path) as image:
        return inspect(image, told, limits)


@pytest.fixture
def judge(tmp_path):
    def of(data, told="", limits=LIMITS):
        path = tmp_path / "image"
        path.write_bytes(data)
        return judged(path, told, limits)

    return of


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """One whole disk in every format and kind that is served."""
    folder = tmp_path_factory.mktemp("samples")
    raw = raw_disk(folder / "disk.raw", 8 * MIB)
    kinds = {
        "qcow2": ("qcow2", {}),
        "qcow2-v2": ("qcow2", {"compat": "0.10"}),
        "qcow2-small-clusters": ("qcow2", {"cluster_size": 512}),
        "qcow2-extended": ("qcow2", {"extended_l2": "on"}),
        "qcow2-zstd": ("qcow2", {"compression_type": "zstd"}),
        "vmdk": ("vmdk", {}),
        "vmdk-stream": ("vmdk", {"subformat": "streamOptimized"}),
        "vdi": ("vdi", {}),
        "vdi-static": ("vdi", {"static": "on"}),
        "vhdx": ("vhdx", {}),
        "vhdx-fixed": ("vhdx", {"subformat": "fixed"}),
        "vpc": ("vpc", {"force_size": "on"}),
        "vpc-fixed": ("vpc", {"subformat": "fixed", "force_size": "on"}),
    }
    made = {name: converted(raw, folder / name, form, **options) for name, (form, options) in kinds.items()}
    return {"raw": raw} | made


def test_whole_images_of_every_format_are_known_by_their_bytes(samples):
    for name, path in samples.items():
        shape = judged(path)
        assert (name, shape.format, shape.virtual_bytes) == (name, name.partition("-")[0], 8 * MIB)
        assert judged(path, shape.format) == shape
        assert not shape.backing
        assert not shape.guise


def test_what_is_said_must_be_what_it_is_unless_raw_is_said(samples):
    for name, path in samples.items():
        form = name.partition("-")[0]
        for told in FORMATS:
            if told in {form, "raw"}:
                continue
            with pytest.raises(BackendError, match=f"said to be {told}, and its bytes are {form}"):
                judged(path, told)
    shape = judged(samples["vmdk"], "raw")
    assert (shape.format, shape.guise, shape.virtual_bytes) == ("raw", "vmdk", samples["vmdk"].stat().st_size)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"\0" * 1000, "multiple of 512"),
        (qcow2(backing=b"/etc/passwd"), "backing file"),
        (qcow2(version=2, backing=b"/etc/passwd"), "backing file"),
        (qcow2(backing=b"json:{}"), "backing file"),
        (qcow2(incompatible=1 << 2), "another file"),
        (qcow2(extensions=struct.pack(">II8s", 0x44415441, 8, b"/etc/pas")), "another file"),
        (qcow2(extensions=struct.pack(">II", 0x6803F857, 1 << 31)), "contradicts itself"),
        (qcow2(encryption=1), "encrypted"),
        (qcow2(encryption=2), "encrypted"),
        (qcow2(version=1), "version 1"),
        (qcow2(version=4), "version 4"),
        (qcow2(incompatible=1), "repair"),
        (qcow2(incompatible=2), "repair"),
        (qcow2(incompatible=1 << 5), "unknown here"),
        (qcow2(incompatible=1 << 63), "unknown here"),
        (qcow2(size=0), "0 bytes"),
        (qcow2(size=1 << 62, l1_size=1 << 22), "bytes"),
        (qcow2(size=(64 << 40) + 512), "bytes"),
        (qcow2(size=64 * MIB + 1), "multiple of 512"),
        (qcow2(cluster_bits=8), "clusters"),
        (qcow2(cluster_bits=22), "clusters"),
        (qcow2(cluster_bits=63), "clusters"),
        (qcow2(l1_size=(32 << 20) // 8 + 1), "out of proportion"),
        (qcow2(l1_size=0xFFFFFFFF), "out of proportion"),
        (qcow2(l1_size=0), "cover"),
        (qcow2(size=1 << 40), "cover"),
        (qcow2(l1_at=1 << 50), "cut off"),
        (qcow2(l1_at=(1 << 64) - CLUSTER), "cut off"),
        (qcow2(l1_at=3 * CLUSTER + 8), "contradicts"),
        (qcow2(refcount_clusters=129), "out of proportion"),
        (qcow2(refcount_clusters=0), "contradicts"),
        (qcow2(refcounts_at=1 << 40), "cut off"),
        (qcow2(refcounts_at=0), "contradicts"),
        (qcow2(refcount_order=7), "contradicts"),
        (qcow2(header_length=96), "contradicts"),
        (qcow2(header_length=CLUSTER + 8, length=5 * CLUSTER), "contradicts"),
        (qcow2(snapshots=1 << 16, snapshots_at=CLUSTER), "out of proportion"),
        (qcow2(snapshots=1, snapshots_at=1 << 50), "cut off"),
        (qcow2(length=70), "cut off"),
        (qcow2(length=90), "cut off"),
        (qcow2(length=2 * CLUSTER), "cut off"),
        (b"\x1f\x8b".ljust(512, b"\0"), "gunzip"),
        (b"\xfd7zXZ\0".ljust(512, b"\0"), "unxz"),
        (b"(\xb5/\xfd".ljust(512, b"\0"), "unzstd"),
        (b"BZh9".ljust(512, b"\0"), "bunzip2"),
        (b"PK\x03\x04".ljust(512, b"\0"), "unzip"),
        (b"LUKS\xba\xbe".ljust(512, b"\0"), "encrypted"),
        (b"QED\0".ljust(512, b"\0"), "QED"),
        (b"COWD".ljust(512, b"\0"), "VMDK of an old kind"),
        (vmdk_descriptor('RW 8192 FLAT "/etc/passwd" 0'), "several files"),
        (vmdk_descriptor('RW 8192 SPARSE "/etc/passwd"'), "several files"),
        (vmdk(capacity=0), "several files"),
        (vmdk(descriptor_at=0), "several files"),
        (vmdk(descriptor_at=30), "several files"),
        (vmdk(kind="monolithicFlat"), "not in one file"),
        (vmdk(kind="twoGbMaxExtentSparse"), "not in one file"),
        (vmdk(kind="vmfs"), "not in one file"),
        (vmdk(extent='RW 8192 FLAT "/etc/passwd" 0'), "other files"),
        (vmdk(extent='RW 8192 SPARSE "/etc/passwd"'), "other files"),
        (vmdk(extent='RW 4096 SPARSE "a.vmdk"\nRW 4096 SPARSE "b.vmdk"'), "other files"),
        (vmdk(extent='RW 8192 VMFS "a.vmdk"'), "other files"),
        (vmdk(extent="RW what"), "not understood"),
        (vmdk(extent=""), "other files"),
        (vmdk(parent="12345678"), "difference"),
        (vmdk(more='parentFileNameHint="/etc/passwd"\n'), "difference"),
        (vmdk(more='encryption.keySafe="x"\n'), "encrypted"),
        (vmdk(version=9), "version 9"),
        (vmdk(grain=0), "contradicts"),
        (vmdk(grain=1 << 40), "contradicts"),
        (vmdk(entries=513), "contradicts"),
        (vmdk(capacity=1 << 60), "out of proportion"),
        (vmdk(capacity=1 << 38, grain=1 << 21), "bytes"),
        (vmdk(directory=1 << 50), "cut off"),
        (vmdk(directory=(1 << 64) - 1), "footer"),
        (vmdk(length=600), "cut off"),
    ],
)
def test_what_is_refused(judge, data, told):
    with pytest.raises(BackendError, match=told) as refused:
        judge(data)
    assert refused.value.code is Code.IMAGE_UNREADABLE
    assert refused.value.message.startswith("The disk image cannot be used: ")
    assert refused.value.message.endswith(".")


def test_a_parent_hidden_behind_a_short_descriptor_is_found(judge):
    data = bytearray(vmdk())
    data[512 + 5000 : 512 + 5018] = b"parentFileNameHint"
    with pytest.raises(BackendError, match="difference"):
        judge(bytes(data))


def test_the_hand_made_images_are_sound_but_for_what_is_wrong(judge):
    assert judge(qcow2()).virtual_bytes == 64 * MIB
    assert judge(qcow2(version=2)).virtual_bytes == 64 * MIB
    assert judge(vmdk()).virtual_bytes == 4 * MIB


@pytest.mark.parametrize(
    ("name", "offset", "data", "told"),
    [
        ("vdi", 0x44, struct.pack("<I", 0x20001), "version 2.1"),
        ("vdi", 0x4C, struct.pack("<I", 4), "difference"),
        ("vdi", 0x1B8, b"\x01" * 16, "difference"),
        ("vdi", 0x1A8, b"\x01" * 16, "difference"),
        ("vdi", 0x170, struct.pack("<Q", 1 << 62), "bytes"),
        ("vdi", 0x170, struct.pack("<Q", 1 << 40), "out of proportion"),
        ("vdi", 0x180, struct.pack("<I", 0x3FFFFFFF), "out of proportion"),
        ("vdi", 0x154, struct.pack("<I", 0xFFFFFE00), "cut off"),
        ("vdi", 0x158, struct.pack("<I", 0xFFFFFE00), "cut off"),
        ("vdi", 0x178, struct.pack("<I", 1 << 30), "contradicts"),
        ("vdi", 0x200, struct.pack("<I", 0x7FFFFFFF), "out of proportion"),
        ("vpc-fixed", 8 * MIB + 60, struct.pack(">I", 4), "damaged"),
        ("vpc", 60, struct.pack(">I", 4), "contradicts"),
        ("vpc", 512 + 32, struct.pack(">I", 1 << 31), "damaged"),
        ("vhdx", 192 << 10, b"nope", "damaged"),
        ("vhdx", (192 << 10) + 8, struct.pack("<I", 1 << 31), "damaged"),
        ("vhdx", (192 << 10) + 16 + 16, struct.pack("<Q", 1 << 60), "cut off"),
    ],
)
def test_headers_of_other_programs_are_read_strictly(samples, tmp_path, name, offset, data, told):
    path = tmp_path / name
    path.write_bytes(samples[name].read_bytes())
    with pytest.raises(BackendError, match=told):
        judged(patched(path, offset, data))


def vhd_sum(data):
    return struct.pack(">I", ~sum(data) & 0xFFFFFFFF)


def test_a_vhd_that_is_a_difference_is_refused(samples, tmp_path):
    data = bytearray(samples["vpc"].read_bytes())
    footer = bytearray(data[:512])
    footer[60:68] = struct.pack(">II", 4, 0)
    footer[64:68] = vhd_sum(footer)
    path = tmp_path / "difference.vhd"
    path.write_bytes(footer + data[512:-512] + footer)
    with pytest.raises(BackendError, match="difference"):
        judged(path)


def test_a_vhdx_with_a_parent_is_refused(samples, tmp_path):
    data = samples["vhdx"].read_bytes()
    locator = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")
    table = data.index(b"metadata")
    parameters = data.index(bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b"), table)
    where = table + struct.unpack_from("<I", data, parameters + 16)[0]
    for offset, change in ((parameters, locator), (where + 4, struct.pack("<I", 2))):
        path = tmp_path / "child.vhdx"
        path.write_bytes(data)
        with pytest.raises(BackendError, match="difference|incomplete"):
            judged(patched(path, offset, change))


def test_an_archive_of_an_appliance_is_told_to_be_unpacked(tmp_path):
    path = tmp_path / "appliance.ova"
    (tmp_path / "disk.vmdk").write_bytes(vmdk())
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "disk.vmdk", "disk.vmdk")
    with pytest.raises(BackendError, match="tar -xf"):
        judged(path)
    with pytest.raises(BackendError, match="tar -xf"):
        named("OVA")


def test_the_words_of_clients_for_formats():
    assert [named(word) for word in ("VHD", "raw", " VMDK ", "", "qcow2", "vpc")] == [
        "vpc",
        "raw",
        "vmdk",
        "",
        "qcow2",
        "vpc",
    ]
    with pytest.raises(BackendError, match="not served; there are: raw, qcow2, vmdk, vdi, vhdx, vpc"):
        named("dmg")


def test_limits_of_size_are_the_installations(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    assert judged(path, limits=Limits(raw_bytes=1 << 42)).virtual_bytes == 1 << 42
    with pytest.raises(BackendError, match="too long"):
        judged(path)
    with pytest.raises(BackendError, match="allowed"):
        judged(path, limits=Limits(virtual_bytes=1 << 41))


def test_own_images_may_tell_a_difference(tmp_path):
    path = tmp_path / "own"
    path.write_bytes(qcow2(backing=b"parent.raw"))
    with opened(path) as image:
        assert inspect_own(image, "qcow2", LIMITS).backing == "parent.raw"
        for form in ("vmdk", "", "json:{}"):
            with pytest.raises(BackendError, match="not kept"):
                inspect_own(image, form, LIMITS)
    path.write_bytes(bytes(512))
    with opened(path) as image, pytest.raises(BackendError, match="no qcow2"):
        inspect_own(image, "qcow2", LIMITS)


MAGICS = (b"QFI\xfb", b"KDMV", b"conectix", b"vhdxfile", bytes(64) + struct.pack("<I", 0xBEDA107F), b"")


@settings(max_examples=400)
@given(st.sampled_from(MAGICS), st.binary(max_size=1024), st.binary(max_size=512))
def test_any_bytes_after_the_magic_are_understood_or_refused(tmp_path_factory, magic, data, tail):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(magic + data + tail)
    try:
        found = judged(path)
    except BackendError as refusal:
        found = refusal
    if isinstance(found, BackendError):
        assert found.code is Code.IMAGE_UNREADABLE
    else:
        assert 0 < found.virtual_bytes <= LIMITS.virtual_bytes
        assert not found.backing


@settings(max_examples=300)
@given(data=st.data())
def test_one_wrong_byte_in_a_header_is_understood_or_refused(samples, tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(samples)))
    whole = samples[name].read_bytes()[: 300 << 10]
    end = len(whole) if name.startswith("vhdx") else min(len(whole), 2048)
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken"
    path.write_bytes(broken)
    try:
        found = judged(path)
    except BackendError as refusal:
        found = refusal
    if isinstance(found, BackendError):
        assert found.code is Code.IMAGE_UNREADABLE
    else:
        assert 0 < found.virtual_bytes <= LIMITS.virtual_bytes


def test_looking_at_an_image_never_follows_a_link(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError), opened(tmp_path / "link"):
        pass


def test_the_format_of_a_partitioned_disk_is_raw(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(510) + b"\x55\xaa" + bytes(MIB))
    with opened(path) as image:
        assert detect(image) == "raw"
