"""Interfaces and public addresses of machines as links to networks (lifecycle §8.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from backend.lifecycle import occi_state
from backend.model import AttachState, Instance, uuid_of
from backend.network_model import Nic, PublicAddress, Subnet
from occi import kinds, mixins, names
from occi.catalog import Catalog
from rendering.occi_document import (
    ID,
    SOURCE,
    SOURCE_KIND,
    TARGET,
    TARGET_KIND,
    TITLE,
    Category,
    Link,
    Value,
)

_NOTHING: Mapping[str, str] = {}
_WORDS: Mapping[AttachState, str] = {
    AttachState.NONE: "",
    AttachState.ATTACHING: "the machine is given the interface",
    AttachState.ATTACHED: "",
    AttachState.DETACHING: "the machine is asked to let go",
    AttachState.BUSY: "the machine does not let go",
}


def is_active(instance: Instance) -> bool:
    """Whether a machine is active, as its links can be."""
    return occi_state(instance.detail, saved=instance.saved) == "active"


def interface(
    nic: Nic,
    instance: Instance,
    subnet: Subnet | None,
    catalog: Catalog,
    *,
    title: str = "",
    associated: Sequence[tuple[str, str]] = (),
    notes: Mapping[str, str] = _NOTHING,
) -> Link:
    """An interface as the link from its machine to its network; ``notes`` are what is noted of it."""
    is_static = (mixins.IPNETWORKINTERFACE.scheme, mixins.IPNETWORKINTERFACE.term) in associated
    active = nic.up and nic.attach is AttachState.ATTACHED and is_active(instance)
    about = nic.message or _WORDS[nic.attach] or ("" if nic.up else "switched off by its owner")
    return _link(
        nic.id,
        instance,
        nic,
        target=names.path_of(nic.subnet_id),
        target_kind=kinds.NETWORK,
        more_mixins=catalog.own_tags(associated),
        attributes={
            TITLE: title or None,
            kinds.INTERFACE_STATE: "active" if active else "inactive",
            kinds.INTERFACE_MESSAGE: ": ".join(filter(None, (nic.attach.value, about))),
            mixins.INTERFACE_ADDRESS: nic.address,
            mixins.INTERFACE_GATEWAY: subnet.router if subnet is not None else None,
            mixins.INTERFACE_ALLOCATION: notes.get(
                mixins.INTERFACE_ALLOCATION, "static" if is_static else "dynamic"
            ),
        },
        actions=(kinds.LINK_DOWN,) if nic.up else (kinds.LINK_UP,),
    )


def floating(
    address: PublicAddress,
    nic: Nic,
    instance: Instance,
    catalog: Catalog,
    *,
    made_by_link: bool,
    pools: Collection[str],
    notes: Mapping[str, str] = _NOTHING,
) -> Link:
    """A public address that leads to an interface, as a link from the machine.

    It leads outside, into the pool, where it was lent or allocated for the link alone; else to the
    reservation.
    """
    outside = (address.auto or made_by_link) and address.pool in pools
    active = address.up and nic.up and nic.attach is AttachState.ATTACHED and is_active(instance)
    word = "lent while the machine is on" if address.auto else "associated"
    pool = [found for found in [catalog.find(mixins.pool_of(address.pool).id)] if found is not None]
    switch = kinds.LINK_DOWN if address.up else kinds.LINK_UP
    return _link(
        address.association_id,
        instance,
        nic,
        target=names.path_of(names.pool_id(address.pool) if outside else address.id),
        target_kind=kinds.NETWORK if outside else kinds.IPRESERVATION,
        more_mixins=pool,
        attributes={
            TITLE: notes.get(TITLE),
            kinds.INTERFACE_STATE: "active" if active else "inactive",
            kinds.INTERFACE_MESSAGE: f"{word}: leads to {address.private_ip}",
            mixins.INTERFACE_ADDRESS: address.ip,
            mixins.INTERFACE_ALLOCATION: "dynamic",
        },
        actions=() if address.auto else (switch,),
    )


def _link(
    own_id: str,
    instance: Instance,
    nic: Nic,
    *,
    target: str,
    target_kind: Category,
    more_mixins: Sequence[Category],
    attributes: Mapping[str, Value | None],
    actions: tuple[Category, ...],
) -> Link:
    values: dict[str, Value | None] = {
        ID: uuid_of(own_id),
        SOURCE: names.path_of(instance.id),
        SOURCE_KIND: kinds.COMPUTE.id,
        TARGET: target,
        TARGET_KIND: target_kind.id,
        kinds.INTERFACE: f"eth{nic.index}",
        kinds.MAC: nic.mac,
        **attributes,
    }
    return Link(
        target=target,
        rel=(target_kind.id,),
        location=names.path_of(own_id),
        kind=kinds.NETWORKINTERFACE,
        mixins=(mixins.IPNETWORKINTERFACE, *more_mixins),
        attributes={name: value for name, value in values.items() if value is not None},
        actions=actions,
    )
