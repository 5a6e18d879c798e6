"""Query protocol replies: a document in the SDK's vocabulary → XML, by writers compiled once per output
shape.

A document is a mapping keyed by SDK member names (``{"Reservations": [{"Instances": […]}]}``). None and
absent members are left out; an empty list becomes an empty element. Values are str, int, float, bool, aware
datetime and bytes, as the shape says. Wherever a structure or a list is due, a :class:`Fragment` may stand
instead: XML made earlier by a function of :func:`compile_fragment`, copied as it is. Listings of many rows
are built from fragments cached by row and version.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rendering.query_shapes import Kind, ListOf, Scalar, Shape, Structure

Append = Callable[[str], None]
Writer = Callable[[Any, Append], None]

_PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n'
_UNWRITABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_find_special = re.compile(f"[&<>\r{_UNWRITABLE}]").search
_find_unwritable = re.compile(f"[{_UNWRITABLE}]").search
_replace_unwritable = re.compile(f"[{_UNWRITABLE}]").sub
# A parser turns a bare carriage return into a line feed; the reference keeps it.
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


class Fragment(str):
    """Ready XML: the content of one structure or list, without the element around it."""

    __slots__ = ()


class UnwritableError(ValueError):
    """A document that its shape cannot express: a fault of the program, never of the caller.

    Text with characters that XML 1.0 forbids, a value of the wrong type, or, from a strict writer, a member
    that the shape does not have.
    """


def escape(text: str) -> str:
    """Text as element content. Raises UnwritableError for characters that XML cannot carry."""
    if _find_special(text) is None:
        return text
    if _find_unwritable(text) is not None:
        raise UnwritableError("text with characters that XML cannot carry")
    return text.translate(_ESCAPES)


def timestamp_text(moment: datetime) -> str:
    """A moment as EC2 writes it: UTC, milliseconds, ``Z``. Raises UnwritableError without a time zone."""
    if moment.tzinfo is None:
        raise UnwritableError("a moment without time zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def compile_output(shape: Structure, *, strict: bool = False) -> Writer:
    """A function ``(document, append)`` that writes the content of a structure.

    ``strict`` refuses members that the shape lacks with UnwritableError; without it they are left out.
    """
    return _Compiler(strict=strict).structure(shape)


def compile_fragment(shape: Structure, *, strict: bool = False) -> Callable[[Mapping[str, Any]], Fragment]:
    """A function that makes the Fragment of one structure."""
    write = compile_output(shape, strict=strict)

    def fragment(document: Mapping[str, Any]) -> Fragment:
        parts: list[str] = []
        write(document, parts.append)
        return Fragment("".join(parts))

    return fragment


def reply_document(
    *, action: str, namespace: str, request_id: str, write: Writer | None, document: Mapping[str, Any] | None
) -> bytes:
    """The reply to an EC2 action, request id first; without a writer, ``<return>true</return>``."""
    opening = f'{_PROLOGUE}<{action}Response xmlns="{escape(namespace)}">'
    parts = [opening, f"<requestId>{escape(request_id)}</requestId>"]
    if write is None:
        parts.append("<return>true</return>")
    else:
        write(document or {}, parts.append)
    parts.append(f"</{action}Response>")
    return "".join(parts).encode()


def result_document(
    *, action: str, namespace: str, request_id: str, write: Writer, document: Mapping[str, Any]
) -> bytes:
    """The reply of the ordinary query protocol (STS): a ``…Result`` element and ``ResponseMetadata``."""
    parts = [f'{_PROLOGUE}<{action}Response xmlns="{escape(namespace)}"><{action}Result>']
    write(document, parts.append)
    parts.append(
        f"</{action}Result><ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )
    return "".join(parts).encode()


def error_document(*, code: str, message: str, request_id: str) -> bytes:
    """EC2's error reply. Characters that XML cannot carry are replaced: an error must always be tellable."""
    return (
        f"{_PROLOGUE}<Response><Errors><Error><Code>{_forgiving(code)}</Code>"
        f"<Message>{_forgiving(message)}</Message></Error></Errors>"
        f"<RequestID>{_forgiving(request_id)}</RequestID></Response>"
    ).encode()


