"""Checks of filters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from conformance.checks import Unknown, expect
from conformance.ec2 import things
from conformance.ec2.reading import Node, said
from conformance.ec2.session import Ec2Session, filters, numbered, tags
from conformance.ec2.suite import SUITE
from conformance.ec2.tables import FILTERS

_ID = re.compile(r"[a-z]+(-[a-z]+)*-([0-9a-f]{8}|[0-9a-f]{17})")
#: A value that fits a filter by the end of its name; of all others any text does.
_FITTING: Mapping[str, str] = {
    "time": "2020-01-01T00:00:00.000Z",
    "date": "2020-01-01T00:00:00.000Z",
    "create": "2020-01-01T00:00:00.000Z",
    "code": "16",
    "port": "22",
    "size": "8",
    "limit": "1",
    "interfaces": "1",
    "cores": "1",
    "supported": "true",
    "on-termination": "true",
    "enabled": "true",
    "eligible": "true",
    "check": "true",
    "managed": "true",
    "support": "true",
    "group-id": "sg-0fffffffffffffff0",
}


@SUITE.check(
    "EC2-FILTER-001",
    changes=True,
    cases=tuple(f"{op} {name}" for op, each in FILTERS.items() for name in each.take),
)
def a_filter_finds(session: Ec2Session, case: str) -> None:
    """A filter finds what has its value, and nothing else."""
    action, name = case.split(" ", 1)
    row = FILTERS[action]
    known = _known(session, action)
    values = [value for value in known.texts(row.take[name]) if value]
    if not values:
        raise Unknown(f"{known.text(row.id)} has no {row.take[name]} to filter by")
    narrow = {"resource-id": known.text("resourceId")} if action == "DescribeTags" else {}
    narrow.pop(name, None)
    found = session.ok(action, filters({name: _literal(values[0]), **narrow})).all(row.items)
    ids = [each.text(row.id) for each in found]
    expect(
        known.text(row.id) in ids, f"{name}={values[0]} does not find {known.text(row.id)}, but {ids[:10]}"
    )
    for each in found:
        told = each.texts(row.take[name])
        expect(
            not told or values[0] in told,
            f"{name}={values[0]} finds {each.text(row.id)}, which has {told[:5]}",
        )
    others = session.ok(action, filters({name: _other(values[0]), **narrow})).all(row.items)
    expect(not others, f"{name}={_other(values[0])} finds {[each.text(row.id) for each in others][:10]}")


def _known(session: Ec2Session, action: str) -> Node:
    row = FILTERS[action]
    return session.shared(
        f"what {action} tells", lambda: session.ok(action, things.filled(session, row.with_)).node(row.items)
    )


def _literal(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)


def _other(value: str) -> str:
    """A value of the same kind that nothing has."""
    if value in {"true", "false"}:
        return "neither"
    if _ID.fullmatch(value):
        return value.rpartition("-")[0] + "-0fffffffffffffff0"
    return "987654321" if value.lstrip("-").isdigit() else "nothing-has-this"


@SUITE.check("EC2-FILTER-002", cases=tuple(FILTERS))
def every_filter_is_known(session: Ec2Session, action: str) -> None:
    """No documented filter is refused."""
    refused = []
    names = sorted({*FILTERS[action].take, *FILTERS[action].known})
    if session.send(action, filters({name: _fitting(name) for name in names[:50]})).status == 200:
        names = names[50:]
    for name in names:
        answer = session.send(action, filters({name: _fitting(name)}))
        if answer.status != 200:
            refused.append(f"{name} ({said(answer) or answer})")
    if len(refused) == len(FILTERS[action].take) + len(FILTERS[action].known):
        session.ok(action)
    expect(not refused, f"refused: {'; '.join(refused)}")


def _fitting(name: str) -> str:
    return next((value for end, value in _FITTING.items() if name.endswith(end)), "nothing-has-this")


def _groups(session: Ec2Session, wanted: Mapping[str, Sequence[str]]) -> set[str]:
    """The names of groups of this run's that some filters find."""
    found = session.ok("DescribeSecurityGroups", filters({"vpc-id": things.home(session), **wanted}))
    return set(found.texts("securityGroupInfo/item/groupName"))


