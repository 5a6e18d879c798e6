"""What is rendered says in every rendering what the document says, to us and to a stranger, and comes back the same."""

import json
import math
import re

import occi_reading
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendering import occi_json, occi_text, uri_list
from rendering.occi_document import (
    SOURCE,
    SOURCE_KIND,
    TARGET,
    TARGET_KIND,
    AttributeSpec,
    Category,
    CategoryClass,
    Collection,
    Created,
    Discovery,
    Entity,
    Link,
    RenderingError,
    Request,
    named,
)

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
LARGEST = (1 << 63) - 1

# Values -------------------------------------------------------------------------------------------------

HARD_TEXTS = [
    "", " ", "  a  ", '"', "\\", '\\"', '"\\', "\\\\", '"; x="1', ", ", "; ", "a=b", "<a>", "'", "%22", "true", "1", "-0.0", "null",
    "ü€", "𝔸𝔹", "e\u0301", "\u202e", "\u2028\u2029", "\u0085", "\u00a0", "\ufeff", "\U0010ffff", "#", "X-OCCI-Attribute: a=1",
    '{"a": ["b\\"c", 1.5, null]}', "[]", "\\u0041", "\\n", "a" * 3000,
]  # fmt: skip
HARD_NUMBERS = [
    0, 1, -1, LARGEST, -LARGEST, 0.0, -0.0, 1.0, 0.1, -2.5, 1e15, 1e16, 1e17, 1e22, 1e300, 1.7976931348623157e308, 5e-324,
    -1e-7, 123456789.123456789, float(LARGEST),
]  # fmt: skip
any_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)
texts = st.sampled_from(HARD_TEXTS) | any_text
numbers = (
    st.sampled_from(HARD_NUMBERS)
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = texts | numbers | st.booleans()
deep = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,6}", fullmatch=True)
names = (
    st.lists(words, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda name: name not in {"rel", "self", "category"})
)
terms = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
schemes = st.builds("http://{}.org/{}#".format, words, words)
uris = st.builds(
    "{}/{}/{}".format, st.sampled_from(["", "http://h.org", "https://[::1]:8", "urn:x"]), words, words
)
odd_uris = st.builds(
    "/{}/{}".format, words, st.sampled_from(["a,b", "a;b", "ü", "a'b", "%20", "a\\b", "?x=1&y=2", "𝔸", "a=b"])
)
classes = st.sampled_from(CategoryClass)
ids = st.builds("{}{}".format, schemes, terms)
specs = st.builds(AttributeSpec, name=names, mutable=st.booleans(), required=st.booleans())
spec_lists = st.lists(specs, max_size=3, unique_by=lambda spec: spec.name).map(tuple)


def bare(class_):
    return st.builds(Category, scheme=schemes, term=terms, class_=st.just(class_))


described = st.one_of(
    st.builds(Category, scheme=schemes, term=terms, class_=st.just(CategoryClass.KIND), title=texts,
              parent=ids, location=uris, attributes=spec_lists, actions=st.lists(ids, max_size=2).map(tuple)),
    st.builds(Category, scheme=schemes, term=terms, class_=st.sampled_from([CategoryClass.MIXIN, None]), title=texts,
              depends=st.lists(ids, max_size=2).map(tuple), location=odd_uris, attributes=spec_lists),
    st.builds(Category, scheme=schemes, term=terms, class_=st.just(CategoryClass.ACTION), title=texts, attributes=spec_lists),
)  # fmt: skip
links = st.builds(
    Link, target=uris | odd_uris, rel=st.lists(ids, min_size=1, max_size=2).map(tuple), location=st.just("") | uris | odd_uris,
    kind=bare(CategoryClass.KIND), mixins=st.lists(bare(CategoryClass.MIXIN), max_size=2).map(tuple),
    attributes=st.dictionaries(names, values, max_size=3),
).filter(lambda link: "?action=" not in link.target)  # fmt: skip
requests = st.builds(
    Request, categories=st.lists(described, max_size=3).map(tuple), attributes=st.dictionaries(names, values, max_size=4),
    links=st.lists(links, max_size=2).map(tuple), locations=st.lists(uris, max_size=2).map(tuple),
)  # fmt: skip


