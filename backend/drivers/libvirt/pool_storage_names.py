"""How files are named in a libvirt pool, where nothing can be renamed or written at once.

A thing (a volume, an image) is made under a name of that attempt's own, ``THING.ATTEMPT.FORMAT``, and counts
once there is an empty volume ``THING.ATTEMPT.FORMAT.complete`` beside it, made last. Attempts are numbered by
the clock. Of several complete ones the *oldest* counts: a second attempt at the same thing changes nothing,
and one that replaces it takes effect at the moment when the old one's mark is deleted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from backend.model import Value

COMPLETE: Final = ".complete"
_ATTEMPT: Final = re.compile(r"(?P<thing>.+)\.(?P<attempt>[0-9a-f]{14})\.(?P<form>qcow2|raw)")


class Attempt(Value, frozen=True, kw_only=True):
    """One attempt at making a thing: ``number`` are microseconds since 1970 in hexadecimal."""

    thing: str
    number: str
    form: str

    @property
    def file(self) -> str:
        """The volume with the bytes."""
        return f"{self.thing}.{self.number}.{self.form}"

    @property
    def mark(self) -> str:
        """The volume that says that they are all there."""
        return self.file + COMPLETE

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.time() - int(self.number, 16) / 1_000_000


def new_attempt(thing: str, form: str) -> Attempt:
    """An attempt that begins now."""
    return Attempt(thing=thing, number=f"{time.time_ns() // 1_000:014x}", form=form)


def attempt_of(file: str) -> Attempt | None:
    """The attempt that a volume of this name belongs to, be it its bytes or its mark."""
    match = _ATTEMPT.fullmatch(file.removesuffix(COMPLETE))
    return Attempt(thing=match["thing"], number=match["attempt"], form=match["form"]) if match else None


class Things:
    """What a listing of a pool's volumes says."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = frozenset(files)
        found = {attempt.file: attempt for attempt in map(attempt_of, self.files) if attempt is not None}
        self._attempts: dict[str, list[Attempt]] = {}
        for attempt in sorted(found.values(), key=lambda one: one.number):
            self._attempts.setdefault(attempt.thing, []).append(attempt)

    def whole(self, thing: str) -> Sequence[Attempt]:
        """The complete ones, the one that counts first."""
        return [one for one in self.all_of(thing) if {one.file, one.mark} <= self.files]

    def all_of(self, thing: str) -> Sequence[Attempt]:
        """Every attempt that left anything, the oldest first."""
        return self._attempts.get(thing, [])

    def current(self) -> Mapping[str, Attempt]:
        """What counts, by thing."""
        return {thing: whole[0] for thing in self._attempts if (whole := self.whole(thing))}

    def strays(self) -> frozenset[str]:
        """Files of attempts that do not count."""
        known = {file for one in self.current().values() for file in (one.file, one.mark)}
        ours = {
            name for attempts in self._attempts.values() for one in attempts for name in (one.file, one.mark)
        }
        return frozenset((ours & self.files) - known)
