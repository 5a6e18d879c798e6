"""Filters, page tokens and ids: what every listing shares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ec2.errors import STATUS, Ec2Error, dry_run, http_status
from ec2.filters import FilterTable, compile_values, literal
from ec2.ids import (
    MALFORMED,
    NOT_FOUND,
    UNKNOWN_ID,
    IdKind,
    kind_of,
    not_found,
    require_well_formed,
    well_formed,
)
from ec2.pages import PageLimits, PageTokens, page_size

Row = dict[str, Any]
TABLE: FilterTable[Row] = FilterTable(
    {
        "instance-id": lambda row: row["id"],
        "group-id": lambda row: row["groups"],
        "launch-time": lambda row: row["launched"],
        "launch-index": lambda row: row["index"],
        "source-dest-check": lambda row: row["check"],
        "key-name": lambda row: row.get("key"),
    },
    tags=lambda row: row["tags"],
    aliases={"instanceId": "instance-id"},
)
ROW: Row = {
    "id": "i-1",
    "groups": ["sg-1", "sg-2"],
    "launched": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "index": 0,
    "check": True,
    "tags": {"Name": "web*1", "Stage": "a\\b"},
}


def wanted(name: str | None, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}


def holds(*filters: dict[str, Any]) -> bool:
    return TABLE.compile(filters)(ROW)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("instance-id", ["i-1"], True),
        ("instanceId", ["i-1"], True),
        ("instance-id", ["I-1"], False),
        ("instance-id", ["i"], False),
        ("instance-id", ["x", "i-?"], True),
        ("instance-id", ["*"], True),
        ("instance-id", [], False),
        ("group-id", ["sg-2"], True),
        ("launch-time", ["2026-01-02T03:04:05.000Z"], True),
        ("launch-time", ["2026-01-02*"], True),
        ("launch-index", ["0"], True),
        ("source-dest-check", ["true"], True),
        ("source-dest-check", ["True", "1"], False),
        ("key-name", ["*"], False),
        ("tag:Name", ["web\\*1"], True),
        ("tag:Name", ["web\\**"], True),
        ("tag:Name", ["web\\?1"], False),
        ("tag:Stage", ["a\\b"], True),
        ("tag:Stage", ["a\\\\b"], True),
        ("tag:Missing", ["*"], False),
        ("tag-key", ["Name"], True),
        ("tag-value", ["web?1"], True),
    ],
)
def test_filters(name: str, values: list[str], expected: bool) -> None:
    assert holds(wanted(name, *values)) is expected


def test_filters_add_up_and_none_lets_all_through() -> None:
    assert holds()
    assert holds(wanted("instance-id", "i-1"), wanted("tag-key", "Name"))
    assert not holds(wanted("instance-id", "i-1"), wanted("instance-id", "i-2"))
    # The key of one tag and the value of another.
    assert holds(wanted("tag-key", "Name"), wanted("tag-value", "a?b"))


@pytest.mark.parametrize(("name", "shown"), [("hue", "hue"), (None, "null"), ("", "null"), ("tag:", "tag:")])
def test_unknown_filters(name: str | None, shown: str) -> None:
    with pytest.raises(Ec2Error) as caught:
        TABLE.compile([wanted(name, "x")])
    assert (caught.value.code, caught.value.message) == (
        "InvalidParameterValue",
        f"The filter '{shown}' is invalid",
    )


def test_filter_limits() -> None:
    many = [wanted("instance-id", *(["x"] * 200))] * 50
    assert not TABLE.compile(many)(ROW)
    for too_many in ([*many, many[0]], [wanted("instance-id", *(["x"] * 201))]):
        with pytest.raises(Ec2Error, match="FilterLimitExceeded"):
            TABLE.compile(too_many)


def by_definition(pattern: str, text: str) -> bool:
    """Wildcards as one would define them, without a thought for time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(by_definition(pattern[1:], text[start:]) for start in range(len(text) + 1))
    if not text:
        return False
    if pattern[0] == "?":
        return by_definition(pattern[1:], text[1:])
    taken = 2 if pattern[:2] in {"\\*", "\\?", "\\\\"} else 1
    return pattern[taken - 1] == text[0] and by_definition(pattern[taken:], text[1:])


@given(st.text("ab*?\\\n", max_size=8), st.text("ab*?\\\n", max_size=8))
def test_wildcards_against_their_definition(pattern: str, text: str) -> None:
    assert compile_values([pattern])(text) is by_definition(pattern, text)


@given(st.text("ab*?\\.", max_size=8))
def test_a_literal_is_the_only_text_that_matches(pattern: str) -> None:
    text = literal(pattern)
    if text is not None:
        assert by_definition(pattern, text)


def test_hostile_patterns_end() -> None:
    assert not compile_values(["*a" * 2000 + "b"])("a" * 2500)
    assert compile_values(["*" * 5000])("a" * 5000)


