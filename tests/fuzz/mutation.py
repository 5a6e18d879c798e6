"""Mutations of OCCI messages: of bytes, of words, of whole parts; the same ones again for the same seed."""

from __future__ import annotations

import random
import re

from occi_corpus import ACCEPTS, CORPUS, METHODS, PATHS, QUERIES, TYPES, WORDS, Message

_TOKEN = re.compile(rb"[A-Za-z0-9_]+|\r\n|[\s\S]")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_WORDS = tuple(word.encode() for word in WORDS)
_CHANGES_EACH = (1, 1, 1, 2, 2, 3, 4)
_INTERESTING = bytes(range(32)) + b'"\\;,=<>{}[]:#%?&\x7f\x80\xc3\xe2\xf0\xff'


class Mutator:
    """Makes the message of a number."""

    def __init__(self, seed: int, corpus: tuple[Message, ...] = CORPUS) -> None:
        self._seed = seed
        self._corpus = corpus
        self._chance = random.Random()
        self._random = self._chance.random

    def message(self, number: int) -> Message:
        """A message of the corpus with one to four changes."""
        self._chance.seed(self._seed << 40 | number)
        message = self._one_of(self._corpus)
        body = message.body
        fields = message.fields
        for _ in range(self._one_of(_CHANGES_EACH)):
            if fields:
                fields = self._changed_fields(fields)
            else:
                body = self._changed(body)
        return message._replace(body=body[:20_000], fields=fields)

    def request(self, number: int) -> Message:
        """The same, and sometimes another method, path, query or media type: for a server."""
        message = self.message(number)
        if self._random() < 0.3:  # as it stands in the corpus, elsewhere
            message = self._one_of(self._corpus)
        if self._random() < 0.2:
            message = message._replace(method=self._one_of(METHODS))
        if self._random() < 0.2:
            message = message._replace(path=self._one_of(PATHS))
        if self._random() < 0.05:
            message = message._replace(path=self._changed(message.path.encode()).decode("latin-1"))
        if self._random() < 0.15:
            message = message._replace(query=self._one_of(QUERIES))
        if self._random() < 0.15:
            message = message._replace(content_type=self._one_of(TYPES))
        if self._random() < 0.2:
            message = message._replace(accept=self._one_of(ACCEPTS))
        return message

    def _below(self, limit: int) -> int:
        return int(self._random() * limit)

    def _one_of(self, choices):
        return choices[int(self._random() * len(choices))]

    def _changed_fields(self, fields):
        fields = dict(fields)
        name = self._one_of(list(fields))
        value = self._changed(fields[name].encode("latin-1"))
        if self._random() < 0.05:
            del fields[name]
            name = self._one_of(("Category", "Link", "X-OCCI-Attribute", "X-OCCI-Location", "x-occi-link"))
        fields[name] = value[:20_000].decode("latin-1")
        return fields

    def _changed(self, data: bytes) -> bytes:
        return self._one_of(_CHANGES)(self, data)

    # Bytes ----------------------------------------------------------------------------------------------

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\x00"
        at = self._below(len(data))
        return data[:at] + bytes((data[at] ^ 1 << self._below(8),)) + data[at + 1 :]

    def _insert(self, data: bytes) -> bytes:
        at = self._below(len(data) + 1)
        return data[:at] + bytes((self._one_of(_INTERESTING),)) + data[at:]

    def _cut(self, data: bytes) -> bytes:
        at = self._below(len(data) + 1)
        return data[:at] + data[at + 1 + self._below(8) :]

    def _end(self, data: bytes) -> bytes:
        return data[: self._below(len(data) + 1)]

    def _repeat(self, data: bytes) -> bytes:
        at = self._below(len(data) + 1)
        piece = data[at : at + 1 + self._below(40)]
        return data[:at] + piece * (2 + self._below(3 if self._random() < 0.95 else 60)) + data[at:]

    # Words ----------------------------------------------------------------------------------------------

    def _word(self, data: bytes) -> tuple[int, int]:
        """Where a word, or a sign between words, begins and ends."""
        at = self._below(len(data))
        while at and data[at] in _LETTERS and data[at - 1] in _LETTERS:
            at -= 1
        found = _TOKEN.match(data, at)
        return found.span() if found else (at, at)

    def _replace_word(self, data: bytes) -> bytes:
        begin, end = self._word(data)
        return data[:begin] + self._one_of(_WORDS) + data[end:]

    def _insert_word(self, data: bytes) -> bytes:
        begin, _ = self._word(data)
        return data[:begin] + self._one_of(_WORDS) + data[begin:]

    def _swap_words(self, data: bytes) -> bytes:
        (a, b), (c, d) = sorted((self._word(data), self._word(data)))
        if b > c:
            return data
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]

    # Parts ----------------------------------------------------------------------------------------------

    def _lines(self, data: bytes) -> bytes:
        """Lines shuffled, one of them dropped or twice."""
        lines = data.split(b"\n")
        lines.insert(self._below(len(lines)), lines[self._below(len(lines))])
        if self._random() < 0.5:
            del lines[self._below(len(lines))]
        return b"\n".join(lines)

    def _splice(self, data: bytes) -> bytes:
        """The beginning of one and the end of another."""
        other = self._one_of(self._corpus)
        theirs = other.body or ", ".join(other.fields.values()).encode("latin-1")
        return data[: self._below(len(data) + 1)] + theirs[self._below(len(theirs) + 1) :]


_CHANGES = (
    Mutator._flip, Mutator._insert, Mutator._cut, Mutator._end, Mutator._repeat,
    Mutator._replace_word, Mutator._replace_word, Mutator._replace_word,
    Mutator._insert_word, Mutator._insert_word, Mutator._swap_words, Mutator._swap_words,
    Mutator._lines, Mutator._splice,
)  # fmt: skip
