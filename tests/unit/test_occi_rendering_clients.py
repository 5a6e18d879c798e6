"""What real clients send is read, a test for each fact; what is refused is told where and what was expected."""

import json

import pytest

from occi.errors import OcciError
from occi.negotiation import read as read_request
from rendering import occi_json, occi_text, uri_list
from rendering.occi_document import (
    SOURCE,
    TARGET,
    Category,
    CategoryClass,
    Collection,
    Created,
    Entity,
    Link,
    RenderingError,
    named,
)

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
COMPUTE = f'Category: compute; scheme="{INFRA}"; class="kind"'


def plain(*lines, ends="\n"):
    return occi_text.parse_plain(ends.join(lines).encode())


# Facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["text/plain,text/occi", "text/plain, text/occi", "TEXT/PLAIN;charset=utf-8,text/occi"]
)
def test_real_01_the_first_of_several_content_types(given):
    said = read_request(given, {}, COMPUTE.encode())
    assert said.request.categories[0].id == f"{INFRA}compute"


def shown():
    return Entity(
        kind=named(f"{INFRA}compute", CategoryClass.KIND),
        mixins=(Category(scheme="http://a/os_tpl#", term="debian", class_=CategoryClass.MIXIN, title=""),),
        location="/compute/1",
        links=(
            Link(
                target="/network/1",
                rel=(f"{INFRA}network",),
                location="/networkinterface/9",
                kind=named(f"{INFRA}networkinterface", CategoryClass.KIND),
                attributes={TARGET: "/network/1", "occi.networkinterface.interface": "eth0"},
            ),
        ),
        attributes={"occi.core.id": "1", "occi.core.summary": "", "occi.compute.cores": 2},
    )


def test_real_02_lines_end_in_lf_with_one_blank_and_no_end():
    body = occi_text.plain(shown())
    assert "\r" not in body
    assert not body.endswith("\n")
    assert "X-OCCI-Attribute: occi.compute.cores=2" in body.split("\n")


def test_real_03_the_last_path_element_of_what_was_created_is_an_id():
    assert occi_text.plain(Created(locations=("http://h/storage/7d1c",))).split("/")[-1] == "7d1c"


def test_real_04_a_kind_stands_right_before_its_semicolon():
    assert "Category: compute;" in occi_text.plain(shown())
    assert [line for line in occi_text.plain(shown()).split("\n") if "os_tpl" in line]


def test_real_05_a_link_has_self_target_and_interface():
    [line] = [line for line in occi_text.plain(shown()).split("\n") if line.startswith("Link: ")]
    for part in (
        "</network/1>",
        'self="/networkinterface/9"',
        'occi.core.target="/network/1"',
        'interface="eth0"',
    ):
        assert part in line


def test_real_07_what_clients_make_up_is_read():
    request = plain(
        COMPUTE,
        f'Link: </storage/1>; rel="{INFRA}storage"; self="/link/x"; category="{INFRA}storagelink"; '
        'occi.core.id="Compute_169"; occi.core.source="/compute/im-5"; occi.core.target="/storage/1"',
        'X-OCCI-Attribute: occi.core.id="im-3f"',
    )
    assert request.attributes == {"occi.core.id": "im-3f"}
    [link] = request.links
    assert (link.location, link.attributes[SOURCE]) == ("/link/x", "/compute/im-5")
    as_json = occi_json.parse(
        json.dumps(
            {
                "kind": f"{INFRA}compute",
                "id": "im-3f",
                "links": [
                    {
                        "kind": f"{INFRA}storagelink",
                        "id": "Compute_169",
                        "source": {"location": "/compute/im-5"},
                        "target": {"location": "/storage/1", "kind": f"{INFRA}storage"},
                    }
                ],
            }
        ).encode()
    )
    assert as_json.attributes == {"occi.core.id": "im-3f"}
    assert as_json.links[0].attributes[SOURCE] == "/compute/im-5"


@pytest.mark.parametrize("where", ["/storage/1", "http://h/storage/1", "https://h:11443/occi/storage/1"])
def test_real_08_ends_are_paths_or_absolute_uris(where):
    request = plain(
        f'Link: <{where}>; rel="{INFRA}storage"; category="{INFRA}storagelink"',
        f'X-OCCI-Attribute: occi.core.source="{where}"',
        f"X-OCCI-Location: {where}",
    )
    assert (request.links[0].target, request.attributes[SOURCE], *request.locations) == (where,) * 3


def test_real_11_nothing_that_is_shown_is_empty_or_ends_in_a_semicolon():
    body = occi_text.plain(shown())
    assert '""' not in body
    assert not [line for line in body.split("\n") if line.rstrip().endswith(";")]


def test_real_11_a_boolean_sent_back_without_quotes():
    assert plain("X-OCCI-Attribute: on=true", "X-OCCI-Attribute: off=false").attributes == {
        "on": True,
        "off": False,
    }


