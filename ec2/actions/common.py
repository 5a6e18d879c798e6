"""What several nouns share: tags given at creation, refusals of what is not offered, ids of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ec2.context import Ec2Context
from ec2.errors import Ec2Error
from ec2.ids import IdKind, require_well_formed

Params = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]


def unsupported(parameter: str) -> Ec2Error:
    """The refusal of a parameter whose effect this cloud does not have: better than to ignore it."""
    return Ec2Error("UnsupportedOperation", f"The parameter {parameter} is not supported by this cloud.")


def unsupported_value(value: object, parameter: str) -> Ec2Error:
    """The refusal of a value of a parameter that is only accepted when it asks for what is the case."""
    text = str(value).lower() if isinstance(value, bool) else str(value)[:120]
    return Ec2Error(
        "UnsupportedOperation", f"The value '{text}' of {parameter} is not supported by this cloud."
    )


def missing(parameter: str) -> Ec2Error:
    """The refusal of a call without something that it needs, in wire spelling."""
    return Ec2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def refuse_all(params: Params, names: Sequence[str]) -> None:
    """Refuse the first of some parameters that is there with any content; an empty list asks for nothing."""
    for name in names:
        if params.get(name) not in (None, [], {}, "", 0, False):
            raise unsupported(name)


def refuse_unless(params: Params, offered: Mapping[str, Any]) -> None:
    """Accept each parameter only with a value that states what is the case anyway.

    ``offered`` gives for each name one value, a tuple of values, or the same for the members inside.
    """
    for name, allowed in offered.items():
        if params.get(name) is not None:
            _check_offered(name, params[name], allowed)


def _check_offered(name: str, value: Any, allowed: Any) -> None:
    if isinstance(allowed, Mapping) and isinstance(value, Mapping):
        for member, inner in value.items():
            if member in allowed:
                _check_offered(f"{name}.{member}", inner, allowed[member])
            elif inner not in ([], {}, ""):
                raise unsupported(f"{name}.{member}")
        return
    if value not in (allowed if isinstance(allowed, tuple) else (allowed,)):
        raise unsupported_value(value, name)


_LONGEST_DESCRIPTION = 255


def described(params: Params, default: str = "") -> str:
    """The description of an image or a snapshot to be; raises InvalidParameterValue for a long one."""
    text: str = params.get("Description", default)
    if len(text) > _LONGEST_DESCRIPTION:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({text[:120]}) for parameter description is invalid. "
            f"It must have at most {_LONGEST_DESCRIPTION} characters.",
        )
    return text


def well_formed_ids(kind: IdKind, ids: Sequence[str]) -> list[str]:
    """Ids of a call, each once; raises the kind's Malformed error."""
    require_well_formed(kind, ids)
    return list(dict.fromkeys(ids))


def owner_accounts(context: Ec2Context, owners: Sequence[str]) -> tuple[str, ...]:
    """The accounts that a list of owners means."""
    return tuple(dict.fromkeys(context.caller.account_id if each == "self" else each for each in owners))


def tag_pairs(tags: Sequence[Mapping[str, str]], *, path: str = "Tag") -> Pairs:
    """Tags as pairs; a missing value is empty. Raises InvalidParameterValue for two of one key."""
    found: dict[str, str] = {}
    for number, tag in enumerate(tags, 1):
        key = tag.get("Key")
        if not key:
            raise missing(f"{path}.{number}.Key")
        if key in found:
            raise Ec2Error("InvalidParameterValue", f"Duplicate tag key '{key[:128]}' specified.")
        found[key] = tag.get("Value", "")
    return tuple(found.items())


def specified_tags(params: Params, resource: str, *, also: frozenset[str] = frozenset()) -> Pairs:
    """The tags that ``TagSpecifications`` give to a kind of resource; several specifications add up.

    ``also`` are kinds that the call accepts tags for although none of them comes to be.
    """
    found: list[Mapping[str, str]] = []
    for number, each in enumerate(params.get("TagSpecifications", ()), 1):
        kind, tags = each.get("ResourceType"), each.get("Tags")
        if not kind:
            raise Ec2Error("InvalidParameterValue", "Tag specification resource type must have a value")
        if kind != resource and kind not in also:
            raise Ec2Error(
                "InvalidParameterValue",
                f"'{kind[:120]}' is not a valid taggable resource type for this operation.",
            )
        if not tags:
            raise Ec2Error("InvalidParameterValue", "Tag specification must have at least one tag")
        tag_pairs(tags, path=f"TagSpecification.{number}.Tag")
        if kind == resource:
            found.extend(tags)
    return tag_pairs(found)
