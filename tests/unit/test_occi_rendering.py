"""Every OCCI rendering: what clients send is read, what is written comes back the same, nothing else crashes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendering import occi_json, occi_text, uri_list
from rendering.occi_document import (
    AttributeSpec,
    AttributeType,
    Category,
    CategoryClass,
    Collection,
    Created,
    Discovery,
    Entity,
    Failure,
    Link,
    RenderingError,
    Request,
)

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"


def kind(term, scheme=INFRA, **more):
    return Category(scheme=scheme, term=term, class_=CategoryClass.KIND, **more)


def mixin(term, scheme, **more):
    return Category(scheme=scheme, term=term, class_=CategoryClass.MIXIN, **more)


def action(term):
    return Category(scheme=ACTION, term=term, class_=CategoryClass.ACTION)


MACHINE = Entity(
    kind=kind("compute", title="Compute Resource"),
    mixins=(mixin("debian12", "http://cloud.example.org/occi/os_tpl#", title="Debian 12"),),
    location="/compute/5f0e",
    links=(
        Link(
            target="/storage/7d1c",
            rel=(INFRA + "storage",),
            location="/storagelink/9a",
            kind=kind("storagelink"),
            attributes={
                "occi.core.id": "9a",
                "occi.core.source": "/compute/5f0e",
                "occi.core.target": "/storage/7d1c",
                "occi.storagelink.deviceid": "vdb",
            },
        ),
    ),
    actions=(action("stop"),),
    attributes={
        "occi.core.id": "5f0e",
        "occi.core.title": 'web, "first"; \\o/',
        "occi.core.summary": "",
        "occi.compute.cores": 1,
        "occi.compute.memory": 1.0,
        "occi.flag": True,
    },
)

MACHINE_TEXT = r"""Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"; title="Compute Resource"
Category: debian12; scheme="http://cloud.example.org/occi/os_tpl#"; class="mixin"; title="Debian 12"
Link: </storage/7d1c>; rel="http://schemas.ogf.org/occi/infrastructure#storage"; self="/storagelink/9a"; category="http://schemas.ogf.org/occi/infrastructure#storagelink"; occi.core.id="9a"; occi.core.source="/compute/5f0e"; occi.core.target="/storage/7d1c"; occi.storagelink.deviceid="vdb"
Link: </compute/5f0e?action=stop>; rel="http://schemas.ogf.org/occi/infrastructure/compute/action#stop"
X-OCCI-Attribute: occi.core.id="5f0e"
X-OCCI-Attribute: occi.core.title="web, \"first\"; \\o/"
X-OCCI-Attribute: occi.compute.cores=1
X-OCCI-Attribute: occi.compute.memory=1.0
X-OCCI-Attribute: occi.flag=true"""


def test_entity_in_a_body_is_exact():
    # OCCI-REAL-02, 03, 04, 05, 11: order, one blank, LF, no end, no empty value.
    assert occi_text.plain(MACHINE) == MACHINE_TEXT


def test_entity_in_headers_joins_by_comma_and_blank():
    sent = dict(occi_text.headers(MACHINE))
    assert sent["X-OCCI-Attribute"] == (
        r'occi.core.id="5f0e", occi.core.title="web, \"first\"; \\o/", '
        r"occi.compute.cores=1, occi.compute.memory=1.0, occi.flag=true"
    )
    assert list(sent) == ["Category", "Link", "X-OCCI-Attribute"]


def test_entity_in_json_is_exact():
    assert msgspec.json.decode(occi_json.encode(MACHINE)) == {
        "kind": INFRA + "compute",
        "mixins": ["http://cloud.example.org/occi/os_tpl#debian12"],
        "id": "5f0e",
        "title": 'web, "first"; \\o/',
        "summary": "",
        "attributes": dict(MACHINE.attributes),
        "actions": [ACTION + "stop"],
        "links": [
            {
                "kind": INFRA + "storagelink",
                "id": "9a",
                "source": {"location": "/compute/5f0e"},
                "target": {"location": "/storage/7d1c", "kind": INFRA + "storage"},
                "attributes": {"occi.storagelink.deviceid": "vdb"},
            }
        ],
    }


def test_category_in_full():
    described = kind(
        "storage",
        title="Storage Resource",
        parent="http://schemas.ogf.org/occi/core#resource",
        location="/storage/",
        attributes=(
            AttributeSpec(name="occi.core.id", mutable=False),
            AttributeSpec(name="occi.storage.size", type=AttributeType.NUMBER, required=True, default=1.0),
            AttributeSpec(name="occi.storage.state", mutable=False, required=True),
        ),
        actions=(ACTION + "online", ACTION + "offline"),
    )
    assert occi_text.plain(Discovery(categories=(described,))) == (
        'Category: storage; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"; '
        'title="Storage Resource"; rel="http://schemas.ogf.org/occi/core#resource"; location="/storage/"; '
        'attributes="occi.core.id{immutable} occi.storage.size{required} occi.storage.state{immutable required}"; '
        f'actions="{ACTION}online {ACTION}offline"'
    )
    [shown] = msgspec.json.decode(occi_json.encode(Discovery(categories=(described,))))["kinds"]
    assert shown["attributes"]["occi.storage.size"] == {
        "type": "number",
        "mutable": True,
        "required": True,
        "default": 1.0,
    }
    assert "pattern" not in str(shown)  # OCCI-REAL-15


def test_entity_kind_has_a_location_in_json_only():
    root = kind("entity", scheme="http://schemas.ogf.org/occi/core#")
    assert "location" not in occi_text.plain(Discovery(categories=(root,)))
    assert msgspec.json.decode(occi_json.encode(Discovery(categories=(root,))))["kinds"][0]["location"] == "/"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Category: c; scheme=\"http://a/b#\"; class='kind'", "class must be kind, mixin or action"),
        (b'Category: c; class="kind"', "needs scheme="),
        (b'Category: c; scheme="a#"; class="kind"; colour="x"', "column 32: expected one of actions"),
        (b'Category: c; scheme="a#"; scheme="b#"; class="kind"', "'scheme' is given twice"),
        (b"\nX-OCCI-Attribute: a=b", "line 2, column 4: expected a quoted string, a number"),
        (b"X-OCCI-Attribute: a=", "at the end: expected a quoted string or a value"),
        (b'X-OCCI-Attribute: a="open', "column 4"),
        (b'X-OCCI-Attribute: a=1, a="1"', "given twice with different values"),
        (b'X-OCCI-Attribute: a="x\x07"', "column 4"),
        (b"X-OCCI-Attribute: a=1e5", "expected a quoted string, a number"),
        (b"X-OCCI-Attribute: a=99999999999999999999", "too large"),
        (b"X-OCCI-Attribute: a..b=1", "is not an attribute name"),
        (b"Link: </a", "at the end: expected '>'"),
        (b'Link: </a>; self="/b"', "needs rel="),
        (b"Hello: world", "line 1: expected Category"),
        (b"OK", "line 1: expected Category"),
        (b"\xff", "not UTF-8"),
        (b"X-OCCI-Attribute: a=1\n" * 2001, "more than 2000 fields"),
        (b'X-OCCI-Attribute: a="' + b"x" * 70000 + b'"', "longer than"),
        (b"x" * ((1 << 20) + 1), "the body is longer than"),
    ],
)
def test_malformed_text_is_refused_with_its_place(body, expected):
    with pytest.raises(RenderingError, match=None) as refused:
        occi_text.parse_plain(body)
    assert expected in refused.value.message


SENT = b"""Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class=kind;\r
X-OCCI-Category: m; scheme="http://x/y#"; class="mixin"; title="a, b; \xc3\xbc", n;scheme="http://x/y#";class="mixin"\r
\r
x-occi-attribute:occi.core.title="a, b; c=d"  ,  occi.compute.cores=2;\r
X-OCCI-Attribute: occi.compute.memory=.5, on=true\r
X-OCCI-Link: </storage/1>; rel="http://schemas.ogf.org/occi/infrastructure#storage"; category=http://schemas.ogf.org/occi/infrastructure#storagelink; a.b="1" c.d=2 e=word;\r
Link: </compute/1?action=stop>; rel="http://schemas.ogf.org/occi/infrastructure/compute/action#stop"\r
X-OCCI-Location: http://h/compute/1, /compute/2\r
"""


def test_what_clients_write_is_read():
    # OCCI-REAL-13, 14, 17, OCCI-AMB-26, OCCI-TEXT-003, 004, 020.
    request = occi_text.parse_plain(SENT)
    assert [category.id for category in request.categories] == [
        INFRA + "compute",
        "http://x/y#m",
        "http://x/y#n",
    ]
    assert request.categories[1].title == "a, b; ü"
    assert request.attributes == {
        "occi.core.title": "a, b; c=d",
        "occi.compute.cores": 2,
        "occi.compute.memory": 0.5,
        "on": True,
    }
    [link] = request.links
    assert (link.target, link.kind.term, link.attributes) == (
        "/storage/1",
        "storagelink",
        {"a.b": "1", "c.d": 2, "e": "word"},
    )
    assert request.locations == ("http://h/compute/1", "/compute/2")


def test_categories_may_only_be_named():
    # OCCI-REAL-18: the 1.1 suites send scheme and term.
    request = occi_text.parse_plain(f'Category: compute; scheme="{INFRA}"'.encode())
    [category] = request.categories
    assert (category.id, category.class_) == (INFRA + "compute", None)
    assert occi_text.parse_plain(occi_text.plain(request).encode()) == request


def test_headers_carry_utf8_and_latin1():
    utf8 = 'occi.core.title="Grüße €"'.encode().decode("latin-1")
    assert occi_text.parse_headers({"X-OCCI-Attribute": utf8}).attributes == {"occi.core.title": "Grüße €"}
    assert occi_text.parse_headers({"x-occi-attribute": 'a="\xe4"', "Host": "x"}).attributes == {"a": "ä"}


def test_no_value_can_begin_a_line_or_a_header():
    evil = 'x"\r\nX-OCCI-Attribute: occi.compute.state="active"\x00'
    entity = Entity(kind=kind("compute", title=evil), location="/c/1", attributes={"occi.core.title": evil})
    assert len(occi_text.plain(entity).split("\n")) == 2
    assert all(not set("\r\n\0") & set(value) for _, value in occi_text.headers(entity))
    assert not set("\r\n\0") & set(occi_text.plain(Failure(status=400, code="x", message=evil)))
    assert b"\r" not in uri_list.encode(["http://h/\r\nevil"])


def test_headers_too_long_for_clients_are_not_sent():
    with pytest.raises(ValueError, match="too long"):
        occi_text.headers(Collection(locations=tuple(f"http://h/compute/{n}" for n in range(5000))))


def test_json_requests_take_every_form():
    entity = occi_json.parse(
        b'{"kind":"http://schemas.ogf.org/occi/infrastructure#compute","mixins":["http://a#b"],"id":"im-1",'
        b'"title":"t","attributes":{"occi.compute.cores":2},"links":[{"kind":"http://a#l",'
        b'"target":{"location":"/s/1","kind":"http://a#s"}}]}'
    )
    assert [c.id for c in entity.categories] == [INFRA + "compute", "http://a#b"]
    assert entity.attributes == {"occi.core.id": "im-1", "occi.core.title": "t", "occi.compute.cores": 2}
    assert entity.links[0].target == "/s/1"
    several = occi_json.parse(b'{"resources":[{"kind":"http://a#k"},{"kind":"http://a#k"}]}')
    assert [len(member.categories) for member in several.members] == [1, 1]
    stop = occi_json.parse(b'{"action":"http://a#stop","attributes":{"method":"graceful"}}')
    assert stop.categories[0].class_ is CategoryClass.ACTION
    tags = occi_json.parse(b'{"mixins":[{"term":"t","scheme":"http://a#","location":"/t/"}]}')
    assert tags.categories[0].location == "/t/"
    assert occi_json.parse(b'{"mixins":["http://a#b"]}').categories[0].id == "http://a#b"
    assert occi_json.parse(b'["http://h/compute/1"]').locations == ("http://h/compute/1",)
    assert occi_json.parse(b" ").is_empty
    twice = occi_json.parse(
        b'{"title":"a","summary":"s","attributes":{"occi.core.title":"b","occi.core.summary":"s"}}'
    )
    assert twice.attributes == {"occi.core.title": "a", "occi.core.summary": "s"}
    assert twice.overruled == {"occi.core.title": "b"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"1",
        b'{"colour":1}',
        b'{"kind":1}',
        b'{"kind":"nohash"}',
        b'{"attributes":{"a":null}}',
        b'{"title":null,"attributes":{"a":1}}',
        b'{"summary":null}',
        b'{"kind":"http://a/b#c","target":null}',
        b'{"attributes":{"a":1e999}}',
        b'{"attributes":{"a":NaN}}',
        b'{"attributes":{"a":123456789012345678901234567890}}',
        b'{"attributes":{"a":"\\u0000"}}',
        b'{"attributes":{"a\\n":1}}',
        b'{"attributes":{"a":"\\ud800"}}',
        b'{"attributes":{"a":' + b"[" * 50 + b"]" * 50 + b"}}",
        b"[" * 100000,
        b'{"action":"http://a#b","kind":"http://a#c"}',
        b'{"links":[{"kind":"http://a#l"}]}'.replace(b"links", b'kind":"http://a#k","links'),
        b'["a", 1]',
        b"\xff",
        b'{"attributes":{"a":1' + b"0" * 6000 + b"}}",
    ],
)
def test_malformed_json_is_refused(body):
    with pytest.raises(RenderingError):
        occi_json.parse(body)


def test_uri_list():
    assert uri_list.parse(b"# mine\r\nhttp://h/1\r\n\r\nhttp://h/2\n").locations == (
        "http://h/1",
        "http://h/2",
    )
    assert uri_list.encode(["http://h/1", "http://h/2"]) == b"http://h/1\nhttp://h/2"
    with pytest.raises(RenderingError, match="line 2"):
        uri_list.parse(b"http://h/1\nnot a uri")


# Properties ---------------------------------------------------------------------------------------------

words = st.from_regex(r"[a-z][a-z0-9_\-]{0,8}", fullmatch=True)
names = st.lists(words, min_size=1, max_size=4).map(".".join)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
numbers = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
values = texts | st.booleans() | numbers
schemes = st.builds("http://{}.org/{}#".format, words, words)
uris = st.builds("http://{}.org/{}/{}".format, words, words, words)
attributes = st.dictionaries(names, values, max_size=5)
categories = st.builds(
    Category, scheme=schemes, term=words, class_=st.just(CategoryClass.MIXIN), title=texts | st.just("")
)
links = st.builds(
    Link,
    target=uris,
    rel=st.tuples(uris),
    location=uris | st.just(""),
    kind=st.builds(Category, scheme=schemes, term=words, class_=st.just(CategoryClass.KIND)),
    attributes=st.dictionaries(
        names.filter(lambda n: n not in {"rel", "self", "category"}), values, max_size=3
    ),
)
requests = st.builds(
    Request,
    categories=st.lists(categories, max_size=3).map(tuple),
    attributes=attributes,
    links=st.lists(links, max_size=2).map(tuple),
    locations=st.lists(uris, max_size=3).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(requests)
def test_text_round_trip(request):
    body = occi_text.plain(request)
    assert occi_text.plain(occi_text.parse_plain(body.encode())) == body
    assert occi_text.parse_plain(body.encode()) == request


@settings(max_examples=100, deadline=None)
@given(requests)
def test_header_round_trip(request):
    sent = dict(occi_text.headers(request))
    assert occi_text.parse_headers(sent) == request


ends = st.builds("/{}/{}".format, words, words)
shown_links = st.builds(
    lambda own, source, target, more, **fields: Link(
        target=target,
        location=f"/storagelink/{own}",
        attributes={
            "occi.core.id": own,
            "occi.core.source": source,
            "occi.core.source.kind": INFRA + "compute",
            "occi.core.target": target,
            "occi.core.target.kind": INFRA + "storage",
            **more,
        },
        **fields,
    ),
    own=words,
    source=ends,
    target=ends | uris,
    more=st.dictionaries(names.map("occi.storagelink.{}".format), values, max_size=3),
    rel=st.just((INFRA + "storage",)),
    kind=st.builds(Category, scheme=schemes, term=words, class_=st.just(CategoryClass.KIND)),
)
shown_entities = st.builds(
    Entity,
    kind=st.builds(Category, scheme=schemes, term=words, class_=st.just(CategoryClass.KIND), title=texts),
    mixins=st.lists(categories, max_size=2).map(tuple),
    location=ends,
    attributes=attributes,
    links=st.lists(shown_links, max_size=3).map(tuple),
    actions=st.lists(words.map(action), max_size=2).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(shown_entities)
def test_what_is_shown_says_the_same_in_every_rendering(entity):
    # OCCI-REAL-13: clients send it back. Action links say nothing then.
    in_body = occi_text.parse_plain(occi_text.plain(entity).encode())
    assert in_body == occi_text.parse_headers(dict(occi_text.headers(entity)))
    assert in_body.categories == (entity.kind, *entity.mixins)
    assert in_body.attributes == entity.attributes
    assert in_body.links == entity.links
    in_json = occi_json.parse(occi_json.encode(entity))
    assert [category.id for category in in_json.categories] == [each.id for each in in_body.categories]
    assert in_json.attributes == entity.attributes
    for read, link in zip(in_json.links, entity.links, strict=True):
        assert (read.target, read.rel, read.kind) == (link.target, link.rel, link.kind)
        assert read.attributes == link.attributes


@settings(max_examples=100, deadline=None)
@given(shown_links)
def test_a_link_alone_says_what_it_says_inside_its_source(link):
    in_body = occi_text.parse_plain(occi_text.plain(link).encode())
    assert in_body == occi_text.parse_headers(dict(occi_text.headers(link)))
    assert (in_body.categories, in_body.attributes) == ((link.kind,), link.attributes)
    in_json = occi_json.parse(occi_json.encode(link))
    assert (in_json.categories[0].id, in_json.attributes) == (link.kind.id, link.attributes)
    listed = occi_json.parse(occi_json.encode(Collection(links=(link, link))))
    assert listed.members == (in_json, in_json)


json_values = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
json_requests = st.builds(
    Request,
    categories=st.builds(
        lambda k, m: (k.__class__(scheme=k.scheme, term=k.term, class_=CategoryClass.KIND), *m),
        categories,
        st.lists(
            st.builds(Category, scheme=schemes, term=words, class_=st.just(CategoryClass.MIXIN)), max_size=2
        ),
    ),
    attributes=st.dictionaries(names, json_values, max_size=5),
)


@settings(max_examples=100, deadline=None)
@given(json_requests)
def test_json_round_trip(request):
    body = occi_json.encode(request)
    assert occi_json.encode(occi_json.parse(body)) == body
    assert occi_json.parse(body).attributes == request.attributes


def test_members_and_links_come_back_from_json():
    [link] = MACHINE.links
    request = Request(categories=(MACHINE.kind,), attributes={"occi.core.title": "x"}, links=(link,))
    assert occi_json.encode(occi_json.parse(occi_json.encode(request))) == occi_json.encode(request)
    listing = Collection(resources=(MACHINE, MACHINE))
    assert len(occi_json.parse(occi_json.encode(listing)).members) == 2
    assert occi_json.encode(Collection()) == b'{"resources":[]}'
    assert occi_json.encode(Created(locations=("http://h/1",))) == b'["http://h/1"]'


@settings(max_examples=150, deadline=None)
@given(st.lists(uris, max_size=5))
def test_uri_list_round_trip(locations):
    assert list(uri_list.parse(uri_list.encode(locations)).locations) == locations


def refuses_or_reads(parse, data):
    try:
        assert isinstance(parse(data), Request)
    except RenderingError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text('CategoryLink: ;="<>,\\#{}12.x\n', max_size=120).map(str.encode))
def test_random_bytes_never_crash(data):
    for parse in (occi_text.parse_plain, occi_json.parse, uri_list.parse):
        refuses_or_reads(parse, data)
    refuses_or_reads(lambda raw: occi_text.parse_headers({"Category": raw.decode("latin-1")}), data)


BODIES = [SENT, MACHINE_TEXT.encode(), occi_json.encode(MACHINE)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(BODIES), st.data())
def test_mutations_never_crash(body, data):
    mutant = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutant) - 1))
        change = data.draw(st.binary(max_size=3))
        mutant[position : position + data.draw(st.integers(0, 3))] = change
    refuses_or_reads(occi_text.parse_plain, bytes(mutant))
    refuses_or_reads(occi_json.parse, bytes(mutant))