def _named(session: Ec2Session) -> dict[str, str]:
    """Three groups whose names tell them apart, by a letter."""

    def made() -> dict[str, str]:
        stem = session.name("filter")
        names = {"a": f"{stem}-alpha", "b": f"{stem}-beta", "c": f"{stem}-beta2"}
        for letter, name in names.items():
            params = {"GroupName": name, "GroupDescription": f"of {letter}", "VpcId": things.home(session)}
            session.make("CreateSecurityGroup", params, shared=True)
        return {**names, "stem": stem}

    return session.shared("groups to filter", made)


@SUITE.check("EC2-FILTER-003", changes=True)
def several_values(session: Ec2Session) -> None:
    """Of several values any one will do."""
    names = _named(session)
    found = _groups(session, {"group-name": [names["a"], names["c"], "nothing"]})
    expect(found == {names["a"], names["c"]}, f"three values, two of which are there, find {found}")


@SUITE.check("EC2-FILTER-004", changes=True)
def several_filters(session: Ec2Session) -> None:
    """Several filters must all hold."""
    names = _named(session)
    found = _groups(session, {"group-name": [names["a"], names["b"]], "description": "of b"})
    expect(found == {names["b"]}, f"two filters that hold together for {names['b']} find {found}")
    found = _groups(session, {"group-name": names["a"], "description": "of b"})
    expect(not found, f"two filters that do not hold together find {found}")


#: Patterns behind the stem, and whom they find.
PATTERNS: Mapping[str, str] = {
    "-*": "abc",
    "-beta*": "bc",
    "-beta?": "c",
    "-????": "b",
    "*a": "ab",
    "-alph": "",
    "-alpha?": "",
    "-*et*": "bc",
    "-a*a": "a",
}


@SUITE.check("EC2-FILTER-005", changes=True, cases=tuple(PATTERNS))
def wildcards(session: Ec2Session, pattern: str) -> None:
    """* and ? find what they stand for, from beginning to end."""
    names = _named(session)
    wanted = {names[letter] for letter in PATTERNS[pattern]}
    found = _groups(session, {"group-name": names["stem"] + pattern})
    expect(found == wanted, f"…{pattern} finds {sorted(found)}, not {sorted(wanted)}")


@SUITE.check("EC2-FILTER-005", changes=True)
def values_have_a_beginning(session: Ec2Session) -> None:
    """A value that is the end of a name does not find it, and with * before it does."""
    names = _named(session)
    end = names["a"].removeprefix("conformance-")
    found = _groups(session, {"group-name": end})
    expect(not found, f"the end of a name, {end}, finds {found}")
    found = _groups(session, {"group-name": f"*{end}"})
    expect(found == {names["a"]}, f"*{end} finds {found}")


@SUITE.check("EC2-FILTER-006", changes=True)
def escaped_wildcards(session: Ec2Session) -> None:
    """A star behind a backslash is a star."""
    volume = things.thing(session, "volume")
    texts = {"star": "a*c", "letter": "abc"}
    params: dict[str, object] = {"ResourceId.1": volume}
    for number, (key, value) in enumerate(texts.items(), 1):
        params |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
    session.ok("CreateTags", params)
    keys = {f"Tag.{number}.Key": key for number, key in enumerate(texts, 1)}
    session.afterwards(lambda: session.remove("DeleteTags", {"ResourceId.1": volume, **keys}))
    of_it = {"resource-id": volume, "key": list(texts)}
    plain = set(session.ok("DescribeTags", filters({**of_it, "value": "a*c"})).texts("tagSet/item/key"))
    expect(plain == {"star", "letter"}, f"a*c finds {plain}, not both of a*c and abc")
    literal = set(session.ok("DescribeTags", filters({**of_it, "value": r"a\*c"})).texts("tagSet/item/key"))
    expect(literal == {"star"}, rf"a\*c finds {literal}, not a*c alone")


@SUITE.check("EC2-FILTER-007", changes=True)
def values_have_cases(session: Ec2Session) -> None:
    """A value in other letters finds nothing."""
    names = _named(session)
    found = _groups(session, {"group-name": names["a"].upper()})
    expect(not found, f"{names['a'].upper()} finds {found}")


@SUITE.check("EC2-FILTER-008", cases=tuple(FILTERS))
def unknown_filters(session: Ec2Session, action: str) -> None:
    """A filter that there is not is InvalidParameterValue."""
    session.refused(action, filters({"no-such-filter": "x"}), "InvalidParameterValue")


