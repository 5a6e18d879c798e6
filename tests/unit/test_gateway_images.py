"""Disk images are checked by their own bytes before any program opens them."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.commands import RegisterImage
from backend.errors import BackendError, Code
from gateway.images import ImageStore, read_header
from gateway.installation import acting_for, import_image, make

SIZE = 64 << 20


def qcow2(*, version=3, backing=0, size=SIZE, encryption=0, incompatible=0, length=512):
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, 0, 16, size, encryption)
    return (head.ljust(72, b"\0") + struct.pack(">Q", incompatible)).ljust(length, b"\0")[:length]


@pytest.fixture
def header(tmp_path):
    def read(data):
        path = tmp_path / "image"
        path.write_bytes(data)
        return read_header(path)

    return read


def test_formats_are_told_by_their_bytes(header):
    for version in (2, 3):
        found = header(qcow2(version=version))
        assert (found.format, found.virtual_bytes) == ("qcow2", SIZE)
    found = header(b"\0" * 1024)
    assert (found.format, found.virtual_bytes) == ("raw", 1024)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"\0" * 1000, "multiple of 512"),
        (qcow2(backing=1024), "backing file"),
        (qcow2(version=2, backing=1024), "backing file"),
        (qcow2(incompatible=1 << 2), "another file"),
        (qcow2(encryption=1), "encrypted"),
        (qcow2(version=1), "version 1"),
        (qcow2(size=0), "0 bytes"),
        (qcow2(size=1 << 62), "bytes"),
        (qcow2(length=70), "cut off"),
        (qcow2(length=90), "cut off"),
        (b"\x1f\x8b" + b"\0" * 510, "gzip"),
        (b"KDMV" + b"\0" * 508, "qemu-img convert"),
    ],
)
def test_what_may_not_boot(header, data, told):
    with pytest.raises(BackendError, match=told) as refused:
        header(data)
    assert refused.value.code is Code.IMAGE_UNREADABLE


@settings(max_examples=200)
@given(st.binary(max_size=120))
def test_any_bytes_after_the_magic_are_understood_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(b"QFI\xfb" + data)
    try:
        found = read_header(path)
    except BackendError as refusal:
        found = refusal
    if isinstance(found, BackendError):
        assert found.code is Code.IMAGE_UNREADABLE
    else:
        assert data[4:12] == bytes(8)  # no backing file
        assert found.virtual_bytes == int.from_bytes(data[20:28], "big") > 0


def test_the_store_keeps_content_once_and_leaves_no_pieces(tmp_path):
    store = ImageStore(tmp_path / "images")
    content = b"boot" + bytes(5 << 20) + b"end".ljust(508)
    source = tmp_path / "disk.img"
    source.write_bytes(content)
    told = []
    first = store.import_file(source, lambda done, size: told.append((done, size)))
    second = store.import_file(source)
    assert first == second
    assert first.checksum == hashlib.sha256(content).hexdigest()
    assert first.size_bytes == first.virtual_bytes == len(content)
    assert told[-1] == (len(content), len(content))
    (kept,) = store.folder.iterdir()
    assert kept.read_bytes() == content
    assert not kept.stat().st_mode & 0o077


def test_a_refused_image_leaves_nothing(tmp_path):
    store = ImageStore(tmp_path / "images")
    source = tmp_path / "disk.qcow2"
    source.write_bytes(qcow2(backing=512))
    with pytest.raises(BackendError):
        store.import_file(source)
    with pytest.raises(BackendError):
        store.import_file(tmp_path / "absent")
    with pytest.raises(BackendError):
        store.import_file(tmp_path)
    assert list(store.folder.iterdir()) == []


def test_a_copy_that_is_refused_in_the_end_goes_unless_an_image_has_its_bytes(tmp_path):
    made, _ = make(tmp_path / "home", listen="127.0.0.1:0", regions={"eu-1": ("eu-1a",)})
    caller = acting_for(made.engine.tenants()[0])
    source = tmp_path / "disk"
    source.write_bytes(b"d" * 512)
    kept = made.images.import_file(source)

    def wanted(name):
        return RegisterImage(
            name=name, path="", format="", checksum="", size_bytes=0, virtual_bytes=0, location="disk"
        )

    def race(name):
        """Somebody else takes the name while the bytes are copied."""
        return lambda *_: made.engine.execute(
            caller, msgspec.structs.replace(wanted(name), **msgspec.structs.asdict(kept))
        )

    with pytest.raises(BackendError) as refused:
        import_image(made, caller, source, wanted("taken"), race("taken"))
    assert refused.value.code is Code.IMAGE_NAME_EXISTS
    assert [path.name for path in made.home.images.iterdir()] == [Path(kept.path).name]
    source.write_bytes(b"e" * 512)
    with pytest.raises(BackendError):
        import_image(made, caller, source, wanted("lost"), race("lost"))
    assert [path.name for path in made.home.images.iterdir()] == [Path(kept.path).name]
    image = import_image(made, caller, source, wanted("third"), lambda *_: None)
    assert Path(image.path).read_bytes() == source.read_bytes()
    made.close()
