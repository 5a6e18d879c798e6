"""Checks of what is refused: bodies and headers that say nothing, or nonsense; nothing changes by them."""

from __future__ import annotations

import json

from conformance.checks import expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    TITLE,
    kind_of,
    malformed,
    nothing_made,
    raw,
    replaced,
    thing,
    unchanged,
    wanted,
)
from conformance.occi.documents import HEADERS, JSON, PLAIN, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_SCHEME = 'scheme="http://example.org/nothing#"'
#: Fields that do not follow the grammar (TEXT 4).
FIELDS = {
    "no value": ("X-OCCI-Attribute", "occi.core.summary="),
    "no equals sign": ("X-OCCI-Attribute", "occi.core.summary"),
    "no name": ("X-OCCI-Attribute", '="x"'),
    "a word without quotes": ("X-OCCI-Attribute", "occi.core.summary=word"),
    "a string without end": ("X-OCCI-Attribute", 'occi.core.summary="x'),
    "a string whose end is escaped": ("X-OCCI-Attribute", r'occi.core.summary="x\"'),
    "text after a string": ("X-OCCI-Attribute", 'occi.core.summary="x"y'),
    "a quote inside a string": ("X-OCCI-Attribute", 'occi.core.summary="x"y"'),
    "a blank in a name": ("X-OCCI-Attribute", 'occi core="x"'),
    "a quote in a name": ("X-OCCI-Attribute", 'occi"core="x"'),
    "a number with two points": ("X-OCCI-Attribute", "occi.core.summary=1.2.3"),
    "a category without scheme": ("Category", 'nothing; class="mixin"'),
    "a category without term": ("Category", f'; {_SCHEME}; class="mixin"'),
    "a scheme without quotes": ("Category", 'nothing; scheme=http://example.org/nothing#; class="mixin"'),
    "an empty scheme": ("Category", 'nothing; scheme=""; class="mixin"'),
    "an unknown class": ("Category", f'nothing; {_SCHEME}; class="animal"'),
    "a blank in a term": ("Category", f'no thing; {_SCHEME}; class="mixin"'),
    "a category whose string has no end": ("Category", 'nothing; scheme="http://example.org/n#; class=mixin'),
    "a link without brackets": ("Link", '/storage/x; rel="http://example.org/a#b"'),
    "a link with one bracket": ("Link", '</storage/x; rel="http://example.org/a#b"'),
    "a link to nothing": ("Link", '<>; rel="http://example.org/a#b"'),
}
#: Bodies that are no OCCI in text, besides these.
BODIES = {
    "a line that is no field": b"This is not OCCI",
    "a control character": b'X-OCCI-Attribute: occi.core.summary="a\x00b"',
    "bytes that are no UTF-8": b'X-OCCI-Attribute: occi.core.summary="\xff\xfe"',
}
#: JSON that is none, or of a shape that the schema does not know; {} stands for a title not to be set.
DOCUMENTS = {
    "cut off": '{"attributes": {"occi.core.title": "{}"}',
    "two documents": '{"attributes": {"occi.core.title": "{}"}} {}',
    "a comma too many": '{"attributes": {"occi.core.title": "{}"},}',
    "single quotes": "{'title': '{}'}",
    "an array": '[{"attributes": {"occi.core.title": "{}"}}]',
    "a string": '"{}"',
    "a number": "1",
    "null": "null",
    "an unknown member": '{"attributes": {"occi.core.title": "{}"}, "nonsense": 1}',
    "attributes that are null": '{"title": "{}", "attributes": null}',
    "attributes in an array": '{"title": "{}", "attributes": ["occi.core.summary"]}',
    "attributes in a string": '{"title": "{}", "attributes": "occi.core.summary"}',
    "a value that is null": '{"title": "{}", "attributes": {"occi.core.summary": null}}',
    "a title that is a number": '{"title": 1, "attributes": {"occi.core.title": "{}"}}',
    "a title that is null": '{"title": null, "attributes": {"occi.core.title": "{}"}}',
    "a kind that is a number": '{"kind": 1, "title": "{}"}',
    "a kind that is no type": '{"kind": "compute", "title": "{}"}',
    "mixins in a string": '{"mixins": "http://example.org/a#b", "title": "{}"}',
    "a mixin that is no type": '{"mixins": ["nothing"], "title": "{}"}',
    "a mixin that is an object": '{"mixins": [{}], "title": "{}"}',
    "links that are an object": '{"links": {}, "title": "{}"}',
    "a link that is a string": '{"links": ["/storage/x"], "title": "{}"}',
    "a link without target": '{"links": [{"kind": "http://example.org/a#b"}], "title": "{}"}',
    "no number of JSON's": '{"title": "{}", "attributes": {"occi.core.summary": NaN}}',
    "half a character": '{"title": "{}", "attributes": {"occi.core.summary": "\\ud800"}}',
}


