"""Building blocks of libvirt documents: elements with escaped text, our metadata, and reading them back."""

from __future__ import annotations

from typing import Final

from lxml import etree
from lxml.builder import E, ElementMaker

from backend.model import Capacity, Value

Element = etree._Element  # noqa: SLF001 - lxml has no public name for it

NAMESPACE: Final = "urn:isthmus:instance:1"
QEMU_NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
QEMU: Final = ElementMaker(namespace=QEMU_NAMESPACE, nsmap={"qemu": QEMU_NAMESPACE})
OURS: Final = ElementMaker(namespace=NAMESPACE, nsmap={"isthmus": NAMESPACE})

__all__ = ["QEMU", "E", "Element", "Ownership", "ownership", "ownership_of", "text_of", "usage_of"]


class Ownership(Value, frozen=True, kw_only=True):
    """What our metadata says of a domain: whose it is, and by which permit it runs."""

    instance_id: str
    epoch: int


def text_of(element: Element) -> str:
    """The document as libvirt takes it."""
    return etree.tostring(element, encoding="unicode")


def ownership(instance_id: str, epoch: int) -> Element:
    """The metadata element that makes a domain ours."""
    return OURS.instance(id=instance_id, epoch=str(epoch))


def ownership_of(document: str) -> Ownership | None:
    """The ownership in a domain document or in our metadata element alone; None when it is not ours."""
    root = parse(document)
    wanted = "instance" if root.tag == "instance" else f"{{{NAMESPACE}}}instance"
    element = root if root.tag == wanted else root.find(f"metadata/{wanted}")
    if element is None:
        return None
    instance_id, epoch = element.get("id"), element.get("epoch", "")
    if not instance_id or not epoch.isdecimal():
        return None
    return Ownership(instance_id=instance_id, epoch=int(epoch))


def usage_of(document: str) -> Capacity:
    """What a domain of somebody else takes, from its own document."""
    root = parse(document)
    memory = root.find("memory")
    kib = 0
    if memory is not None and memory.text:
        kib = int(memory.text) * _KIB.get(memory.get("unit", "KiB"), 1)
    return Capacity(cpu=int(root.findtext("vcpu", "1")) * 100, memory_mib=kib // 1024)


_KIB: Final = {"KiB": 1, "MiB": 1024, "GiB": 1024**2, "TiB": 1024**3}


def parse(document: str) -> Element:
    """A document from libvirt; entities and networks are not for it."""
    return etree.fromstring(
        document.encode(), etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
    )
