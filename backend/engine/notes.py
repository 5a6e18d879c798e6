"""Notes: texts about resources and links that faces keep, and that mean nothing to the engine.

A note is told with the resource, or with the instance that a link begins at: their versions change with it.
"""

from __future__ import annotations

from backend.commands import SetNotes
from backend.engine.told import changed
from backend.engine.work import Work
from backend.errors import BackendError, Code

LONGEST_NOTE = 1024


def set_notes(work: Work, command: SetNotes) -> None:
    """Write notes on a resource or a link of the caller's, over those of the same names.

    Raises:
        BackendError: there is no such thing, or a text is too long.
    """
    for name, text in command.notes:
        if len(text) > LONGEST_NOTE:
            raise BackendError(
                Code.PARAMETER_INVALID, f"{name} has at most {LONGEST_NOTE} characters.", parameter=name
            )
    tenant_id = changed(work, command.resource_id, instance_id=command.instance_id)
    work.tx.notes.put(tenant_id, command.resource_id, dict(command.notes))