def _fields_of(session: OcciSession, title: str) -> list[tuple[str, str]]:
    """An update that is well-formed: what is malformed is added, and must hinder all of it."""
    return [
        ("Category", grammar.named(kind_of(session), "kind")),
        ("X-OCCI-Attribute", f"{TITLE}={grammar.literal(title)}"),
    ]


def _lines(fields: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields)


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-TEXT-002", "OCCI-HTTP-035", changes=True, cases=tuple(FIELDS))
def a_malformed_field(session: OcciSession, case: str) -> None:
    """A field that does not follow the grammar is 400, in the body and in headers, and nothing changes."""
    path = thing(session)
    fields = [*_fields_of(session, session.name("changed")), FIELDS[case]]
    # The ABNF of links prints category= without quotes: who minds none anywhere reads an unknown mixin.
    others = (404,) if case == "a scheme without quotes" else ()
    with unchanged(session, path):
        malformed(raw(session, path, _lines(fields)), f"{case}, in text/plain", *others)
        headers = {"Content-Type": HEADERS}
        answer = session.send("POST", path, media=HEADERS, headers=headers, fields=fields)
        malformed(answer, f"{case}, in text/occi", *others)


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-TEXT-002", changes=True, cases=tuple(BODIES))
def a_malformed_body(session: OcciSession, case: str) -> None:
    """A body that is no OCCI is 400, and nothing changes."""
    path = thing(session)
    valid = _lines(_fields_of(session, session.name("changed"))).encode()
    declared = "UTF-8" in case
    headers = {"Content-Type": "text/plain; charset=utf-8" if declared else PLAIN}
    with unchanged(session, path):
        answer = session.send("POST", path, headers=headers, body=valid + b"\n" + BODIES[case])
        malformed(answer, case, *((406, 415) if declared else ()))  # who knows no charset refuses it


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-JSON-014", "OCCI-HTTP-035", changes=True, cases=tuple(DOCUMENTS))
def a_malformed_document(session: OcciSession, case: str) -> None:
    """JSON that is none, or not of the schema's shape, is 400, and nothing changes."""
    path = thing(session)
    with unchanged(session, path):
        body = DOCUMENTS[case].replace('"{}"', json.dumps(session.name("changed")))
        malformed(raw(session, path, body, media=JSON), case)


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-HTTP-042", changes=True, cases=(PLAIN, HEADERS, JSON))
def a_malformed_creation(session: OcciSession, media: str) -> None:
    """A creation that is malformed in one place is 400, and nothing is made."""
    given = wanted(session, title=(title := session.name()))
    headers, body = codec.said(given, media)
    if media == HEADERS:
        headers["X-OCCI-Attribute"] += ', occi.core.summary="'
    elif media == JSON:
        body = (body or b"")[:-1]
    else:
        body = (body or b"") + b'\nX-OCCI-Attribute: occi.core.summary="'
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.location(given.kind), media=media, headers=headers, body=body)
        malformed(answer, "a creation with a string that has no end")


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-HTTP-043", changes=True, cases=(PLAIN, HEADERS, JSON))
def an_empty_creation(session: OcciSession, media: str) -> None:
    """A creation that says nothing is 400."""
    where = session.location(kind_of(session))
    before = set(session.listed(where))
    answer = session.send("POST", where, media=media, headers={"Content-Type": media}, body=b"")
    malformed(answer, "POST of nothing")
    made = set(session.listed(where)) - before
    expect(not made, f"POST of nothing made {', '.join(made)}")


@SUITE.check("OCCI-JSON-011", "OCCI-HTTP-STATUS-404", changes=True)
def nested_names(session: OcciSession) -> None:
    """Attributes in nested objects are not what the flat names mean, and refused."""
    path = thing(session)
    nested = {"attributes": {"occi": {"core": {"title": session.name("changed")}}}}
    with unchanged(session, path):
        malformed(raw(session, path, json.dumps(nested), media=JSON), "nested names", 404)


