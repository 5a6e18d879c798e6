"""The kind compute: machines listed, read, made, changed, acted upon and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from backend.commands import CreateImage, Launched, ModifyInstance, Op, Operate
from backend.engine import Do, InstanceQuery
from backend.errors import BackendError, Code
from backend.lifecycle import occi_state
from backend.model import Flavor, Instance
from backend.network_model import Nic
from occi import kinds, linking, mapping, networkinterface, noting, securitygrouplink, storing
from occi.creation import launch_command
from occi.deeds import Creation, Deed
from occi.drawn import Drawn
from occi.machines import Machine, partial_update, replacement
from occi.mixins import DEFAULT_CONNECTIVITY, PRIVATE_NET, PUBLIC_NET, REACHES, template_of_image
from occi.names import link_id
from occi.scope import Scope
from occi.shown import ALIVE, leaving
from rendering.occi_document import Category, Discovery, Entity, Request

_NEEDED_STATE = {
    kinds.START.id: "inactive after a stop, or suspended",
    kinds.STOP.id: "active",
    kinds.RESTART.id: "active",
    kinds.SUSPEND.id: "active",
    kinds.SAVE.id: "active, inactive after a stop, or hibernated",
}


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All machines of the caller, oldest first."""
    keys = scope.engine.instance_keys(scope.caller, InstanceQuery(equal={"detail": ALIVE}))
    hidden = leaving(scope)
    return [key.id for key in keys if key.id not in hidden]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise INSTANCE_NOT_FOUND for machines that OCCI does not know."""
    instances(scope, wanted)


def instances(scope: Scope, wanted: Sequence[str]) -> list[Instance]:
    """Machines in the order asked; raises INSTANCE_NOT_FOUND for those that OCCI does not know."""
    found = scope.engine.instances_by_id(scope.caller, wanted)
    missing = tuple(each.id for each in found if not mapping.is_shown(each))
    if missing:
        raise BackendError(Code.INSTANCE_NOT_FOUND, f"No such instance: {', '.join(missing)}", ids=missing)
    return found


def entities(scope: Scope, wanted: Sequence[str] | None = None, *, in_full: bool = True) -> list[Entity]:
    """Renderings of all machines or of some, oldest first; those that have gone meanwhile are left out.

    Without ``in_full`` the user data is spared, which is read machine by machine.
    """
    named = None if wanted is None else tuple(wanted)
    found = scope.engine.instances(scope.caller, InstanceQuery(ids=named, equal={"detail": ALIVE}))
    return _rendered(scope, [each for each in found if mapping.is_shown(each)], in_full=in_full)


def _rendered(scope: Scope, found: Sequence[Instance], *, in_full: bool = True) -> list[Entity]:
    names = [each.id for each in found]
    tags = scope.engine.tags_of(names)
    associated = scope.engine.mixins_of(scope.caller, names)
    disks = scope.engine.disks_of(names)
    nics = scope.engine.networks.nics_of(names)
    plugs = networkinterface.links_of(scope, found, nics)
    groups = securitygrouplink.links_of(scope, found, nics)
    reaches = _connectivity(scope, associated, nics)
    attached = [link_id(volume.id) for own in disks.values() for volume in own]
    notes = scope.engine.notes_of([*names, *attached])
    return [
        mapping.entity(
            each,
            scope.catalog,
            title=tags.get(each.id, {}).get("Name", ""),
            associated=associated.get(each.id, ()),
            user_data=_user_data(scope, each) if in_full else None,
            links=[
                *(
                    storing.link(volume, each, notes.get(link_id(volume.id), {}))
                    for volume in disks.get(each.id, ())
                ),
                *plugs.get(each.id, ()),
                *groups.get(each.id, ()),
            ],
            connectivity=reaches.get(each.id, ""),
            notes=notes.get(each.id, {}),
        )
        for each in found
    ]


def _connectivity(
    scope: Scope, associated: Mapping[str, Sequence[tuple[str, str]]], nics: Mapping[str, Sequence[Nic]]
) -> dict[str, str]:
    """What the primary interfaces reach of the machines that were made to reach something."""
    wanted = (DEFAULT_CONNECTIVITY.scheme, DEFAULT_CONNECTIVITY.term)
    made = [
        instance_id
        for instance_id, mixins in associated.items()
        if wanted in mixins and nics.get(instance_id)
    ]
    drawn = Drawn(scope)
    words = {mixin.id: word for word, mixin in REACHES.items()}
    found = {}
    for instance_id in made:
        primary = nics[instance_id][0]
        reach = drawn.reach(drawn.subnets[primary.subnet_id])
        has_way = reach is not PUBLIC_NET or primary.lends  # without a public address there is none outside
        found[instance_id] = words[(reach if has_way else PRIVATE_NET).id]
    return found


def _user_data(scope: Scope, of: Instance) -> bytes:
    return scope.engine.user_data(scope.caller, of.id) if of.user_data_size else b""


def _machine(scope: Scope, instance_id: str) -> Machine:
    [found] = instances(scope, [instance_id])
    [shown] = _rendered(scope, [found])
    return Machine(found, shown, _user_data(scope, found))


# Writing ------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What makes a machine, and lets the public addresses that it is linked with lead to it."""
    links = linking.links_of(scope, request)
    command, notes = launch_command(scope, request, links)

    def make(do: Do) -> str:
        launched: Launched = do(command)
        instance = launched.instances[0]
        for each in links.floating:
            linking.associate(do, each, linking.at_launch(instance))
        for said in (*noting.set_notes(instance.id, notes), *linking.launch_notes(instance.id, links)):
            do(said)
        return instance.id

    return make


