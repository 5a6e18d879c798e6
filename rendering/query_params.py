"""Query protocol requests: bytes of a form → flat pairs → one nested document in the SDK's vocabulary.

A request is a flat list of names and values; a name is a dotted path through the operation's input shape
(``Filter.2.Value.1``). :func:`decode_pairs` undoes the form encoding, :func:`compile_input` turns an input
shape into a function from pairs to a document such as ``{"InstanceIds": ["i-…"], "DryRun": True}``. The
document's values are str, int, float, bool, aware datetime, bytes, list and dict; absent members are absent
keys.

Everything wrong with a request is a :class:`QueryError` carrying the code of the EC2 API. Work and memory are
linear in the size of the request, whatever it holds.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from rendering.query_shapes import Kind, ListOf, Member, Scalar, Shape, Structure

MAX_BYTES = 1 << 20
MAX_FIELDS = 10_000
MAX_DEPTH = 16
MAX_SHOWN = 120

#: Parameters that belong to the envelope and the signature and are no members of any input shape.
ENVELOPE = frozenset(
    {
        "Action",
        "Version",
        "AWSAccessKeyId",
        "Signature",
        "SignatureMethod",
        "SignatureVersion",
        "Timestamp",
        "Expires",
        "SecurityToken",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    }
)

Pair = tuple[str, str]
Params = dict[str, Any]
_Node = str | dict[str, "_Node"]
_Reader = Callable[[Any, str, list[str] | None], Any]

# What XML 1.0 cannot carry even as a reference: such text could be stored but never be told again.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_BROKEN_ESCAPE = re.compile(b"%(?![0-9A-Fa-f]{2})")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_INDEX = re.compile(r"[0-9]{1,10}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
_BOOLEANS |= {"1": True, "0": False}
_INTEGER_BITS = {Kind.INTEGER: 31, Kind.LONG: 63}


class QueryError(Exception):
    """A refused request: ``code`` is an EC2 error code, ``message`` a sentence for the caller."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Parse(Protocol):
    """A compiled request reader, see :func:`compile_input`."""

    def __call__(self, pairs: Iterable[Pair], unknown: list[str] | None = None) -> Params:
        """Read the parameters of one request."""
        ...


def decode_pairs(raw: bytes, *, max_fields: int = MAX_FIELDS, max_bytes: int = MAX_BYTES) -> list[Pair]:
    """Decode an ``application/x-www-form-urlencoded`` body or a query string, in the order received.

    Raises QueryError: RequestEntityTooLarge for more than ``max_bytes`` bytes or ``max_fields`` fields,
    MalformedQueryString for broken escapes or UTF-8, InvalidParameterValue for characters that XML cannot
    carry.
    """
    if len(raw) > max_bytes:
        raise QueryError("RequestEntityTooLarge", f"The request is larger than {max_bytes} bytes")
    if raw.count(b"&") >= max_fields:
        raise QueryError("RequestEntityTooLarge", f"The request has more than {max_fields} parameters")
    if _BROKEN_ESCAPE.search(raw):
        raise QueryError("MalformedQueryString", "The query string holds an invalid percent escape")
    try:
        pairs = [_decode_pair(field) for field in raw.decode("utf-8").split("&") if field]
    except UnicodeDecodeError as broken:
        raise QueryError("MalformedQueryString", "The query string is not valid UTF-8") from broken
    _refuse_unwritable(pairs)
    return pairs


def _decode_pair(field: str) -> Pair:
    name, _, value = field.partition("=")
    if "%" in field or "+" in field:
        return _decode(name), _decode(value)
    return name, value


def _decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    # Quoted-printable is the same escape with another sign, and the library reads it in C: sixty times faster
    # than unquoting a megabyte of escapes. Every sign is known to be followed by two digits.
    quoted = text.replace("=", "=3D").replace("%", "=")
    return binascii.a2b_qp(quoted.encode()).decode("utf-8")


def _refuse_unwritable(pairs: list[Pair]) -> None:
    # One search over everything is the common case; the guilty name is looked for only when there is one.
    if not _UNWRITABLE.search("\n".join([text for pair in pairs for text in pair])):
        return
    for name, value in pairs:
        if _UNWRITABLE.search(name):
            raise QueryError("MalformedQueryString", "A parameter name holds characters that are not allowed")
        if _UNWRITABLE.search(value):
            raise QueryError(
                "InvalidParameterValue", f"The value of parameter {_shown(name)} holds invalid characters"
            )


