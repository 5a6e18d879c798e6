"""Requests made up from the service model, for every operation: no fault of the server, no stray word.

Whatever is asked, the answer is one of two. A refusal has a known code, a sentence and a request id, and has
changed nothing. A reply is what botocore's model says of it, to the last member, and says all that the real
service always says (``ec2_always.toml``).

``ISTHMUS_TEST_EXAMPLES`` is the number of requests for each operation; without it few enough for every day.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from ec2_codes import CODES, SERVER_CODES
from ec2_documented import documented_filters
from ec2_population import Population, text_of
from ec2_replies import expected, lacking, read, unreviewed
from ec2_requests import Generator
from ec2_valid import valid_requests, wire, with_more
from hypothesis import HealthCheck, Phase, example, given, settings

from ec2.errors import http_status
from ec2.service import EC2, LISTS

EXAMPLES = int(os.environ.get("ISTHMUS_TEST_EXAMPLES", "0"))
SERVED = sorted(EC2.endpoints)
EMPTY = sorted(LISTS.endpoints)
RULES = expected()
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def populated(tmp_path_factory) -> Iterator[Population]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Population(monkeypatch, tmp_path_factory.mktemp("exports"))


def profile(examples: int):
    """Always the same requests, and as small as they can be when one of them shows a fault."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def judge(populated: Population, name: str, pairs: list[tuple[str, str]]) -> None:
    """Send a request and hold its answer to what is promised; the cloud is as before afterwards."""
    try:
        reply = populated.post(pairs, name)
        if reply.status_code == 200:
            seen, wrong = read(reply.content, name)
            assert wrong == []
            if name in LISTS.endpoints:
                (only,) = seen
                assert only.members == {each.name for each in LISTS.endpoints[name].shape.output.members}
            else:
                assert list(lacking(seen, RULES)) == []
        else:
            code, message = text_of(reply, "Code") or "", text_of(reply, "Message")
            assert code in CODES or code in SERVER_CODES, f"{code}: {message}"
            assert reply.status_code == http_status(code)
            assert message, f"{code} without a sentence"
            assert _UUID.fullmatch(text_of(reply, "RequestID") or "")
            assert not populated.changed(), f"{code} has changed something"
    finally:
        if populated.changed():
            populated.restore()


def generator(populated: Population, name: str) -> Generator:
    filters = {name: documented_filters(name)}
    seeds = {name: [wire(name, each) for each in valid_requests(populated.named).get(name, ())]}
    return Generator(populated.mine, populated.theirs, filters, seeds)


def test_every_member_of_the_model_is_reviewed():
    assert list(unreviewed(RULES)) == []


#: Operations of which no request succeeds on a cloud that has everything.
NEVER_RIGHT = {
    "CreateDefaultVpc": "there is one",
    "DescribeSpotDatafeedSubscription": "there is none",
}


@pytest.mark.parametrize("name", SERVED)
def test_requests_that_are_right(populated, name):
    """Each operation has some; the reply says all, and of the tags that the request brought, too."""
    requests = valid_requests(populated.named).get(name, ())
    assert requests, "ec2_valid.py needs a request that succeeds"
    for request in (each for first in requests for each in with_more(name, first)):
        try:
            reply = populated.post(wire(name, request), name)
            told = (reply.status_code, text_of(reply, "Code"), text_of(reply, "Message"))
            assert (reply.status_code == 200) != (name in NEVER_RIGHT), (request, told)
            if reply.status_code == 200:
                seen, wrong = read(reply.content, name)
                assert wrong == []
                assert list(lacking(seen, RULES)) == []
                if "Made" in str(request) and tells_tags(name):
                    assert "Made" in reply.text
        finally:
            populated.restore()


def tells_tags(name: str) -> bool:
    """Whether the reply of an operation has a place for the tags of what was made."""
    return name not in {"CopyImage", "CreateImage", "RegisterImage", "AllocateAddress"}


@pytest.mark.parametrize("name", SERVED)
def test_made_up_requests(populated, name):
    @profile(15)
    @example([])
    @given(generator(populated, name).requests(name, EC2.endpoints[name].shape.input))
    def check(pairs):
        judge(populated, name, pairs)

    check()


@pytest.mark.parametrize("name", EMPTY)
def test_made_up_requests_for_what_there_is_none_of(populated, name):
    @profile(3)
    @example([])
    @given(generator(populated, name).requests(name, LISTS.endpoints[name].shape.input))
    def check(pairs):
        judge(populated, name, pairs)

    check()
