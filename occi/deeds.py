"""What a request is to change: commands, or functions that carry out several in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from backend.commands import Command
from backend.engine import Do
from occi.scope import Scope

#: A command; or a function that carries out commands, some of which follow from the answers to others. It may
#: be called several times, and changes nothing else.
Deed: TypeAlias = Command[Any] | Callable[[Do], Any]
#: A deed that makes an entity and answers its id.
Creation: TypeAlias = Callable[[Do], str]


def carry_out(scope: Scope, deeds: Sequence[Deed]) -> None:
    """Do all of it in one transaction, or nothing."""
    if deeds:
        scope.engine.together(scope.caller, lambda do: [_done(do, deed) for deed in deeds])


def create(scope: Scope, creations: Sequence[Creation]) -> list[str]:
    """Make several entities in one transaction, all or none; answers their ids."""
    return scope.engine.together(scope.caller, lambda do: [creation(do) for creation in creations])


def _done(do: Do, deed: Deed) -> Any:
    return do(deed) if isinstance(deed, Command) else deed(do)
