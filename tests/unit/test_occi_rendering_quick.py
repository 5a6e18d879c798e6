"""Fields that are read without the grammar mean what the grammar says, whatever they are."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rendering import occi_fields, occi_text
from rendering.occi_document import BareInteger, BareNumber, RenderingError
from rendering.occi_quick import READERS

KIND = "http://schemas.ogf.org/occi/infrastructure#compute"
FORMS = {
    "categories": [
        ' compute; scheme="http://a/b#"; class="kind"',
        ' compute; scheme="http://a/b#"; class=kind;',
        'm; scheme="http://a#"; title="a; b, c"; rel="http://a#r http://a#s"; location="/m/"; attributes="a.b{immutable} c{immutable required} d{required} e"; actions="http://a#x http://a#y"',
    ],
    "links": [
        ' </s/1>; rel="http://a#s"; self="/l/1"; category="http://a#l http://a#m"; a.b="1"; c="x; y"',
        '</s/1>;rel="http://a#s" a.b="1" c.d=2',
        ' </c/1?action=stop>; rel="http://a#stop"',
    ],
    "attributes": [
        ' a.b="c"',
        ' a="x \\"y\\" \\\\z"',
        " a.b=1",
        " a=-1.50",
        ' a="1", b=2, c=true, d="x, y"',
        "a=.5;",
    ],
    "locations": [" http://h/c/1", "/c/1, /c/2", "/c/1,/c/2 , /c/3;"],
}
RULES = sorted(FORMS)

# The signs and words by which readings could differ.
pieces = st.sampled_from(
    [
        *(" ", "  ", "\t", ";", "; ", ",", ", ", "=", '"', '="', '";', "<", ">", ">; ", "\\", '\\"', "\\\\", ".", "-"),
        *("_", "#", "{", "}", "a", "A.b", "occi.x", "1", "007", "1.0", "-0", "-0.0", "1e5", "true", "false", "True"),
        *("rel=", "self=", "category=", "scheme=", "class=", "kind", "title=", "location=", "attributes=", "actions="),
        *("http://a#b", "?action=", "/c/1", "ü", "𝔸", "e\u0301", "\u2028", "\u00a0", "\x85", "\x00", "\n", "\r"),
        *("9" * 30, "1" * 340 + ".5", '"x"', "a..b", "a=1", 'a="1"', ' a="', "'", "|", "%20", "null", "{immutable}"),
    ]
)  # fmt: skip


@st.composite
def fields(draw):
    """A rule and a value: one of the forms, changed here and there, or words put together."""
    rule = draw(st.sampled_from(RULES))
    value = draw(st.sampled_from(FORMS[rule]) | st.lists(pieces, max_size=12).map("".join))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, len(value)))
        value = value[:position] + draw(pieces | st.just("")) + value[position + draw(st.integers(0, 3)) :]
    return rule, value


def exact(found):
    """What was read, with the types of all values: 1, 1.0 and True are equal to Python, and not to a client."""
    return repr(found), [_typed(item) for item in found]


def _typed(item):
    if isinstance(item, tuple):
        return [_typed(part) for part in item]
    if isinstance(item, (BareInteger, BareNumber)):
        return type(item), item.text
    attributes = getattr(item, "attributes", None)
    return type(item), [_typed(pair) for pair in attributes.items()] if isinstance(attributes, dict) else None


def outcome(read, rule, value):
    try:
        return exact(read(rule, value))
    except RenderingError as error:
        return error.message


@settings(max_examples=1500, deadline=None)
@given(fields())
def test_every_field_means_what_the_grammar_says(field):
    assert outcome(occi_fields.parse_field, *field) == outcome(occi_fields.by_grammar, *field)


@settings(max_examples=800, deadline=None)
@given(fields())
def test_a_quick_reader_decides_nothing_of_its_own(field):
    rule, value = field
    assume(not any(ord(sign) < 32 or sign == "\x7f" for sign in value))  # readers are not given these
    found = READERS[rule](value)
    if found is not None:
        assert exact(found) == exact(occi_fields.by_grammar(rule, value))


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("categories", FORMS["categories"][0]),
        ("categories", FORMS["categories"][2]),
        ("links", FORMS["links"][0]),
        ("links", FORMS["links"][2]),
        *(("attributes", value) for value in FORMS["attributes"][:5]),
        ("locations", FORMS["locations"][0]),
        ("locations", FORMS["locations"][1]),
    ],
)
def test_the_commonest_forms_are_read_quickly(rule, value):
    assert READERS[rule](value) is not None


@pytest.mark.parametrize(
    "value",
    [' </a>; ; rel="http://a#s"', ' </a>; rel="http://a#s"; ; self="/l"', ' </a>; rel="http://a#s"=""'],
)
def test_what_only_looks_like_a_link_is_refused(value):
    with pytest.raises(RenderingError):
        occi_fields.parse_field("links", value)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["", "\n", "\t\n", 'X-OCCI-Attribute: tab="a"\t\n'])
def test_a_body_is_read_alike_by_lines_and_at_once(ends, blank):
    lines = [f"X-OCCI-Location: http://h/compute/{n}" for n in range(5)]
    at_once = occi_text.parse_plain(ends.join(lines).encode())
    by_lines = occi_text.parse_plain((blank + ends.join(lines) + ends).encode())
    assert at_once.locations == by_lines.locations == tuple(f"http://h/compute/{n}" for n in range(5))


@pytest.mark.parametrize("bad", [" ", '"', ",", ";", "<", "\x7f", "\x01", "\r", "\n"])
def test_a_listing_with_something_else_in_it_is_read_line_by_line(bad):
    body = (
        f"X-OCCI-Location: http://h/1\nX-OCCI-Location: http://h/{bad}2\nX-OCCI-Location: http://h/3".encode()
    )
    by_lines = body.replace(b"\nX-", b"\n X-")  # the same to the reader of lines

    def said(given):
        try:
            return occi_text.parse_plain(given).locations
        except RenderingError as error:
            return error.message

    assert said(body) == said(by_lines)


LINES = {"categories": "Category", "links": "Link", "attributes": "X-OCCI-Attribute"}


@st.composite
def bodies(draw):
    """Categories, links and attributes, mostly in this order and mostly well formed."""
    lines = []
    for rule in ("categories", "links", "attributes", draw(st.sampled_from(RULES))):
        values = st.sampled_from(FORMS[rule]) | fields().map(lambda drawn: drawn[1])
        name = LINES.get(rule, "X-OCCI-Location")
        lines += [f"{name}:{value}" for value in draw(st.lists(values, max_size=3))]
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))


@settings(max_examples=800, deadline=None)
@given(bodies())
def test_a_body_in_the_usual_order_is_read_as_line_by_line(body):
    def said(text):
        try:
            found = occi_text.parse_plain(text.encode())
        except RenderingError as error:
            return error.message
        pairs = tuple(found.attributes.items())
        return [exact(each) for each in (found.categories, found.links, pairs, found.locations)]

    assert said(body) == said(
        f" {body}"
    )  # a blank before the first name, which only the reader of lines takes


def test_what_is_remembered_is_bounded():
    for number in range(occi_fields._REMEMBERED + 10):
        occi_fields.parse_field("categories", f'c{number}; scheme="http://a#"; class="kind"')
    assert len(occi_fields._remembered) <= occi_fields._REMEMBERED
    many = " ".join(f"a{n}" for n in range(500))
    long = f'c; scheme="http://a#"; class="kind"; attributes="{many}"'
    occi_fields.parse_field("categories", long)
    assert long not in occi_fields._remembered
