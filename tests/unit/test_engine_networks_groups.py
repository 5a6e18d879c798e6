"""Security groups in the engine: rules as they are kept, what is refused, and what the network is told."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_cloud import network_cloud
from network_deeds import (
    default_group,
    default_vpc,
    do,
    follows,
    nics_of,
    refusal,
    rules_of,
    subnet_in,
    told,
)
from simulation import ADMIN, Cloud

from backend.commands import NicRequest, SetQuota
from backend.engine.security_groups import _ports, normal_cidr, normal_protocol
from backend.errors import BackendError, Code
from backend.network_commands import (
    AuthorizeRules,
    CreateNic,
    CreateSecurityGroup,
    CreateVpc,
    DeleteSecurityGroup,
    DescribeRules,
    ModifyNic,
    ModifyRules,
    ModifySecurityGroup,
    RevokeRules,
    RuleSpec,
)
from backend.network_model import ANYWHERE, SecurityGroup


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


@pytest.fixture
def web(cloud) -> SecurityGroup:
    return group_of(cloud, "web")


def group_of(cloud, name, **parameters) -> SecurityGroup:
    return do(cloud, CreateSecurityGroup(name=name, description="d", **parameters))


def tcp(port=22, cidr=ANYWHERE, **parameters) -> RuleSpec:
    known = {"egress": False, "protocol": "tcp", "from_port": port, "to_port": port, "cidr": cidr}
    return RuleSpec(**{**known, **parameters})


def said(cloud, group):
    """The rules of a group without their ids."""
    return {
        (rule.egress, rule.protocol, rule.from_port, rule.to_port, rule.cidr or rule.peer_group_id)
        for rule in rules_of(cloud, group)
    }


EVERYTHING_OUT = (True, "-1", -1, -1, ANYWHERE)


# How rules are kept -------------------------------------------------------------------------------------

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(addresses, st.integers(0, 128))
def test_a_cidr_is_kept_as_its_network(address, length):
    length = min(length, address.max_prefixlen)
    kept = normal_cidr(f" {address}/{length} ")
    network = ipaddress.ip_network(kept)
    assert address in network
    assert network.prefixlen == length
    assert normal_cidr(kept) == kept
    assert all(normal_cidr(f"{other}/{length}") == kept for other in (network[0], network[-1]))


@given(addresses)
def test_a_bare_address_is_that_address_alone(address):
    assert ipaddress.ip_network(normal_cidr(str(address))).num_addresses == 1


@given(st.text(max_size=20))
def test_any_text_is_a_cidr_or_refused(text):
    try:
        kept = normal_cidr(text)
    except BackendError as refused:
        assert refused.code is Code.PARAMETER_INVALID  # noqa: PT017
    else:
        assert str(ipaddress.ip_network(kept)) == kept


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.0.0", "10.0.0.0/-1", "::/129", "0.0.0.0/0/0", "any"])
def test_what_is_no_cidr(text):
    with pytest.raises(BackendError) as refused:
        normal_cidr(text)
    assert refused.value.context["parameter"] == "cidrIp"


@given(st.text(max_size=6) | st.integers(-2, 300).map(str))
def test_a_protocol_has_one_name(text):
    try:
        kept = normal_protocol(text)
    except BackendError as refused:
        assert refused.code is Code.PARAMETER_INVALID  # noqa: PT017
        return
    assert normal_protocol(kept) == kept
    named = kept in {"tcp", "udp", "icmp", "icmpv6", "-1"}
    assert named or (0 <= int(kept) <= 255 and kept not in {"1", "6", "17", "58"})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("TCP", "tcp"),
        ("6", "tcp"),
        ("17", "udp"),
        ("1", "icmp"),
        ("58", "icmpv6"),
        ("all", "-1"),
        ("47", "47"),
        ("047", "47"),
        ("006", "tcp"),
    ],
)
def test_protocols_by_name_and_number(text, kept):
    assert normal_protocol(text) == kept


ports = st.none() | st.integers(-3, 70_000)


@given(st.sampled_from(["tcp", "udp", "icmp", "icmpv6", "-1", "47"]), ports, ports)
def test_ports_are_in_order_and_in_range(protocol, first, last):
    spec = RuleSpec(egress=False, protocol=protocol, from_port=first, to_port=last, cidr=ANYWHERE)
    try:
        kept = _ports(protocol, spec)
    except BackendError as refused:
        assert (refused.code, refused.context["parameter"]) == (Code.PARAMETER_INVALID, "portRange")  # noqa: PT017
        assert protocol in {"tcp", "udp", "icmp", "icmpv6"}
        return
    if protocol in {"tcp", "udp"}:
        assert 0 <= kept[0] <= kept[1] <= 65535
        assert kept == ((0, 65535) if (first, last) == (-1, -1) else (first, last))
    elif protocol in {"icmp", "icmpv6"}:
        assert -1 <= kept[0] <= 255
        assert kept[1] == -1 or kept[0] != -1
    else:
        assert kept == (-1, -1)


# Groups -------------------------------------------------------------------------------------------------


def test_a_group_lets_everything_out_and_nothing_in(cloud):
    group, scopes = told(cloud, CreateSecurityGroup(name="web", description="d", tags=(("a", "b"),)))
    assert (group.vpc_id, group.description, scopes) == (default_vpc(cloud).id, "d", {group.id})
    assert said(cloud, group) == {EVERYTHING_OUT}
    bare = group_of(cloud, "bare", rules=())
    assert said(cloud, bare) == set()
    follows(cloud)
    assert group.id in cloud.network.there
    gone, scopes = told(cloud, DeleteSecurityGroup(group_id=group.id))
    assert (gone.id, scopes) == (group.id, {group.id})
    follows(cloud)
    assert group.id not in cloud.network.there
    with cloud.store.read() as tx:
        assert tx.tags.of([group.id]) == {}
        assert tx.security_rules.of_group(group.id) == []


def test_the_default_group_hears_its_members(cloud):
    group = default_group(cloud)
    assert said(cloud, group) == {EVERYTHING_OUT, (False, "-1", -1, -1, group.id)}
    kept = refusal(cloud, DeleteSecurityGroup(group_id=group.id))
    assert (kept.code, kept.context["ids"]) == (Code.GROUP_IS_DEFAULT, (group.id,))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", Code.PARAMETER_INVALID),
        ("x" * 256, Code.PARAMETER_INVALID),
        ("a\nb", Code.PARAMETER_INVALID),
        ("default", Code.PARAMETER_INVALID),
        ("sg-mine", Code.PARAMETER_INVALID),
    ],
)
def test_names_that_no_group_has(cloud, name, code):
    assert refusal(cloud, CreateSecurityGroup(name=name, description="")).code is code


def test_a_name_is_one_groups_in_a_vpc(cloud, web):
    again = refusal(cloud, CreateSecurityGroup(name="web", description=""))
    assert again.code is Code.GROUP_EXISTS
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    assert group_of(cloud, "web", vpc_id=vpc.id).id != web.id


def test_a_tenant_has_so_many_groups_and_rules_and_no_more(cloud, web):
    used = len(cloud.engine.networks.all(cloud.caller, SecurityGroup))
    limits = {"security_groups": used, "security_group_rules": 2}
    do(cloud, SetQuota(tenant_id=cloud.tenant.id, quotas=limits), ADMIN)
    over = refusal(cloud, CreateSecurityGroup(name="more", description=""))
    assert (over.code, over.context["limit"]) == (Code.QUOTA_GROUPS, used)
    do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(1), tcp(2))))
    full = refusal(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(3),)))
    assert (full.code, full.context["limit"]) == (Code.QUOTA_RULES, 2)
    do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(3, egress=True),)))  # each way counts by itself
    replaced = ModifySecurityGroup(group_id=web.id, rules=(tcp(4), tcp(5)))
    assert len(do(cloud, replaced) and rules_of(cloud, web)) == 2
    many = refusal(cloud, ModifySecurityGroup(group_id=web.id, rules=(tcp(4), tcp(5), tcp(6))))
    assert many.code is Code.QUOTA_RULES


def test_a_group_that_something_uses_stays(cloud, web):
    other = group_of(cloud, "other")
    do(cloud, AuthorizeRules(group_id=other.id, rules=(tcp(cidr="", peer_group="web"),)))
    held = refusal(cloud, DeleteSecurityGroup(group_id=web.id))
    assert (held.code, held.context["ids"]) == (Code.DEPENDENCY, (web.id,))
    do(cloud, ModifySecurityGroup(group_id=other.id, rules=()))
    nic = do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet_in(cloud).id, groups=("web",))))
    assert refusal(cloud, DeleteSecurityGroup(group_id=web.id)).code is Code.DEPENDENCY
    do(cloud, ModifyNic(nic_id=nic.id, groups=("default",)))
    do(
        cloud, AuthorizeRules(group_id=web.id, rules=(tcp(cidr="", peer_group=web.id),))
    )  # its own holds nothing
    do(cloud, DeleteSecurityGroup(group_id=web.id))


# Rules --------------------------------------------------------------------------------------------------


def test_rules_are_added_all_or_none(cloud, web):
    specs = (tcp(22), tcp(80, cidr="10.0.0.7/8"), tcp(443, cidr="", peer_group="default"))
    command = AuthorizeRules(group_id=web.id, rules=specs, tags=(("a", "b"),))
    made, scopes = told(cloud, command)
    assert scopes == {web.id}
    default = default_group(cloud).id
    assert said(cloud, web) == {
        EVERYTHING_OUT,
        (False, "tcp", 22, 22, ANYWHERE),
        (False, "tcp", 80, 80, "10.0.0.0/8"),
        (False, "tcp", 443, 443, default),
    }
    with cloud.store.read() as tx:
        assert tx.tags.of([rule.id for rule in made]) == {rule.id: {"a": "b"} for rule in made}
    again = refusal(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(23), tcp(80, cidr="10.1.1.1/8"))))
    assert (again.code, again.message) == (
        Code.RULE_EXISTS,
        'the specified rule "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW" already exists',
    )
    assert len(rules_of(cloud, web)) == 4
    follows(cloud)


@pytest.mark.parametrize(
    ("spec", "parameter"),
    [
        (tcp(22, to_port=None), "portRange"),
        (tcp(22, to_port=21), "portRange"),
        (tcp(0, to_port=65536), "portRange"),
        (tcp(-1, to_port=5), "portRange"),
        (tcp(protocol="icmp", from_port=256, to_port=-1), "portRange"),
        (tcp(protocol="icmp", from_port=-1, to_port=0), "portRange"),
        (tcp(protocol="nonsense"), "protocol"),
        (tcp(protocol="256"), "protocol"),
        (tcp(protocol="-2"), "protocol"),
        (tcp(cidr="10.0.0.0/40"), "cidrIp"),
        (tcp(cidr=""), "ipPermissions"),
        (tcp(peer_group="web"), "ipPermissions"),
        (tcp(description="x" * 256), "description"),
        (tcp(description="a\nb"), "description"),
    ],
)
def test_permissions_that_are_none(cloud, web, spec, parameter):
    for command in (
        AuthorizeRules(group_id=web.id, rules=(spec,)),
        AuthorizeRules(group_id=web.id, rules=(tcp(1), spec)),
        ModifySecurityGroup(group_id=web.id, rules=(spec,)),
        CreateSecurityGroup(name="new", description="", rules=(spec,)),
    ):
        answer = refusal(cloud, command)
        assert (answer.code, answer.context["parameter"]) == (Code.PARAMETER_INVALID, parameter)


def test_one_permission_is_asked_for_once(cloud, web):
    twice = refusal(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(22), tcp(22, protocol="6"))))
    assert (twice.code, twice.context["parameter"]) == (Code.PARAMETER_INVALID, "ipPermissions")
    assert refusal(cloud, AuthorizeRules(group_id=web.id, rules=())).code is Code.PARAMETER_MISSING


def test_rules_are_taken_away_by_what_they_say_and_by_id(cloud, web):
    made = do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(1), tcp(2), tcp(3))))

    def revoke(*specs, ids=(), egress=False):
        return RevokeRules(group_id=web.id, egress=egress, rules=specs, rule_ids=ids)

    assert refusal(cloud, revoke(tcp(1), tcp(9))).code is Code.RULE_NOT_FOUND
    assert refusal(cloud, revoke(ids=(made[0].id,), egress=True)).code is Code.RULE_NOT_FOUND
    assert refusal(cloud, revoke(ids=(made[0].id, "sgr-none"))).code is Code.RESOURCE_NOT_FOUND
    foreign = rules_of(cloud, default_group(cloud))[0].id
    assert refusal(cloud, revoke(ids=(foreign,))).code is Code.RULE_NOT_FOUND
    gone, scopes = told(cloud, revoke(tcp(1, cidr="0.0.0.0/0"), ids=(made[1].id, made[1].id)))
    assert ({rule.id for rule in gone}, scopes) == ({made[0].id, made[1].id}, {web.id})
    assert [rule.id for rule in do(cloud, revoke(tcp(3), ids=(made[2].id,)))] == [made[2].id]
    assert said(cloud, web) == {EVERYTHING_OUT}
    assert do(cloud, revoke()) == ()
    follows(cloud)


def test_rules_are_replaced_by_id(cloud, web):
    first, second = do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(1), tcp(2))))

    def modify(*changes):
        return ModifyRules(group_id=web.id, changes=changes)

    changed, scopes = told(cloud, modify((first.id, tcp(7, cidr="10.0.0.0/8", egress=True, description="x"))))
    assert [(rule.id, rule.egress, rule.from_port, rule.description) for rule in changed] == [
        (first.id, False, 7, "x")
    ]
    assert scopes == {web.id}
    assert refusal(cloud, modify((first.id, tcp(2)))).code is Code.RULE_EXISTS
    assert {rule.from_port for rule in do(cloud, modify((first.id, tcp(2)), (second.id, tcp(7))))} == {2, 7}
    assert refusal(cloud, modify((first.id, tcp(5)), ("sgr-none", tcp(6)))).code is Code.RESOURCE_NOT_FOUND
    foreign = rules_of(cloud, default_group(cloud))[0].id
    assert refusal(cloud, modify((foreign, tcp(5)))).code is Code.RULE_NOT_FOUND
    follows(cloud)


def test_rules_are_replaced_together_and_those_that_stay_keep_their_ids(cloud, web):
    kept, gone = do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(1), tcp(2))))
    command = ModifySecurityGroup(group_id=web.id, rules=(tcp(1), tcp(3)), description="new")
    changed, scopes = told(cloud, command)
    assert (changed.description, scopes) == ("new", {web.id})
    now = {rule.from_port: rule.id for rule in rules_of(cloud, web)}
    assert set(now) == {1, 3}
    assert now[1] == kept.id
    assert gone.id not in now.values()
    described, scopes = told(cloud, ModifySecurityGroup(group_id=web.id, description="newer"))
    assert (described.description, scopes) == ("newer", set())
    follows(cloud)


def test_descriptions_of_rules(cloud, web):
    first, _ = do(cloud, AuthorizeRules(group_id=web.id, rules=(tcp(1), tcp(2))))
    command = DescribeRules(
        group_id=web.id, egress=False, rules=(tcp(2, description="two"),), descriptions=((first.id, "one"),)
    )
    _, scopes = told(cloud, command)
    assert scopes == set()  # packets do not read
    assert {r.from_port: r.description for r in rules_of(cloud, web) if not r.egress} == {1: "one", 2: "two"}
    missing = DescribeRules(group_id=web.id, egress=False, rules=(tcp(9, description="x"),))
    assert refusal(cloud, missing).code is Code.RULE_NOT_FOUND
    long = DescribeRules(group_id=web.id, egress=False, descriptions=((first.id, "x" * 256),))
    assert refusal(cloud, long).code is Code.PARAMETER_INVALID


def test_a_rule_is_in_force_on_a_running_guest_when_its_change_is_followed(cloud):
    instance = cloud.started(groups=("default",))
    [nic] = nics_of(cloud, instance)
    [group] = nic.groups
    do(cloud, AuthorizeRules(group_id=group, rules=(tcp(8080),)))
    cloud.settle()
    assert (False, "tcp", 8080, 8080, ANYWHERE, "") in cloud.network.there[group]
    assert cloud.engine.networks.unsettled([group]) == set()


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_permissions_are_kept_once_each(data):
    cloud = _shared()
    group = group_of(cloud, f"g{next(_numbers)}", rules=())
    drawn = st.builds(
        tcp,
        port=st.integers(1, 3),
        cidr=st.sampled_from(["10.0.0.0/8", "10.1.2.3/8", "0.0.0.0/0"]),
        egress=st.booleans(),
        protocol=st.sampled_from(["tcp", "6", "udp"]),
    )
    wanted = set()
    for spec in data.draw(st.lists(drawn, max_size=6)):
        key = (
            spec.egress,
            normal_protocol(spec.protocol),
            spec.from_port,
            spec.to_port,
            normal_cidr(spec.cidr),
        )
        if key in wanted:
            assert refusal(cloud, AuthorizeRules(group_id=group.id, rules=(spec,))).code is Code.RULE_EXISTS
        else:
            do(cloud, AuthorizeRules(group_id=group.id, rules=(spec,)))
        wanted.add(key)
        assert said(cloud, group) == wanted
    assume(wanted)
    gone = min(wanted)
    do(cloud, RevokeRules(
        group_id=group.id, egress=gone[0],
        rules=(RuleSpec(egress=gone[0], protocol=gone[1], from_port=gone[2], to_port=gone[3], cidr=gone[4]),),
    ))  # fmt: skip
    assert said(cloud, group) == wanted - {gone}


_clouds: list[Cloud] = []
_numbers = iter(range(10**9))


def _shared() -> Cloud:
    if not _clouds:
        _clouds.append(network_cloud())
        do(_clouds[0], SetQuota(tenant_id=_clouds[0].tenant.id, quotas={"security_groups": -2}), ADMIN)
    return _clouds[0]
