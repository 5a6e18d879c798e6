"""What is judged: requirements, checks that cite them, and verdicts.

A *requirement* is a row of data: its id, the clause it restates, how binding it is. A *check* is a function
that talks to the endpoint and judges one or more requirements. Checks register themselves in a
:class:`Suite` by decoration, so the matrix is derived and never written by hand.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from importlib import resources
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

S = TypeVar("S")


class Level(StrEnum):
    """How binding a requirement is (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Verdict(StrEnum):
    """What a check found, the worst first.

    ``BROKEN`` is a fault of this tool; ``UNKNOWN`` is a check that could not be carried out, ``ABSENT`` an
    option that the endpoint does not offer.
    """

    BROKEN = "broken"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    PASSED = "passed"


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values here: immutable, keyword-only."""


class Requirement(Value, frozen=True, kw_only=True):
    """One sentence of a standard.

    ``unjudged`` says why no check can judge it from outside; ``versions`` are those of the standard that
    have it, all without.
    """

    id: str
    level: Level
    clause: str
    text: str
    versions: tuple[str, ...] = ()
    unjudged: str = ""


class Finding(Exception):  # noqa: N818 - not an error of the program
    """What ends a check before its end; the message is for the reader of the report."""

    verdict = Verdict.FAILED


class Failed(Finding):
    """The endpoint does not do what is required."""


class Unknown(Finding):
    """The check could not be carried out, through no fault that it judges."""

    verdict = Verdict.UNKNOWN


class Absent(Finding):
    """The endpoint does not offer what is optional."""

    verdict = Verdict.ABSENT


def expect(holds: object, message: str) -> None:
    """Fail the check unless something holds; ``message`` says what was expected and what came."""
    if not holds:
        raise Failed(message)


def fail(message: str) -> NoReturn:
    """Fail the check."""
    raise Failed(message)


class Check(Value, Generic[S], frozen=True, kw_only=True):
    """One judgement. ``cites`` are the requirements judged, the one it is about first.

    ``changes`` tells that it changes things at the endpoint, so it is left out of read-only runs. ``case``
    tells apart the checks that one function makes, as by rendering.
    """

    name: str
    cites: tuple[str, ...]
    level: Level
    title: str
    changes: bool
    run: Callable[[S], None]
    case: str = ""

    @property
    def id(self) -> str:
        """What the check is called in reports and on the command line."""
        return f"{self.name}[{self.case}]" if self.case else self.name


class Suite(Generic[S]):
    """The checks for one standard, with the requirements that they judge."""

    def __init__(self, name: str, requirements: Iterable[Requirement]) -> None:
        self.name = name
        self.requirements: dict[str, Requirement] = {}
        for each in requirements:
            assert each.id not in self.requirements, f"{each.id} is there twice"
            self.requirements[each.id] = each
        self.checks: list[Check[S]] = []

    def check(
        self,
        *cites: str,
        changes: bool = False,
        level: Level | None = None,
        cases: Sequence[str] | Mapping[str, str] = (),
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Register a function as a check of requirements; its docstring's first line is the title.

        With ``cases`` the function is called with each of them, as a check of its own; a mapping tells the
        requirement that each case judges before the others. ``level`` is that of the first requirement
        unless another is given.

        Raises:
            KeyError: no such requirement.
        """
        first: Mapping[str, str] = cases if isinstance(cases, Mapping) else {}
        judged = {case: (*((first[case],) if case in first else ()), *cites) for case in cases or ("",)}
        for each in (*cites, *first.values()):
            self.requirements[each]

        def register(function: Callable[..., None]) -> Callable[..., None]:
            title = (function.__doc__ or "").strip().split("\n", 1)[0]
            assert title, f"{function.__name__} needs a docstring"
            for case, cited in judged.items():
                self.checks.append(
                    Check(
                        name=function.__name__,
                        cites=cited,
                        level=level or self.requirements[cited[0]].level,
                        title=title,
                        changes=changes,
                        run=_with(function, case) if case else function,
                        case=case,
                    )
                )
            return function

        return register

    def matching(self, patterns: Sequence[str]) -> list[Check[S]]:
        """The checks whose id or requirement contains one of some texts, without case; all without texts."""
        wanted = [pattern.lower() for pattern in patterns]
        return [
            check
            for check in self.checks
            if not wanted or any(each in text.lower() for text in (check.id, *check.cites) for each in wanted)
        ]


def _with(function: Callable[..., None], case: str) -> Callable[[Any], None]:
    return lambda session: function(session, case)


def requirements(package: str, *names: str) -> list[Requirement]:
    """The requirements in TOML files of a package, in their order.

    Each file has tables ``[ID]`` with ``level``, ``clause``, ``text`` and the optional fields of
    :class:`Requirement`.
    """
    found: list[Requirement] = []
    for name in names:
        rows: Mapping[str, Any] = tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))
        found += [msgspec.convert({"id": key, **row}, Requirement) for key, row in rows.items()]
    return found
