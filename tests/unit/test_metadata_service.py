"""Who may read metadata: versions 1 and 2 of the service, tokens, methods, paths, and how much one may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_guest import SECRET, TOKEN, TTL, Guest, primary, service_of
from simulation import Clock, Cloud, Op

from backend.commands import CreateTags
from backend.model import MetadataOptions
from backend.network_commands import AllocateAddress, AssociateAddress, CreateSecurityGroup, ModifyNic
from gateway.metadata.guests import Guests
from gateway.metadata.service import MetadataService, Request, refusal, segments
from gateway.metadata.throttle import Throttle
from gateway.metadata.tokens import Tokens

ID = "/latest/meta-data/instance-id"


@pytest.fixture(scope="module")
def cloud():
    return Cloud()


def guest_of(cloud, **options):
    instance = cloud.started(metadata=MetadataOptions(**options))
    return Guest(service_of(cloud), primary(cloud, instance)), instance


@pytest.fixture(scope="module")
def optional(cloud):
    return guest_of(cloud)


@pytest.fixture(scope="module")
def required(cloud):
    return guest_of(cloud, tokens="required")


# Tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", ["1", "60", "21600"])
def test_a_token_is_given_for_as_long_as_asked(optional, seconds):
    guest, _ = optional
    found = guest.ask("/latest/api/token", "PUT", **{TTL: seconds})
    assert found.status == 200
    assert found.media == "text/plain"
    assert found.headers == {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": seconds}
    assert guest.ask(ID, **{TOKEN: found.body.decode()}).status == 200


@pytest.mark.parametrize(
    "seconds", ["0", "21601", "-1", "1.5", "x", "", " ", "1e3", "٣", "99999999999999999"]
)
def test_a_bad_time_to_live_is_refused(optional, seconds):
    guest, _ = optional
    assert guest.ask("/latest/api/token", "PUT", **{TTL: seconds}).status == 400


def test_a_token_needs_a_time_to_live(optional):
    guest, _ = optional
    assert guest.ask("/latest/api/token", "PUT").status == 400


def test_two_times_to_live_are_refused(optional):
    guest, _ = optional
    twice = ((TTL.lower(), "60"), (TTL.lower(), "60"))
    request = Request(method="PUT", target="/latest/api/token", headers=twice)
    assert guest.service.answer(request, guest.nic_id).status == 400


def test_no_token_goes_through_a_proxy(optional):
    guest, _ = optional
    refused = guest.ask("/latest/api/token", "PUT", **{TTL: "60", "X-Forwarded-For": "10.0.0.1"})
    assert refused.status == 403
    assert b"<h1>403 - Forbidden</h1>" in refused.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_token_is_got_by_put_alone(optional, method):
    guest, _ = optional
    refused = guest.ask("/latest/api/token", method, **{TTL: "60"})
    assert (refused.status, refused.headers) == (405, {"Allow": "PUT"})


def test_only_the_latest_version_gives_tokens(optional):
    guest, _ = optional
    assert guest.ask("/2021-03-23/api/token", "PUT", **{TTL: "60"}).status == 405
    assert guest.ask("/latest/api").status == 404


def test_a_token_travels_no_farther_than_the_instance_allows(cloud):
    guest, _ = guest_of(cloud, hop_limit=7)
    assert guest.ask("/latest/api/token", "PUT", **{TTL: "60"}).hop_limit == 7
    assert guest.ask("/latest/api/token", "PUT", **{TTL: "0"}).hop_limit == 7
    assert guest.ask(ID).hop_limit is None


def test_tokens_are_never_alike(optional):
    guest, _ = optional
    assert len({guest.token() for _ in range(100)}) == 100


def test_the_token_left_is_told_with_every_answer(cloud, optional):
    guest, _ = optional
    token = guest.token(100)
    cloud.clock.advance(40)
    assert int(guest.ask(ID, **{TOKEN: token}).headers["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"]) in {59, 60}


def test_a_token_ends(cloud, required):
    guest, _ = required
    token = guest.token(10)
    cloud.clock.advance(8)
    assert guest.ask(ID, **{TOKEN: token}).status == 200
    cloud.clock.advance(3)
    assert guest.ask(ID, **{TOKEN: token}).status == 401


def test_a_token_is_one_instances(cloud, required, optional):
    guest, _ = required
    other, _ = guest_of(cloud, tokens="required")
    assert guest.ask(ID, **{TOKEN: other.token()}).status == 401
    assert guest.ask(ID, **{TOKEN: optional[0].token()}).status == 401
    assert guest.ask(ID, **{TOKEN: guest.token()}).status == 200


def test_a_token_of_another_installation_is_worth_nothing(cloud, required):
    guest, instance = required
    forged = Tokens("another secret", cloud.clock).issue(instance.id, 600)
    assert guest.ask(ID, **{TOKEN: forged}).status == 401
    assert guest.ask(ID, **{TOKEN: Tokens(SECRET, cloud.clock).issue(instance.id, 600)}).status == 200


def test_a_changed_token_is_worth_nothing(required):
    guest, _ = required
    token = guest.token(1)
    ends, dash, rest = token.partition("-")
    later = f"{int(ends, 16) + 3600:x}{dash}{rest}"
    assert guest.ask(ID, **{TOKEN: later}).status == 401
    assert guest.ask(ID, **{TOKEN: token[:-1]}).status == 401
    assert guest.ask(ID, **{TOKEN: token.swapcase()}).status == 401
    assert guest.ask(ID, **{TOKEN: "A" * 10_000}).status == 401


@given(st.text(max_size=120))
def test_nothing_but_a_token_is_a_token(text):
    assert Tokens(SECRET, Clock()).left("i-1", text) is None


# Versions 1 and 2 ---------------------------------------------------------------------------------------


def test_without_a_token_when_that_is_allowed(optional):
    guest, instance = optional
    found = guest.ask(ID)
    assert (found.status, found.body.decode()) == (200, instance.id)
    assert "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" not in found.headers


def test_without_a_token_when_one_is_required(required):
    guest, instance = required
    refused = guest.ask(ID)
    assert refused.status == 401
    assert b"<title>401 - Unauthorized</title>" in refused.body
    assert guest.ask("/latest/no-such-thing").status == 401
    assert guest.ask(ID, **{TOKEN: ""}).status == 401
    assert guest.ask(ID, **{TOKEN: guest.token()}).body.decode() == instance.id


def test_a_wrong_token_is_refused_even_where_none_is_needed(optional):
    guest, _ = optional
    assert guest.ask(ID, **{TOKEN: "rubbish"}).status == 401
    twice = ((TOKEN.lower(), guest.token()), (TOKEN.lower(), guest.token()))
    assert guest.service.answer(Request(method="GET", target=ID, headers=twice), guest.nic_id).status == 401


def test_reading_through_a_proxy_is_allowed(optional):
    guest, _ = optional
    assert guest.ask(ID, **{"X-Forwarded-For": "10.0.0.1"}).status == 200


def test_a_disabled_service_says_nothing(cloud):
    guest, _ = guest_of(cloud, endpoint=False)
    assert {
        guest.ask(ID).status,
        guest.ask("/").status,
        guest.ask("/nothing").status,
        guest.ask("/latest/api/token", "PUT", **{TTL: "60"}).status,
    } == {403}


def test_a_change_of_the_options_holds_at_once(cloud):
    guest, instance = guest_of(cloud)
    token = guest.token()
    for options, bare, with_token in (
        (MetadataOptions(tokens="required"), 401, 200),
        (MetadataOptions(endpoint=False), 403, 403),
        (MetadataOptions(), 200, 200),
    ):
        with cloud.store.begin() as tx:
            current = tx.instances.get(instance.id)
            assert current is not None
            tx.instances.update(current, metadata=options)
        assert guest.ask(ID).status == bare
        assert guest.ask(ID, **{TOKEN: token}).status == with_token


def test_an_interface_of_nobody_finds_nothing(cloud):
    nobody = Guest(service_of(cloud), "eni-00000000000000000")
    assert nobody.ask(ID).status == 404
    assert nobody.ask("/latest/api/token", "PUT", **{TTL: "60"}).status == 404


def test_each_interface_is_told_of_its_own_instance(cloud, optional, required):
    theirs, _ = guest_of(cloud)
    assert theirs.ask(ID).body != optional[0].ask(ID).body


# Methods, paths, conditions -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"])
def test_metadata_is_only_read(optional, method):
    guest, _ = optional
    refused = guest.ask(ID, method)
    assert (refused.status, refused.headers) == (405, {"Allow": "GET, HEAD"})


def test_head_is_answered_like_get(optional):
    guest, _ = optional
    assert guest.ask(ID, "HEAD") == guest.ask(ID)


@pytest.mark.parametrize(
    "target",
    [
        "/latest/meta-data/instance-id/",
        "//latest//meta-data///instance-id",
        "/latest/meta%2Ddata/instance%2did",
        "/latest/meta-data/instance-id?recursive=true",
        "/latest/meta-data/instance-id?",
        "http://169.254.169.254/latest/meta-data/instance-id",
        "http://example.org:8080/latest/meta-data/instance-id",
        "/%6Catest/meta-data/instance-id",
    ],
)
def test_other_spellings_of_a_path(optional, target):
    guest, instance = optional
    assert guest.ask(target).body.decode() == instance.id


@pytest.mark.parametrize(
    "target",
    [
        "/latest/meta-data/../meta-data/instance-id",
        "/latest/meta-data/%2e%2e/user-data",
        "/latest%2Fmeta-data%2Finstance-id",
        "/latest/meta-data/instance-id/more",
        "/latest/meta-data/instance-id%00",
        "/latest/meta-data/instance-id%20",
        "/Latest/meta-data/instance-id",
        "/../../etc/passwd",
        "/etc/passwd",
        "/latest/meta-data/%",
        "/latest/meta-data/%zz",
        "latest/meta-data/instance-id/x",
        "*",
        "/" + "a" * 5000,
        "/" + "a/" * 5000,
    ],
)
def test_what_is_no_path_of_ours_is_not_found(optional, target):
    guest, _ = optional
    refused = guest.ask(target)
    assert refused.status == 404
    assert refused.media == "text/html"


@given(st.text())
def test_any_target_has_a_path(target):
    assert all(segments(target))


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=10), max_size=6))
def test_a_quoted_path_comes_back_whole(parts):
    from urllib.parse import quote

    assert segments("/" + "/".join(quote(part, safe="") for part in parts)) == tuple(parts)


def test_the_page_of_an_error_is_amazons():
    assert refusal(404).body.decode() == (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        '\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        " <head>\n  <title>404 - Not Found</title>\n </head>\n"
        " <body>\n  <h1>404 - Not Found</h1>\n </body>\n</html>\n"
    )


def test_what_has_not_changed_is_not_sent_again(optional):
    guest, _ = optional
    first = guest.ask(ID)
    assert first.headers["Last-Modified"].endswith(" GMT")
    again = guest.ask(ID, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert guest.ask(ID, **{"If-None-Match": 'W/"x", ' + first.headers["ETag"]}).status == 304
    assert guest.ask(ID, **{"If-None-Match": '"other"'}).status == 200
    assert guest.ask("/latest/meta-data/", **{"If-None-Match": first.headers["ETag"]}).status == 200


# What is kept -------------------------------------------------------------------------------------------


class Counted:
    """The reads of networks, and how often a whole view was asked for."""

    def __init__(self, networks):
        self.networks = networks
        self.guest_mark = networks.guest_mark
        self.views = 0

    def guest(self, nic_id):
        self.views += 1
        return self.networks.guest(nic_id)


def test_a_boot_asks_the_database_for_everything_once(cloud, optional):
    networks, clock = Counted(cloud.engine.networks), Clock()
    guests = Guests(networks, clock=lambda: clock.now)
    assert all(guests(optional[0].nic_id) == guests(optional[0].nic_id) for _ in range(20))
    assert networks.views == 1
    clock.advance(5)  # what no version tells of is seen by then
    guests(optional[0].nic_id)
    assert networks.views == 2


def test_what_changes_is_told_with_the_next_answer(cloud):
    guest, instance = guest_of(cloud, tags=True)
    assert guest.ask("/latest/meta-data/tags/instance/Name").status == 404
    cloud.engine.execute(cloud.caller, CreateTags(ids=(instance.id,), tags=(("Name", "web"),)))
    assert guest.read("meta-data/tags/instance/Name") == "web"
    lent = guest.read("meta-data/public-ipv4")
    address = cloud.engine.execute(cloud.caller, AllocateAddress())
    cloud.engine.execute(cloud.caller, AssociateAddress(allocation_id=address.id, instance_id=instance.id))
    assert guest.read("meta-data/public-ipv4") == address.ip != lent
    group = cloud.engine.execute(cloud.caller, CreateSecurityGroup(name="front", description="x"))
    cloud.engine.execute(cloud.caller, ModifyNic(nic_id=guest.nic_id, groups=(group.id,)))
    assert guest.read("meta-data/security-groups") == "front"


def test_the_guest_of_an_ended_instance_is_told_nothing(cloud):
    guest, instance = guest_of(cloud)
    assert guest.ask(ID).status == 200
    cloud.operate(Op.TERMINATE, instance)
    cloud.quiesce()
    assert guest.ask(ID).status == 404


# How much -----------------------------------------------------------------------------------------------


def test_a_guest_that_asks_too_much_is_slowed_and_no_other(cloud, optional):
    clock = Clock()
    service = service_of(cloud, Throttle(rate=10, burst=20, clock=lambda: clock.now))
    greedy = Guest(service, optional[0].nic_id)
    modest = Guest(service, guest_of(cloud)[0].nic_id)
    assert [greedy.ask(ID).status for _ in range(25)] == [200] * 20 + [429] * 5
    assert greedy.ask(ID).headers == {"Retry-After": "1"}
    assert greedy.ask("/latest/api/token", "PUT", **{TTL: "60"}).status == 429
    assert modest.ask(ID).status == 200
    clock.advance(0.5)
    assert [greedy.ask(ID).status for _ in range(6)] == [200] * 5 + [429]
    clock.advance(3600)
    assert [greedy.ask(ID).status for _ in range(21)] == [200] * 20 + [429]


def test_a_boot_is_not_slowed():
    throttle = Throttle(clock=lambda: 0.0)
    assert all(throttle.passes("eni-1") for _ in range(400))
    assert not throttle.passes("eni-1")


def test_a_throttled_guest_costs_no_look_at_the_database():
    def broken(_nic_id):
        raise AssertionError("the database was asked")

    service = MetadataService(broken, Tokens(SECRET, Clock()), Throttle(rate=0, burst=0, clock=lambda: 0.0))
    assert service.answer(Request(method="GET", target="/"), "eni-1").status == 429