def envelope(pairs: Iterable[Pair], name: str) -> str | None:
    """The value of an envelope parameter such as ``Action``; None when absent.

    Raises QueryError MalformedQueryString when it is given twice with different values.
    """
    values = {value for given, value in pairs if given == name}
    if len(values) > 1:
        raise QueryError("MalformedQueryString", f"The parameter {name} is given more than once")
    return values.pop() if values else None


def compile_input(shape: Structure) -> Parse:
    """A function ``(pairs, unknown=None) -> document`` for an input shape.

    Raises QueryError: UnknownParameter, MissingParameter, InvalidParameterValue or MalformedQueryString. When
    the list ``unknown`` is given, unknown names are appended to it instead of being refused.
    """
    read = _structure_reader(shape, {})

    def parse(pairs: Iterable[Pair], unknown: list[str] | None = None) -> Params:
        document: Params = read(_tree(pairs, unknown), "", unknown)
        return document

    return parse


def _tree(pairs: Iterable[Pair], unknown: list[str] | None) -> dict[str, _Node]:
    """Split the names on dots. An inner node is a dict, a value a str."""
    root: dict[str, _Node] = {}
    for name, value in pairs:
        if name in ENVELOPE:
            continue
        *path, last = name.split(".", MAX_DEPTH)
        if "." in last:
            _refuse_unknown(name, unknown)
            continue
        node = root
        for step in path:
            below = node.setdefault(step, {})
            if not isinstance(below, dict):
                # "Tag=" beside "Tag.1.Key=…": an empty list that is not empty.
                if below:
                    _refuse_unknown(name, unknown)
                below = node[step] = {}
            node = below
        _put(node, last, value, name, unknown)
    return root


def _put(node: dict[str, _Node], last: str, value: str, name: str, unknown: list[str] | None) -> None:
    present = node.setdefault(last, value)
    if present is value:
        return
    if isinstance(present, dict):
        if value:
            _refuse_unknown(name, unknown)
    elif present != value:
        raise QueryError("MalformedQueryString", f"The parameter {_shown(name)} is given more than once")


def _compiled(shape: Shape, made: dict[str, _Reader]) -> _Reader:
    reader = made.get(shape.name)
    if reader is None:
        match shape:
            case Structure():
                reader = _structure_reader(shape, made)
            case ListOf():
                reader = _list_reader(shape, made)
            case Scalar():
                reader = _scalar_reader(shape)
        made[shape.name] = reader
    return reader


def _structure_reader(shape: Structure, made: dict[str, _Reader]) -> _Reader:
    by_request_name = {
        member.request_name: (member, _compiled(member.shape, made)) for member in shape.members
    }
    required = tuple(member for member in shape.members if member.required)

    def read(node: _Node, path: str, unknown: list[str] | None) -> Params:
        out: Params = {}
        if isinstance(node, str):
            if node:
                _refuse_unknown(path, unknown)
            return out
        prefix = f"{path}." if path else ""
        for step, below in node.items():
            entry = by_request_name.get(step)
            if entry is None:
                _refuse_unknown(prefix + step, unknown)
            else:
                out[entry[0].name] = entry[1](below, prefix + step, unknown)
        _check_required(required, out, prefix)
        return out

    return read


def _check_required(required: tuple[Member, ...], out: Mapping[str, Any], prefix: str) -> None:
    for member in required:
        if member.name not in out:
            raise QueryError(
                "MissingParameter", f"The request must contain the parameter {prefix}{member.request_name}"
            )


def _list_reader(shape: ListOf, made: dict[str, _Reader]) -> _Reader:
    read_item = _compiled(shape.item, made)
    plain = isinstance(shape.item, Scalar) and not shape.wrapper

    def unnumbered(text: str, path: str, unknown: list[str] | None) -> list[Any]:
        # Libcloud's get_key_pair sends KeyName=x: one value needs no number. Nothing is the empty list.
        if text and plain:
            items = [read_item(text, path, unknown)]
            _check_size(shape, 1, path)
            return items
        if text:
            _refuse_unknown(path, unknown)
        return []

    def read(node: _Node, path: str, unknown: list[str] | None) -> list[Any]:
        if isinstance(node, str):
            return unnumbered(node, path, unknown)
        if shape.wrapper:
            node, path = _unwrapped(node, shape.wrapper, path, unknown)
        steps = []
        for step in node:
            if _INDEX.fullmatch(step):
                steps.append(step)
            else:
                _refuse_unknown(f"{path}.{step}", unknown)
        # The numbers only tell the order: Libcloud counts from 0, others leave gaps.
        items = [read_item(node[step], f"{path}.{step}", unknown) for step in sorted(steps, key=int)]
        _check_size(shape, len(items), path)
        return items

    return read


