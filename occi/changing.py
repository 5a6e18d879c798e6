"""Changing machines: partial update (POST) and replacement (PUT) → commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import Associate, Command, CreateTags, DeleteTags, ModifyInstance
from backend.model import Flavor, Instance, uuid_of
from occi import kinds
from occi.context import public_keys, user_data
from occi.creation import (
    checked_hostname,
    checked_summary,
    checked_title,
    one_template,
    refuse_links,
)
from occi.errors import OcciError
from occi.mapping import has_scratch
from occi.mixins import CONTEXT_IDS, KEY_SPELLINGS
from occi.scope import Scope
from occi.values import checked_all, memory_mib
from rendering.occi_document import ID, SUMMARY, TITLE, Category, CategoryClass, Entity, Request, Value

#: What changes by itself between a client's reading and its PUT of what it read (OCCI-REAL-13).
_VOLATILE = frozenset({kinds.STATE, kinds.STATE_MESSAGE})


class Machine:
    """A machine as it is before a change: the row, what OCCI shows of it, and its user data."""

    def __init__(self, instance: Instance, shown: Entity, data: bytes) -> None:
        self.instance = instance
        self.shown = shown
        self.user_data = data

    @property
    def mixin_ids(self) -> set[str]:
        """Type identifiers of the mixins it has."""
        return {mixin.id for mixin in self.shown.mixins}


def partial_update(scope: Scope, machine: Machine, request: Request) -> list[Command[Any]]:
    """The commands that change what a request gives and leave the rest (OCCI-HTTP-035)."""
    refuse_links(scope, request)
    wanted = _mixins(scope, machine, request)
    given = _attributes(scope, machine, request, wanted, replacing=False)
    return [
        *_modification(scope, machine, given, wanted),
        *_naming(machine, given),
        *_tagging(scope, machine, wanted, replacing=False),
    ]


def replacement(scope: Scope, machine: Machine, request: Request) -> list[Command[Any]]:
    """The commands that make a machine what a full rendering says (OCCI-HTTP-032).

    Title, summary, host name and tags that are missing are removed; a machine always has a size, an image and
    its context. Links are left as they are (OCCI-AMB-09).
    """
    if scope.kind_of(request) is None:
        raise OcciError(400, "A full rendering names the kind.")
    wanted = _mixins(scope, machine, request)
    given = _attributes(scope, machine, request, wanted, replacing=True)
    for name in (TITLE, SUMMARY, kinds.HOSTNAME):
        given.setdefault(name, "")
    return [
        *_modification(scope, machine, given, wanted),
        *_naming(machine, given),
        *_tagging(scope, machine, wanted, replacing=True),
    ]


def _mixins(scope: Scope, machine: Machine, request: Request) -> list[Category]:
    """The mixins a request names, all of which the machine has or can be given now."""
    kind = scope.kind_of(request)
    if (kind is not None and kind.id != machine.shown.kind.id) or request.of(CategoryClass.ACTION):
        raise OcciError(400, "An entity keeps its kind.")
    wanted = scope.mixins_for(machine.shown.kind, request, machine.shown.mixins)
    image = one_template(wanted, scope.catalog.images)
    if image is not None and image.id != machine.instance.image_id:
        raise OcciError(501, "The OS template of a machine cannot be replaced.")
    return wanted


def _attributes(
    scope: Scope, machine: Machine, request: Request, wanted: Sequence[Category], *, replacing: bool
) -> dict[str, Any]:
    """The mutable attributes given, checked. What the server sets must be as it is (OCCI-AMB-08)."""
    known = scope.catalog.attributes([*machine.shown.mixins, *wanted, machine.shown.kind])
    given = checked_all(_meant(machine, request), known, whose="The machine")
    fixed = {name: value for name, value in given.items() if not known[name].mutable}
    for name, value in fixed.items():
        if name == ID and value in {machine.instance.id, uuid_of(machine.instance.id)}:
            continue
        if not (replacing and name in _VOLATILE) and value != machine.shown.attributes.get(name):
            raise OcciError(403, f"{name} is immutable.")
    _check_fixed_by_image(machine, given)
    _check_context(machine, given, wanted)
    return {name: value for name, value in given.items() if name not in fixed}


def _meant(machine: Machine, request: Request) -> dict[str, Value]:
    """The attributes given. Of two values for one, one may still be as it was read: the other counts."""
    now = machine.shown.attributes
    later = {
        name: value
        for name, value in request.overruled.items()
        if request.attributes[name] == now.get(name, "")
    }
    return {**request.attributes, **later}


def _check_fixed_by_image(machine: Machine, given: Mapping[str, Any]) -> None:
    architecture = given.get(kinds.ARCHITECTURE)
    if architecture is not None and architecture != machine.shown.attributes.get(kinds.ARCHITECTURE):
        raise OcciError(403, f"{kinds.ARCHITECTURE} is that of the machine's image.")


def _check_context(machine: Machine, given: Mapping[str, Any], wanted: Sequence[Category]) -> None:
    """Keys and user data are given once, at creation (OCCI-CORE-017, OCCI-INFRA-080)."""
    if not set(public_keys(given)) <= set(machine.instance.public_keys):
        raise OcciError(403, "A machine's keys are given at its creation.")
    if user_data(given) not in {b"", machine.user_data}:
        raise OcciError(403, "A machine's user data is given at its creation.")
    late = [mixin for mixin in wanted if mixin.id in CONTEXT_IDS and not _has(machine, mixin)]
    if late:
        raise OcciError(400, f"The mixin {late[0].id} is associated at creation only.")


def _has(machine: Machine, mixin: Category) -> bool:
    is_key = any(mixin.id == spelling.id for spelling, _ in KEY_SPELLINGS)
    return bool(machine.instance.public_keys) if is_key else bool(machine.user_data)


def _modification(
    scope: Scope, machine: Machine, given: Mapping[str, Any], wanted: Sequence[Category]
) -> list[Command[Any]]:
    instance = machine.instance
    flavor = _new_flavor(scope, machine, wanted)
    changes: dict[str, Any] = {}
    if SUMMARY in given:
        changes["summary"] = checked_summary(given[SUMMARY])
    if kinds.HOSTNAME in given:
        changes["hostname"] = checked_hostname(given[kinds.HOSTNAME])
    if flavor is None and kinds.CORES in given:
        changes["vcpus"] = given[kinds.CORES]
    if flavor is None and kinds.MEMORY in given:
        changes["memory_mib"] = memory_mib(given[kinds.MEMORY])
    changes = {name: value for name, value in changes.items() if getattr(instance, name) != value}
    if flavor is not None:
        changes["flavor"] = flavor.name
    return [ModifyInstance(instance_id=instance.id, **changes)] if changes else []


def _new_flavor(scope: Scope, machine: Machine, wanted: Sequence[Category]) -> Flavor | None:
    """The size of a resource template that the machine does not have yet (OCCI-INFRA-078)."""
    flavor: Flavor | None = one_template(
        [mixin for mixin in wanted if mixin.id not in machine.mixin_ids], scope.catalog.flavors
    )
    if flavor is not None:
        check_scratch(machine.instance, flavor)
    return flavor


def check_scratch(instance: Instance, flavor: Flavor) -> None:
    """Refuse a size with scratch space that the machine lacks: disks are made at its creation (409)."""
    if not has_scratch(instance, flavor):
        raise OcciError(
            409,
            f"{flavor.name} has {flavor.ephemeral_gib} GiB of scratch space, the machine has "
            f"{instance.ephemeral_gib}, which cannot grow.",
        )


def _naming(machine: Machine, given: Mapping[str, Any]) -> list[Command[Any]]:
    if TITLE not in given or given[TITLE] == machine.shown.attributes.get(TITLE, ""):
        return []
    title = checked_title(given[TITLE])
    if not title:
        return [DeleteTags(ids=(machine.instance.id,), tags=(("Name", None),))]
    return [CreateTags(ids=(machine.instance.id,), tags=(("Name", title),))]


def _tagging(
    scope: Scope, machine: Machine, wanted: Sequence[Category], *, replacing: bool
) -> list[Command[Any]]:
    tags = scope.catalog.tags
    has = {type_id for type_id in machine.mixin_ids if type_id in tags}
    wants = {mixin.id for mixin in wanted if mixin.id in tags}
    ids = (machine.instance.id,)
    added = [Associate(scheme=tags[t].scheme, term=tags[t].term, add=ids) for t in sorted(wants - has)]
    gone = sorted(has - wants) if replacing else []
    return [*added, *(Associate(scheme=tags[t].scheme, term=tags[t].term, remove=ids) for t in gone)]
