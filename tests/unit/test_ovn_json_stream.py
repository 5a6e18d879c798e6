"""JSON texts out of a stream, cut anywhere."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from ovs import json as library

from backend.drivers.ovn import connection
from backend.drivers.ovn.json_stream import Parser

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(), VALUES, max_size=4)


@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=4),
    cuts=st.integers(1, 9),
    escaped=st.booleans(),
    space=st.booleans(),
)
def test_messages_are_found_wherever_the_stream_is_cut(
    messages: list[object], cuts: int, escaped: bool, space: bool
) -> None:
    stream = (" \n" if space else "").join(json.dumps(each, ensure_ascii=escaped) for each in messages)
    found, parser, rest = [], Parser(), ""
    for start in range(0, len(stream), cuts):
        rest += stream[start : start + cuts]
        while rest:
            rest = rest[parser.feed(rest) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()

    assert found == messages


def test_what_is_no_message_is_said_so() -> None:
    for text in ("HTTP/1.1 400 Bad Request", '{"a": }', "[1, 2}"):
        parser = Parser()
        assert parser.feed(text) == len(text)
        assert parser.is_done()
        assert isinstance(parser.finish(), str)


def test_the_library_uses_it_unless_it_was_compiled() -> None:
    assert connection.Connection
    assert (library.Parser is Parser) == (library.PARSER == library.PARSER_PY)
