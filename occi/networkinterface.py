"""The kind networkinterface: interfaces of machines, and the public addresses that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import Command
from backend.engine import InstanceQuery
from backend.errors import BackendError, Code
from backend.model import Instance
from backend.network_commands import DetachNic, DisassociateAddress, ModifyAddress, ModifyNic, ReleaseAddress
from backend.network_model import Nic, PublicAddress
from occi import kinds, linking, mapping, names, noting, plugs, shown
from occi.changing import Standing, full, link_changes, naming, tagging
from occi.creation import Floating, described, refuse_links
from occi.deeds import Creation, Deed, carry_out
from occi.drawn import Drawn
from occi.errors import OcciError
from occi.mixins import INTERFACE_ADDRESS, INTERFACE_ALLOCATION
from occi.scope import Scope
from occi.values import checked_title
from rendering.occi_document import SOURCE, TARGET, TITLE, Category, Link, Request

_MUTABLE = frozenset({TITLE, kinds.MAC, INTERFACE_ADDRESS, INTERFACE_ALLOCATION})
_VOLATILE = frozenset({kinds.INTERFACE_STATE, kinds.INTERFACE_MESSAGE})


# Reading ------------------------------------------------------------------------------------------------


def machines(scope: Scope, wanted: Sequence[str]) -> dict[str, Instance]:
    """Those of some machines that OCCI knows, by id."""
    if not wanted:
        return {}
    query = InstanceQuery(ids=tuple(dict.fromkeys(wanted)), equal={"detail": shown.ALIVE})
    found = scope.engine.instances(scope.caller, query)
    return {each.id: each for each in found if mapping.is_shown(each)}


def plugged(scope: Scope) -> dict[str, list[Nic]]:
    """The interfaces of all machines, by machine, the primary one first."""
    found: dict[str, list[Nic]] = {}
    for nic in scope.engine.networks.all(scope.caller, Nic):
        if nic.instance_id is not None and not nic.requester:
            found.setdefault(nic.instance_id, []).append(nic)
    return {instance_id: sorted(nics, key=lambda nic: nic.index) for instance_id, nics in found.items()}


class Plugged:
    """Machines with their interfaces and the public addresses that lead to these."""

    def __init__(
        self, scope: Scope, instances: Mapping[str, Instance], nics: Mapping[str, list[Nic]]
    ) -> None:
        self._scope = scope
        self.instances = instances
        self.nics = {nic.id: nic for each in nics.values() for nic in each if nic.instance_id in instances}
        public = scope.engine.networks.public_of(self.nics) if self.nics else {}
        self.addresses = {
            address.association_id: address for addresses in public.values() for address in addresses
        }
        own = [*self.nics, *(address.id for address in self.addresses.values())]
        self.associated = scope.engine.mixins_of(scope.caller, own) if own else {}
        self.notes = scope.engine.notes_of([*self.nics, *self.addresses]) if own else {}

    def by_link(self, address: PublicAddress) -> bool:
        """Whether an address was allocated by the link that it is."""
        return linking.BY_LINK in self.associated.get(address.id, ())

    def links(self) -> dict[str, list[Link]]:
        """The links of each machine: its interfaces, and behind each the addresses that lead to it."""
        scope = self._scope
        subnets = Drawn(scope).subnets if self.nics else {}
        tags = scope.engine.tags_of(list(self.nics)) if self.nics else {}
        found: dict[str, list[Link]] = {}
        for nic in self.nics.values():
            instance = self.instances[str(nic.instance_id)]
            own = found.setdefault(instance.id, [])
            own.append(
                plugs.interface(
                    nic,
                    instance,
                    subnets.get(nic.subnet_id),
                    scope.catalog,
                    title=tags.get(nic.id, {}).get("Name", ""),
                    associated=self.associated.get(nic.id, ()),
                    notes=self.notes.get(nic.id, {}),
                )
            )
            own += [
                plugs.floating(
                    address,
                    nic,
                    instance,
                    scope.catalog,
                    made_by_link=self.by_link(address),
                    pools=scope.engine.settings.network.pools,
                    notes=self.notes.get(address.association_id, {}),
                )
                for address in self.addresses.values()
                if address.nic_id == nic.id
            ]
        return found


def links_of(
    scope: Scope, instances: Sequence[Instance], nics: Mapping[str, list[Nic]]
) -> dict[str, list[Link]]:
    """The links of machines that the caller was already shown, by machine."""
    return Plugged(scope, {each.id: each for each in instances}, nics).links()


def _everything(scope: Scope) -> Plugged:
    nics = plugged(scope)
    return Plugged(scope, machines(scope, list(nics)), nics)


def _some(scope: Scope, wanted: Sequence[str]) -> Plugged:
    """The machines that own some links, with those of their interfaces that matter."""
    if not all(each.startswith("eni-") for each in wanted):  # an association is found by its interface only
        return _everything(scope)
    nics: dict[str, list[Nic]] = {}
    for nic in scope.engine.networks.nics_by_id(wanted).values():
        if nic.instance_id is not None:
            nics.setdefault(nic.instance_id, []).append(nic)
    return Plugged(scope, machines(scope, list(nics)), nics)


def of_machines(scope: Scope, wanted: Sequence[str]) -> set[str]:
    """What ends with some machines: the ids of their links, and of the addresses that these allocated."""
    found = Plugged(scope, machines(scope, wanted), scope.engine.networks.nics_of(wanted))
    allocated = (address.id for address in found.addresses.values() if found.by_link(address))
    return {*found.nics, *found.addresses, *allocated}


def ids(scope: Scope) -> list[str]:
    """All links of the caller's machines to networks and public addresses."""
    return [names.id_at(link.location) for link in entities(scope)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise 404 for links that are not there."""
    _known(_some(scope, wanted), wanted)


def _known(found: Plugged, wanted: Sequence[str]) -> None:
    missing = [each for each in wanted if each not in found.nics and each not in found.addresses]
    if missing:
        raise OcciError(404, f"No such link: {', '.join(map(names.path_of, missing))}")


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Link]:
    """Renderings of all links or of some; those that have gone meanwhile are left out."""
    found = _everything(scope) if wanted is None else _some(scope, wanted)
    links = [link for own in found.links().values() for link in own]
    named = None if wanted is None else {names.path_of(each) for each in wanted}
    return [link for link in links if named is None or link.location in named]


# Making -------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What links a machine with a network or a public address (OCCI-HTTP-061).

    To a network: one more interface. To the network outside, or to a network with a pool of floating
    addresses: an address of the pool. To a reservation: its address.
    """
    refuse_links(request)
    associated, given = described(scope, kinds.NETWORKINTERFACE, request)
    instance_id = names.id_of_kind(kinds.COMPUTE, given[SOURCE])
    if instance_id not in machines(scope, [instance_id]):
        raise BackendError(Code.INSTANCE_NOT_FOUND, f"No such instance: {instance_id}", ids=(instance_id,))
    wanted = linking.plugged(scope, given[TARGET], associated, given)
    nics = scope.engine.networks.nics_of([instance_id]).get(instance_id, [])
    if not isinstance(wanted, Floating):
        plug = wanted
        return lambda do: linking.attach(do, instance_id, plug, nics)
    command = linking.whereto(wanted, nics)
    return lambda do: linking.associate(do, wanted, command)


# Changing -----------------------------------------------------------------------------------------------


def update(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What changes title, MAC, address and tags of a link; its ends are the same from its creation on."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """As :func:`update`; a title and tags that are missing are removed."""
    return _changes(scope, entity_id, full(scope, request), replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> Sequence[Deed]:
    check(scope, [entity_id])
    [link] = entities(scope, [entity_id])
    standing = Standing(entity_id, link)
    is_nic = entity_id.startswith("eni-")
    wanted, given = link_changes(
        scope,
        standing,
        request,
        mutable=_MUTABLE if is_nic else noting.OF_ADDRESSES,
        volatile=_VOLATILE if replacing else (),
    )
    pool = {mixin.id for mixin in wanted} & scope.catalog.pools.keys() - standing.mixin_ids
    if pool:
        raise OcciError(501, "The pool of a link cannot be changed: end it, and make another.")
    if replacing and TITLE not in request.attributes:
        given = {TITLE: "", **given}
    checked_title(given.get(TITLE, ""))
    deeds = _interface(standing, given) if is_nic else noting.changed(standing, noting.OF_ADDRESSES, given)
    return [*deeds, *tagging(scope, standing, wanted, replacing=replacing)]


def _interface(standing: Standing, given: Mapping[str, Any]) -> list[Command[Any]]:
    """The commands that change an interface: its addresses, title and allocation."""
    addresses = {
        field: given[name]
        for field, name in (("mac", kinds.MAC), ("address", INTERFACE_ADDRESS))
        if given.get(name)
    }
    if "address" in addresses:
        given = {INTERFACE_ALLOCATION: "static", **given}
    return [
        *([ModifyNic(nic_id=standing.id, **addresses)] if addresses else []),
        *noting.changed(standing, noting.OF_INTERFACES, given),
        *naming(standing, given.get(TITLE)),
    ]


def act(scope: Scope, wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Switch links on or off: all of them or none.

    Raises:
        BackendError: one is so already, or its address is lent (409).
    """
    found = _some(scope, wanted)
    _known(found, wanted)
    offered = {link.location: link.actions for own in found.links().values() for link in own}
    up = action is kinds.LINK_UP
    deeds: list[Deed] = []
    for each in wanted:
        if action not in offered[names.path_of(each)]:
            raise BackendError(
                Code.NIC_WRONG_STATE,
                f"The action {action.term} needs the link {each} to be switched {'off' if up else 'on'}, and "
                "its address not to be lent.",
                ids=(each,),
            )
        address = found.addresses.get(each)
        deeds.append(
            ModifyAddress(allocation_id=address.id, up=up)
            if address is not None
            else ModifyNic(nic_id=each, up=up)
        )
    carry_out(scope, deeds)


# Ending -------------------------------------------------------------------------------------------------


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What unplugs interfaces, which then go, and lets addresses lead nowhere.

    An address that its link allocated goes back to its pool; one that is lent goes when the machine is off.
    """
    found = _some(scope, wanted)
    _known(found, wanted)
    deeds: list[Deed] = []
    for each in wanted:
        address = found.addresses.get(each)
        if address is None:
            deeds.append(DetachNic(nic_id=each, then_delete=True))
        else:
            deeds += _letting_go(found, address)
    return deeds


def _letting_go(found: Plugged, address: PublicAddress) -> list[Deed]:
    if address.auto:
        raise OcciError(409, f"The address {address.ip} is lent by the network while the machine is on.")
    ended: list[Deed] = [DisassociateAddress(association_id=address.association_id)]
    return [*ended, ReleaseAddress(allocation_id=address.id)] if found.by_link(address) else ended


def releases(scope: Scope, instance_ids: Sequence[str]) -> list[Deed]:
    """What gives the addresses back that were allocated by links of machines which are to end."""
    found = Plugged(scope, machines(scope, instance_ids), scope.engine.networks.nics_of(instance_ids))
    own = [each for each in found.addresses.values() if not each.auto and found.by_link(each)]
    return [deed for address in own for deed in _letting_go(found, address)]
