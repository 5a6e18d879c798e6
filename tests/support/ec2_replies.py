"""What is in a reply, held to botocore's model and to what the real service always sends.

``ec2_always.toml`` says for each structure which members are always there and when the others are; a member
that is in neither list is not expected in a reply at all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from ec2_face import SESSION
from lxml import etree

FILE = Path(__file__).parents[1] / "contract" / "ec2_always.toml"
MODEL = SESSION._session.get_service_model("ec2")
#: A private cloud has types of its own.
OPEN = frozenset({"InstanceType"})
#: Words that the real service says although its model does not know them.
SAID = frozenset(
    {
        (
            "AttachmentStatus",
            "available",
        ),  # of an internet gateway (API reference, InternetGatewayAttachment)
        ("NetworkInterfaceType", "nat_gateway"),  # the model has natGateway
    }
)


class Seen(msgspec.Struct, frozen=True):
    """A structure in a reply: where, of which shape, and the members that it has."""

    path: str
    shape: str
    members: frozenset[str]


def element_name(name: str, member: Any) -> str:
    """The XML element of a member in a reply."""
    found: str = member.serialization.get("name", name)
    return found


def read(reply: bytes, operation: str) -> tuple[list[Seen], list[str]]:
    """The structures of a reply and what the model does not know of it."""
    root = etree.fromstring(reply)
    output = MODEL.operation_model(operation).output_shape
    seen: list[Seen] = []
    wrong: list[str] = []
    children = [child for child in root if _tag(child) != "requestId"]
    if output is None:
        if [(_tag(child), child.text) for child in children] != [("return", "true")]:
            wrong.append(f"{operation}: not <return>true</return>")
        return seen, wrong
    _structure(children, output, operation, seen, wrong)
    return seen, wrong


def _tag(element: Any) -> str:
    return str(etree.QName(element).localname)


def _structure(children: list[Any], shape: Any, path: str, seen: list[Seen], wrong: list[str]) -> None:
    names = {element_name(name, member): (name, member) for name, member in shape.members.items()}
    found: set[str] = set()
    for child in children:
        tag = _tag(child)
        if tag not in names:
            wrong.append(f"{path}: unknown <{tag}>")
            continue
        name, member = names[tag]
        if name in found:
            wrong.append(f"{path}: two of <{tag}>")
        found.add(name)
        _value(child, member, f"{path}.{name}", seen, wrong)
    seen.append(Seen(path, shape.name, frozenset(found)))


def _value(element: Any, shape: Any, path: str, seen: list[Seen], wrong: list[str]) -> None:
    match shape.type_name:
        case "structure":
            _structure(list(element), shape, path, seen, wrong)
        case "list":
            item = shape.member.serialization.get("name", "item")
            for child in element:
                if _tag(child) != item:
                    wrong.append(f"{path}: <{_tag(child)}> instead of <{item}>")
                _value(child, shape.member, path + "[]", seen, wrong)
        case _:
            if len(element):
                wrong.append(f"{path}: elements in a {shape.type_name}")
            wrong.extend(f"{path}: {why}" for why in _scalar(element.text or "", shape))


def _scalar(text: str, shape: Any) -> Iterator[str]:
    match shape.type_name:
        case "boolean" if text not in {"true", "false"}:
            yield f"{text!r} is no boolean"
        case "integer" | "long" if not text.lstrip("-").isdigit():
            yield f"{text!r} is no integer"
        case "timestamp":
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007 - the form is what counts
        case "string":
            known = not getattr(shape, "enum", None) or text in shape.enum or shape.name in OPEN
            if not known and (shape.name, text) not in SAID:
                yield f"{text!r} is no {shape.name}"


# What is always there ------------------------------------------------------------------------------------


class Expected(msgspec.Struct, frozen=True):
    """What a reply says of a structure: ``sometimes`` gives for each member when it is there."""

    always: tuple[str, ...] = ()
    sometimes: Mapping[str, str] = {}


class Rules(msgspec.Struct, frozen=True):
    """The reviewed file: what is expected of each structure, and why members are in no reply, by pattern."""

    structures: Mapping[str, Expected]
    never: Mapping[str, str]

    def reason(self, shape: str, member: str) -> str | None:
        """Why a member of a structure is in no reply; None when nobody has said it."""
        name = f"{shape}.{member}"
        return next((why for pattern, why in self.never.items() if fnmatchcase(name, pattern)), None)


def expected() -> Rules:
    """What the reviewed file says."""
    document = tomllib.loads(FILE.read_text())
    never = document.pop("never")
    return Rules(msgspec.convert(document, dict[str, Expected]), never)


def unreviewed(rules: Rules) -> Iterator[str]:
    """Members of the model of which the file does not say when they are there."""
    for name, rule in rules.structures.items():
        members = set(MODEL.shape_for(name).members)
        said = {*rule.always, *rule.sometimes}
        yield from (f"{name}.{each} is no member" for each in sorted(said - members))
        yield from (f"{name}.{each}" for each in sorted(members - said) if rules.reason(name, each) is None)


_AS_GIVEN = ".LaunchTemplateData"  # what a launch template holds is what its author gave


def lacking(seen: list[Seen], rules: Rules) -> Iterator[str]:
    """What structures of a reply lack, and what they have that nobody expects."""
    for each in seen:
        if _AS_GIVEN in each.path:
            continue
        rule = rules.structures.get(each.shape)
        if rule is None:
            yield f"{each.path}: nobody has reviewed {each.shape}"
            continue
        for name in sorted(set(rule.always) - each.members):
            yield f"{each.path} ({each.shape}) lacks {name}"
        for name in sorted(each.members - set(rule.always) - set(rule.sometimes)):
            yield f"{each.path} ({each.shape}) has {name}, which nobody expects"