def _unwrapped(
    node: dict[str, _Node], wrapper: str, path: str, unknown: list[str] | None
) -> tuple[dict[str, _Node], str]:
    for step in node:
        if step != wrapper:
            _refuse_unknown(f"{path}.{step}", unknown)
    below = node.get(wrapper, {})
    inner = f"{path}.{wrapper}"
    if isinstance(below, str):
        if below:
            _refuse_unknown(inner, unknown)
        return {}, inner
    return below, inner


def _check_size(shape: ListOf, size: int, path: str) -> None:
    if (shape.maximum is not None and size > shape.maximum) or (shape.minimum or 0) > size:
        raise QueryError("InvalidParameterValue", f"The parameter {path} must not have {size} entries")


def _scalar_reader(shape: Scalar) -> _Reader:
    convert = _CONVERT[shape.kind]

    def read(node: _Node, path: str, unknown: list[str] | None) -> Any:
        if isinstance(node, dict):
            node = _only(node, path, unknown)
        return convert(shape, node, path)

    return read


def _only(node: dict[str, _Node], path: str, unknown: list[str] | None) -> str:
    # boto 2 asks for the console of InstanceId.1: one value may be numbered, as one of a list need not be.
    below = node.get("1")
    if isinstance(below, str) and len(node) == 1:
        return below
    _refuse_unknown(f"{path}.{next(iter(node), '')}", unknown)
    return ""


def _string(shape: Scalar, text: str, path: str) -> str:
    if shape.choices and text not in shape.choices:
        _refuse_value(shape, text, path, shape.reason)
    _check_range(shape, len(text), text, path, "Its length")
    return text


def _integer(shape: Scalar, text: str, path: str) -> int:
    if not _INTEGER.fullmatch(text):
        _refuse_value(shape, text, path, "It is not an integer.")
    number = int(text)
    bits = _INTEGER_BITS[shape.kind]
    if not -(1 << bits) <= number < 1 << bits:
        _refuse_value(shape, text, path, "It is out of range.")
    _check_range(shape, number, text, path, "It")
    return number


def _float(shape: Scalar, text: str, path: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(number):
        _refuse_value(shape, text, path, "It is not a number.")
    _check_range(shape, number, text, path, "It")
    return number


def _boolean(shape: Scalar, text: str, path: str) -> bool:
    value = _BOOLEANS.get(text)
    if value is None:
        _refuse_value(shape, text, path, "It must be true or false.")
    return value


def _moment(shape: Scalar, text: str, path: str) -> datetime:
    try:
        if not _MOMENT.fullmatch(text):
            _refuse_value(shape, text, path, "It is not an ISO 8601 time.")
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse_value(shape, text, path, "It is not an ISO 8601 time.")


def _blob(shape: Scalar, text: str, path: str) -> bytes:
    try:
        # Old clients break base64 into lines.
        return base64.b64decode(text.translate({10: None, 13: None, 9: None}), validate=True)
    except (binascii.Error, ValueError):
        _refuse_value(shape, text, path, "Invalid BASE64 encoding.")


_CONVERT: Mapping[Kind, Callable[[Scalar, str, str], Any]] = {
    Kind.STRING: _string,
    Kind.INTEGER: _integer,
    Kind.LONG: _integer,
    Kind.FLOAT: _float,
    Kind.DOUBLE: _float,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _moment,
    Kind.BLOB: _blob,
}


def _check_range(shape: Scalar, measure: float, text: str, path: str, what: str) -> None:
    if shape.minimum is not None and measure < shape.minimum:
        _refuse_value(shape, text, path, f"{what} must be at least {shape.minimum}.")
    if shape.maximum is not None and measure > shape.maximum:
        _refuse_value(shape, text, path, f"{what} must be at most {shape.maximum}.")


def _refuse_value(shape: Scalar, text: str, path: str, reason: str) -> NoReturn:
    shown = "hidden" if shape.sensitive else _shown(text)
    message = f"Value ({shown}) for parameter {parameter_word(path)} is invalid. {reason}".rstrip()
    raise QueryError("InvalidParameterValue", message) from None


def parameter_word(path: str) -> str:
    """The word EC2's messages use for a parameter: ``Placement.Tenancy`` is ``tenancy``, ``Filter.1``
    ``filter``.
    """
    word = next((step for step in reversed(path.split(".")) if not step.isdigit()), path)
    return word[:1].lower() + word[1:]


def _refuse_unknown(name: str, unknown: list[str] | None) -> None:
    if unknown is None:
        raise QueryError("UnknownParameter", f"The parameter {_shown(name)} is not recognized")
    unknown.append(_shown(name))


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
