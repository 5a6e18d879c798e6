"""EC2 filters: ``[{"Name": …, "Values": […]}]`` compiled once per request to a test of one resource.

Values of one filter are alternatives, filters add up. A value may hold ``*`` (any run) and ``?`` (one
character); a backslash takes their meaning away. Source: EC2 user guide, "List and filter your resources".
Matching takes time linear in the text for each value, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from ec2.errors import Ec2Error
from rendering.query_xml import timestamp_text

MAX_FILTERS = 50
MAX_VALUES = 200

R = TypeVar("R")
Plain = str | bool | int | datetime
Value = Plain | Iterable[Plain | None] | None
Accessor = Callable[[R], Value]
Matcher = Callable[[R], bool]
Filter = Mapping[str, Any]

_TOKEN = re.compile(r"\\[*?\\]|.", re.DOTALL)


class FilterTable(Generic[R]):
    """The filters that one operation knows, for resources of type R.

    ``accessors`` tell what a filter looks at: one value, several (any may match) or None (no match).
    ``tags`` gives a resource's tags and adds ``tag:<key>``, ``tag-key`` and ``tag-value``. ``aliases`` map
    other spellings to a name of the table.
    """

    def __init__(
        self,
        accessors: Mapping[str, Accessor[R]],
        *,
        tags: Callable[[R], Mapping[str, str]] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._accessors = dict(accessors)
        self._tags = tags
        self._aliases = dict(aliases or {})
        if tags is not None:
            self._accessors.setdefault("tag-key", lambda row: tags(row).keys())
            self._accessors.setdefault("tag-value", lambda row: tags(row).values())

    @property
    def names(self) -> frozenset[str]:
        """All names known, aliases included, ``tag:<key>`` not."""
        return frozenset(self._accessors) | frozenset(self._aliases)

    def canonical(self, name: str) -> str:
        """The table's name for a filter name."""
        return self._aliases.get(name, name)

    def compile(self, filters: Sequence[Filter]) -> Matcher[R]:
        """A test of one resource.

        Raises Ec2Error: InvalidParameterValue for an unknown filter, FilterLimitExceeded for more than 50
        filters or 200 values.
        """
        if len(filters) > MAX_FILTERS:
            raise Ec2Error("FilterLimitExceeded", f"The maximum number of filters is {MAX_FILTERS}.")
        tests = [self._test(each) for each in filters]
        return lambda row: all(test(row) for test in tests)

    def literals(self, filters: Sequence[Filter], name: str) -> frozenset[str] | None:
        """The values that a resource's attribute must be among, when the filters say so in plain words.

        A store may narrow its search to them; None means that it must not. Several filters of one name are
        intersected; those with wildcards are left to the compiled test.
        """
        found: frozenset[str] | None = None
        for each in filters:
            if self.canonical(each.get("Name") or "") != name:
                continue
            plain = plain_values(each.get("Values") or ())
            if plain is not None:
                found = plain if found is None else found & plain
        return found

    def _test(self, each: Filter) -> Matcher[R]:
        name = each.get("Name") or ""
        values = each.get("Values") or ()
        if len(values) > MAX_VALUES:
            raise Ec2Error(
                "FilterLimitExceeded", f"The maximum number of values for one filter is {MAX_VALUES}."
            )
        accessor = self._accessor(name)
        matches = compile_values(values)
        return lambda row: any(matches(text) for text in texts(accessor(row)))

    def _accessor(self, name: str) -> Accessor[R]:
        accessor = self._accessors.get(self.canonical(name))
        if accessor is not None:
            return accessor
        tags = self._tags
        if tags is not None and name.startswith("tag:") and len(name) > 4:
            key = name[4:]
            return lambda row: tags(row).get(key)
        raise Ec2Error("InvalidParameterValue", f"The filter '{name[:120] or 'null'}' is invalid")


def texts(value: Value) -> Iterable[str]:
    """What an attribute looks like to a filter: booleans, numbers and moments as in a reply."""
    match value:
        case None:
            return ()
        case str():
            return (value,)
        case bool():
            return ("true" if value else "false",)
        case int():
            return (str(value),)
        case datetime():
            return (timestamp_text(value),)
        case _:
            return [text for item in value for text in texts(item)]


def literal(value: str) -> str | None:
    """The text that a filter value stands for, escapes undone; None when it holds a wildcard."""
    if not ("*" in value or "?" in value or "\\" in value):
        return value
    signs = _TOKEN.findall(value)
    if "*" in signs or "?" in signs:
        return None
    return "".join([_unescaped(sign) for sign in signs])


def plain_values(values: Iterable[str]) -> frozenset[str] | None:
    """The texts of all values when none holds a wildcard, else None."""
    found = [literal(value) for value in values]
    return None if None in found else frozenset(text for text in found if text is not None)


def compile_values(values: Iterable[str]) -> Callable[[str], bool]:
    """A test whether a text matches any of the values. No values match nothing."""
    exact: set[str] = set()
    patterns: list[re.Pattern[str]] = []
    for value in values:
        text = literal(value)
        if text is None:
            patterns.append(_pattern(value))
        else:
            exact.add(text)
    if not patterns:
        return exact.__contains__
    return lambda text: text in exact or any(pattern.fullmatch(text) for pattern in patterns)


def _pattern(value: str) -> re.Pattern[str]:
    """A pattern that never goes back over a run: the leftmost place for a middle piece is always good
    enough.
    """
    pieces: list[list[str]] = [[]]
    for sign in _TOKEN.findall(value):
        if sign == "*":
            pieces.append([])
        else:
            pieces[-1].append("." if sign == "?" else re.escape(_unescaped(sign)))
    first, *middle = ["".join(piece) for piece in pieces]
    if not middle:
        return re.compile(first, re.DOTALL)
    last = middle.pop()
    between = "".join([f"(?>.*?{piece})" for piece in middle if piece])
    return re.compile(f"{first}{between}.*{last}", re.DOTALL)


def _unescaped(sign: str) -> str:
    return sign[-1] if len(sign) == 2 else sign
