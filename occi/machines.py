"""Changing machines: partial update (POST) and replacement (PUT) → commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from backend.commands import ModifyInstance
from backend.model import Flavor, Instance
from occi import kinds, noting
from occi.changing import Standing, check_zone, full, given_attributes, named_mixins, naming, tagging
from occi.context import public_keys, user_data
from occi.creation import checked_hostname, one_template
from occi.deeds import Deed
from occi.errors import OcciError
from occi.linking import additions, links_of
from occi.mixins import (
    CONNECTIVITY,
    CONTEXT_IDS,
    DEFAULT_CONNECTIVITY,
    KEY_SPELLINGS,
    OPENSTACK_KEY_NAME,
    PUBLIC_KEY,
    SSH_KEY,
)
from occi.scope import Scope
from occi.values import checked_summary, memory_mib
from rendering.occi_document import SUMMARY, TITLE, Category, Entity, Request

_VOLATILE = frozenset({kinds.STATE, kinds.STATE_MESSAGE})


class Machine(Standing):
    """A machine as it is before a change: the row, what OCCI shows of it, and its user data."""

    def __init__(self, instance: Instance, shown: Entity, data: bytes) -> None:
        super().__init__(instance.id, shown)
        self.instance = instance
        self.links = shown.links
        self.user_data = data


def partial_update(scope: Scope, machine: Machine, request: Request) -> list[Deed]:
    """What changes what a request gives and leave the rest (OCCI-HTTP-035)."""
    wanted = _mixins(scope, machine, request)
    given = _attributes(scope, machine, request, wanted)
    return [
        *_modification(scope, machine, given, wanted),
        *naming(machine, given.get(TITLE)),
        *noting.changed(machine, noting.OF_MACHINES, given),
        *tagging(scope, machine, wanted, replacing=False),
        *additions(scope, machine.id, links_of(scope, request), machine.links),
    ]


def replacement(scope: Scope, machine: Machine, request: Request) -> list[Deed]:
    """What makes a machine what a full rendering says (OCCI-HTTP-032).

    Title, summary, host name, speed, share and tags that are missing are removed; a machine always has a
    size, an image and its context. Links are left as they are (OCCI-AMB-09).
    """
    full(scope, request)
    wanted = _mixins(scope, machine, request)
    given = _attributes(scope, machine, request, wanted, volatile=_VOLATILE)
    removed = dict.fromkeys((TITLE, SUMMARY, kinds.HOSTNAME, kinds.SPEED, OPENSTACK_KEY_NAME), "")
    given = {**removed, kinds.SHARE: 0, **given}
    return [
        *_modification(scope, machine, given, wanted),
        *naming(machine, given[TITLE]),
        *noting.changed(machine, noting.OF_MACHINES, given),
        *tagging(scope, machine, wanted, replacing=True),
    ]


def _mixins(scope: Scope, machine: Machine, request: Request) -> list[Category]:
    """The mixins a request names, all of which the machine has or can be given now."""
    wanted = named_mixins(scope, machine, request)
    image = one_template(wanted, scope.catalog.images)
    if image is not None and image.id != machine.instance.image_id:
        raise OcciError(501, "The OS template of a machine cannot be replaced.")
    check_zone(scope, wanted, machine.instance.zone)
    return wanted


def _attributes(
    scope: Scope,
    machine: Machine,
    request: Request,
    wanted: Sequence[Category],
    *,
    volatile: Collection[str] = (),
) -> dict[str, Any]:
    given = given_attributes(scope, machine, request, wanted, volatile=volatile)
    _check_fixed_by_image(machine, given)
    _check_context(machine, given, wanted)
    return given


def _check_fixed_by_image(machine: Machine, given: Mapping[str, Any]) -> None:
    architecture = given.get(kinds.ARCHITECTURE)
    if architecture is not None and architecture != machine.shown.attributes.get(kinds.ARCHITECTURE):
        raise OcciError(403, f"{kinds.ARCHITECTURE} is that of the machine's image.")


def _check_context(machine: Machine, given: Mapping[str, Any], wanted: Sequence[Category]) -> None:
    """User data and connectivity are given once, at creation (OCCI-CORE-017, OCCI-INFRA-080)."""
    at_creation = CONTEXT_IDS - {SSH_KEY.id} if PUBLIC_KEY in given else CONTEXT_IDS
    late = [mixin for mixin in wanted if mixin.id in at_creation and not _has(machine, mixin)]
    if late:
        raise OcciError(400, f"The mixin {late[0].id} is associated at creation only.")
    if user_data(given) not in {b"", machine.user_data}:
        raise OcciError(403, "A machine's user data is given at its creation.")
    if given.get(CONNECTIVITY) not in {None, machine.shown.attributes.get(CONNECTIVITY)}:
        raise OcciError(403, "What a machine reaches by default is said at its creation.")


def _has(machine: Machine, mixin: Category) -> bool:
    if mixin.id == DEFAULT_CONNECTIVITY.id:
        return mixin.id in machine.mixin_ids
    is_key = any(mixin.id == spelling.id for spelling, _ in KEY_SPELLINGS)
    return bool(machine.instance.public_keys) if is_key else bool(machine.user_data)


def _modification(
    scope: Scope, machine: Machine, given: Mapping[str, Any], wanted: Sequence[Category]
) -> list[Deed]:
    instance = machine.instance
    flavor = _new_flavor(scope, machine, wanted)
    changes: dict[str, Any] = {}
    if SUMMARY in given:
        changes["summary"] = checked_summary(given[SUMMARY])
    if kinds.HOSTNAME in given:
        changes["hostname"] = checked_hostname(given[kinds.HOSTNAME])
    if kinds.SHARE in given:
        changes["cpu_share"] = given[kinds.SHARE]
    keys = public_keys(given)
    if keys and not set(keys) <= set(instance.public_keys):
        changes["public_keys"] = keys
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
    return flavor
