"""The kind compute: machines listed, read, made, changed, acted upon and deleted.

Ids here are the engine's (``i-…``). Other kinds come beside this module with the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.commands import ModifyInstance, Op, Operate
from backend.engine import InstanceQuery
from backend.errors import BackendError, Code
from backend.lifecycle import DETAILS
from backend.model import Flavor, Instance, State, id_of, uuid_of
from occi import kinds, mapping
from occi.changing import Machine, check_scratch, partial_update, replacement
from occi.creation import launch_command
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import checked_all
from rendering.occi_document import Category, Entity, Request, Value

_ALIVE = tuple(sorted(detail for detail in DETAILS if detail != "done"))
_HIDDEN_WHEN_GONE = tuple(detail for detail in _ALIVE if State(detail[:4]) is not State.FAIL)
_NEEDED_STATE = {
    kinds.START.id: "inactive or suspended",
    kinds.STOP.id: "active",
    kinds.RESTART.id: "active",
    kinds.SUSPEND.id: "active",
}


# Names --------------------------------------------------------------------------------------------------


def path_of(instance_id: str) -> str:
    """The path of a machine."""
    return f"{kinds.COMPUTE.location}{uuid_of(instance_id)}"


def id_at(path: str) -> str:
    """The id of the machine at a path, by its UUID or its EC2 id (D3); 404 when there can be none."""
    name = path.removeprefix(kinds.COMPUTE.location)
    instance_id = id_of("i", name) if path.startswith(kinds.COMPUTE.location) else None
    if instance_id is None:
        raise OcciError(404, f"There is nothing at {path[:200]}.")
    return instance_id


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All machines of the caller, oldest first."""
    engine, caller = scope.engine, scope.caller
    alive = engine.instance_keys(caller, InstanceQuery(equal={"detail": _ALIVE}))
    leaving = engine.instance_keys(
        caller, InstanceQuery(equal={"desired": ("gone",), "detail": _HIDDEN_WHEN_GONE})
    )
    hidden = {key.id for key in leaving}
    return [key.id for key in alive if key.id not in hidden]


def instance(scope: Scope, instance_id: str) -> Instance:
    """One machine; raises INSTANCE_NOT_FOUND when OCCI does not know it."""
    return instances(scope, [instance_id])[0]


def instances(scope: Scope, wanted: Sequence[str]) -> list[Instance]:
    """Machines in the order asked; raises INSTANCE_NOT_FOUND for those that OCCI does not know."""
    found = scope.engine.instances_by_id(scope.caller, wanted)
    missing = tuple(each.id for each in found if not mapping.is_shown(each))
    if missing:
        raise BackendError(Code.INSTANCE_NOT_FOUND, f"No such instance: {', '.join(missing)}", ids=missing)
    return found


def entity(scope: Scope, instance_id: str) -> Entity:
    """The rendering of one machine; raises INSTANCE_NOT_FOUND."""
    return _rendered(scope, [instance(scope, instance_id)])[0]


def entities(scope: Scope, wanted: Sequence[str] | None = None, *, in_full: bool = True) -> list[Entity]:
    """Renderings of all machines or of some, oldest first; those that have gone meanwhile are left out.

    Without ``in_full`` the user data is spared, which is read machine by machine.
    """
    named = None if wanted is None else tuple(wanted)
    found = scope.engine.instances(scope.caller, InstanceQuery(ids=named, equal={"detail": _ALIVE}))
    return _rendered(scope, [each for each in found if mapping.is_shown(each)], in_full=in_full)


def _rendered(scope: Scope, found: Sequence[Instance], *, in_full: bool = True) -> list[Entity]:
    names = [each.id for each in found]
    tags = scope.engine.tags_of(names)
    associated = scope.engine.mixins_of(scope.caller, names)
    return [
        mapping.entity(
            each,
            scope.catalog,
            title=tags.get(each.id, {}).get("Name", ""),
            associated=associated.get(each.id, ()),
            user_data=_user_data(scope, each) if in_full else None,
        )
        for each in found
    ]


def _user_data(scope: Scope, of: Instance) -> bytes:
    return scope.engine.user_data(scope.caller, of.id) if of.user_data_size else b""


def _machine(scope: Scope, instance_id: str) -> Machine:
    found = instance(scope, instance_id)
    [shown] = _rendered(scope, [found])
    return Machine(found, shown, _user_data(scope, found))


# Writing ------------------------------------------------------------------------------------------------


def create(scope: Scope, requests: Sequence[Request]) -> list[str]:
    """Make machines, all or none (OCCI-HTTP-014); answers their ids."""
    commands = [launch_command(scope, request) for request in requests]
    return [made.instances[0].id for made in scope.engine.execute_all(scope.caller, commands)]


def update(scope: Scope, instance_id: str, request: Request) -> None:
    """Change all that a request gives, or nothing (POST)."""
    scope.engine.execute_all(scope.caller, partial_update(scope, _machine(scope, instance_id), request))


def replace(scope: Scope, instance_id: str, request: Request) -> None:
    """Make a machine what a full rendering says, or leave it as it is (PUT)."""
    scope.engine.execute_all(scope.caller, replacement(scope, _machine(scope, instance_id), request))


def resize(scope: Scope, wanted: Sequence[str], flavor: Flavor) -> None:
    """Give machines another size, all or none; each must be one that can be resized now."""
    for each in instances(scope, wanted):
        check_scratch(each, flavor)
    commands = [ModifyInstance(instance_id=instance_id, flavor=flavor.name) for instance_id in wanted]
    scope.engine.execute_all(scope.caller, commands)


def act(scope: Scope, wanted: Sequence[str], action: Category, attributes: Mapping[str, Value]) -> None:
    """Begin an action on machines: on all of them or on none.

    Raises:
        OcciError: 400 for a method that the action does not have, 404 for another attribute.
        BackendError: an action that is not applicable now is refused (409).
    """
    known = scope.catalog.attributes([action])
    given = checked_all(attributes, known, whose=f"The action {action.term}")
    by_method = mapping.OPERATIONS[action.id]
    op = by_method[given.get("method", next(iter(by_method)))]
    instances(scope, wanted)
    if not wanted:
        return
    try:
        scope.engine.execute(scope.caller, Operate(op=op, ids=tuple(wanted), strict=True))
    except BackendError as error:
        if error.code is not Code.INSTANCE_WRONG_STATE:
            raise
        needed = _NEEDED_STATE[action.id]
        raise BackendError(
            error.code, f"{error.message} The action {action.term} needs it to be {needed}.", **error.context
        ) from error


def delete(scope: Scope, wanted: Sequence[str]) -> None:
    """End machines for good: as TerminateInstances, all or none."""
    instances(scope, wanted)
    if wanted:
        scope.engine.execute(scope.caller, Operate(op=Op.TERMINATE, ids=tuple(wanted)))
