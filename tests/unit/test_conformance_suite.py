"""The conformance tool itself: its requirements and checks, how it reads, what it reports, what it hides."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from html.parser import HTMLParser
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from lxml import html as lxml_html
from rich.console import Console

from conformance.checks import (
    Absent,
    Check,
    Failed,
    Level,
    Requirement,
    Suite,
    Unknown,
    Verdict,
    expect,
    requirements,
)
from conformance.occi import codec, grammar
from conformance.occi.checks import SUITE
from conformance.occi.documents import (
    HEADERS,
    JSON,
    OCCI_PLAIN,
    PLAIN,
    URI_LIST,
    Link,
    Wanted,
)
from conformance.occi.grammar import Malformed
from conformance.occi.session import OcciSession
from conformance.reports import as_html, as_json, as_junit, as_table
from conformance.runner import Report, Result, Run, Session
from conformance.wire import Answer, Exchange, Wire

INFRA = "http://schemas.ogf.org/occi/infrastructure#"
CORE = "http://schemas.ogf.org/occi/core#"


class Stub(Wire):
    """A server in this process: answers by method and path, anything else is 404; JSON is not spoken."""

    def __init__(self, **answers):
        super().__init__("http://cloud.example.org")
        self.answers = answers
        self.seen = []

    def _exchanged(self, method, target, headers, body):
        self.seen.append((method, target))
        if dict(headers).get("Accept") == JSON:
            return answer(b"", status=406)
        found = self.answers.get(f"{method} {target}")
        return answer(b"", status=404) if found is None else found


def answer(body=b"", media=PLAIN, status=200, headers=()):
    given = (("Content-Type", media), ("Server", "test OCCI/1.1 OCCI/1.2"), *headers)
    return Answer(method="GET", status=status, reason="", headers=given, body=body)


def text(*lines):
    return answer("\n".join(lines).encode())


# The suite ----------------------------------------------------------------------------------------------


def test_each_requirement_has_a_check_or_the_reason_why_none():
    judged = {cited for check in SUITE.checks for cited in check.cites}
    bare = [each.id for each in SUITE.requirements.values() if each.id not in judged and not each.unjudged]
    both = [each.id for each in SUITE.requirements.values() if each.id in judged and each.unjudged]
    assert not bare, f"neither judged nor excused: {bare}"
    assert not both, f"excused and judged all the same: {both}"


def test_each_check_cites_requirements_that_there_are():
    for check in SUITE.checks:
        assert check.cites, check.id
        assert set(check.cites) <= set(SUITE.requirements), check.id


def test_no_two_checks_have_the_same_id():
    ids = [check.id for check in SUITE.checks]
    assert len(ids) == len(set(ids))


def test_checks_that_change_nothing_say_so():
    """A read-only run has something to do, and the rest is marked."""
    reading = [check for check in SUITE.checks if not check.changes]
    assert len(reading) > 50
    assert len(reading) < len(SUITE.checks)


def test_requirements_read_like_sentences():
    for each in SUITE.requirements.values():
        assert each.text.endswith((".", "?")), each.id
        assert each.clause, each.id
        assert set(each.versions) <= {"1.1", "1.2"}, each.id


def test_requirements_are_rows_of_data():
    rows = requirements("conformance.occi.requirements", "core.toml")
    assert rows[0].id == "OCCI-CORE-001"
    assert {row.level for row in rows} >= {Level.MUST, Level.MAY}


def made_suite():
    rows = [Requirement(id=f"R-{n}", level=level, clause="1", text="x.") for n, level in enumerate(Level)]
    return Suite("made", rows)


def test_a_check_registers_once_for_each_case_with_the_level_of_its_requirement():
    suite = made_suite()

    @suite.check("R-1", cases=("a", "b"), changes=True)
    def one(_session, case):
        """First line.

        More.
        """
        expect(case == "a", "it is not a")

    @suite.check("R-2", cases={"c": "R-0"})
    def other(_session, _case):
        """Other."""

    assert [each.id for each in suite.checks] == ["one[a]", "one[b]", "other[c]"]
    assert [each.level for each in suite.checks] == [Level.SHOULD, Level.SHOULD, Level.MUST]
    assert suite.checks[2].cites == ("R-0", "R-2")
    assert suite.checks[0].title == "First line."
    assert [each.id for each in suite.matching(["ONE"])] == ["one[a]", "one[b]"]
    assert [each.id for each in suite.matching(["r-0"])] == ["other[c]"]
    assert len(suite.matching([])) == 3


def test_a_check_of_what_nobody_requires_is_refused():
    with pytest.raises(KeyError):
        made_suite().check("R-9")
    with pytest.raises(KeyError):
        made_suite().check(cases={"a": "R-9"})


# Running ------------------------------------------------------------------------------------------------


def run(*bodies, read_only=False, deadline=0.05):
    """The report of checks made of functions; each cites a requirement of its own."""
    rows = [Requirement(id=f"R-{n}", level=Level.MUST, clause="1", text="x.") for n in range(len(bodies))]
    suite = Suite("made", rows)
    for number, body in enumerate(bodies):
        suite.checks.append(
            Check(
                name=f"check_{number}",
                cites=(f"R-{number}",),
                level=Level.MUST,
                title=f"Check {number}.",
                changes=number % 2 == 1,
                run=body,
            )
        )
    session = Session(Stub(), deadline=deadline, poll=0.01)
    return Run(suite, session, read_only=read_only)(suite.checks)


def raising(error):
    def body(_session):
        raise error

    return body


def test_each_way_to_end_has_its_verdict():
    report = run(
        lambda _session: None,
        raising(Failed("wrong")),
        raising(Absent("not there")),
        raising(Unknown("no idea")),
        raising(ZeroDivisionError("oops")),
    )
    assert [each.verdict.value for each in report.results] == [
        "passed",
        "failed",
        "absent",
        "unknown",
        "broken",
    ]
    assert "test_conformance_suite.py" in report.results[4].message
    assert [each.id for each in report.failures(Level.MUST)] == ["check_1", "check_4"]


def test_a_read_only_run_leaves_out_what_changes():
    report = run(*[lambda _session: None] * 3, read_only=True)
    assert [each.id for each in report.results] == ["check_0", "check_2"]
    assert [judged.verdict for judged in report.matrix] == [Verdict.PASSED, None, Verdict.PASSED]


def test_what_was_made_is_taken_away_last_first_whatever_happens():
    deeds = []

    def body(session):
        session.afterwards(lambda: deeds.append("at the end"), at_end=True)
        session.afterwards(lambda: deeds.append("first"))
        session.afterwards(lambda: 1 / 0)
        session.afterwards(lambda: deeds.append("last"))
        raise Failed("wrong")

    report = run(body, lambda _session: deeds.append("next"))
    assert deeds == ["last", "first", "next", "at the end"]
    assert "ZeroDivisionError" in report.results[0].litter[0]


def test_what_could_not_be_had_once_is_not_tried_again():
    tries = []

    def make():
        tries.append(1)
        raise Failed("no room")

    report = run(*[lambda session: session.shared("a thing", make)] * 2)
    assert [each.verdict for each in report.results] == [Verdict.FAILED, Verdict.UNKNOWN]
    assert len(tries) == 1
    assert "no room" in report.results[1].message


def test_what_does_not_come_about_is_unknown():
    report = run(lambda session: session.until("it", lambda: None))
    assert report.results[0].verdict is Verdict.UNKNOWN
    assert "did not come about" in report.results[0].message


def test_what_passed_outweighs_an_option_that_is_not_there():
    def verdict(*found):
        results = [result(verdict=each, cites=("R-0",)) for each in found]
        return report_of(*results).matrix[0].verdict

    assert verdict(Verdict.ABSENT, Verdict.PASSED) is Verdict.PASSED
    assert verdict(Verdict.PASSED, Verdict.UNKNOWN) is Verdict.UNKNOWN
    assert verdict(Verdict.UNKNOWN, Verdict.FAILED) is Verdict.FAILED
    assert verdict(Verdict.ABSENT) is Verdict.ABSENT
    assert verdict() is None


# What is hidden -----------------------------------------------------------------------------------------


def test_credentials_are_not_kept_in_exchanges():
    wire = Stub(**{"GET /": answer(b"fine", headers=(("Set-Cookie", "session=s3cret"),))})
    session = OcciSession(wire, OcciSession.basic("ann", "s3cret-word"))
    session.send("GET", "/", headers={"Cookie": "s3cret", "X-Amz-Security-Token": "s3cret"})
    shown = repr(wire.exchanges)
    assert "s3cret" not in shown
    assert "YW5u" not in shown  # ann: in Base64
    assert "Basic ***" in shown
    assert wire.exchanges[0].answer == "fine"


def test_what_else_is_secret_is_masked_in_urls_and_bodies():
    wire = Stub(**{"POST /?Signature=s3cret": answer(b"<secret>s3cret</secret>")})
    wire.masks = (re.compile("(?<=Signature=)[^&]+"), re.compile("(?<=<secret>)[^<]+"))
    wire.send("POST", "/?Signature=s3cret", body=b"a=1&Signature=s3cret&b=2")
    kept = wire.exchanges[0]
    assert "s3cret" not in repr(kept)
    assert kept.body == "a=1&Signature=***&b=2"
    assert wire.seen == [("POST", "/?Signature=s3cret")]


def test_an_exchange_is_kept_in_part_when_it_is_endless():
    wire = Stub(**{"GET /": answer(b"x" * 10_000_000)})
    assert len(wire.send("GET", "/").body) == 10_000_000
    assert len(wire.exchanges[0].answer) < 1_000_000


def test_urls_with_credentials_are_refused():
    for url in ("http://ann:s3cret@cloud.example.org/", "ftp://cloud.example.org/", "cloud.example.org"):
        with pytest.raises(ValueError) as caught:
            Wire(url)
        assert "s3cret" not in str(caught.value) or "@" not in url


def test_an_anonymous_request_carries_no_credentials():
    wire = Stub()
    OcciSession(wire, "Basic x").send("GET", "/", anonymous=True)
    assert "Authorization" not in dict(wire.exchanges[0].sent)


def test_requests_go_below_the_path_of_the_url():
    wire = Wire("http://cloud.example.org/tenant/ann/")
    assert wire.target("/compute/") == "/tenant/ann/compute/"
    assert wire.target("/tenant/ann/compute/") == "/tenant/ann/compute/"
    assert wire.target("http://cloud.example.org/compute/1?action=stop") == "/compute/1?action=stop"


def test_no_answer_is_unknown_and_kept():
    class Silent(Stub):
        def _exchanged(self, method, target, headers, body):
            raise ConnectionRefusedError("nobody there")

    wire = Silent()
    with pytest.raises(Unknown, match="nobody there"):
        wire.send("GET", "/")
    assert wire.exchanges[0].status == 0
    assert "nobody there" in wire.exchanges[0].trouble


# Reading text -------------------------------------------------------------------------------------------

GOOD_CATEGORIES = {
    f'compute; scheme="{INFRA}"; class="kind"': ("compute", "kind"),
    f'compute;scheme="{INFRA}";class=kind': ("compute", "kind"),
    f'm1.Large_2-x ;  scheme = "{INFRA}" ; class = "mixin"': ("m1.Large_2-x", "mixin"),
    f'7up; scheme="{INFRA}"; class="action"; title="up, \\"and\\" away; =\\\\"': ("7up", "action"),
}
BAD_CATEGORIES = {
    "": "no term",
    f'compute; class="kind"; scheme="{INFRA}"': "order",
    f"compute; scheme={INFRA}; class=kind": "not quoted",
    'compute; scheme="http://a/b"; class="kind"': "ends in #",
    f'compute; scheme="{INFRA}"': "no class",
    f'compute; scheme="{INFRA}"; class="thing"': "class is",
    f'compute; scheme="{INFRA}"; scheme="{INFRA}"; class="kind"': "twice",
    f'compute; scheme="{INFRA}"; class="kind"; colour="red"': "unknown parameter",
    f'compute; scheme="{INFRA}"; class="kind"; title="open': "parameter",
    f'compute scheme="{INFRA}"; class="kind"': "parameter",
    f'compute; scheme="{INFRA}"; class="kind"; attributes="a.b{{sometimes}}"': "attributes",
}


@pytest.mark.parametrize("written", GOOD_CATEGORIES)
def test_categories_are_read(written):
    found = grammar.category(written)
    assert (found.term, found.class_) == GOOD_CATEGORIES[written]
    assert found.id == INFRA + found.term


@pytest.mark.parametrize("written", BAD_CATEGORIES)
def test_what_is_no_category_is_malformed(written):
    with pytest.raises(Malformed, match=BAD_CATEGORIES[written]):
        grammar.category(written)


def test_a_described_category_is_read_whole():
    found = grammar.category(
        f'storage; scheme="{INFRA}"; class="kind"; title="Disks"; rel="{CORE}resource"; location="/storage/"; '
        'attributes="occi.core.id{immutable}  occi.storage.size{required} occi.x{immutable required} occi.y"; '
        'actions="http://a/b#online http://a/b#offline"'
    )
    assert found.title == "Disks"
    assert found.rel == (f"{CORE}resource",)
    assert found.location == "/storage/"
    flags = [(each.name, each.mutable, each.required) for each in found.attributes]
    assert flags == [
        ("occi.core.id", False, False),
        ("occi.storage.size", True, True),
        ("occi.x", False, True),
        ("occi.y", True, False),
    ]
    assert found.actions == ("http://a/b#online", "http://a/b#offline")


GOOD_VALUES = {
    '"a, b; c=d"': "a, b; c=d",
    r'"say \"hi\" and \\"': 'say "hi" and \\',
    "7": 7,
    "1.50": 1.5,
    ".5": 0.5,
    "5.": 5.0,
    "true": True,
    "false": False,
    '""': "",
}
BAD_VALUES = ["", "yes", "1e3", "1.2.3", '"open', '"shut" again', "0x10", "TRUE", "NaN"]


@pytest.mark.parametrize("written", GOOD_VALUES)
def test_values_are_read(written):
    name, found = grammar.attribute(f"occi.a.b-c={written}")
    assert name == "occi.a.b-c"
    assert found == GOOD_VALUES[written]
    assert type(found) is type(GOOD_VALUES[written])


@pytest.mark.parametrize("written", BAD_VALUES)
def test_what_is_no_value_is_malformed(written):
    with pytest.raises(Malformed):
        grammar.attribute(f"a.b={written}")


@pytest.mark.parametrize("written", ["a.b", "a b=1", ".a=1", "a..b=1", "=1"])
def test_what_is_no_attribute_is_malformed(written):
    with pytest.raises(Malformed):
        grammar.attribute(written)


def test_links_are_read():
    found = grammar.link(
        f'</storage/1>; rel="{INFRA}storage"; self="/storagelink/2"; category="{INFRA}storagelink http://a/b#m"; '
        'occi.storagelink.deviceid="/dev/vdb"; occi.n=3; occi.core.title="a; b, <c>"'
    )
    assert found.target == "/storage/1"
    assert found.self_ == "/storagelink/2"
    assert found.categories == (f"{INFRA}storagelink", "http://a/b#m")
    assert found.attributes == {
        "occi.storagelink.deviceid": "/dev/vdb",
        "occi.n": 3,
        "occi.core.title": "a; b, <c>",
    }
    assert not found.is_action
    assert grammar.link('</compute/1?action=stop>; rel="http://a/b#stop"').is_action


@pytest.mark.parametrize(
    "written",
    ["/storage/1; rel=x", "<>; rel=x", "</a b>; rel=x", "</a>", '</a>; rel="x"; occi.a="1"; occi.a="2"'],
)
def test_what_is_no_link_is_malformed(written):
    with pytest.raises(Malformed):
        grammar.link(written)


def test_lists_are_split_at_commas_outside_of_values():
    assert grammar.split('a="1,2", b=3 ,</x,y>; rel="r"') == ['a="1,2"', "b=3", '</x,y>; rel="r"']
    assert grammar.split(r'a="\",", b=1') == [r'a="\","', "b=1"]
    with pytest.raises(Malformed, match="does not end"):
        grammar.split('a="1, b=2')


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
NAMES = st.lists(st.sampled_from(["occi", "a-b", "c_1", "x9", "com"]), min_size=2, max_size=4).map(".".join)
VALUES = (
    WORDS
    | st.booleans()
    | st.integers(0, 10**12)
    | st.floats(0, 1e9, allow_nan=False).map(lambda each: round(each, 3))
)


@given(NAMES, VALUES)
def test_what_is_written_is_read(name, value):
    read = grammar.attribute(f"{name}={grammar.literal(value)}")
    assert read == (name, value)
    assert type(read[1]) is type(value)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=6))
def test_lists_are_split_where_they_were_joined(pairs):
    written = [f"{name}={grammar.literal(value)}" for name, value in pairs]
    assert grammar.split(", ".join(written)) == written


@given(st.text(max_size=60))
def test_whatever_comes_is_read_or_malformed(written):
    for read in (grammar.category, grammar.link, grammar.attribute, grammar.split, grammar.location):
        with suppress(Malformed):
            read(written)


@given(WORDS.filter(str.strip), WORDS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_links_are_read_as_they_are_written(title, device, attributes):
    given = Link(
        target="/storage/1",
        rel=(f"{INFRA}storage",),
        categories=(f"{INFRA}storagelink",),
        attributes={**attributes, "occi.core.title": title, "occi.storagelink.deviceid": device},
    )
    assert grammar.link(grammar.inline(given)) == given


# Saying and reading each rendering ----------------------------------------------------------------------

WANTED = Wanted(
    kind=f"{INFRA}compute",
    mixins=("http://a/b#small",),
    attributes={"occi.core.title": 'a "title", with = and ;', "occi.compute.cores": 2, "occi.x.y": True},
    links=(
        Link(
            target="/storage/1",
            rel=(f"{INFRA}storage",),
            categories=(f"{INFRA}storagelink",),
            attributes={"occi.storagelink.deviceid": "vdb"},
        ),
    ),
)


@pytest.mark.parametrize("media", [PLAIN, OCCI_PLAIN, HEADERS])
def test_what_is_said_in_text_is_what_was_wanted(media):
    headers, body = codec.said(WANTED, media)
    assert headers.pop("Content-Type") == media
    assert (body is None) == (media == HEADERS)
    given = Answer(
        method="POST",
        status=200,
        reason="",
        headers=(("Content-Type", media), *headers.items()),
        body=body or b"OK",
    )
    found = codec.entity(given)
    assert found.kind == WANTED.kind
    assert found.mixins == WANTED.mixins
    assert found.attributes == WANTED.attributes
    assert found.links == WANTED.links


def test_what_is_said_in_json_has_the_members_of_the_schema():
    said = json.loads(codec.said(WANTED, JSON)[1] or b"")
    assert said["kind"] == WANTED.kind
    assert said["title"] == 'a "title", with = and ;'
    assert said["attributes"] == {"occi.compute.cores": 2, "occi.x.y": True}
    assert said["links"][0]["target"] == {"location": "/storage/1", "kind": f"{INFRA}storage"}
    link = Wanted(
        kind=f"{INFRA}storagelink", attributes={"occi.core.source": "/a/1", "occi.core.target": "/b/2"}
    )
    said = json.loads(codec.said(link, JSON)[1] or b"")
    assert said["source"] == {"location": "/a/1"}
    assert said["target"] == {"location": "/b/2"}


def test_an_action_and_locations_are_said():
    act = Wanted(action="http://a/b#stop", attributes={"method": "warm"})
    assert json.loads(codec.said(act, JSON)[1] or b"") == {
        "action": "http://a/b#stop",
        "attributes": {"method": "warm"},
    }
    assert codec.said(act, PLAIN)[1] == (
        b'Category: stop; scheme="http://a/b#"; class="action"\nX-OCCI-Attribute: method="warm"'
    )
    assert codec.said(Wanted(locations=("http://h/1", "http://h/2")), HEADERS)[0] == {
        "Content-Type": HEADERS,
        "X-OCCI-Location": "http://h/1, http://h/2",
    }


def test_an_entity_in_text_is_read():
    found = codec.entity(
        text(
            f'Category: compute; scheme="{INFRA}"; class="kind"; title="C"',
            'Category: small; scheme="http://a/b#"; class="mixin"',
            f'Link: </storage/1>; rel="{INFRA}storage"; self="/storagelink/2"; category="{INFRA}storagelink"',
            'Link: </compute/1?action=stop>; rel="http://a/b#stop"',
            'X-OCCI-Attribute: occi.core.title="a, b"',
        )
    )
    assert found.kind == f"{INFRA}compute"
    assert found.mixins == ("http://a/b#small",)
    assert found.actions == ("http://a/b#stop",)
    assert [each.self_ for each in found.links] == ["/storagelink/2"]
    assert found.attributes == {"occi.core.title": "a, b"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["compute"], "no field of OCCI"),
        (["Colour: red"], "no field of OCCI"),
        (['X-OCCI-Attribute: a.b="1"'], "0 kinds"),
        ([f'Category: x; scheme="{INFRA}"; class="kind"'] * 2, "2 kinds"),
        (
            [
                f'Category: x; scheme="{INFRA}"; class="kind"',
                "X-OCCI-Attribute: a.b=1",
                "X-OCCI-Attribute: a.b=2",
            ],
            "twice",
        ),
        ([f'Category: x; scheme="{INFRA}"; class="kind"', "X-OCCI-Attribute: a.b=yes"], "neither"),
    ],
)
def test_a_faulty_entity_in_text_fails_the_check(lines, message):
    with pytest.raises(Failed, match=message):
        codec.entity(text(*lines))


def test_an_entity_in_json_is_read():
    found = codec.json_entity(
        {
            "kind": f"{INFRA}compute",
            "id": "7",
            "title": "t",
            "attributes": {"occi.compute.cores": 1},
            "links": [
                {
                    "kind": f"{INFRA}storagelink",
                    "id": "9",
                    "source": {"location": "/compute/7"},
                    "target": {"location": "/storage/1", "kind": f"{INFRA}storage"},
                }
            ],
            "actions": ["http://a/b#stop"],
        }
    )
    assert found.attributes == {"occi.core.id": "7", "occi.core.title": "t", "occi.compute.cores": 1}
    assert found.links[0].target == "/storage/1"
    assert found.links[0].categories == (f"{INFRA}storagelink",)
    assert found.actions == ("http://a/b#stop",)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"id": "7"}', b'{"kind": 7}'])
def test_a_faulty_entity_in_json_fails_the_check(body):
    with pytest.raises(Failed):
        codec.entity(answer(body, media=JSON))


@pytest.mark.parametrize(
    "model",
    [
        "[]",
        '{"kinds": {}}',
        '{"kinds": [{"term": "x"}]}',
        '{"kinds": [{"term": "x", "scheme": "http://a#", "attributes": {"a": "string"}}]}',
    ],
)
def test_a_faulty_model_in_json_fails_the_check(model):
    with pytest.raises(Failed):
        codec.categories(answer(model.encode(), media=JSON))


def test_a_model_in_json_is_read():
    model = {
        "kinds": [
            {
                "term": "x",
                "scheme": "http://a#",
                "parent": "http://a#p",
                "location": "/x/",
                "attributes": {"a.b": {"type": "number", "mutable": True, "default": 3}},
            }
        ],
        "mixins": [
            {"term": "m", "scheme": "http://a#", "depends": ["http://a#n"], "applies": ["http://a#x"]}
        ],
        "actions": [{"term": "go", "scheme": "http://a#"}],
    }
    kind, mixin, action = codec.categories(answer(json.dumps(model).encode(), media=JSON))
    assert (kind.id, kind.class_, kind.rel, kind.location) == ("http://a#x", "kind", ("http://a#p",), "/x/")
    told = kind.properties["a.b"]
    assert (told.type, told.mutable, told.required, told.default) == ("number", True, False, 3)
    assert (mixin.rel, mixin.applies, action.class_) == (("http://a#n",), ("http://a#x",), "action")


def test_locations_are_read_in_each_rendering():
    uris = ["http://h/1", "http://h/2"]
    plain = text(*(f"X-OCCI-Location: {uri}" for uri in uris))
    headers = answer(b"OK", HEADERS, headers=(("X-OCCI-Location", ", ".join(uris)),))
    listed = answer(("# a note\r\n" + "\r\n".join(uris) + "\r\n").encode(), URI_LIST)
    assert [codec.locations(each) for each in (plain, headers, listed)] == [uris] * 3
    assert codec.locations(answer(json.dumps(uris).encode(), JSON)) == uris


# Checks that notice -------------------------------------------------------------------------------------

ACTION = "http://schemas.ogf.org/occi/infrastructure/network/action#"
ENDS = "occi.core.source{required} occi.core.target{required}"
NAMES_OF_NETWORKS = (
    "occi.network.vlan occi.network.label occi.network.state{immutable} occi.network.state.message{immutable}"
)
OF_NETWORKS = f'location="/network/"; attributes="{NAMES_OF_NETWORKS}"; actions="{ACTION}up {ACTION}down"'
MODEL = [
    f'Category: entity; scheme="{CORE}"; class="kind"; attributes="occi.core.id{{immutable}} occi.core.title"',
    f'Category: resource; scheme="{CORE}"; class="kind"; rel="{CORE}entity"; attributes="occi.core.summary"',
    f'Category: link; scheme="{CORE}"; class="kind"; rel="{CORE}entity"; attributes="{ENDS}"',
    f'Category: network; scheme="{INFRA}"; class="kind"; rel="{CORE}resource"; {OF_NETWORKS}',
    f'Category: up; scheme="{ACTION}"; class="action"',
    f'Category: down; scheme="{ACTION}"; class="action"',
]
READING = [
    "the_core_kinds_are_there",
    "categories_are_identified[text/plain]",
    "reserved_schemes_are_left_to_the_standard",
    "names_of_attributes_are_the_standards_or_a_domains",
    "kinds_have_one_parent[text/plain]",
    "core_kinds_have_their_parents",
    "core_kinds_have_their_attributes",
    "actions_belong_to_types[text/plain]",
    "actions_are_only_identifiers",
    "kinds_have_their_parent[network]",
    "attributes_are_told[occi.network.vlan]",
    "attributes_are_told[occi.network.state]",
    "actions_are_told[network up]",
]


def verdicts(*lines):
    session = OcciSession(Stub(**{"GET /-/": text(*lines)}))
    checks = [check for check in SUITE.checks if check.id in READING]
    return {each.id: each.verdict for each in Run(SUITE, session)(checks).results}


def test_a_sound_model_passes():
    assert verdicts(*MODEL) == dict.fromkeys(READING, Verdict.PASSED)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("the_core_kinds_are_there", "link;", "lnk;"),
        ("reserved_schemes_are_left_to_the_standard", "network; scheme", "cluster; scheme"),
        ("names_of_attributes_are_the_standards_or_a_domains", "occi.network.vlan", "occi.network.colour"),
        ("kinds_have_one_parent[text/plain]", f'rel="{CORE}resource"', 'rel="http://a/b#gone"'),
        ("kinds_have_one_parent[text/plain]", f'; rel="{CORE}resource"', ""),
        ("core_kinds_have_their_parents", f'rel="{CORE}resource"', f'rel="{CORE}link"'),
        ("kinds_have_their_parent[network]", f'rel="{CORE}resource"', f'rel="{CORE}entity"'),
        ("core_kinds_have_their_attributes", "occi.core.id{immutable}", "occi.core.id"),
        ("core_kinds_have_their_attributes", "occi.core.target{required}", "occi.core.target"),
        ("actions_belong_to_types[text/plain]", f"{ACTION}up ", ""),
        ("actions_belong_to_types[text/plain]", "Category: down", "Category: sideways"),
        ("actions_are_told[network up]", f"{ACTION}up ", ""),
        ("attributes_are_told[occi.network.vlan]", "occi.network.vlan ", ""),
        ("attributes_are_told[occi.network.state]", "occi.network.state{immutable}", "occi.network.state"),
    ],
)
def test_a_faulty_model_is_noticed(check, old, new):
    broken = [line.replace(old, new) for line in MODEL]
    assert broken != MODEL
    assert verdicts(*broken)[check] is Verdict.FAILED


def test_a_model_that_does_not_follow_the_grammar_is_noticed():
    broken = [line.replace('class="kind"', 'class="sort"') for line in MODEL]
    assert Verdict.FAILED in set(verdicts(*broken).values())


def test_all_that_is_not_offered_is_absent():
    session = OcciSession(Stub(**{"GET /-/": text(*MODEL)}))
    checks = [check for check in SUITE.checks if check.id == "kinds_have_their_parent[compute]"]
    assert Run(SUITE, session)(checks).results[0].verdict is Verdict.ABSENT


# Reports ------------------------------------------------------------------------------------------------

NASTY = "a <b>&\"'\x00\x1b[31m]]> ü € [/] [bold]"


def result(**fields):
    return Result(
        **{
            "id": "check",
            "cites": ("R-0",),
            "level": Level.MUST,
            "title": "A title.",
            "verdict": Verdict.PASSED,
            "message": "",
            "seconds": 0.5,
            **fields,
        }
    )


def report_of(*results):
    rows = (
        Requirement(id="R-0", level=Level.MUST, clause="1", text="It is so."),
        Requirement(id="R-1", level=Level.SHOULD, clause="2", text="It should be.", versions=("1.2",)),
        Requirement(id="R-2", level=Level.MAY, clause="3", text="It may.", unjudged="Nobody can tell."),
    )
    return Report(
        suite="made",
        endpoint="http://cloud.example.org",
        server="server/1 OCCI/1.1",
        began=1_800_000_000.0,
        seconds=12.0,
        read_only=False,
        results=results,
        requirements=rows,
    )


EXCHANGE = Exchange(
    method="POST",
    url="http://cloud.example.org/compute/",
    sent=(("Authorization", "Basic ***"), ("X-Nasty", NASTY)),
    body=NASTY * 300,
    status=500,
    reason="Oops",
    received=(("Server", "x"),),
    answer=NASTY,
)
WHOLE = report_of(
    result(id="good"),
    result(id="bad", verdict=Verdict.FAILED, message=NASTY, exchanges=(EXCHANGE,) * 20),
    result(id="ours", cites=("R-1",), level=Level.SHOULD, verdict=Verdict.BROKEN, exchanges=(EXCHANGE,)),
    result(id="later", cites=("R-1",), verdict=Verdict.UNKNOWN, message="why"),
    result(id="none", cites=("R-1",), verdict=Verdict.ABSENT, litter=("left behind",)),
)


def test_json_has_everything():
    document = json.loads(as_json.rendered(WHOLE))
    assert [each["id"] for each in document["results"]] == ["good", "bad", "ours", "later", "none"]
    assert document["results"][1]["exchanges"][0]["answer"] == NASTY
    assert [(each["id"], each["verdict"]) for each in document["matrix"]] == [
        ("R-0", "failed"),
        ("R-1", "broken"),
        ("R-2", None),
    ]
    assert document["matrix"][1]["checks"] == ["ours", "later", "none"]


def test_junit_is_xml_with_a_case_for_each_check():
    root = etree.fromstring(as_junit.rendered(WHOLE))
    (suite,) = root
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [
        [],
        ["failure"],
        ["error"],
        ["skipped"],
        ["skipped"],
    ]
    assert cases[1].get("name") == "bad (R-0)"
    assert "POST http://cloud.example.org/compute/" in cases[1][0].text
    assert "8 earlier exchanges" in cases[1][0].text


def test_html_is_one_page_that_needs_nothing_else():
    page = as_html.rendered(WHOLE)
    assert page.startswith(b"<!DOCTYPE html>")
    document = lxml_html.document_fromstring(page, parser=lxml_html.HTMLParser(encoding="utf-8"))
    assert not document.xpath("//script | //link | //img | //iframe | //object | //*[@src] | //*[@href]")
    assert b"url(" not in page
    assert b"@import" not in page
    rows = {row.get("id"): row.xpath("string(td[last()])") for row in document.xpath("//tr[@id]")}
    assert rows == {"R-0": "failed", "R-1": "broken", "R-2": "not judged"}
    assert "Nobody can tell." in document.text_content()
    assert not document.xpath("//b"), "what came from outside is text, never markup"


class Nesting(HTMLParser):
    """Fails where an element ends that is not the one begun last; some never end."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "br", "hr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed():
    page = Nesting()
    page.feed(as_html.rendered(WHOLE).decode())
    page.close()
    assert page.open == []


def test_the_table_shows_sums_failures_and_what_was_left():
    console = Console(file=StringIO(), width=160, no_color=True)
    as_table.show(console, WHOLE)
    shown = console.file.getvalue()
    assert "made at http://cloud.example.org" in shown
    for wanted in ("MUST", "SHOULD", "MAY", "server/1 OCCI/1.1", "not cleaned up left behind", "[bold]"):
        assert wanted in shown
    brief = Console(file=StringIO(), width=160, no_color=True)
    as_table.show(brief, WHOLE, exchanges=False)
    assert "POST http://cloud.example.org" not in brief.file.getvalue()


def test_an_empty_report_is_a_report():
    empty = report_of()
    assert json.loads(as_json.rendered(empty))["results"] == []
    assert etree.fromstring(as_junit.rendered(empty))[0].get("tests") == "0"
    assert b"not judged" in as_html.rendered(empty)
    assert math.isclose(empty.seconds, 12.0)
