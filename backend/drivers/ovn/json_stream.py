"""The end of a JSON text in a stream of them, so that the standard library can read it.

The OVSDB library reads JSON character by character in Python unless it was compiled: a second for each
megabyte, most of a minute for a large installation at every connection.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_MARKS: Final = re.compile(r'[\\"{}\[\]]')
_SPACE: Final = " \t\r\n"


class Parser:
    """Reads one JSON object or array, given in pieces; in the shape of ``ovs.json.Parser``."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._done = False

    def feed(self, text: str) -> int:
        """Take as much of a piece as belongs to it, and answer how many characters that was."""
        begin = 0
        if not self._pieces:
            begin = len(text) - len(text.lstrip(_SPACE))
            if begin < len(text) and text[begin] not in "{[":
                self._done = True  # no message at all: :meth:`finish` says so
                self._pieces.append(text)
                return len(text)
        end = self._end(text, begin)
        self._pieces.append(text[begin:end])
        return end

    def is_done(self) -> bool:
        """Whether nothing is missing."""
        return self._done

    def finish(self) -> Any:
        """What was read; a text says what is wrong with it."""
        try:
            return json.loads("".join(self._pieces))
        except ValueError as problem:
            return str(problem)

    def _end(self, text: str, begin: int) -> int:
        """Where the message ends in a piece, or the piece itself does."""
        passed = begin + 1 if self._escaped else begin  # what comes before is a part of what was looked at
        self._escaped = False
        for found in _MARKS.finditer(text, begin):
            place, mark = found.start(), found.group()
            if place < passed:
                continue
            if mark == "\\":
                passed = place + 2
                self._escaped = passed > len(text)
            elif mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if mark in "{[" else -1
                if self._depth == 0:
                    self._done = True
                    return place + 1
        return len(text)