@SUITE.check("OCCI-HTTP-STATUS-400", "OCCI-JSON-014", changes=True)
def a_name_twice(session: OcciSession) -> None:
    """A member that is there twice is refused, or one of the two counts."""
    first, second = session.name("first"), session.name("second")
    path = session.create(session.cheap())
    body = f'{{"title": {json.dumps(first)}, "title": {json.dumps(second)}}}'
    answer = raw(session, path, body, media=JSON)
    session.ok(answer, "a title that is there twice", 200, 201, 400)
    title = session.read(path).attributes.get(TITLE)
    if answer.status == 400:
        expect(title not in {first, second}, "what was refused changed the title")
    else:
        expect(title in {first, second}, f"the title is {title!r}")
    session.note(f"a member that is there twice: {answer.status}")


@SUITE.check("OCCI-HTTP-STATUS-413", "OCCI-HTTP-STATUS-400", changes=True)
def deeply_nested(session: OcciSession) -> None:
    """JSON that is nested very deeply is refused, and breaks nothing."""
    path = thing(session)
    deep = '{"attributes": {"occi.core.title": ' + "[" * 20_000 + "]" * 20_000 + "}}"
    with unchanged(session, path):
        malformed(raw(session, path, deep, media=JSON), "20000 arrays in one another", 413)


@SUITE.check("OCCI-HTTP-STATUS-413", changes=True, cases=(PLAIN, JSON))
def large_bodies(session: OcciSession, media: str) -> None:
    """A very large body is refused with 413 or 400, or carried out whole."""
    path = session.create(session.cheap())
    before = session.read(path).attributes.get(TITLE)
    long = "long " * 600_000 + "end"
    answer = session.update(path, kind_of(session), media, attributes={TITLE: long})
    session.ok(answer, "an update of 3 MB", 413, 400, 200, 201)
    after = session.read(path).attributes.get(TITLE)
    expected = before if answer.status in {400, 413} else long
    expect(after == expected, f"after {answer.status} the title has {len(str(after))} letters")
    session.note(f"a body of 3 MB: {answer.status}")


def _refused_for_good(session: OcciSession, given: Wanted, what: str, *statuses: int) -> Answer:
    """The answer to a creation that must be refused, and makes nothing."""
    title = str(given.attributes.get(TITLE))
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.location(given.kind), given)
        return session.refused(answer, what, *statuses)


@SUITE.check("OCCI-HTTP-STATUS-404", "OCCI-HTTP-042", changes=True)
def an_unknown_mixin(session: OcciSession) -> None:
    """A creation with a mixin that does not exist is refused, and makes nothing."""
    given = wanted(session)
    given = replaced(given, mixins=(*given.mixins, "http://example.org/nothing#known"))
    _refused_for_good(session, given, "an unknown mixin", 404, 400)


@SUITE.check("OCCI-HTTP-STATUS-404", "OCCI-HTTP-043", changes=True)
def an_unknown_kind(session: OcciSession) -> None:
    """A creation of a kind that does not exist is refused."""
    where = session.location(kind_of(session))
    given = Wanted(kind="http://example.org/nothing#known", attributes={TITLE: session.name()})
    session.refused(session.send("POST", where, given), "an unknown kind", 404, 400)


@SUITE.check("OCCI-HTTP-STATUS-404", "OCCI-HTTP-042", changes=True)
def an_unknown_attribute(session: OcciSession) -> None:
    """A creation with an attribute that its kind and mixins do not have is refused, and makes nothing."""
    given = wanted(session)
    given = replaced(given, attributes={**given.attributes, "org.example.nothing": "x"})
    _refused_for_good(session, given, "an unknown attribute", 404, 400)


@SUITE.check("OCCI-HTTP-STATUS-404", "OCCI-HTTP-035", changes=True)
def an_unknown_attribute_in_an_update(session: OcciSession) -> None:
    """An update of an attribute that the entity does not have is refused, and changes nothing."""
    path = thing(session)
    with unchanged(session, path):
        given = {TITLE: session.name("changed"), "org.example.nothing": "x"}
        answer = session.update(path, kind_of(session), attributes=given)
        session.refused(answer, "an unknown attribute", 404, 400)