def exact(found):
    """Values with what Python takes for equal and clients do not: 1, 1.0 and True, 0.0 and -0.0."""
    if isinstance(found, dict):
        return {name: exact(value) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [exact(each) for each in found]
    if isinstance(found, bool):
        return found
    if isinstance(found, int):
        return "int", int(found)
    return ("float", float(found).hex()) if isinstance(found, float) else found


# Requests, in text --------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(requests)
def test_a_request_comes_back_from_text(request):
    body = occi_text.plain(request)
    read = occi_text.parse_plain(body.encode())
    assert read == request
    assert exact(read.attributes) == exact(request.attributes)
    assert [exact(link.attributes) for link in read.links] == [
        exact(link.attributes) for link in request.links
    ]
    assert occi_text.plain(read) == body
    assert occi_text.parse_plain(body.replace("\n", "\r\n").encode()) == request


@settings(max_examples=60, deadline=None)
@given(requests)
def test_a_request_comes_back_from_headers(request):
    fields = occi_text.headers(request)
    read = occi_text.parse_headers(dict(fields))
    assert read == request
    assert exact(read.attributes) == exact(request.attributes)
    assert occi_text.headers(read) == fields
    assert occi_text.parse_headers({name.lower(): value for name, value in fields}) == request


@settings(max_examples=60, deadline=None)
@given(requests)
def test_a_stranger_reads_the_same_in_a_request(request):
    seen = occi_reading.body(occi_text.plain(request))
    assert seen == occi_reading.headers(occi_text.headers(request))
    assert exact(dict(seen.attributes)) == exact(dict(request.attributes))
    assert seen.locations == list(request.locations)
    assert [(term, dict(given)["scheme"]) for term, given in seen.categories] == [
        (c.term, c.scheme) for c in request.categories
    ]
    for (target, said), link in zip(seen.links, request.links, strict=True):
        own = dict(said[: len(said) - len(link.attributes)])
        assert (target, own["rel"].split(" "), own.get("self", "")) == (
            link.target,
            list(link.rel),
            link.location,
        )
        assert own["category"].split(" ") == [each.id for each in (link.kind, *link.mixins)]
        assert exact(dict(said[len(own) :])) == exact(dict(link.attributes))


@pytest.mark.parametrize(
    "value", [*HARD_TEXTS, *HARD_NUMBERS, True, False], ids=lambda value: repr(value)[:30]
)
def test_every_hard_value_in_every_rendering(value):
    request = Request(attributes={"A1.b-c_d.9": value})
    in_body = occi_text.parse_plain(occi_text.plain(request).encode()).attributes
    in_headers = occi_text.parse_headers(dict(occi_text.headers(request))).attributes
    in_json = occi_json.parse(occi_json.encode(request)).attributes
    by_stranger = dict(occi_reading.body(occi_text.plain(request)).attributes)
    for seen in (
        in_body,
        in_headers,
        in_json,
        by_stranger,
        json.loads(occi_json.encode(request))["attributes"],
    ):
        assert exact(seen) == exact({"A1.b-c_d.9": value})


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_has_no_rendering_in_text(number):
    with pytest.raises(ValueError, match="infinite"):
        occi_text.plain(Request(attributes={"a": number}))


# Control characters and structures ----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20).filter(lambda text: text.isprintable() or any(ord(sign) < 32 for sign in text)))
def test_control_characters(text):
    """In text each becomes a blank; JSON keeps line ends and tabs and refuses the others."""
    if any(0xD800 <= ord(sign) < 0xE000 for sign in text):
        text = text.encode("utf-8", "replace").decode()
    request = Request(attributes={"a": text})
    blank = "".join(" " if ord(sign) < 32 or sign == "\x7f" else sign for sign in text)
    assert occi_text.parse_plain(occi_text.plain(request).encode()).attributes == {"a": blank}
    body = json.dumps({"attributes": {"a": text}}).encode()
    if set(text) & {chr(n) for n in (*range(9), 11, 12, *range(14, 32), 127)}:
        with pytest.raises(RenderingError, match="control characters"):
            occi_json.parse(body)
    else:
        assert occi_json.parse(body).attributes == {"a": text}
        assert occi_json.encode(occi_json.parse(body)) == occi_json.encode(request)


@settings(max_examples=60, deadline=None)
@given(deep)
def test_structures_are_json_inside_a_string_in_text(value):
    [(_, seen)] = occi_reading.body(occi_text.plain(Request(attributes={"a": value}))).attributes
    read = occi_text.parse_plain(occi_text.plain(Request(attributes={"a": value})).encode()).attributes["a"]
    if isinstance(value, (list, dict)):
        assert exact(json.loads(seen)) == exact(json.loads(read)) == exact(value)
    assert exact(
        occi_json.parse(occi_json.encode(Request(attributes={"a": value}))).attributes["a"]
    ) == exact(value)


# Requests, in JSON --------------------------------------------------------------------------------------

json_attributes = st.dictionaries(
    names.filter(lambda name: not name.startswith("occi.core")), deep, max_size=4
)
json_links = st.builds(
    lambda link, location, kind, more: Link(
        target=link.target, rel=(kind,), location=location, kind=link.kind, mixins=link.mixins,
        attributes={**more, TARGET: link.target, TARGET_KIND: kind},
    ),
    links, st.just("") | uris, ids, json_attributes,
)  # fmt: skip
json_entities = st.builds(
    lambda kind, mixins, attributes, links, overruled: Request(
        categories=(kind, *mixins), attributes={**attributes, **{name: "said" for name in overruled}}, links=tuple(links), overruled=overruled
    ),
    bare(CategoryClass.KIND), st.lists(bare(CategoryClass.MIXIN), max_size=2), json_attributes, st.lists(json_links, max_size=2),
    st.dictionaries(st.sampled_from(["occi.core.id", "occi.core.title", "occi.core.summary", SOURCE, SOURCE_KIND]), texts.filter(lambda t: t != "said"), max_size=2)
    .filter(lambda given: SOURCE_KIND not in given or SOURCE in given),
)  # fmt: skip
json_requests = st.one_of(
    json_entities,
    st.builds(Request, attributes=json_attributes),
    st.builds(lambda action, attributes: Request(categories=(action,), attributes=attributes), bare(CategoryClass.ACTION), json_attributes),
    st.builds(lambda found: Request(locations=tuple(found)), st.lists(uris, min_size=1, max_size=3)),
    st.builds(lambda members: Request(members=tuple(members)), st.lists(json_entities, min_size=1, max_size=3)),
    st.builds(
        lambda kinds, mixins, members: Request(categories=(*kinds, *mixins), members=tuple(members)),
        st.lists(described.filter(lambda c: c.class_ is CategoryClass.KIND), min_size=2, max_size=3),
        st.lists(described.filter(lambda c: c.class_ is CategoryClass.MIXIN), max_size=2), st.lists(json_entities, max_size=1),
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(json_requests)
def test_a_request_comes_back_from_json(request):
    body = occi_json.encode(request)
    read = occi_json.parse(body)
    assert read == request
    assert exact(read.attributes) == exact(request.attributes)
    assert occi_json.encode(read) == body
    assert occi_json.encode(occi_json.parse(json.dumps(json.loads(body), ensure_ascii=True).encode())) == body


@pytest.mark.parametrize(
    "request_",
    [
        Request(categories=(Category(scheme="http://a#", term="b", class_=None),)),
        Request(links=(Link(target="/a", rel=("http://a#b",)),)),
        Request(members=(Request(),), attributes={"a": 1}),
    ],
)
def test_what_json_cannot_say_is_not_said_half(request_):
    with pytest.raises(TypeError, match="JSON has no rendering"):
        occi_json.encode(request_)


# Replies ------------------------------------------------------------------------------------------------

shown_links = st.builds(
    lambda own, source, target, target_kind, kind, mixins, more, actions: Link(
        target=target, rel=(target_kind,), location=f"/storagelink/{own}", kind=kind, mixins=tuple(mixins), actions=tuple(actions),
        attributes={"occi.core.id": own, SOURCE: source, SOURCE_KIND: f"{INFRA}compute", TARGET: target, TARGET_KIND: target_kind, **more},
    ),
    words, uris, uris, ids, bare(CategoryClass.KIND), st.lists(bare(CategoryClass.MIXIN), max_size=2),
    st.dictionaries(names.map("occi.link.{}".format), values, max_size=3), st.lists(bare(CategoryClass.ACTION), max_size=2),
)  # fmt: skip
entities = st.builds(
    lambda own, kind, mixins, attributes, links, actions: Entity(
        kind=kind, mixins=tuple(mixins), location=f"/compute/{own}", links=tuple(links), actions=tuple(actions),
        attributes={"occi.core.id": own, **attributes},
    ),
    words, bare(CategoryClass.KIND), st.lists(bare(CategoryClass.MIXIN), max_size=2),
    st.dictionaries(st.sampled_from(["occi.core.title", "occi.core.summary"]), texts, max_size=2).flatmap(
        lambda core: st.dictionaries(names.map("occi.compute.{}".format), values, max_size=4).map(lambda more: {**core, **more})
    ),
    st.lists(shown_links, max_size=2), st.lists(bare(CategoryClass.ACTION), max_size=2),
)  # fmt: skip


def without_empty(attributes):
    return {name: value for name, value in attributes.items() if value != ""}


@settings(max_examples=60, deadline=None)
@given(entities)
def test_an_entity_says_the_same_to_us_and_to_a_stranger(entity):
    body = occi_text.plain(entity)
    seen = occi_reading.body(body)
    assert seen == occi_reading.headers(occi_text.headers(entity))
    assert exact(dict(seen.attributes)) == exact(without_empty(entity.attributes))  # OCCI-REAL-11
    assert [term for term, _ in seen.categories] == [each.term for each in (entity.kind, *entity.mixins)]
    acts = [(target, dict(given)["rel"]) for target, given in seen.links[len(entity.links) :]]
    assert acts == [(f"{entity.location}?action={each.term}", each.id) for each in entity.actions]
    for (target, said), link in zip(seen.links, entity.links, strict=False):
        assert (target, dict(said)["self"]) == (link.target, link.location)
        assert exact({n: v for n, v in said if n.startswith("occi.")}) == exact(
            without_empty(link.attributes)
        )
    read = occi_text.parse_plain(body.encode())
    assert read == occi_text.parse_headers(dict(occi_text.headers(entity)))
    assert occi_text.plain(read).split("\n") == [
        line for line in body.split("\n") if "?action=" not in line.split(">")[0]
    ]


@settings(max_examples=60, deadline=None)
@given(entities)
def test_an_entity_in_json(entity):
    body = occi_json.encode(entity)
    said = json.loads(body)
    assert exact(said["attributes"]) == exact(dict(entity.attributes))
    assert (said["kind"], said["id"]) == (entity.kind.id, entity.attributes["occi.core.id"])
    assert (said.get("title"), said.get("summary")) == tuple(
        entity.attributes.get(f"occi.core.{name}") for name in ("title", "summary")
    )
    assert said.get("mixins", []) == [each.id for each in entity.mixins]
    assert said.get("actions", []) == [each.id for each in entity.actions]
    for shown, link in zip(said.get("links", []), entity.links, strict=True):
        assert shown["target"] == {"location": link.target, "kind": link.rel[0]}
        assert shown["source"] == {"location": link.attributes[SOURCE], "kind": link.attributes[SOURCE_KIND]}
    read = occi_json.parse(body)
    assert exact(read.attributes) == exact(dict(entity.attributes))
    assert [exact(link.attributes) for link in read.links] == [
        exact(link.attributes) for link in entity.links
    ]
    assert occi_json.parse(occi_json.encode(read)) == read


def flags_of(spec):
    return {flag for flag, given in (("immutable", not spec.mutable), ("required", spec.required)) if given}


@settings(max_examples=60, deadline=None)
@given(st.lists(shown_links, max_size=3), st.lists(entities, max_size=3), st.lists(uris, max_size=4))
def test_collections_and_what_was_created(links, resources, locations):
    listed = Collection(locations=tuple(locations), links=tuple(links), resources=tuple(resources))
    for document in (listed, Created(locations=tuple(locations))):
        body = occi_text.plain(document)
        assert occi_reading.body(body).locations == locations
        assert occi_text.parse_plain(body.encode()).locations == tuple(locations)
        assert occi_text.plain(occi_text.parse_plain(body.encode())) == body
        assert occi_text.parse_headers(dict(occi_text.headers(document))).locations == tuple(locations)
    assert (
        uri_list.encode(locations).decode().split()
        == locations
        == list(uri_list.parse(uri_list.encode(locations)).locations)
    )
    assert occi_json.parse(occi_json.encode(Created(locations=tuple(locations)))).locations == tuple(
        locations
    )
    said = json.loads(occi_json.encode(listed))
    assert [len(said.get("resources", [])), len(said.get("links", []))] == [len(resources), len(links)]
    read = occi_json.parse(occi_json.encode(listed))
    assert [exact(each.attributes) for each in read.members] == [
        exact(dict(each.attributes)) for each in (*resources, *links)
    ]
    assert [occi_json.parse(occi_json.encode(each)) for each in (*resources, *links)] == list(read.members)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        described.filter(lambda c: c.class_ is not None and len(c.depends) < 2),
        max_size=4,
        unique_by=lambda c: c.id,
    )
)
def test_a_query_interface_comes_back(categories):
    discovery = Discovery(categories=tuple(categories))
    body = occi_text.plain(discovery)
    read = occi_text.parse_plain(body.encode())
    assert read.categories == discovery.categories
    assert occi_text.plain(read) == body
    assert occi_text.parse_headers(dict(occi_text.headers(discovery))).categories == discovery.categories
    seen = occi_reading.body(body).categories
    for (term, parameters), category in zip(seen, categories, strict=True):
        said = dict(parameters)
        assert (term, said["scheme"], said["class"]) == (
            category.term,
            category.scheme,
            category.class_.value,
        )
        assert said.get("title", "") == category.title
        assert said.get("location", "") == category.location
        assert said.get("actions", "").split() == list(category.actions)
        specs = re.findall(r"([^ {]+)(?:\{([^}]*)\})?", said.get("attributes", ""))
        assert [(name, set(flags.split())) for name, flags in specs] == [
            (spec.name, flags_of(spec)) for spec in category.attributes
        ]
    in_json = json.loads(occi_json.encode(discovery))
    by_id = {each["scheme"] + each["term"]: each for group in in_json.values() for each in group}
    for category in categories:
        said = by_id[category.id]
        assert (said.get("title", ""), said.get("location", "")) == (category.title, category.location)
        assert set(said.get("attributes", {})) == {spec.name for spec in category.attributes}
    again = occi_json.parse(occi_json.encode(discovery))
    assert {each.id for each in again.categories} == set(by_id)


def test_a_default_that_is_an_array_is_described_too():
    spec = AttributeSpec(name="a", default=[{"b": 1}])
    category = Category(scheme="http://a#", term="b", class_=CategoryClass.MIXIN, attributes=(spec,))
    assert (
        occi_text.plain(Discovery(categories=(category,)))
        == 'Category: b; scheme="http://a#"; class="mixin"; attributes="a"'
    )
    assert json.loads(occi_json.encode(Discovery(categories=(category,))))["mixins"][0]["attributes"]["a"][
        "default"
    ] == [{"b": 1}]


def test_several_dependencies_are_said_by_clients_and_one_by_servers():
    # OCCI-TEXT-012
    mixin = Category(
        scheme="http://a#", term="b", class_=CategoryClass.MIXIN, depends=("http://a#c", "http://a#d")
    )
    assert 'rel="http://a#c"' in occi_text.plain(Discovery(categories=(mixin,)))
    assert occi_text.parse_plain(occi_text.plain(Request(categories=(mixin,))).encode()).categories == (
        mixin,
    )
    assert named("http://a#b", CategoryClass.MIXIN).id == mixin.id
