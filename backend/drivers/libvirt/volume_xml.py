"""Storage pool, volume and secret documents."""

from __future__ import annotations

from backend.drivers.libvirt.xml import E, Element, parse, text_of


def pool_document(name: str, path: str) -> str:
    """A directory pool."""
    return text_of(E.pool(E.name(name), E.target(E.path(path)), type="dir"))


def qcow2_document(name: str, capacity: int, *, backing: str = "", backing_format: str = "qcow2") -> str:
    """A qcow2 volume of so many bytes, version 3 because older ones cannot hold dirty bitmaps."""
    return text_of(
        E.volume(
            E.name(name),
            E.capacity(str(capacity), unit="bytes"),
            E.allocation("0", unit="bytes"),
            E.target(E.format(type="qcow2"), E.compat("1.1")),
            *_backing(backing, backing_format),
        )
    )


def raw_document(name: str, capacity: int, *, mode: str = "") -> str:
    """A raw volume of so many bytes; allocation 0, or all of it would be written now. ``mode`` is octal."""
    permissions = [E.permissions(E.mode(mode))] if mode else []
    return text_of(
        E.volume(
            E.name(name),
            E.capacity(str(capacity), unit="bytes"),
            E.allocation("0", unit="bytes"),
            E.target(E.format(type="raw"), *permissions),
        )
    )


def secret_document(path: str) -> str:
    """The passphrase of a volume while a call takes it: never on the host's disk, never shown again."""
    usage = E.usage(E.volume(path), type="volume")
    return text_of(E.secret(usage, ephemeral="yes", private="yes"))


def backing_of(document: str) -> str:
    """The path of a volume's backing file, empty when it has none."""
    return parse(document).findtext("backingStore/path", "")


def format_of(document: str) -> str:
    """The format that libvirt found in a volume's bytes."""
    found = parse(document).find("target/format")
    return str(found.get("type", "")) if found is not None else ""


def target_of(document: str) -> str:
    """The path a pool's volumes lie under, or a volume's own path."""
    return parse(document).findtext("target/path", "")


def _backing(path: str, form: str) -> list[Element]:
    return [E.backingStore(E.path(path), E.format(type=form))] if path else []
