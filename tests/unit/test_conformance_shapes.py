"""What the conformance tool takes for OCCI's JSON and text: what strays from it is named, what does not is not."""

from __future__ import annotations

import pytest

from conformance.occi import grammar
from conformance.occi.grammar import Malformed
from conformance.occi.shapes import KIND, LINK, MIXIN, MODEL, RESOURCE, is_of_type, strays

TYPE = "http://a.example/b#c"
END = {"location": "/a/1", "kind": TYPE}
SOUND_LINK = {"kind": TYPE, "id": "1", "source": END, "target": {"location": "http://else.example/"}}
SOUND = {"kind": TYPE, "id": "1", "attributes": {"a.b": [1, {"c": None}]}, "links": [SOUND_LINK]}


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (SOUND, RESOURCE),
        (SOUND_LINK, LINK),
        ({}, MODEL),
        ({"resources": [SOUND], "links": []}, MODEL),
        ({"term": "a", "scheme": "b#", "attributes": {"x": {}, "y": {"mutable": True, "type": "number"}}}, KIND),
        ({"term": "a", "scheme": "b#", "location": "/a/", "applies": [TYPE]}, MIXIN),
    ],
)  # fmt: skip
def test_what_the_schema_knows(given, shape):
    assert list(strays(given, shape)) == []


@pytest.mark.parametrize(
    ("given", "shape", "said"),
    [
        ([], RESOURCE, "not an object"),
        ({"kind": TYPE}, RESOURCE, "has no id"),
        ({**SOUND, "colour": "blue"}, RESOURCE, "unknown member colour"),
        ({**SOUND, "title": 1}, RESOURCE, "title is the int"),
        ({**SOUND, "title": None}, RESOURCE, "title is null"),
        ({**SOUND, "kind": "compute"}, RESOURCE, "no type identifier"),
        ({**SOUND, "mixins": TYPE}, RESOURCE, "not an array"),
        ({**SOUND, "attributes": {"a": None}}, RESOURCE, "attributes.a is null"),
        ({**SOUND, "links": [{**SOUND_LINK, "source": "/a/1"}]}, RESOURCE, "links[0].source is the str"),
        ({**SOUND_LINK, "target": {"kind": TYPE}}, LINK, "target has no location"),
        ({"term": "a", "scheme": "b#"}, MIXIN, "has no location"),
        ({"term": "a", "scheme": "b#", "attributes": {"x": {"type": "integer"}}}, KIND, "none of string"),
        ({"term": "a", "scheme": "b#", "attributes": {"x": {"mutable": "yes"}}}, KIND, "not true or false"),
        ({"term": "a", "scheme": "b#", "attributes": {"x": {"pattern": ".*"}}}, KIND, "not an object"),
        ({"kinds": {}}, MODEL, "kinds is the dict"),
    ],
)
def test_what_strays_is_named(given, shape, said):
    found = list(strays(given, shape))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("value", "name", "right"),
    [(1, "number", True), (True, "number", False), (1, "string", False), ([], "array", True), (1, "made-up", True)],
)  # fmt: skip
def test_types_of_values(value, name, right):
    assert is_of_type(value, name) is right


@pytest.mark.parametrize(
    "text",
    [
        'a; scheme="http://x/y#"; class="kind"; rel="nothing"',
        'a; scheme="http://x/y#"; class="kind"; rel="http://x/y"',
        'a; scheme="http://x/y#"; class="kind"; location="/a b/"',
        'a; scheme="http://x/y#"; class="kind"; actions="start"',
        'a; class="kind"; scheme="http://x/y#"',
    ],
)
def test_categories_that_are_none(text):
    with pytest.raises(Malformed):
        grammar.category(text)


@pytest.mark.parametrize(
    "text",
    [
        "</a/1>",
        '</a/1>; rel=""',
        '</a/1>; rel="compute"',
        '</a/1>; rel="http://x/y#z"; category="link"',
        '</a/1>; rel="http://x/y#z"; self="a b"',
        '</a/{1}>; rel="http://x/y#z"',
    ],
)
def test_links_that_are_none(text):
    with pytest.raises(Malformed):
        grammar.link(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('[{"a": 1}]', [{"a": 1}], True),
        ("[", [1], False),
        (1, 1.0, True),
        (True, 1, False),
        ("1", 1, False),
    ],
)
def test_values_of_two_renderings(one, other, same):
    assert grammar.same(one, other) is same
    assert grammar.same(other, one) is same
