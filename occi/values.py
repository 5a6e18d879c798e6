"""Attribute values against their declarations: what clients may give, and in which form it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from occi.errors import OcciError
from rendering.occi_document import (
    SUMMARY,
    TITLE,
    AttributeSpec,
    AttributeType,
    BareInteger,
    BareNumber,
    Value,
)

LONGEST_TITLE = 255
LONGEST_SUMMARY = 1024
LONGEST_HOSTNAME = 253


def memory_mib(gib: float) -> int:
    """A size in GiB (OCCI-AMB-16) in whole MiB."""
    return round(gib * 1024)


def memory_gib(mib: int) -> float:
    """A size in MiB as GiB: the shortest decimal that means it, so 3.6 is read back as 3.6."""
    shown = (round(mib / 1024, digits) for digits in range(4))
    return next((gib for gib in shown if memory_mib(gib) == mib), round(mib / 1024, 4))


def checked(spec: AttributeSpec, value: Value) -> Any:
    """The value in its declared type: int, float, bool, str, list or dict.

    Raises:
        OcciError: 400, it is of another type or outside its range.
    """
    typed = _typed(spec, value)
    if spec.choices and typed not in spec.choices:
        raise OcciError(400, f"{spec.name} must be one of {', '.join(spec.choices)}.")
    if isinstance(typed, (int, float)) and not isinstance(typed, bool):
        _check_range(spec, typed)
    return typed


def _typed(spec: AttributeSpec, value: Value) -> Any:
    match spec.type, value:
        case AttributeType.STRING, str():
            return value
        case AttributeType.STRING, (BareInteger() | BareNumber()):
            return value.text  # some clients quote no number, whatever it is for
        case AttributeType.BOOLEAN, bool():
            return value
        case ((AttributeType.INTEGER | AttributeType.NUMBER), bool()):
            pass
        case AttributeType.INTEGER, int():
            return int(value)
        case AttributeType.INTEGER, float() if value.is_integer():
            return int(value)
        case AttributeType.NUMBER, (int() | float()):
            return float(value)
        case AttributeType.ARRAY, list():
            return value
        case AttributeType.OBJECT, dict():
            return value
        case ((AttributeType.ARRAY | AttributeType.OBJECT), str()):
            return _typed(spec, _from_json(spec, value))  # text carries JSON inside a quoted string
    raise OcciError(400, f"{spec.name} must be of type {spec.type.value}.")


def _from_json(spec: AttributeSpec, text: str) -> Any:
    wanted: type = list if spec.type is AttributeType.ARRAY else dict
    try:
        return msgspec.json.decode(text, type=wanted)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise OcciError(400, f"{spec.name} must be of type {spec.type.value}, written as JSON.") from error


def _check_range(spec: AttributeSpec, number: float) -> None:
    if spec.minimum is not None and number < spec.minimum:
        raise OcciError(400, f"{spec.name} must be at least {spec.minimum:g}.")
    if spec.maximum is not None and number > spec.maximum:
        raise OcciError(400, f"{spec.name} must be at most {spec.maximum:g}.")


def checked_all(
    given: Mapping[str, Value], known: Mapping[str, AttributeSpec], *, whose: str
) -> dict[str, Any]:
    """All values in their declared types; 404 for a name that nothing declares (H11 3.6.8)."""
    for name in given:
        if name not in known:
            raise OcciError(404, f"{whose} has no attribute {name[:80]}.")
    return {name: checked(known[name], value) for name, value in given.items()}


def check_required(given: Mapping[str, Any], known: Mapping[str, AttributeSpec]) -> None:
    """Refuse what lacks a required attribute that has no default (OCCI-HTTP-043)."""
    for spec in known.values():
        if spec.required and spec.mutable and spec.default is None and given.get(spec.name) in {None, ""}:
            raise OcciError(400, f"The attribute {spec.name} is required.")


def checked_title(title: str) -> str:
    """A title, which is also the entity's ``Name`` tag; 400 when it is longer than a tag."""
    if len(title) > LONGEST_TITLE:
        raise OcciError(400, f"{TITLE} has at most {LONGEST_TITLE} characters.")
    return title


def checked_summary(summary: str) -> str:
    """A summary; 400 when it is too long."""
    if len(summary) > LONGEST_SUMMARY:
        raise OcciError(400, f"{SUMMARY} has at most {LONGEST_SUMMARY} characters.")
    return summary
