"""Client tokens of things of networks: a token decides the id, so the table's key makes it one thing.

Nothing else is kept of a token: it is known for as long as the thing that was made with it.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

from backend.engine.network_reads import ROWS
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import Owned, new_id

T = TypeVar("T", bound=Owned)


def id_for(work: Work, prefix: str, token: str) -> str:
    """The id of a thing to be made: that of its client token, or a fresh one without."""
    if not token:
        return new_id(prefix)
    text = f"{work.caller.tenant_id}\0{work.region}\0{prefix}\0{token}"
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:17]}"


def replayed(work: Work, kind: type[T], identity: str, **same: object) -> T | None:
    """What was made with a client token before; None when it is to be made.

    Raises:
        BackendError: TOKEN_MISMATCH, it was made with other values of the fields ``same``.
    """
    found: T | None = ROWS[kind](work.tx).get(identity)
    if found is not None and any(getattr(found, name) != value for name, value in same.items()):
        raise BackendError(Code.TOKEN_MISMATCH, "The client token was used with other parameters.")
    return found