def test_what_a_store_may_use() -> None:
    one, two, wild = (
        wanted("instance-id", "a", "\\*"),
        wanted("instanceId", "a", "b"),
        wanted("instance-id", "a*"),
    )
    assert TABLE.literals([one], "instance-id") == {"a", "*"}
    assert TABLE.literals([one, two, wild], "instance-id") == {"a"}
    assert TABLE.literals([wild], "instance-id") is None
    assert TABLE.literals([wanted("instance-id")], "instance-id") == frozenset()
    assert TABLE.literals([one], "key-name") is None


TOKENS = PageTokens("secret")


def test_tokens_go_on_where_they_stopped() -> None:
    params = {"Filters": [wanted("tag:Name", "x")], "MaxResults": 5}
    token = TOKENS.issue(account="1", action="DescribeInstances", params=params, last=("2026", 7))
    again = PageTokens(b"secret")
    follow = params | {"NextToken": token, "MaxResults": 9, "DryRun": False}
    assert again.position(account="1", action="DescribeInstances", params=follow) == ("2026", 7)
    assert again.position(account="1", action="DescribeInstances", params=params) is None
    assert again.position(account="1", action="DescribeInstances", params={"NextToken": ""}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"account": "2"},
        {"action": "DescribeTags"},
        {"secret": "other"},
        {"params": {"Filters": []}},
        {"cut": 1},
    ],
)
def test_tokens_belong_to_one_listing(change: dict[str, Any]) -> None:
    token = TOKENS.issue(account="1", action="DescribeInstances", params={}, last=("a",))
    params = change.get("params", {}) | {"NextToken": token[: -change.get("cut", 0) or None]}
    with pytest.raises(Ec2Error, match="InvalidNextToken"):
        PageTokens(change.get("secret", "secret")).position(
            account=change.get("account", "1"),
            action=change.get("action", "DescribeInstances"),
            params=params,
        )


@given(st.text(min_size=1, max_size=40))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(Ec2Error, match="InvalidNextToken"):
        TOKENS.position(account="1", action="DescribeInstances", params={"NextToken": text})


def test_page_sizes() -> None:
    limits = PageLimits(ids="InstanceIds", ids_word="instancesSet")
    assert page_size({}, limits) == 1000
    assert page_size({"MaxResults": 5}, limits) == 5
    assert page_size({"MaxResults": 5, "InstanceIds": []}, limits) == 5
    for params, code in (
        ({"MaxResults": 4}, "InvalidParameterValue"),
        ({"MaxResults": 1001}, "InvalidParameterValue"),
        ({"MaxResults": 5, "InstanceIds": ["i-1"]}, "InvalidParameterCombination"),
    ):
        with pytest.raises(Ec2Error, match=code):
            page_size(params, limits)


@pytest.mark.parametrize("kind", list(IdKind))
def test_ids_of_every_kind(kind: IdKind) -> None:
    good = f"{kind.value}-0123456789abcdef0"
    assert well_formed(kind, good)
    assert kind_of(good) is kind
    assert well_formed(kind, f"{kind.value}-01234567")
    require_well_formed(kind, [good])
    for bad in (
        good + "1",
        good[:-1],
        good.upper(),
        kind.value,
        "",
        f"x{good}",
        good + "\n",
        f"{kind.value}-0123456g",
    ):
        assert not well_formed(kind, bad)
        with pytest.raises(Ec2Error) as caught:
            require_well_formed(kind, [good, bad])
        assert caught.value.code == MALFORMED[kind].code
    assert not_found(kind, [good]).code == NOT_FOUND[kind].code


def test_sentences_of_ids() -> None:
    assert not_found(IdKind.INSTANCE, ["i-1"]).message == "The instance ID 'i-1' does not exist"
    assert not_found(IdKind.INSTANCE, ["i-1", "i-2"]).message == "The instance IDs 'i-1, i-2' do not exist"
    assert not_found(IdKind.IMAGE, ["a", "b"]).message == "The image ids '[a, b]' do not exist"
    assert MALFORMED[IdKind.IMAGE].error(["x"]).message == 'Invalid id: "x" (expecting "ami-...")'
    assert MALFORMED[IdKind.VOLUME].error(["x"]).message == (
        "Value (x) for parameter volumes is invalid. Expected: 'vol-...'."
    )
    assert UNKNOWN_ID.error(["{ids}"]).message == "The ID '{ids}' is not valid"


def test_statuses() -> None:
    assert [
        http_status(code) for code in ("InvalidInstanceID.NotFound", "AuthFailure", "UnauthorizedOperation")
    ] == [400, 401, 403]
    assert http_status(dry_run().code) == 412
    assert all(400 <= status < 600 for status in STATUS.values())