@SUITE.check("EC2-FILTER-009", cases=("DescribeInstances", "DescribeVolumes", "DescribeVpcs"))
def unknown_filters_are_named(session: Ec2Session, action: str) -> None:
    """The message names the filter that there is not."""
    told = session.refused(action, filters({"no-such-filter": "x"}), "InvalidParameterValue")
    wanted = "The filter 'no-such-filter' is invalid"
    expect(told.message == wanted, f"the message is {told.message!r}, not {wanted!r}")


@SUITE.check("EC2-FILTER-008", cases=("Group-Name", "GROUP-NAME", "group_name"))
def names_of_filters_have_cases(session: Ec2Session, name: str) -> None:
    """The name of a filter in other letters is no filter's name."""
    session.refused("DescribeSecurityGroups", filters({name: "x"}), "InvalidParameterValue")


@SUITE.check("EC2-FILTER-014")
def no_name(session: Ec2Session) -> None:
    """A filter without a name is refused."""
    session.refused("DescribeVolumes", {"Filter.1.Value.1": "x"}, "InvalidParameterValue", "MissingParameter")


#: Filters by ids of nothing.
IDS: Mapping[str, tuple[str, str, str]] = {
    "DescribeInstances": ("instance-id", "i", "reservationSet"),
    "DescribeVolumes": ("volume-id", "vol", "volumeSet"),
    "DescribeSnapshots": ("snapshot-id", "snap", "snapshotSet"),
    "DescribeImages": ("image-id", "ami", "imagesSet"),
    "DescribeSecurityGroups": ("group-id", "sg", "securityGroupInfo"),
    "DescribeSubnets": ("subnet-id", "subnet", "subnetSet"),
    "DescribeVpcs": ("vpc-id", "vpc", "vpcSet"),
    "DescribeAddresses": ("allocation-id", "eipalloc", "addressesSet"),
    "DescribeNetworkInterfaces": ("network-interface-id", "eni", "networkInterfaceSet"),
}


@SUITE.check("EC2-FILTER-010", cases=tuple(IDS))
def ids_of_nothing(session: Ec2Session, action: str) -> None:
    """A filter by an id of nothing finds nothing."""
    name, prefix, entries = IDS[action]
    for value in (session.unknown(prefix), "nonsense"):
        found = session.ok(action, filters({name: value})).items(entries)
        expect(not found, f"{name}={value} finds {len(found)}")


@SUITE.check("EC2-FILTER-011", changes=True)
def tags_as_filters(session: Ec2Session) -> None:
    """tag:KEY finds by value, tag-key by key, each in whatever letters the tag has."""
    value = session.name("value")
    params = {
        "AvailabilityZone": things.zone(session),
        "Size": 1,
        **tags("volume", **{"Conformance Key": value}),
    }
    made = session.make("CreateVolume", params).text("volumeId")
    other = things.thing(session, "volume")
    for wanted, finds in (
        ({"tag:Conformance Key": value}, True),
        ({"tag:Conformance Key": f"{value[:-1]}?"}, True),
        ({"tag-key": "Conformance Key", "volume-id": [made, other]}, True),
        ({"tag:Conformance Key": "another"}, False),
        ({"tag:conformance key": value}, False),
        ({"tag-key": "Conformance", "volume-id": [made, other]}, False),
    ):
        found = session.ok("DescribeVolumes", filters(wanted)).texts("volumeSet/item/volumeId")
        expect(found == ([made] if finds else []), f"{wanted} finds {found}; the tag is on {made}")


@SUITE.check("EC2-FILTER-012")
def too_many_values(session: Ec2Session) -> None:
    """More than 200 values are FilterLimitExceeded, and 200 are not."""
    many = [f"nothing-{number}" for number in range(201)]
    session.ok("DescribeSecurityGroups", filters({"group-name": many[:200]}))
    session.refused("DescribeSecurityGroups", filters({"group-name": many}), "FilterLimitExceeded")


@SUITE.check("EC2-FILTER-013", changes=True)
def some_of_a_reservation(session: Ec2Session) -> None:
    """Of two instances of one reservation that is shown which the filter holds for."""
    first, second = things.pair(session)
    wanted = filters({"instance-id": [first, second], "launch-index": "1"})
    found = session.ok("DescribeInstances", wanted).texts("reservationSet/item/instancesSet/item/instanceId")
    expect(found == [second], f"launch-index=1 of {first} and {second} finds {found}")
    both = session.ok("DescribeInstances", numbered("InstanceId", [first, second]))
    expect(len(both.items("reservationSet")) == 1, "two instances of one launch are told in two reservations")
