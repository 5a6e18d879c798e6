"""What OCCI knows of and what not: what was deleted is gone at once (OCCI-AMB-07)."""

from __future__ import annotations

from collections.abc import Sequence

from backend.engine import InstanceQuery
from backend.errors import BackendError, Code
from backend.lifecycle import DETAILS
from backend.model import State, Volume, VolumeState
from occi.scope import Scope

ALIVE = tuple(sorted(detail for detail in DETAILS if detail != "done"))
_HIDDEN_WHEN_GONE = tuple(detail for detail in ALIVE if State(detail[:4]) is not State.FAIL)


def leaving(scope: Scope) -> set[str]:
    """The machines that were deleted and are not gone yet, but for those whose deletion failed."""
    query = InstanceQuery(equal={"desired": ("gone",), "detail": _HIDDEN_WHEN_GONE})
    return {key.id for key in scope.engine.instance_keys(scope.caller, query)}


def volumes(scope: Scope, wanted: Sequence[str] | None = None) -> list[Volume]:
    """Volumes of the caller, all or some; those that are not there, or being deleted, are left out.

    A volume that ends with its machine is deleted with it.
    """
    found = _volumes(scope, wanted)
    ending = {each.instance_id for each in found if each.delete_on_termination and each.instance_id}
    hidden = leaving(scope) if ending else set()
    return [
        each
        for each in found
        if each.state is not VolumeState.DELETING
        and not (each.delete_on_termination and each.instance_id in hidden)
    ]


def _volumes(scope: Scope, wanted: Sequence[str] | None) -> list[Volume]:
    engine, caller = scope.engine, scope.caller
    if wanted is None:
        return engine.volumes(caller)
    try:
        return engine.volumes_by_id(caller, wanted)
    except BackendError as error:
        if error.code is not Code.VOLUME_NOT_FOUND:
            raise
    known = {volume.id: volume for volume in engine.volumes(caller)}
    return [known[volume_id] for volume_id in dict.fromkeys(wanted) if volume_id in known]
