"""Checks of the text renderings: what is understood of requests."""

from __future__ import annotations

from conformance.checks import Unknown, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    SUMMARY,
    TITLE,
    effect,
    fresh,
    raw,
    thing,
    untouched,
    usable_action,
    wanted,
)
from conformance.occi.documents import DESCRIBING, HEADERS, JSON, PLAIN
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE

_TEXT = (PLAIN, HEADERS)
#: What a client may want to say, and a careless reader would cut or take for something else.
TRICKY = (
    "commas, semicolons; and = signs, 1=2; a:b",
    'quotes "inside", and \\ backslashes \\" before one',
    'x", occi.core.summary="y; class="kind',
    "X-OCCI-Attribute: occi.core.summary=1 <http://example.org/>; rel={a}",
)
_BEYOND_ASCII = "Żółw, 漢字; 🐢 – ü"


@SUITE.check("OCCI-TEXT-004", "OCCI-TEXT-002", changes=True, cases=DESCRIBING)
def values_come_back(session: OcciSession, media: str) -> None:
    """A value with separators, quotes and backslashes is the same in every rendering, however it was said."""
    given = wanted(session)
    path = fresh(session)
    for text in TRICKY:
        answer = session.update(path, given.kind, media, attributes={TITLE: text})
        session.ok(answer, f"setting the title to {text!r}", 200, 201)
        for each in DESCRIBING:
            found = session.read(path, each).attributes
            expect(found.get(TITLE) == text, f"said as {text!r}, shown in {each} as {found.get(TITLE)!r}")
            expect(SUMMARY not in found, f"{text!r} made a summary: {found.get(SUMMARY)!r}")


@SUITE.check("OCCI-REAL-17", "OCCI-TEXT-004", changes=True, cases=DESCRIBING)
def letters_beyond_ascii_come_back(session: OcciSession, media: str) -> None:
    """A title in Unicode is the same in every rendering, however it was said."""
    path = session.create(wanted(session, title=_BEYOND_ASCII), media=media)
    for each in DESCRIBING:
        found = session.read(path, each).attributes.get(TITLE)
        expect(found == _BEYOND_ASCII, f"said as {_BEYOND_ASCII!r}, shown in {each} as {found!r}")


@SUITE.check("OCCI-TEXT-002", "OCCI-TEXT-004", changes=True)
def no_value_breaks_out(session: OcciSession) -> None:
    """A value with line ends, said in JSON, is refused or stays one value in text and in headers."""
    given = wanted(session)
    path = fresh(session)
    text = 'a\r\nX-OCCI-Attribute: occi.core.summary="b"\nX-Made-Up: c'
    answer = session.update(path, given.kind, JSON, attributes={TITLE: text})
    if answer.status in {400, 406}:
        return
    session.ok(answer, "setting a title of several lines", 200, 201)
    for media in _TEXT:
        answer = session.send("GET", path, media=media)
        session.ok(answer, f"GET as {media}", 200, 406)
        expect(answer.header("x-made-up") is None, "a header of the client's own making is in the answer")
        if answer.status == 200:
            found = codec.entity(answer).attributes
            expect(found.get(SUMMARY) != "b", f"a title with line ends became a summary in {media}")


def _lists(session: OcciSession) -> tuple[str, list[str], str]:
    """A kind's category, attributes as name=value, and the title among them, with a comma in it."""
    title = session.name("a, b; c")
    given = wanted(session, title=title)
    pairs = [f"{name}={grammar.literal(value)}" for name, value in given.attributes.items()]
    return grammar.named(given.kind, "kind"), pairs, title


def _made(session: OcciSession, answer: object, title: str) -> None:
    path = session.made(session.ok(answer, "creation", 200, 201))  # type: ignore[arg-type]
    found = session.read(path).attributes.get(TITLE)
    expect(found == title, f"the title is {found!r}, and {title!r} was said")


@SUITE.check("OCCI-TEXT-003", changes=True, cases=("lines", "lines ended by CRLF", "a list"))
def several_attributes_in_a_body(session: OcciSession, how: str) -> None:
    """Several values of a field are understood one a line and as a comma list, in text/plain."""
    kind, pairs, title = _lists(session)
    pairs.append('occi.core.summary="with, commas"')
    if how == "a list":
        lines = [f"Category: {kind}", f"X-OCCI-Attribute: {', '.join(pairs)}"]
    else:
        lines = [f"Category: {kind}", *(f"X-OCCI-Attribute: {pair}" for pair in pairs)]
    body = ("\r\n" if "CRLF" in how else "\n").join(lines)
    _made(session, raw(session, session.location(session.cheap().kind), body), title)


@SUITE.check("OCCI-TEXT-003", "OCCI-TEXT-016", changes=True, cases=("repeated", "a list"))
def several_attributes_in_headers(session: OcciSession, how: str) -> None:
    """Several values of a header are understood repeated and as a comma list, in text/occi."""
    kind, pairs, title = _lists(session)
    said = [", ".join(pairs)] if how == "a list" else pairs
    fields = [("Category", kind), *(("X-OCCI-Attribute", each) for each in said)]
    answer = session.send(
        "POST",
        session.location(session.cheap().kind),
        media=HEADERS,
        headers={"Content-Type": HEADERS},
        fields=fields,
    )
    _made(session, answer, title)


