"""What format a disk image has, by its bytes, and whether it stands alone.

Nothing else ever decides: every program that follows is told the format, and none may look for itself, for
an image can be made to look like anything, and some formats name other files for their reader to open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from backend.images import qcow2, vdi, vhd, vhdx, vmdk
from backend.images.reading import Limits, Source, check_size, refuse
from backend.model import Value

RAW: Final = "raw"
QCOW2: Final = "qcow2"
KEPT: Final = frozenset({RAW, QCOW2})
"""Formats of the files in the store; all others are converted to qcow2."""

_ALIASES: Final = {"vhd": "vpc", "img": RAW, "dd": RAW}
_CONVERT: Final = "convert it first: qemu-img convert -O qcow2 FILE NEW.qcow2"
_ARCHIVES: Final = {
    b"\x1f\x8b": ("gzip", "gunzip FILE.gz"),
    b"\xfd7zXZ\x00": ("xz", "unxz FILE.xz"),
    b"(\xb5/\xfd": ("zstd", "unzstd FILE.zst"),
    b"BZh": ("bzip2", "bunzip2 FILE.bz2"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4 FILE.lz4"),
    b"PK\x03\x04": ("zip", "unzip FILE.zip"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x FILE.7z"),
}
_UNSERVED: Final = {
    b"# Disk Desc": f"it is the description of a VMDK in several files; {vmdk.SPLIT}",
    b"COWD": f"it is a VMDK of an old kind; {_CONVERT}",
    b"\xbe\xba\xfe\xca\x00\x00\x00\x00": f"it is a VMDK of an old kind; {_CONVERT}",
    b"QED\x00": f"it is QED; {_CONVERT}",
    b"WithoutFreeSpace": f"it is Parallels; {_CONVERT}",
    b"WithouFreSpacExt": f"it is Parallels; {_CONVERT}",
    b"Bochs Virtual HD Image": f"it is Bochs; {_CONVERT}",
    b"LUKS\xba\xbe": "it is encrypted",
}
_START_BYTES: Final = 512


class Shape(Value, frozen=True, kw_only=True):
    """What a disk image is: its format, and the size of the disk in it.

    ``backing`` is the file that it tells the difference to; ``encrypted`` that it is LUKS in a qcow2. Both
    occur in own images alone. ``guise`` is what a raw image looks like to who believes its first bytes.
    """

    format: str
    virtual_bytes: int
    backing: str = ""
    encrypted: bool = False
    guise: str = ""


def named(form: str) -> str:
    """A client's word for a format in QEMU's words; empty stays empty.

    Raises:
        BackendError: IMAGE_UNREADABLE, the format is not served.
    """
    word = form.strip().lower()
    word = _ALIASES.get(word, word)
    if word in {"ova", "ovf"}:
        refuse("an OVA is an archive; unpack it, tar -xf FILE.ova, and import the VMDK in it")
    if word and word not in FORMATS:
        refuse(f"the format {word[:40]} is not served; there are: {', '.join(FORMATS)}")
    return word


def detect(image: Source) -> str:
    """The format that the bytes are of.

    Raises:
        BackendError: IMAGE_UNREADABLE, they are of one that is not served; the message says what to do.
    """
    start = image.some(0, _START_BYTES)
    for magic, form in _MAGIC.items():
        if start.startswith(magic):
            return form
    if start[vdi.SIGNATURE_AT :].startswith(vdi.SIGNATURE):
        return "vdi"
    for magic, (kind, command) in _ARCHIVES.items():
        if start.startswith(magic):
            refuse(f"it is compressed by {kind}; unpack it first: {command}")
    if start[257:262] == b"ustar":
        refuse("it is an archive; unpack it, tar -xf FILE, and import the disk in it")
    for magic, reason in _UNSERVED.items():
        if start.startswith(magic):
            refuse(reason)
    if image.some(max(image.size - vhd.FOOTER_BYTES, 0), 8) == vhd.COOKIE:
        return "vpc"
    return RAW


def inspect(image: Source, told: str, limits: Limits) -> Shape:
    """Judge an image from outside, before any program opens it; ``told`` is the format a client gave, or "".

    Raises:
        BackendError: IMAGE_UNREADABLE, it refers to other files, is encrypted, damaged or out of proportion,
            or not of the format that was told.
    """
    if not image.size:
        refuse("the file is empty")
    if told == RAW:  # the one who knows has said so: it is never looked at as anything else
        return _read_raw(image, limits, guise=_guise(image))
    found = detect(image)
    if told and told != found:
        refuse(f"it was said to be {told}, and its bytes are {found}")
    if found == RAW:
        return _read_raw(image, limits)
    if found != QCOW2:
        return Shape(format=found, virtual_bytes=_READERS[found](image, limits))
    header = qcow2.read_qcow2(image, limits)
    if header.backing:
        refuse(f"it has a backing file; {qcow2.MERGE}")
    if header.encryption:
        refuse("it is encrypted")
    return Shape(format=QCOW2, virtual_bytes=header.virtual_bytes)


def inspect_own(image: Source, form: str, limits: Limits) -> Shape:
    """Judge an image that one of our own hosts wrote: it may be encrypted and have a backing file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is no whole image of that format.
    """
    if not image.size:
        refuse("the file is empty")
    if form == RAW:  # of any length: it is not for its owner to choose another format
        return _read_raw(image, msgspec.structs.replace(limits, raw_bytes=limits.virtual_bytes))
    if form != QCOW2:
        refuse(f"the format {form[:40]} is not kept")
    if image.some(0, 4) != qcow2.MAGIC:
        refuse("it is no qcow2")
    header = qcow2.read_qcow2(image, limits)
    if header.encryption not in {0, qcow2.LUKS}:
        refuse("it is encrypted in a way that is not served")
    return Shape(
        format=QCOW2,
        virtual_bytes=header.virtual_bytes,
        backing=header.backing,
        encrypted=header.encryption == qcow2.LUKS,
    )


def _read_raw(image: Source, limits: Limits, guise: str = "") -> Shape:
    if image.size % 512:
        refuse(
            "it is no raw disk, whose size is a multiple of 512 bytes, nor of another format that is known"
        )
    check_size(image.size, limits)
    if image.size > limits.raw_bytes:
        refuse(f"a raw disk of {image.size} bytes is too long; {_CONVERT}")
    return Shape(format=RAW, virtual_bytes=image.size, guise=guise)


def _guise(image: Source) -> str:
    """What a raw image would be taken for, or nothing."""
    start = image.some(0, _START_BYTES)
    if any(start.startswith(magic) for magic in _UNSERVED):
        return "unserved"
    if any(start.startswith(magic) for magic in _ARCHIVES) or start[257:262] == b"ustar":
        return ""  # no reader of disks looks into them
    found = detect(image)
    return "" if found == RAW else found


_MAGIC: Final[Mapping[bytes, str]] = {
    qcow2.MAGIC: QCOW2,
    vmdk.MAGIC: "vmdk",
    vhdx.MAGIC: "vhdx",
    vhd.COOKIE: "vpc",
}
_READERS: Final[Mapping[str, Callable[[Source, Limits], int]]] = {
    "vmdk": vmdk.read_vmdk,
    "vdi": vdi.read_vdi,
    "vhdx": vhdx.read_vhdx,
    "vpc": vhd.read_vhd,
}
FORMATS: Final = (RAW, QCOW2, *_READERS)
"""All formats served, in QEMU's words."""