def result_error_document(
    *, code: str, message: str, request_id: str, namespace: str, sender: bool = True
) -> bytes:
    """The error reply of the ordinary query protocol (STS); ``sender`` tells whose fault it is."""
    kind = "Sender" if sender else "Receiver"
    return (
        f'{_PROLOGUE}<ErrorResponse xmlns="{escape(namespace)}"><Error><Type>{kind}</Type>'
        f"<Code>{_forgiving(code)}</Code><Message>{_forgiving(message)}</Message></Error>"
        f"<RequestId>{_forgiving(request_id)}</RequestId></ErrorResponse>"
    ).encode()


def _forgiving(text: str) -> str:
    return escape(_replace_unwritable("\ufffd", text))


class _Compiler:
    """Turns shapes into writers; each structure and list is compiled once, by name."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._structures: dict[str, Writer] = {}

    def structure(self, shape: Structure) -> Writer:
        """The writer of a structure's content."""
        writer = self._structures.get(shape.name)
        if writer is None:
            writer = self._structures[shape.name] = self._make_structure(shape)
        return writer

    def _make_structure(self, shape: Structure) -> Writer:
        members = tuple(
            (member.name, self.element(member.reply_name, member.shape)) for member in shape.members
        )

        def write(value: Mapping[str, Any], append: Append) -> None:
            get = value.get
            for name, write_member in members:
                found = get(name)
                if found is not None:
                    write_member(found, append)

        return self._checked(shape, write) if self._strict else write

    def _checked(self, shape: Structure, write: Writer) -> Writer:
        names = frozenset(member.name for member in shape.members)

        def write_checked(value: Mapping[str, Any], append: Append) -> None:
            if not value.keys() <= names:
                raise UnwritableError(f"{shape.name} has no members {sorted(value.keys() - names)}")
            write(value, append)

        return write_checked

    def element(self, tag: str, shape: Shape) -> Writer:
        """The writer of a shape inside its element."""
        match shape:
            case Structure():
                return _enclosed(tag, self.structure(shape))
            case ListOf():
                return _enclosed(tag, self._items(shape), empty=f"<{tag}/>")
            case Scalar():
                return _text_element(tag, shape)

    def _items(self, shape: ListOf) -> Writer:
        write_item = self.element(shape.item_name, shape.item)

        def write(value: Any, append: Append) -> None:
            for item in value:
                write_item(item, append)

        return write


def _enclosed(tag: str, write_content: Writer, *, empty: str = "") -> Writer:
    opening, closing = f"<{tag}>", f"</{tag}>"

    def write(value: Any, append: Append) -> None:
        if empty and not value:
            append(empty)
            return
        append(opening)
        if isinstance(value, str):
            _copy(value, append)
        else:
            write_content(value, append)
        append(closing)

    return write


def _copy(value: str, append: Append) -> None:
    # A plain text here would be markup injection, or a list written letter by letter.
    if not isinstance(value, Fragment):
        raise UnwritableError("text where a structure or list is due")
    append(value)


def _text_element(tag: str, shape: Scalar) -> Writer:
    opening, closing = f"<{tag}>", f"</{tag}>"
    to_text = _TEXT[shape.kind]

    def write_string(value: str, append: Append) -> None:
        if _find_special(value) is not None:
            value = escape(value)
        append(opening + value + closing)

    def write(value: Any, append: Append) -> None:
        append(opening + to_text(value) + closing)

    return write_string if shape.kind is Kind.STRING else write


def _boolean(value: bool) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise UnwritableError(f"not a boolean: {value!r}")


def _integer(value: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnwritableError(f"not an integer: {value!r}")
    return str(int(value))


def _float(value: float) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnwritableError(f"not a number: {value!r}")
    return repr(float(value))


def _blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_TEXT: Mapping[Kind, Callable[[Any], str]] = {
    Kind.STRING: escape,
    Kind.INTEGER: _integer,
    Kind.LONG: _integer,
    Kind.FLOAT: _float,
    Kind.DOUBLE: _float,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: timestamp_text,
    Kind.BLOB: _blob,
}