@SUITE.check("OCCI-TEXT-003", "OCCI-TEXT-016", changes=True, cases=("repeated", "a list"))
def several_locations(session: OcciSession, how: str) -> None:
    """Several locations are understood repeated and as a comma list, in text/occi."""
    tag = session.tag()
    paths = [thing(session), fresh(session)]
    fields = [("X-OCCI-Location", path) for path in paths]
    if how == "a list":
        fields = [("X-OCCI-Location", ",".join(paths))]
    where = session.path(tag.location or "")
    answer = session.send("POST", where, media=HEADERS, headers={"Content-Type": HEADERS}, fields=fields)
    session.ok(answer, "associating two entities", 200, 204)
    expect(set(session.listed(where)) == set(paths), "not both entities were associated")


@SUITE.check("OCCI-TEXT-020", changes=True, cases=_TEXT)
def names_of_fields_without_case(session: OcciSession, media: str) -> None:
    """Fields are known by their names in any case."""
    kind, pairs, title = _lists(session)
    fields = [("cATEGORY", kind), *(("x-occi-attribute", each) for each in pairs)]
    where = session.location(session.cheap().kind)
    if media == PLAIN:
        answer = raw(session, where, "\n".join(f"{name}: {value}" for name, value in fields))
    else:
        answer = session.send("POST", where, media=media, headers={"content-type": media}, fields=fields)
    _made(session, answer, title)


@SUITE.check("OCCI-TEXT-002", changes=True, cases=("no blanks", "many blanks"))
def blanks_between_words(session: OcciSession, how: str) -> None:
    """White space around separators is free."""
    kind, pairs, title = _lists(session)
    if how == "no blanks":
        lines = [f"Category:{kind.replace('; ', ';')}", *(f"X-OCCI-Attribute:{pair}" for pair in pairs)]
    else:
        lines = [f"Category :  {kind.replace('; ', '  ;  ')} ", *(f"X-OCCI-Attribute:  {p}  " for p in pairs)]
        lines[0] = lines[0].replace(" :", ":")
    _made(session, raw(session, session.location(session.cheap().kind), "\n".join(lines)), title)


@SUITE.check("OCCI-TEXT-002", changes=True)
def a_class_without_quotes(session: OcciSession) -> None:
    """The class of a category may stand without quotes."""
    kind, pairs, title = _lists(session)
    lines = [f"Category: {kind.replace(chr(34) + 'kind' + chr(34), 'kind')}"]
    lines += [f"X-OCCI-Attribute: {pair}" for pair in pairs]
    _made(session, raw(session, session.location(session.cheap().kind), "\n".join(lines)), title)


@SUITE.check("OCCI-TEXT-007", changes=True, cases=_TEXT)
def an_action_is_one_category(session: OcciSession, media: str) -> None:
    """An invocation with two categories is refused and nothing is done."""
    path = fresh(session)
    action = usable_action(session, path)
    where = f"{path}?action={action.rpartition('#')[2]}"
    named = grammar.named(action, "action")
    fields = [("Category", named), ("Category", f"x{named}")]
    with untouched(session, path):
        if media == PLAIN:
            answer = raw(session, where, "\n".join(f"{name}: {value}" for name, value in fields))
        else:
            headers = {"Content-Type": HEADERS}
            answer = session.send("POST", where, media=HEADERS, headers=headers, fields=fields)
        session.refused(answer, "an action with two categories", 400, 404)


@SUITE.check("OCCI-TEXT-007", changes=True)
def an_action_without_category(session: OcciSession) -> None:
    """An invocation without category is refused (TEXT), or the term in the query will do (H11 3.6.8)."""
    path = fresh(session)
    action = usable_action(session, path)
    answer = session.send("POST", f"{path}?action={action.rpartition('#')[2]}")
    session.ok(answer, "an action without its category", 400, 409, 200, 204)
    if answer.status in {200, 204}:
        effect(session, path, action)
    session.note(f"an action without its category: {answer.status}")


@SUITE.check("OCCI-TEXT-017", "OCCI-HTTP-STATUS-413", changes=True)
def long_headers(session: OcciSession) -> None:
    """A request whose headers are very long is refused or carried out whole, and never cut."""
    path = fresh(session)
    before = session.read(path)
    long = "long " * 6_000 + "end"
    try:
        answer = session.update(path, before.kind, HEADERS, attributes={TITLE: long})
    except Unknown:  # the connection was closed, which is a refusal, too
        answer = None
    found = session.read(path).attributes.get(TITLE)
    if answer is None or 400 <= answer.status < 500:
        expect(
            found == before.attributes.get(TITLE), f"what was refused changed the title to {str(found)[:60]}"
        )
    else:
        session.ok(answer, "30 KB of headers", 200, 201)
        expect(found == long, f"of {len(long)} letters {len(str(found))} were kept")