def test_real_13_action_links_and_immutable_attributes_sent_back():
    request = plain(
        *occi_text.plain(shown()).split("\n"), f'Link: </compute/1?action=stop>; rel="{INFRA}stop"'
    )
    assert len(request.links) == 1
    assert request.attributes["occi.core.id"] == "1"


def test_real_14_the_order_of_the_grammar_is_kept():
    described = Category(
        scheme=INFRA, term="storage", class_=CategoryClass.KIND, title="S", parent="http://a#r", location="/s/", actions=("http://a#x",)
    )  # fmt: skip
    from rendering.occi_document import Discovery

    line = occi_text.plain(Discovery(categories=(described,)))
    places = [line.index(name) for name in ("scheme=", "class=", "title=", "rel=", "location=", "actions=")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "parameters",
    [
        'occi.storagelink.deviceid="vdb" a.b="x y"',
        'occi.storagelink.deviceid="vdb"; a.b="x y";',
        'occi.storagelink.deviceid="vdb" ; a.b="x y" ',
        'occi.storagelink.deviceid="vdb";a.b="x y"',
    ],
)
def test_real_17_parameters_parted_by_blanks_or_ended_by_semicolons(parameters):
    [link] = plain(
        f'Link: </storage/1>; rel="{INFRA}storage"; category="{INFRA}storagelink"; {parameters}'
    ).links
    assert link.attributes == {"occi.storagelink.deviceid": "vdb", "a.b": "x y"}


def test_real_17_ended_lines_and_titles_beyond_ascii():
    request = plain(
        f'{COMPUTE}; title="Größe, klein; 𝔸";', 'X-OCCI-Attribute: occi.core.title="é, è";', ends="\r\n"
    )
    assert request.categories[0].title == "Größe, klein; 𝔸"
    assert request.attributes == {"occi.core.title": "é, è"}


def test_real_18_headers_are_parted_by_comma_and_blank():
    listed = dict(occi_text.headers(Collection(locations=("http://h/1", "http://h/2"))))
    assert listed["X-OCCI-Location"].split(", ") == ["http://h/1", "http://h/2"]


def test_real_18_a_mixin_with_a_rel_that_nobody_knows_and_no_class():
    request = plain('Category: my; scheme="http://a#"; rel="http://nobody/knows#this"; location="/my/"')
    assert (request.categories[0].class_, request.categories[0].depends) == (
        None,
        ("http://nobody/knows#this",),
    )


@pytest.mark.parametrize("name", ["category", "CATEGORY", "X-OCCI-Category", "x-occi-category"])
def test_amb_26_names_of_fields_in_any_case(name):
    value = f'compute; scheme="{INFRA}"; class="kind"'
    for request in (plain(f"{name}:{value}"), occi_text.parse_headers({name: value})):
        assert request.categories[0].term == "compute"


def test_text_003_lists_and_lines_mean_the_same_in_bodies_and_headers():
    values = ['a="1, 2"', "b=2", "c=true"]
    lines = plain(*(f"X-OCCI-Attribute: {value}" for value in values))
    assert lines == plain(f"X-OCCI-Attribute: {', '.join(values)}")
    assert lines == plain(f"X-OCCI-Attribute: {','.join(values)}")
    assert lines == occi_text.parse_headers({"X-OCCI-Attribute": " ,".join(values)})


def test_a_media_type_that_is_not_spoken():
    with pytest.raises(OcciError) as refused:
        read_request("application/xml", {}, b"<a/>")
    assert refused.value.status == 406


# Errors -------------------------------------------------------------------------------------------------