def update(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """What changes all that a request gives (POST)."""
    return partial_update(scope, _machine(scope, entity_id), request)


def replace(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """What makes a machine what a full rendering says (PUT)."""
    return replacement(scope, _machine(scope, entity_id), request)


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What ends machines for good, as TerminateInstances, and the links that they own (OCCI-CORE-033)."""
    return [*networkinterface.releases(scope, wanted), Operate(op=Op.TERMINATE, ids=tuple(wanted))]


def resize(scope: Scope, wanted: Sequence[str], flavor: Flavor) -> None:
    """Give machines another size, all or none; each must be one that can be resized now."""
    instances(scope, wanted)
    commands = [ModifyInstance(instance_id=instance_id, flavor=flavor.name) for instance_id in wanted]
    scope.engine.execute_all(scope.caller, commands)


def act(scope: Scope, wanted: Sequence[str], action: Category, given: Mapping[str, Any]) -> Discovery | None:
    """Begin an action on machines: on all of them or on none. Save answers the new templates.

    Raises:
        BackendError: an action that is not applicable now is refused (409).
    """
    found = instances(scope, wanted)
    try:
        if action is kinds.SAVE:
            return _save(scope, found, given)
        by_method = mapping.OPERATIONS[action.id]
        op = by_method[given.get("method", next(iter(by_method)))]
        scope.engine.execute(scope.caller, Operate(op=op, ids=tuple(wanted), strict=True))
    except BackendError as error:
        if error.code is not Code.INSTANCE_WRONG_STATE:
            raise
        raise _not_now(found, action, error) from error
    return None


def _not_now(found: Sequence[Instance], action: Category, error: BackendError) -> BackendError:
    """The refusal of an action, with the state that the machine is in and the one that is needed."""
    named = error.context.get("ids")
    culprits = [each for each in found if isinstance(named, tuple) and each.id in named]
    is_in = culprits[0] if culprits else found[0]
    state = occi_state(is_in.detail, saved=is_in.saved)
    return BackendError(
        error.code,
        f"The machine {is_in.id} is {state} ({mapping.state_message(is_in)}): the action {action.term} needs "
        f"it to be {_NEEDED_STATE[action.id]}.",
        **error.context,
    )


def _save(scope: Scope, found: Sequence[Instance], given: Mapping[str, Any]) -> Discovery:
    """An image of each machine (OCCI-INFRA-012): taken at once while it goes on, or when it ends."""
    for each in found:
        if kinds.SAVE not in mapping.offered(each):  # deferred, the engine would take it at any time
            raise BackendError(
                Code.INSTANCE_WRONG_STATE, f"The machine {each.id} cannot be saved now.", ids=(each.id,)
            )
    name = given.get("name", "")
    commands = [
        CreateImage(
            instance_id=each.id,
            name=_image_name(scope, each, name, len(found)),
            no_reboot=True,
            deferred=given.get("method") == "deferred",
        )
        for each in found
    ]
    images = scope.engine.execute_all(scope.caller, commands)
    return Discovery(categories=tuple(template_of_image(scope.domain, image) for image in images))


def _image_name(scope: Scope, of: Instance, name: str, count: int) -> str:
    """What a client says, told apart by the machine where several are saved (OCCI-INFRA-013)."""
    if name:
        return name if count == 1 else f"{name} {of.id}"
    return f"{of.id} {datetime.fromtimestamp(scope.engine.clock(), UTC):%Y-%m-%dT%H-%M-%S.%f}"
