"""Requests that hold until they are carried out, are answered again, or name what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backend import request_commands as commands
from backend.engine.registry import lock_tenant
from backend.engine.told import changed
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import ChosenPath, CreationKey


def hold(work: Work, command: commands.Hold) -> None:
    """Keep a resource as it is until the transaction ends: its rows are written, so others wait or fail."""
    lock_tenant(work, work.caller.tenant_id)
    if command.resource_id:
        changed(work, command.resource_id)


def choose_path(work: Work, command: commands.ChoosePath) -> None:
    """Call a resource by a path. Its last part is an id for clients, and so nothing else's of the tenant.

    Raises:
        BackendError: PATH_EXISTS; STALE when somebody else was quicker with the same path.
    """
    tenant = lock_tenant(work, work.caller.tenant_id)
    changed(work, command.resource_id)
    for each in work.tx.chosen_paths.named(tenant.id, _name(command.path)):
        if each.resource_id == command.instead_of:
            work.tx.chosen_paths.delete(tenant.id, each.path)
        elif each.path == command.path:
            raise BackendError(Code.STALE, f"There is something at {command.path} by now.")
        else:
            raise BackendError(
                Code.PATH_EXISTS,
                f"There is {each.path} already, and {_name(command.path)} is its id.",
                name=_name(command.path),
            )
    work.tx.chosen_paths.insert(
        ChosenPath(
            tenant_id=tenant.id,
            path=command.path,
            resource_id=command.resource_id,
            created_at=work.now,
        )
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def claim_key(work: Work, command: commands.ClaimKey) -> tuple[str, ...] | None:
    """Use the key of a creation; whoever comes with it at the same time waits here for its answer.

    Raises:
        BackendError: TOKEN_MISMATCH, the key was used with another request.
    """
    tenant_id = work.caller.tenant_id
    known = work.tx.creation_keys.get(tenant_id, command.key)
    if known is not None and known.created_at < work.now - work.settings.token_memory:
        work.tx.creation_keys.delete(tenant_id, command.key)
        known = None
    if known is None:
        work.tx.creation_keys.insert(
            CreationKey(
                tenant_id=tenant_id,
                key=command.key,
                digest=command.digest,
                made=(),
                created_at=work.now,
            )
        )
        return None
    if known.digest != command.digest:
        raise BackendError(Code.TOKEN_MISMATCH, "The key of this request was used with another request.")
    return known.made


def fill_key(work: Work, command: commands.FillKey) -> None:
    """Note what was made with a key."""
    known = work.tx.creation_keys.get(work.caller.tenant_id, command.key)
    assert known is not None
    work.tx.creation_keys.update(known, made=command.made)


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.Hold: hold,
    commands.ChoosePath: choose_path,
    commands.ClaimKey: claim_key,
    commands.FillKey: fill_key,
}