TEXT_ERRORS = [
    ("Category: ", "Category, line 1, at the end: expected a name"),
    ("Category: a", "Category, line 1, column 2: the category needs scheme="),
    ('Category: a; scheme="b c"', "Category, line 1, column 12: scheme must be a URI"),
    ('Category: a; scheme=""', "Category, line 1, column 12: scheme must be a URI"),
    ('Category: a; scheme="b#"; class="sort"', "Category, line 1, column 24: class must be kind, mixin or action"),
    ('Category: a; scheme="b#"; colour="x"', "Category, line 1, column 18: expected one of actions, attributes, class"),
    ('Category: a; scheme="b#"; title="x"; title="y"', "Category, line 1, column 29: 'title' is given twice"),
    ('Category: a; scheme="b#"; attributes="x{odd}"', "Category, line 1, column 29: attributes must be names"),
    ('Category: a scheme="b#"', "Category, line 1, column 4: expected ',' or ';' or the end"),
    (f"{COMPUTE}\n\nLink: /storage/1", "Link, line 3, column 2: expected '<'"),
    ("Link: <>", "Link, line 1, column 3: expected a URI"),
    ("Link: </a", "Link, line 1, at the end: expected '>'"),
    ("Link: </a>", "Link, line 1, column 3: the link needs rel="),
    ('Link: </a>; rel=""', "Link, line 1, column 12: rel must name what the link leads to"),
    ('Link: </a>; rel="x#y"; category="nohash"', "Link, line 1, column 28: 'nohash' is not a type identifier: expected scheme#term"),
    ('Link: </a>; rel="x#y"; category=""', "Link, line 1, column 28: category must name the link's kind"),
    ('Link: </a>; rel="x#y"; rel="x#z"', "Link, line 1, column 19: 'rel' is given twice"),
    ('Link: </a>; rel="x#y"; a..b=1', "Link, line 1, column 19: 'a..b' is not an attribute name"),
    ('Link: </a>; rel="x#y"; a=1; a=2', "Link, line 1, column 24: 'a' is given twice with different values"),
    ("X-OCCI-Attribute: a", "X-OCCI-Attribute, line 1, at the end: expected '='"),
    ("X-OCCI-Attribute: =1", "X-OCCI-Attribute, line 1, column 2: expected a name"),
    ("X-OCCI-Attribute: a=", "X-OCCI-Attribute, line 1, at the end: expected a quoted string or a value"),
    ("X-OCCI-Attribute: a=word", "X-OCCI-Attribute, line 1, column 4: expected a quoted string, a number, true or false"),
    ("X-OCCI-Attribute: a=1e3", "X-OCCI-Attribute, line 1, column 4: expected a quoted string, a number, true or false"),
    ('X-OCCI-Attribute: a="open', "X-OCCI-Attribute, line 1, column 4: expected a quoted string or a value"),
    ('X-OCCI-Attribute: a="x" b="y"', "X-OCCI-Attribute, line 1, column 8: expected ',' or ';' or the end"),
    (f"X-OCCI-Attribute: a={1 << 63}", "X-OCCI-Attribute, line 1, column 4: the number is too large"),
    ("X-OCCI-Attribute: a=1\nX-OCCI-Attribute: a=2", "X-OCCI-Attribute: 'a' is given twice with different values"),
    ("X-OCCI-Location: ", "X-OCCI-Location, line 1, at the end: expected a URI"),
    ('X-OCCI-Location: "/a"', "X-OCCI-Location, line 1, column 2: expected a URI"),
    ("nonsense", "line 1: expected Category, Link, X-OCCI-Attribute or X-OCCI-Location and a colon"),
    (f"{COMPUTE}\nHost: x", "line 2: expected Category, Link, X-OCCI-Attribute or X-OCCI-Location and a colon"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), TEXT_ERRORS, ids=[body[:40] for body, _ in TEXT_ERRORS])
def test_a_refusal_of_text_says_where_and_what_was_expected(body, expected):
    with pytest.raises(RenderingError) as refused:
        occi_text.parse_plain(body.encode())
    assert refused.value.message.startswith(expected)
    if ": " in body and "\n" not in body and "X-OCCI-Location: " != body and "Category: " != body:
        name, _, value = body.partition(": ")
        with pytest.raises(RenderingError) as in_header:
            occi_text.parse_headers({name: f" {value}"})
        assert in_header.value.message == refused.value.message.replace(", line 1", "")


JSON_ERRORS = [
    (b"{", "truncated"),
    (b"1", "expected a JSON object, or an array of locations"),
    (b"[1]", "Expected `str`, got `int` - at `$[0]`"),
    (b'{"colour": 1}', "unknown field `colour`"),
    (b'{"kind": 1}', "Expected `str`, got `int` - at `$.kind`"),
    (b'{"kind": "nohash"}', "'nohash' is not a type identifier: expected scheme#term"),
    (b'{"attributes": {"a": null}}', "a: null is not a value"),
    (b'{"attributes": {"a": [null]}}', "a: null is not a value"),
    (b'{"attributes": {"a": 9223372036854775808}}', "a: the number is too large"),
    (b'{"attributes": {"a": "\\u0007"}}', "a: control characters are not allowed"),
    (b'{"title": "\\u0007"}', "occi.core.title: control characters are not allowed"),
    (b'{"attributes": {"": 1}}', "an attribute needs a printable name of at most 255 characters"),
    (b'{"links": [{"kind": "http://a#b"}], "kind": "http://a#c"}', "a link needs kind and target"),
    (b'{"mixins": [{"term": "", "scheme": "http://a#"}]}', "a category needs term and scheme"),
    (b'{"mixins": [{"term": "a", "scheme": "http://a#", "title": "\\u0000"}]}', "title: control characters are not allowed"),
    (b'{"mixins": [{"term": "a", "scheme": "http://a#", "attributes": {"x": {"default": {"y": null}}}}]}', "x: null is not a value"),
    (b"\xff", "JSON is malformed: invalid character (byte 0)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"), JSON_ERRORS, ids=[body[:40].decode("latin-1") for body, _ in JSON_ERRORS]
)
def test_a_refusal_of_json_says_where_and_what_was_expected(body, expected):
    with pytest.raises(RenderingError) as refused:
        occi_json.parse(body)
    assert expected in refused.value.message


def test_a_refusal_of_a_list_of_uris_names_the_line():
    with pytest.raises(RenderingError, match="line 3: expected a URI"):
        uri_list.parse(b"http://h/1\n# remark\nnot a uri")
