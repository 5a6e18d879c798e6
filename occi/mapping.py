"""Instances as compute resources: states, messages, actions and attributes (lifecycle §8.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from backend.commands import Op
from backend.lifecycle import occi_state
from backend.model import Desired, Flavor, Instance, State, uuid_of
from occi import kinds, mixins, names
from occi.catalog import Catalog
from occi.context import encoded
from occi.creation import ARCHITECTURES
from occi.values import memory_gib
from rendering.occi_document import ID, SUMMARY, TITLE, Category, Entity, Link, Value

_ARCHITECTURES = {name: ours for ours, names in ARCHITECTURES.items() for name in names}

#: What each action asks of the engine, by its method. The first method is what no method means.
OPERATIONS: Mapping[str, Mapping[str, Op]] = {
    kinds.START.id: {"": Op.START},
    kinds.STOP.id: {"graceful": Op.POWEROFF, "acpioff": Op.POWEROFF, "poweroff": Op.POWEROFF_HARD},
    kinds.RESTART.id: {"graceful": Op.REBOOT, "warm": Op.RESET, "cold": Op.RESTART_COLD},
    kinds.SUSPEND.id: {"hibernate": Op.SUSPEND, "suspend": Op.PAUSE},
}

#: Actions on offer in each detail while no job runs; those not named offer none.
_OFFERED: Mapping[str, tuple[Category, ...]] = {
    "hold": (kinds.START,),
    "runn": (kinds.STOP, kinds.RESTART, kinds.SUSPEND, kinds.SAVE),
    "stop": (kinds.START,),
    "susp.disk": (kinds.START, kinds.SAVE),
    "susp.ram": (kinds.START,),
    "poff": (kinds.START, kinds.SAVE),
    "fail.migrate": (kinds.START,),
    "fail.boot_migrate": (kinds.START,),
}
#: While a job runs, only a hard stop may interrupt, and only these.
_OFFERED_AT_WORK: Mapping[str, tuple[Category, ...]] = {
    "runn": (kinds.STOP,),
    "shut.poff": (kinds.STOP,),
}

_MESSAGES: Mapping[str, str] = {
    "pend": "waiting for capacity",
    "pend.image": "waiting for the image",
    "hold": "held by owner",
    "prol.new": "preparing disks",
    "prol.resume": "preparing disks",
    "boot.new": "starting",
    "boot.resume": "starting",
    "boot.poff": "starting",
    "boot.susp": "restoring",
    "migr.live": "moving to another host",
    "migr.cold": "moving to another host",
    "save.susp": "writing memory to disk",
    "save.stop": "writing memory to disk",
    "save.migrate": "moving to another host",
    "epil.stop": "moving to the store",
    "epil.resubmit": "going back to the queue",
    "susp.disk": "checkpoint on host",
    "susp.ram": "paused in memory",
}
_NOTHING: Mapping[str, str] = {}
_BY_STATE: Mapping[State, str] = {
    State.BOOT: "moving to another host",
    State.MIGR: "moving to another host",
    State.HOTP: "changing devices",
    State.SHUT: "waiting for the guest",
    State.EPIL: "cleaning up",
    State.POFF: "powered off",
}


def is_shown(instance: Instance) -> bool:
    """Whether OCCI knows an instance: what was deleted is gone at once (OCCI-AMB-07), unless that failed."""
    if instance.state is State.DONE:
        return False
    return instance.desired is not Desired.GONE or instance.state is State.FAIL


def state_message(instance: Instance) -> str:
    """The short state and a few words about it (lifecycle §8.1)."""
    text = _words(instance)
    return f"{instance.state.value}: {text}" if text else instance.state.value


def _words(instance: Instance) -> str:
    match instance.state:
        case State.RUNN:
            if instance.job_id is not None:
                return "restarting"
            return instance.reason.words or ("" if instance.health == "ok" else instance.health)
        case State.FAIL:
            return f"{instance.detail}: {instance.reason.words or 'unknown cause'}"
        case State.UNKN:
            since = datetime.fromtimestamp(instance.state_since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return f"host unreachable since {since}"
        case State.STOP:
            return "disks in store" if instance.saved == "disks" else "checkpoint in store"
        case State.PEND | State.POFF if instance.reason.words:
            return instance.reason.words
        case _:
            return _MESSAGES.get(instance.detail) or _BY_STATE.get(instance.state, "")


def offered(instance: Instance) -> tuple[Category, ...]:
    """The actions applicable now."""
    if instance.desired is Desired.GONE:
        return ()
    table = _OFFERED if instance.job_id is None else _OFFERED_AT_WORK
    return table.get(instance.detail, ())


def size_template(instance: Instance, catalog: Catalog) -> Category | None:
    """The resource template that an instance has: its flavor's, while it has that flavor's size."""
    category = catalog.template(instance.flavor)
    flavor = catalog.flavors.get(category.id) if category is not None else None
    return category if flavor is not None and _fits(instance, flavor) else None


def _fits(instance: Instance, flavor: Flavor) -> bool:
    same = (instance.vcpus, instance.memory_mib) == (flavor.vcpus, flavor.memory_mib)
    return same and has_scratch(instance, flavor)


def has_scratch(instance: Instance, flavor: Flavor) -> bool:
    """Whether an instance has the scratch space of a flavor, which it got at its creation (OCCI-CRTP-004)."""
    return instance.ephemeral_gib >= flavor.ephemeral_gib


def entity(
    instance: Instance,
    catalog: Catalog,
    *,
    title: str = "",
    associated: Sequence[tuple[str, str]] = (),
    user_data: bytes | None = None,
    links: Sequence[Link] = (),
    connectivity: str = "",
    notes: Mapping[str, str] = _NOTHING,
) -> Entity:
    """An instance as a compute resource; ``associated`` are the mixins on record, as scheme and term.

    ``links`` are those that begin there. Without ``user_data`` its mixin is there, and its attribute is not.
    ``connectivity`` is what its network reaches, if it was made to reach something (OCCI-EXT-009); ``notes``
    are what is noted of it.
    """
    on_record = {scheme + term for scheme, term in associated}
    context = _context(instance, on_record, user_data)
    if connectivity:
        context.append((mixins.DEFAULT_CONNECTIVITY, mixins.CONNECTIVITY, connectivity))
    templates = (
        catalog.os_template(instance.image_id),
        size_template(instance, catalog),
    )
    places = catalog.places(instance.zone, instance.region)
    tags = catalog.own_tags(associated)
    found = tuple(each for each in (*templates, *(mixin for mixin, _, _ in context), *places, *tags) if each)
    values = _attributes(instance, title, notes)
    values.update({name: value for _, name, value in context if value is not None})
    if notes.get(mixins.OPENSTACK_KEY_NAME):
        values[mixins.OPENSTACK_KEY_NAME] = notes[mixins.OPENSTACK_KEY_NAME]
    declared = {spec.name for category in found for spec in category.attributes}
    if instance.ephemeral_gib and mixins.EPHEMERAL_SIZE in declared:
        values[mixins.EPHEMERAL_SIZE] = float(instance.ephemeral_gib)
        values[mixins.EPHEMERAL_DEVICE] = mixins.EPHEMERAL_TARGET
    return Entity(
        kind=kinds.COMPUTE,
        location=names.path_of(instance.id),
        mixins=found,
        attributes=values,
        links=tuple(links),
        actions=offered(instance),
    )


def _context(
    instance: Instance, on_record: set[str], user_data: bytes | None
) -> list[tuple[Category, str, str | None]]:
    """Key and user data as mixin, attribute and value: in the spellings that the client used, or 1.2's."""
    found: list[tuple[Category, str, str | None]] = []
    if instance.public_keys:
        spellings = _spellings(mixins.KEY_SPELLINGS, on_record)
        found += [(mixin, name, instance.public_keys[0]) for mixin, name in spellings]
    if instance.user_data_size:
        value = None if user_data is None else encoded(user_data)
        spellings = _spellings(mixins.USER_DATA_SPELLINGS, on_record)
        found += [(mixin, name, value) for mixin, name in spellings]
    return found


def _spellings(known: Sequence[tuple[Category, str]], on_record: set[str]) -> Sequence[tuple[Category, str]]:
    return [spelling for spelling in known if spelling[0].id in on_record] or known[:1]


def _attributes(instance: Instance, title: str, notes: Mapping[str, str]) -> dict[str, Value]:
    values: dict[str, Value | None] = {
        ID: uuid_of(instance.id),
        TITLE: title or None,
        SUMMARY: instance.summary or None,
        kinds.ARCHITECTURE: _ARCHITECTURES.get(instance.architecture),
        kinds.CORES: instance.vcpus,
        kinds.HOSTNAME: instance.hostname or None,
        kinds.SPEED: float(notes[kinds.SPEED]) if kinds.SPEED in notes else None,
        kinds.SHARE: instance.cpu_share or None,
        kinds.MEMORY: memory_gib(instance.memory_mib),
        kinds.STATE: occi_state(instance.detail, saved=instance.saved),
        kinds.STATE_MESSAGE: state_message(instance),
    }
    return {name: value for name, value in values.items() if value is not None}
