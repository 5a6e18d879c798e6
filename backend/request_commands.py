"""The part of the command vocabulary about requests themselves: what holds until they are carried out, what
is answered again, and the names that clients choose; see :mod:`backend.commands`.
"""

from __future__ import annotations

from backend.commands import Command


class Hold(Command[None], frozen=True, kw_only=True):
    """Keep a resource or a link as it is until the transaction ends, and the tenant's claims one by one.

    What is read after this and written in the same transaction was not changed by anybody else meanwhile.
    Without a ``resource_id`` only the tenant's claims wait.
    """

    resource_id: str = ""


class ChoosePath(Command[None], frozen=True, kw_only=True):
    """Call what the caller made by a path of its choice, for as long as it is there.

    ``instead_of`` is what had the path before and is gone for its owner, though the engine still ends it.
    """

    path: str
    resource_id: str
    instead_of: str = ""


class ClaimKey(Command[tuple[str, ...] | None], frozen=True, kw_only=True):
    """Use the key of a creation: None when it is new, else the ids of what was made with it.

    ``digest`` tells what is asked for; with another one the key is refused.
    """

    key: str
    digest: str


class FillKey(Command[None], frozen=True, kw_only=True):
    """Note what was made with a key, in the transaction that claimed it."""

    key: str
    made: tuple[str, ...]


ALL = (Hold, ChoosePath, ClaimKey, FillKey)
