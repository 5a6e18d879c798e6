"""Networks, interfaces, security groups and public addresses over OCCI: real engine and store, hosts in memory."""

import ipaddress
import json

import pytest

from backend.commands import NicRequest, SetQuota
from backend.engine import EngineSettings
from backend.engine.claims import addresses_of
from backend.engine.settings import NetworkSettings
from backend.model import uuid_of
from backend.network_commands import (
    AllocateAddress,
    AssociateAddress,
    AttachNic,
    AuthorizeRules,
    CreateNatGateway,
    CreateNic,
    CreateSubnet,
    CreateVpc,
    ModifySubnet,
    RuleSpec,
)
from backend.network_model import CidrBlock, Nic, PublicAddress, RouteTable, SecurityGroup, Subnet, Vpc
from backend.ports import NO_NETWORK
from occi import names, networking
from tests.support.occi_face import COMPUTE, INFRA, JSON, OURS, TAG, WEB, Client, action, attribute
from tests.support.simulation import ADMIN, Cloud

NETWORK = f'Category: network; scheme="{INFRA}"; class="kind"'
INTERFACE = f'Category: networkinterface; scheme="{INFRA}"; class="kind"'
GROUP = f'Category: securitygroup; scheme="{INFRA}"; class="kind"'
GROUPLINK = f'Category: securitygrouplink; scheme="{INFRA}"; class="kind"'
RESERVATION = f'Category: ipreservation; scheme="{INFRA}"; class="kind"'
IPNETWORK = 'Category: ipnetwork; scheme="http://schemas.ogf.org/occi/infrastructure/network#"; class="mixin"'
IPINTERFACE = (
    'Category: ipnetworkinterface; scheme="http://schemas.ogf.org/occi/infrastructure/networkinterface#"; '
    'class="mixin"'
)
POOL = 'Category: outside; scheme="http://schemas.openstack.org/network/floatingippool#"; class="mixin"'
FEDCLOUD = "http://schemas.fedcloud.egi.eu/occi/infrastructure/"
ADDRESS, GATEWAY = "occi.network.address", "occi.network.gateway"
STATE, MESSAGE = "occi.network.state", "occi.network.state.message"
PLUG = "occi.networkinterface"
RULES = "occi.securitygroup.rules"
SSH = {"type": "inbound", "protocol": "tcp", "port": "22", "range": "0.0.0.0/0", "ipversion": "ipv4"}
OUT = {"type": "outbound", "protocol": "all", "range": "0.0.0.0/0", "ipversion": "ipv4"}
MEDIA = ["text/plain", "text/occi", "application/occi+json"]


@pytest.fixture
def cloud():
    pools = {"outside": ("203.0.113.0/28",), "second": ("198.51.100.10-198.51.100.12",)}
    return Cloud(settings=EngineSettings(network=NetworkSettings(pools=pools)))


def machine(ann, *lines):
    """The path of a machine that runs."""
    path = ann.make(*lines)
    ann.cloud.quiesce(3)
    assert ann.attributes(path)["occi.compute.state"] == "active"
    return path


def row(ann, kind, path):
    return ann.cloud.engine.networks.one(ann.caller, kind, names.id_at(path))


def blocks(ann):
    [vpc] = [each for each in ann.cloud.engine.networks.all(ann.caller, Vpc) if each.default]
    return [block.cidr for block in vpc.blocks]


def default_network(ann):
    [found] = [each for each in ann.cloud.engine.networks.all(ann.caller, Subnet) if each.default]
    return f"/network/{uuid_of(found.id)}"


def outside(pool="outside"):
    return names.path_of(names.pool_id(pool))


def links(ann, source, kind="networkinterface"):
    return [each for each in ann.json(source)["links"] if each["kind"] == INFRA + kind]


def ends(source, target):
    return attribute("occi.core.source", source), attribute("occi.core.target", target)


def connect(ann, source, target, *lines, kind=INTERFACE):
    """The path of a link from a machine."""
    made = ann("POST", "/", kind, *ends(source, target), *lines)
    assert made.status_code == 201, made.text
    ann.cloud.settle()
    return made.headers["location"].removeprefix("http://h")


def inline(target, kind="network", category="networkinterface", mixins="", **attributes):
    rel = f'rel="{INFRA}{kind}"'
    said = "".join(f'; occi.networkinterface.{name}="{value}"' for name, value in attributes.items())
    return f'Link: <{target}>; {rel}; category="{INFRA}{category}{mixins}"{said}'


def do(ann, path, term, kind="network"):
    scheme = f"http://schemas.ogf.org/occi/infrastructure/{kind}/action#"
    return ann("POST", path, action(term, scheme), query=f"action={term}")


# Discovery ----------------------------------------------------------------------------------------------


def test_networks_are_discovered(ann):
    lines = {line.partition(";")[0]: line for line in ann("GET", "/-/").text.split("\n")}
    network = lines["Category: network"]
    assert 'location="/network/"' in network
    assert "occi.network.vlan occi.network.label occi.network.state{immutable}" in network
    assert "network/action#up" in network
    assert 'rel="http://schemas.ogf.org/occi/infrastructure#network"' in lines["Category: ipreservation"]
    assert f'rel="{INFRA}region"' in lines["Category: us-east-1"]
    assert 'rel="http://schemas.openstack.org/network#floatingippool"' in lines["Category: outside"]
    model = ann("GET", "/-/", headers={"Accept": "application/occi+json"}).json
    mixins = {each["scheme"] + each["term"]: each for each in model["mixins"]}
    assert mixins["http://schemas.ogf.org/occi/infrastructure/network#ipnetwork"]["applies"] == [
        f"{INFRA}network"
    ]
    for term in ("public_net", "private_net", "nat_net"):
        assert f"{FEDCLOUD}network#{term}" in mixins
    rules = next(each for each in model["kinds"] if each["term"] == "securitygroup")["attributes"][RULES]
    assert (rules["type"], rules["mutable"], rules["required"]) == ("array", True, False)
    # OCCI-REAL-12: pOCCI fills no other required attributes.
    required = {
        name for kind in model["kinds"] for name, each in kind["attributes"].items() if each["required"]
    }
    assert required == {"occi.core.source", "occi.core.target", "occi.storage.size"}


# Networks -----------------------------------------------------------------------------------------------


def test_the_network_that_every_tenant_has(ann, bob, cloud):
    assert "a change is being made true" in ann.attributes(default_network(ann))[MESSAGE]
    cloud.quiesce(2)
    path = default_network(ann)
    assert ann.locations("/network/") == [path, outside(), outside("second")]
    subnet = row(ann, Subnet, path)
    assert ann("GET", path).text.split("\n") == [
        f'Category: network; scheme="{INFRA}"; class="kind"; title="Network Resource"',
        f'{IPNETWORK}; title="IP Networking Mixin"',
        (
            f'Category: public_net; scheme="{FEDCLOUD}network#"; class="mixin"; '
            'title="Network with a way to and from outside"'
        ),
        f'Category: us-east-1a; scheme="{OURS}availability_zone#"; class="mixin"; title="us-east-1a"',
        f'Category: us-east-1; scheme="{OURS}region#"; class="mixin"; title="us-east-1"',
        f'Link: <{path}?action=down>; rel="http://schemas.ogf.org/occi/infrastructure/network/action#down"',
        f'X-OCCI-Attribute: occi.core.id="{uuid_of(subnet.id)}"',
        'X-OCCI-Attribute: occi.network.state="active"',
        f'X-OCCI-Attribute: {MESSAGE}="available: {NO_NETWORK.briefly[0]}"',
        f'X-OCCI-Attribute: {ADDRESS}="172.31.0.0/20"',
        f'X-OCCI-Attribute: {GATEWAY}="172.31.0.1"',
        'X-OCCI-Attribute: occi.network.allocation="dynamic"',
    ]
    assert ann("GET", f"/network/{subnet.id}").text == ann("GET", path).text
    assert bob("GET", path).status_code == 404
    assert bob("DELETE", path).status_code == 404
    assert path not in bob.locations("/network/")
    # The pools are the network outside, and the provider's.
    assert ann.attributes(outside())[ADDRESS] == "203.0.113.0/28"
    assert ann.attributes(outside("second"))[ADDRESS] == "198.51.100.8/29"
    for method, lines in (("DELETE", ()), ("POST", (attribute("occi.core.title", "x"),))):
        assert ann(method, outside(), *lines).status_code == 403
    assert ann("PUT", outside(), NETWORK).status_code == 403
    assert do(ann, outside(), "down").status_code == 403


def test_a_network_is_made_and_gets_a_range(ann, cloud):
    path = ann.make(
        attribute("occi.core.id", "im-1"),
        attribute("occi.core.title", "inner"),
        attribute("occi.core.summary", "of Ann's"),
        attribute("occi.network.vlan", 12),
        attribute("occi.network.label", "lab"),
        attribute("occi.network.state", "active"),
        kind=NETWORK,
    )
    subnet = row(ann, Subnet, path)
    assert (subnet.cidr, subnet.label, subnet.vlan, subnet.summary) == (
        "172.31.16.0/20",
        "lab",
        12,
        "of Ann's",
    )
    assert cloud.engine.tags_of([subnet.id]) == {subnet.id: {"Name": "inner"}}
    shown = ann.attributes(path)
    assert (shown["occi.core.title"], shown["occi.network.vlan"], shown[STATE]) == ("inner", 12, "active")


@pytest.mark.parametrize("media", MEDIA)
def test_a_range_of_ones_own_becomes_the_default_vpcs(ann, media):
    path = ann.make(IPNETWORK, attribute(ADDRESS, "192.168.5.0/24"), kind=NETWORK)
    other = ann.make(attribute(ADDRESS, "192.168.7.0/24"), attribute(GATEWAY, "192.168.7.1"), kind=NETWORK)
    assert blocks(ann) == ["192.168.0.0/16"]
    assert len({row(ann, Subnet, each).vpc_id for each in (path, other, default_network(ann))}) == 1
    text = ann("GET", path, headers={"Accept": media})
    assert text.status_code == 200
    shown = ann.attributes(path)
    assert (shown[ADDRESS], shown[GATEWAY]) == ("192.168.5.0/24", "192.168.5.1")
    # What is public is given whole, and not more.
    ann.make(attribute(ADDRESS, "198.18.4.0/24"), kind=NETWORK)
    assert blocks(ann) == ["192.168.0.0/16", "198.18.4.0/24"]
    assert ann("DELETE", path).status_code == 200
    assert len(blocks(ann)) == 2
    assert ann("DELETE", other).status_code == 200
    assert blocks(ann) == ["198.18.4.0/24"]


@pytest.mark.parametrize(
    ("cidr", "there", "block"),
    [
        ("172.31.4.0/24", [], None),
        ("172.16.4.0/24", [], "172.16.0.0/16"),
        ("10.7.4.0/24", [], "10.7.0.0/16"),
        ("10.7.0.0/16", [], "10.7.0.0/16"),
        ("10.0.0.0/8", [], "10.0.0.0/8"),
        ("10.7.4.0/24", ["10.7.0.0/20"], None),
        ("10.7.64.0/24", ["10.7.0.0/20"], "10.7.64.0/24"),
        ("8.8.8.0/24", [], "8.8.8.0/24"),
    ],
)
def test_what_a_vpc_needs_to_hold_a_range(cidr, there, block):
    blocks = tuple(CidrBlock(association_id=f"vpc-cidr-assoc-{each}", cidr=each) for each in there)
    vpc = Vpc(
        id="vpc-1",
        tenant_id="t",
        account_id="a",
        region="r",
        created_at=0.0,
        cidr="172.31.0.0/16",
        blocks=blocks,
    )
    assert networking.block_for(cidr, vpc) == block


@pytest.mark.parametrize(
    ("pool", "block"),
    [
        (("203.0.113.0/28",), "203.0.113.0/28"),
        (("203.0.113.9-203.0.113.9",), "203.0.113.9/32"),
        (("203.0.113.10-203.0.113.12",), "203.0.113.8/29"),
        (("203.0.113.0/30", "203.0.113.128/30"), "203.0.113.0/24"),
    ],
)
def test_the_block_around_a_pool(pool, block):
    assert str(networking.covering(addresses_of(pool))) == block


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([attribute(ADDRESS, "10.0.0.0/24")], 201),
        ([attribute(ADDRESS, "172.31.0.0/24")], 409),
        ([attribute(ADDRESS, "172.31.200.0/24")], 201),
        ([attribute(ADDRESS, "10.0.0.0")], 400),
        ([attribute(ADDRESS, "10.0.0.0/33")], 400),
        ([attribute(ADDRESS, "10.0.0.0/8")], 400),
        ([attribute(ADDRESS, "10.0.0.0/30")], 400),
        ([attribute(ADDRESS, "127.0.0.0/24")], 400),
        ([attribute(ADDRESS, "fd00::/64")], 400),
        ([attribute(ADDRESS, "much")], 400),
        ([attribute(ADDRESS, "10.0.0.0/24"), attribute(GATEWAY, "10.0.0.254")], 400),
        ([attribute(GATEWAY, "10.0.0.1")], 400),
        ([attribute("occi.network.allocation", "static")], 201),
        ([attribute("occi.network.allocation", "manual")], 400),
        ([attribute("occi.network.vlan", 5000)], 400),
        ([attribute("occi.network.vlan", "x")], 400),
        ([attribute("occi.storage.size", 1)], 404),
        ([f'Link: </compute/1>; rel="{INFRA}compute"'], 400),
        ([POOL], 403),
        ([f'Category: public_net; scheme="{FEDCLOUD}network#"; class="mixin"'], 201),
        ([f'Category: nat_net; scheme="{FEDCLOUD}network#"; class="mixin"'], 409),
        ([f'Category: us-x; scheme="{OURS}availability_zone#"; class="mixin"'], 404),
        ([f'Category: us-east-1; scheme="{OURS}region#"; class="mixin"'], 201),
    ],
)
def test_networks_possible_and_impossible(ann, lines, status):
    before = len(ann.locations("/network/"))
    assert ann("POST", "/network/", NETWORK, *lines).status_code == status
    assert len(ann.locations("/network/")) == before + (status == 201)
    assert status == 201 or blocks(ann) == []


def test_a_network_is_changed(ann):
    path = ann.make(attribute("occi.network.label", "old"), kind=NETWORK)
    said = (
        attribute("occi.core.title", "new"),
        attribute("occi.network.label", "l"),
        attribute("occi.network.vlan", 3),
    )
    got = ann("POST", path, *said, attribute("occi.core.summary", "s"))
    assert got.status_code == 200
    assert 'occi.core.title="new"' in got.text
    subnet = row(ann, Subnet, path)
    assert (subnet.label, subnet.vlan, subnet.summary) == ("l", 3, "s")
    assert ann("POST", path, attribute(ADDRESS, "10.0.0.0/24")).status_code == 501
    assert ann("POST", path, attribute(ADDRESS, subnet.cidr)).status_code == 200
    assert ann("POST", path, attribute(STATE, "inactive")).status_code == 403
    assert ann("POST", path, COMPUTE).status_code == 400
    private = f'Category: private_net; scheme="{FEDCLOUD}network#"; class="mixin"'
    assert ann("POST", path, private).status_code == 501
    assert ann("PUT", path, NETWORK, attribute("occi.core.title", "only")).status_code == 200
    shown = ann.attributes(path)
    assert shown["occi.core.title"] == "only"
    assert shown.keys().isdisjoint({"occi.network.label", "occi.core.summary"})
    assert ann("PUT", path, attribute("occi.core.title", "x")).status_code == 400
    assert ann("PUT", f"/network/{uuid_of('subnet-00000000000000001')}", NETWORK).status_code == 400


def test_a_network_goes_down_and_up(ann, cloud):
    path = ann.make(kind=NETWORK)
    assert do(ann, path, "up").status_code == 409
    assert f'{STATE}="inactive"' in do(ann, path, "down").text
    assert do(ann, path, "down").status_code == 409
    assert ann.attributes(path)[MESSAGE].startswith("taken down by its owner")
    assert ann("POST", "/compute/", COMPUTE, inline(path)).status_code == 409
    assert do(ann, path, "up").status_code == 200
    assert ann("POST", "/compute/", COMPUTE, inline(path)).status_code == 201
    assert do(ann, path, "start").status_code == 404
    # All of them: the network outside is the provider's.
    assert do(ann, "/network/", "down").status_code == 403


def test_what_a_network_reaches_is_what_its_routes_say(ann, cloud):
    def reach(path):
        found = [each for each in ann.json(path)["mixins"] if each.startswith(f"{FEDCLOUD}network#")]
        return [each.partition("#")[2] for each in found]

    def made(term):
        return ann.make(f'Category: {term}; scheme="{FEDCLOUD}network#"; class="mixin"', kind=NETWORK)

    public, private = made("public_net"), made("private_net")
    assert (reach(public), reach(private)) == (["public_net"], ["private_net"])
    assert row(ann, Subnet, public).map_public_ip
    assert not row(ann, Subnet, private).map_public_ip
    eip = cloud.engine.execute(cloud.caller, AllocateAddress())
    made_nat = CreateNatGateway(subnet_id=row(ann, Subnet, public).id, allocation_id=eip.id)
    cloud.engine.execute(cloud.caller, made_nat)
    cloud.quiesce(2)
    nat = made("nat_net")
    assert reach(nat) == ["nat_net"]
    assert ann.locations("/mixin/fedcloud/private_net/") == [private]
    assert ann.locations("/mixin/fedcloud/nat_net/") == [nat]
    # EC2 sees the tables; they go with the networks that they were made for.
    assert len(cloud.engine.networks.all(cloud.caller, RouteTable)) == 3
    for path in (private, nat):
        assert ann("DELETE", path).status_code == 200
    assert len(cloud.engine.networks.all(cloud.caller, RouteTable)) == 1
    assert ann("POST", "/network/", NETWORK, *(
        f'Category: {term}; scheme="{FEDCLOUD}network#"; class="mixin"' for term in ("nat_net", "public_net")
    )).status_code == 400  # fmt: skip


def test_subnets_of_ec2_are_networks_of_occi(ann, bob, cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.9.0.0/16"))
    command = CreateSubnet(vpc_id=vpc.id, cidr="10.9.1.0/24", tags=(("Name", "theirs"),))
    subnet = cloud.engine.execute(cloud.caller, command)
    path = f"/network/{uuid_of(subnet.id)}"
    assert path in ann.locations("/network/")
    shown = ann.json(path)
    assert (shown["title"], shown["attributes"][ADDRESS]) == ("theirs", "10.9.1.0/24")
    assert f"{FEDCLOUD}network#private_net" in shown["mixins"]
    assert bob("DELETE", path).status_code == 404
    assert ann("DELETE", path).status_code == 200
    assert ann("GET", path).status_code == 404


def test_networks_in_use_stay_and_those_of_every_tenant_survive(ann, cloud):
    path, other = ann.make(kind=NETWORK), ann.make(kind=NETWORK)
    source = ann.make(inline(path))
    assert ann("DELETE", path).status_code == 409
    assert ann("DELETE", "/network/").status_code == 409
    assert ann("GET", other).status_code == 200
    assert ann("DELETE", source).status_code == 200
    cloud.quiesce(3)
    assert ann("DELETE", "/network/").status_code == 200
    assert ann.locations("/network/") == [default_network(ann), outside(), outside("second")]
    assert ann("DELETE", "/").status_code == 200
    assert ann.locations("/network/") == [default_network(ann), outside(), outside("second")]
    assert ann("DELETE", default_network(ann)).status_code == 200
    assert ann.locations("/network/") == [outside(), outside("second")]


@pytest.mark.parametrize("media", MEDIA)
def test_what_was_read_can_be_put_back(ann, cloud, media):
    # OCCI-REAL-13: links, actions, immutable attributes and all.
    network = ann.make(attribute("occi.core.title", "inner"), attribute(ADDRESS, "10.1.0.0/24"), kind=NETWORK)
    group = ann.make(attribute("occi.core.title", "web"), attribute(RULES, quoted([SSH])), kind=GROUP)
    reservation = ann.make(POOL, attribute("occi.core.title", "mine"), kind=RESERVATION)
    source = machine(ann, inline(network), inline(group, "securitygroup", "securitygrouplink"))
    ann("POST", source, inline(reservation, "ipreservation"))
    cloud.quiesce(3)
    own = [*links(ann, source), *links(ann, source, "securitygrouplink")]
    assert len(own) == 3
    for path in (network, group, reservation, source, *(location(link) for link in own)):
        read = ann("GET", path, headers={"Accept": media})
        fields = {
            name: value
            for name, value in read.headers.items()
            if name in {"category", "link", "x-occi-attribute"}
        }
        for method in ("PUT", "POST"):
            headers = {"Content-Type": media, "Accept": media, **fields}
            sent = ann(method, path, headers=headers, body="" if fields else read.content)
            assert sent.status_code == 200, (path, method, sent.text)
            cloud.settle()
            assert sent.text == read.text


def quoted(rules):
    return json.dumps(rules).replace('"', '\\"')


def location(link):
    return f"/{link['kind'].partition('#')[2]}/{link['id']}"


# Interfaces ---------------------------------------------------------------------------------------------


def test_every_machine_is_linked_with_its_network(ann, bob, cloud):
    source = machine(ann)
    network = default_network(ann)
    [nic] = cloud.engine.networks.nics_of([names.id_at(source)])[names.id_at(source)]
    [lent] = cloud.engine.networks.public_of([nic.id])[nic.id]
    path = f"/networkinterface/{uuid_of(nic.id)}"
    lines = [line for line in ann("GET", source).text.split("\n") if "#networkinterface" in line]
    # OCCI-REAL-05: what the Infrastructure Manager reads of a link.
    assert lines[0] == (
        f'Link: <{network}>; rel="{INFRA}network"; self="{path}"; category="{INFRA}networkinterface '
        'http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface"; '
        f'occi.core.id="{uuid_of(nic.id)}"; occi.core.source="{source}"; occi.core.source.kind="{INFRA}compute"; '
        f'occi.core.target="{network}"; occi.core.target.kind="{INFRA}network"; '
        f'occi.networkinterface.interface="eth0"; occi.networkinterface.mac="{nic.mac}"; '
        'occi.networkinterface.state="active"; occi.networkinterface.state.message="attached"; '
        f'occi.networkinterface.address="{nic.address}"; occi.networkinterface.gateway="172.31.0.1"; '
        'occi.networkinterface.allocation="dynamic"'
    )
    # What the network lends is a link outside, which the client cannot end.
    assert lines[1].startswith(f"Link: <{outside()}>; ")
    assert f'occi.networkinterface.address="{lent.ip}"' in lines[1]
    assert ann.locations("/networkinterface/") == [path, f"/networkinterface/{uuid_of(lent.association_id)}"]
    assert ann.attributes(path)[f"{PLUG}.address"] == nic.address
    assert ann("GET", path).text.startswith("Category: networkinterface; ")
    for link in (path, f"/networkinterface/{uuid_of(lent.association_id)}"):
        assert ann("DELETE", link).status_code == 409
        assert bob("GET", link).status_code == 404
    assert bob.locations("/networkinterface/") == []
    ann("POST", source, action("stop"), query="action=stop")
    cloud.quiesce(3)
    assert ann.attributes(path)[f"{PLUG}.state"] == "inactive"
    assert ann.locations("/networkinterface/") == [path]
    assert ann("DELETE", source).status_code == 200
    assert ann.locations("/networkinterface/") == []
    assert ann("GET", path).status_code == 404


def test_a_machine_is_made_with_interfaces(ann, cloud):
    inner = ann.make(attribute(ADDRESS, "10.2.0.0/24"), kind=NETWORK)
    source = machine(
        ann,
        inline(default_network(ann)),
        inline(
            f"http://h{inner}",
            mixins=" http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface",
            address="10.2.0.77",
            mac="52:54:00:AA:bb:01",
        ).replace(f"<http://h{inner}>;", f'<http://h{inner}>; self="/networkinterface/im-1";')
        + '; occi.core.id="im-1"; occi.core.source="/compute/im-2"; occi.core.target="/network/x"',
    )
    nics = cloud.engine.networks.nics_of([names.id_at(source)])[names.id_at(source)]
    assert [(nic.index, nic.address if nic.index else "") for nic in nics] == [(0, ""), (1, "10.2.0.77")]
    assert nics[1].mac == "52:54:00:aa:bb:01"
    shown = [link["attributes"] for link in links(ann, source)]
    assert [each[f"{PLUG}.allocation"] for each in shown if f"{PLUG}.gateway" in each] == [
        "dynamic",
        "static",
    ]
    assert [each[f"{PLUG}.interface"] for each in shown if each[f"{PLUG}.mac"] == nics[1].mac] == ["eth1"]
    assert ann("POST", "/compute/", COMPUTE, inline(inner, address="10.2.0.77")).status_code == 409
    assert ann("POST", "/compute/", COMPUTE, inline(inner, address="10.3.0.77")).status_code == 400
    assert ann("POST", "/compute/", COMPUTE, inline(inner, mac="nonsense")).status_code == 400
    assert ann("POST", "/compute/", COMPUTE, inline("/network/subnet-00000000000000001")).status_code == 404
    body = {
        "kind": INFRA + "compute",
        "links": [
            {"kind": INFRA + "networkinterface", "target": {"location": inner, "kind": INFRA + "network"}}
        ],
    }
    assert ann("POST", "/compute/", headers=JSON, body=json.dumps(body)).status_code == 201


def test_a_machine_comes_where_its_network_is(ann):
    zones = {"us-east-1": ("us-east-1a", "us-east-1b")}
    cloud = Cloud(settings=EngineSettings(zones=zones))
    cloud.add_host(zone="us-east-1b")
    ann = Client(cloud, cloud.caller)
    zone = f'Category: us-east-1b; scheme="{OURS}availability_zone#"; class="mixin"'
    path = ann.make(zone, kind=NETWORK)
    source = ann.make(inline(path))
    assert cloud.engine.instance(ann.caller, names.id_at(source)).zone == "us-east-1b"
    other = f'Category: us-east-1a; scheme="{OURS}availability_zone#"; class="mixin"'
    assert ann("POST", "/compute/", COMPUTE, inline(path), other).status_code == 400
    assert ann("POST", path, other).status_code == 501
    assert {path, source} <= set(ann.locations("/availability_zone/us-east-1b/"))


def test_interfaces_are_plugged_and_unplugged(ann, cloud):
    source, inner = machine(ann), ann.make(attribute(ADDRESS, "10.2.0.0/24"), kind=NETWORK)
    link = connect(
        ann, source, inner, IPINTERFACE,
        attribute(f"{PLUG}.address", "10.2.0.9"), attribute(f"{PLUG}.mac", "52:54:00:00:00:09"),
    )  # fmt: skip
    shown = ann.attributes(link)
    assert (shown[f"{PLUG}.state"], shown[f"{PLUG}.interface"]) == ("active", "eth1")
    assert (shown[f"{PLUG}.address"], shown[f"{PLUG}.mac"]) == ("10.2.0.9", "52:54:00:00:00:09")
    assert (shown[f"{PLUG}.allocation"], shown[f"{PLUG}.gateway"]) == ("static", "10.2.0.1")
    assert row(ann, Nic, link).delete_on_termination
    # OCCI-HTTP-035: what is linked already is no new link.
    before = len(links(ann, source))
    assert ann("POST", source, inline(inner)).status_code == 200
    assert len(links(ann, source)) == before
    # While the machine runs links keep what they are.
    for line in (attribute(f"{PLUG}.address", "10.2.0.10"), attribute(f"{PLUG}.mac", "52:54:00:00:00:0a")):
        assert ann("POST", link, line).status_code == 409
    assert ann("POST", link, attribute(f"{PLUG}.gateway", "10.2.0.9")).status_code == 501
    assert ann("POST", link, attribute(f"{PLUG}.interface", "eth7")).status_code == 403
    assert ann("POST", link, attribute("occi.core.target", f"http://h{inner}")).status_code == 200
    # OCCI-EXT-010: rOCCI's actions on links.
    assert do(ann, link, "up", "networkinterface").status_code == 409
    assert f'{PLUG}.state="inactive"' in do(ann, link, "down", "networkinterface").text
    assert not row(ann, Nic, link).up
    assert do(ann, link, "up", "networkinterface").status_code == 200
    assert ann("DELETE", link).status_code == 200
    assert ann.attributes(link)[f"{PLUG}.state.message"] == "detaching: the machine is asked to let go"
    cloud.quiesce(3)
    assert ann("GET", link).status_code == 404
    assert names.id_at(link) not in cloud.engine.networks.nics_by_id([names.id_at(link)])


@pytest.mark.parametrize(
    ("source", "lines", "status"),
    [
        ("source", (), 400),
        ("source", (attribute("occi.core.target", "/network/1"),), 404),
        ("source", (attribute("occi.core.target", "/storage/vol-00000000000000001"),), 404),
        ("source", (attribute("occi.core.target", "/network/subnet-00000000000000001"),), 404),
        ("source", (attribute("occi.core.target", "/ipreservation/eipalloc-00000000000000001"),), 404),
        ("/compute/i-00000000000000001", (attribute("occi.core.target", "network"),), 404),
        ("/network/1", (attribute("occi.core.target", "network"),), 404),
        ("source", (attribute("occi.core.target", "network"), attribute(f"{PLUG}.address", "1.2.3.4")), 400),
        ("source", (attribute("occi.core.target", "network"), attribute("a.b", 1)), 404),
    ],
)
def test_impossible_interfaces(ann, source, lines, status):
    machine_at, network = machine(ann), default_network(ann)
    said = [line.replace('"network"', f'"{network}"') for line in lines]
    begin = machine_at if source == "source" else source
    made = ann("POST", "/networkinterface/", INTERFACE, attribute("occi.core.source", begin), *said)
    assert made.status_code == status
    assert len(links(ann, machine_at)) == 2


def test_interfaces_of_ec2_are_links_of_occi(ann, cloud):
    source = machine(ann)
    subnet = row(ann, Subnet, default_network(ann))
    request = CreateNic(nic=NicRequest(subnet_id=subnet.id), tags=(("Name", "second"),))
    nic = cloud.engine.execute(cloud.caller, request)
    path = f"/networkinterface/{uuid_of(nic.id)}"
    assert ann("GET", path).status_code == 404  # nothing begins there
    cloud.engine.execute(cloud.caller, AttachNic(nic_id=nic.id, instance_id=names.id_at(source)))
    assert ann.attributes(path)[f"{PLUG}.state"] == "inactive"
    cloud.quiesce(3)
    shown = ann.json(path)
    assert (shown["title"], shown["attributes"][f"{PLUG}.state"]) == ("second", "active")
    condition = {"X-OCCI-Attribute": f'{PLUG}.address="{nic.address}"'}
    assert ann.locations("/networkinterface/", headers=condition) == [path]
    assert (
        ann("DELETE", "/networkinterface/", headers={"Content-Type": "text/occi", **condition}).status_code
        == 200
    )
    cloud.quiesce(3)
    assert cloud.engine.networks.nics_by_id([nic.id]) == {}


# Public addresses ---------------------------------------------------------------------------------------


def addresses(ann):
    return ann.cloud.engine.networks.all(ann.caller, PublicAddress)


@pytest.mark.parametrize(
    ("target", "lines", "pool"),
    [
        ("outside", (), "outside"),
        ("second", (), "second"),
        ("/network/PUBLIC", (), "outside"),
        ("/network/public", (POOL.replace("outside", "second", 1),), "second"),
        ("network", (POOL,), "outside"),
    ],
)
def test_a_link_outside_is_an_address_that_it_allocates(ann, cloud, target, lines, pool):
    # As the Infrastructure Manager, ooi and rOCCI do.
    source, network = machine(ann), default_network(ann)
    to = {"outside": outside(), "second": outside("second"), "network": network}.get(target, target)
    link = connect(ann, source, to, *lines, attribute("occi.core.id", "imnet-1"))
    [address] = addresses(ann)
    instance = cloud.engine.instance(ann.caller, names.id_at(source))
    assert (address.pool, address.private_ip) == (pool, instance.address)
    shown = ann.json(link)
    assert shown["target"] == {"location": outside(pool), "kind": f"{INFRA}network"}
    assert shown["attributes"][f"{PLUG}.address"] == address.ip
    assert shown["attributes"][f"{PLUG}.state"] == "active"
    assert f"http://schemas.openstack.org/network/floatingippool#{pool}" in shown["mixins"]
    assert [location(each) for each in links(ann, source)][1:] == [link]
    assert ann("POST", source, inline(outside(pool))).status_code == 200
    assert len(addresses(ann)) == 1
    # It is a reservation too, in use for as long as the link is.
    [reservation] = ann.locations("/ipreservation/")
    assert ann.attributes(reservation)["occi.ipreservation.used"] is True
    assert ann("DELETE", reservation).status_code == 409
    assert ann("DELETE", link).status_code == 200
    assert ann("GET", link).status_code == 404
    assert addresses(ann) == [] == ann.locations("/ipreservation/")


def test_a_machine_is_made_with_an_address_that_ends_with_it(ann, cloud):
    inner = ann.make(attribute(ADDRESS, "10.2.0.0/24"), kind=NETWORK)
    source = ann.make(inline(inner), inline(outside("second")))
    [address] = addresses(ann)
    assert address.pool == "second"
    assert ann.attributes(location(links(ann, source)[1]))[f"{PLUG}.state"] == "inactive"
    cloud.quiesce(3)
    assert [each["target"]["location"] for each in links(ann, source)] == [inner, outside("second")]
    assert ann("DELETE", source).status_code == 200
    assert addresses(ann) == []
    machine(ann, inline(outside()))
    kept = ann.make(kind=RESERVATION)
    other = machine(ann, inline(kept, "ipreservation"))
    assert ann("DELETE", "/").status_code == 409  # of an own reservation the machine lets go in its end
    assert ann("DELETE", other).status_code == 200
    cloud.quiesce(3)
    assert ann("DELETE", inner).status_code == 200
    assert ann("DELETE", "/").status_code == 200
    assert addresses(ann) == []
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"floating_ips": 0}))
    assert ann("POST", "/compute/", COMPUTE, inline(outside())).status_code == 403
    assert ann.locations("/compute/") == []


@pytest.mark.parametrize("media", MEDIA)
def test_links_are_made_in_all_renderings(ann, cloud, media):
    source, inner = machine(ann), ann.make(attribute(ADDRESS, "10.2.0.0/24"), kind=NETWORK)
    group = ann.make(kind=GROUP)
    for kind, target, more in (
        ("networkinterface", inner, {f"{PLUG}.address": "10.2.0.20"}),
        ("networkinterface", outside(), {}),
        ("securitygrouplink", group, {}),
    ):
        values = {"occi.core.source": f"http://h{source}", "occi.core.target": target, **more}
        if media == MEDIA[2]:
            body = {
                "kind": INFRA + kind,
                "source": {"location": source, "kind": f"{INFRA}compute"},
                "target": {"location": target},
                "attributes": more,
            }
            made = ann("POST", f"/{kind}/", headers=JSON, body=json.dumps(body))
        elif media == MEDIA[1]:
            said = ", ".join(f'{name}="{value}"' for name, value in values.items())
            category = f'{kind}; scheme="{INFRA}"; class="kind"'
            headers = {"Content-Type": media, "Category": category, "X-OCCI-Attribute": said}
            made = ann("POST", f"/{kind}/", headers=headers)
        else:
            lines = (attribute(name, value) for name, value in values.items())
            made = ann("POST", f"/{kind}/", f'Category: {kind}; scheme="{INFRA}"; class="kind"', *lines)
        assert made.status_code == 201, made.text
        cloud.settle()
        path = made.headers["location"].removeprefix("http://h")
        assert ann.json(path)["target"]["location"] == target
        assert ann.attributes(path)[f"occi.{kind}.state"] == "active"


@pytest.mark.parametrize("media", MEDIA)
def test_addresses_are_reserved(ann, bob, cloud, media):
    path = ann.make(
        POOL.replace("outside", "second", 1),
        attribute("occi.core.title", "mine"),
        attribute("occi.ipreservation.address", "198.51.100.11"),
        kind=RESERVATION,
    )
    [address] = addresses(ann)
    assert (address.ip, address.pool) == ("198.51.100.11", "second")
    assert ann("GET", path, headers={"Accept": media}).status_code == 200
    shown = ann.json(path)
    assert shown["mixins"] == ["http://schemas.openstack.org/network/floatingippool#second"]
    values = shown["attributes"]
    assert (values["occi.ipreservation.address"], values["occi.ipreservation.used"]) == (address.ip, False)
    assert (values["occi.ipreservation.state"], values["occi.network.state"]) == ("active", "active")
    # It is no network to plug a machine into, and so not among them, but by its parent one.
    assert path not in ann.locations("/network/")
    assert ann.locations("/resource/", headers={"Category": f'network; scheme="{INFRA}"'})[-1] == path
    assert bob("GET", path).status_code == 404
    assert ann("POST", "/ipreservation/", RESERVATION, attribute("occi.ipreservation.address", "198.51.100.11"),
               POOL.replace("outside", "second", 1)).status_code == 409  # fmt: skip
    assert ann("POST", path, attribute("occi.core.summary", "s")).status_code == 200
    assert ann("POST", path, attribute("occi.ipreservation.address", "198.51.100.12")).status_code == 501
    assert ann("POST", path, attribute("occi.ipreservation.used", True)).status_code in {400, 403}
    assert do(ann, path, "down", "ipreservation").status_code == 200
    assert do(ann, path, "down", "ipreservation").status_code == 409
    assert ann.attributes(path)["occi.ipreservation.state"] == "inactive"
    assert do(ann, path, "up", "ipreservation").status_code == 200
    source = machine(ann)
    link = connect(ann, source, path)
    shown = ann.json(link)
    assert shown["target"] == {"location": path, "kind": f"{INFRA}ipreservation"}
    assert ann.attributes(path)["occi.ipreservation.used"] is True
    assert ann("POST", "/networkinterface/", INTERFACE, *ends(machine(ann), path)).status_code == 409
    assert ann("DELETE", path).status_code == 409
    assert ann("DELETE", link).status_code == 200
    assert ann.attributes(path)["occi.ipreservation.used"] is False
    assert ann("DELETE", path).status_code == 200
    assert addresses(ann) == []


def test_addresses_of_ec2_are_reservations_of_occi(ann, cloud):
    source = machine(ann)
    address = cloud.engine.execute(cloud.caller, AllocateAddress(tags=(("Name", "theirs"),)))
    path = f"/ipreservation/{uuid_of(address.id)}"
    assert ann.attributes(path)["occi.core.title"] == "theirs"
    command = AssociateAddress(allocation_id=address.id, instance_id=names.id_at(source))
    linked = cloud.engine.execute(cloud.caller, command)
    assert [location(each) for each in links(ann, source)][1:] == [
        f"/networkinterface/{uuid_of(linked.association_id)}"
    ]
    # It is its owner's own, and outlives the machine.
    assert ann("DELETE", source).status_code == 200
    cloud.quiesce(3)
    assert ann.attributes(path)["occi.ipreservation.used"] is False
    assert ann("DELETE", "/ipreservation/").status_code == 200


# Security groups ----------------------------------------------------------------------------------------


def rules_at(ann, path):
    return ann.attributes(path)[RULES]


@pytest.mark.parametrize("media", MEDIA)
def test_a_security_group_is_made_with_rules(ann, cloud, media):
    attributes = {"occi.core.title": "web, first", "occi.core.summary": "s", RULES: [SSH]}
    if media == MEDIA[2]:
        body = {"kind": INFRA + "securitygroup", "attributes": attributes}
        made = ann("POST", "/securitygroup/", headers=JSON, body=json.dumps(body))
    elif media == MEDIA[1]:
        said = f'occi.core.title="web, first", occi.core.summary="s", {RULES}="{quoted([SSH])}"'
        headers = {
            "Content-Type": media,
            "Category": GROUP.removeprefix("Category: "),
            "X-OCCI-Attribute": said,
        }
        made = ann("POST", "/securitygroup/", headers=headers)
    else:
        lines = attribute("occi.core.title", "web, first"), attribute("occi.core.summary", "s")
        made = ann("POST", "/securitygroup/", GROUP, *lines, attribute(RULES, quoted([SSH])))
    assert made.status_code == 201, made.text
    path = made.headers["location"].removeprefix("http://h")
    group = row(ann, SecurityGroup, path)
    assert (group.name, group.description) == ("web, first", "s")
    assert rules_at(ann, path) == [SSH, OUT]
    text = ann("GET", path, headers={"Accept": media})
    assert text.status_code == 200
    # Titles may be alike.
    other = ann.make(attribute("occi.core.title", "web, first"), kind=GROUP)
    assert ann.attributes(other)["occi.core.title"] == "web, first"
    assert row(ann, SecurityGroup, other).name.startswith("web, first occi-")


ICMP = {"type": "inbound", "protocol": "icmp", "range": "10.0.0.0/8", "ipversion": "ipv4"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"type": "inbound", "protocol": "TCP", "port": 80}, {"port": "80"}),
        ({"type": "inbound", "protocol": "tcp", "port": "8000-9000"}, {"port": "8000-9000"}),
        ({"type": "inbound", "protocol": "tcp", "port": "8000:9000"}, {"port": "8000-9000"}),
        ({"type": "inbound", "protocol": "udp"}, {"protocol": "udp", "port": None}),
        ({"type": "inbound", "protocol": "all", "range": "10.0.0.7"}, {"protocol": "all", "port": None, "range": "10.0.0.7/32"}),
        ({"type": "inbound"}, {"protocol": "all", "port": None}),
        ({"type": "inbound", "protocol": "icmp"}, {"protocol": "icmp", "port": None}),
        ({"type": "inbound", "protocol": "icmp", "port": "8"}, {"protocol": "icmp", "port": "8"}),
        ({"type": "inbound", "protocol": "icmp", "port": "8:0"}, {"protocol": "icmp", "port": "8:0"}),
        ({"type": "inbound", "protocol": "47"}, {"protocol": "47", "port": None}),
        ({"type": "inbound", "protocol": "tcp", "port": "22", "ipversion": "IPv6"},
         {"port": "22", "range": "::/0", "ipversion": "ipv6"}),
        ({"type": "egress", "protocol": "tcp", "port": "22"}, {"type": "outbound", "port": "22"}),
        ({"type": "inbound", "protocol": "tcp", "port": "22", "description": "d"}, {"port": "22", "description": "d"}),
    ],
)  # fmt: skip
def test_rules_in_all_forms(ann, given, shown):
    path = ann.make(kind=GROUP)
    assert rules_at(ann, path) == [OUT]
    changed = ann("POST", path, attribute(RULES, quoted([given])))
    assert changed.status_code == 200, changed.text
    expected = {**SSH, **shown}
    assert rules_at(ann, path) == [{name: value for name, value in expected.items() if value is not None}]
    # What is shown means the same.
    assert ann("PUT", path, GROUP, attribute(RULES, quoted(rules_at(ann, path)))).status_code == 200
    assert rules_at(ann, path) == [{name: value for name, value in expected.items() if value is not None}]


@pytest.mark.parametrize(
    "rule",
    [
        "tcp",
        7,
        {},
        {"protocol": "tcp", "port": "22"},
        {"type": "sideways", "protocol": "tcp"},
        {"type": "inbound", "protocol": "carrier pigeon"},
        {"type": "inbound", "protocol": "tcp", "port": "ssh"},
        {"type": "inbound", "protocol": "tcp", "port": "90-80"},
        {"type": "inbound", "protocol": "tcp", "port": "70000"},
        {"type": "inbound", "protocol": "47", "port": "22"},
        {"type": "inbound", "protocol": "tcp", "range": "everywhere"},
        {"type": "inbound", "protocol": "tcp", "range": "::/0", "ipversion": "ipv4"},
        {"type": "inbound", "protocol": "tcp", "ipversion": "5"},
        {"type": "inbound", "protocol": "tcp", "prot": "22"},
        {"type": "inbound", "protocol": "tcp", "port": ["22"]},
    ],
)
def test_impossible_rules_change_nothing(ann, rule):
    path = ann.make(attribute(RULES, quoted([SSH])), kind=GROUP)
    assert ann("POST", path, attribute(RULES, quoted([rule]))).status_code == 400
    assert ann("POST", path, attribute(RULES, "no list")).status_code == 400
    assert ann("POST", "/securitygroup/", GROUP, attribute(RULES, quoted([rule]))).status_code == 400
    assert rules_at(ann, path) == [SSH, OUT]
    assert len(ann.locations("/securitygroup/")) == 2


def test_groups_as_peers_and_rules_of_ec2(ann, cloud):
    web, database = (ann.make(attribute("occi.core.title", name), kind=GROUP) for name in ("web", "database"))
    for named in (web, f"http://h{web}", web.rpartition("/")[2], names.id_at(web)):
        rule = {"type": "inbound", "protocol": "tcp", "port": "5432", "group": named}
        assert ann("POST", database, attribute(RULES, quoted([rule]))).status_code == 200
        assert rules_at(ann, database) == [{**rule, "group": web}]
    assert ann("DELETE", web).status_code == 409
    spec = RuleSpec(egress=False, protocol="tcp", from_port=1, to_port=2, cidr="10.0.0.0/8")
    cloud.engine.execute(cloud.caller, AuthorizeRules(group_id=names.id_at(database), rules=(spec,)))
    assert rules_at(ann, database)[1] == {**SSH, "port": "1-2", "range": "10.0.0.0/8"}
    assert ann("PUT", database, GROUP).status_code == 400  # it says nothing of the rules
    assert ann("PUT", database, GROUP, attribute(RULES, "[]")).status_code == 200
    assert rules_at(ann, database) == []
    assert ann("DELETE", web).status_code == 200


def test_the_group_that_every_tenant_has(ann, bob, cloud):
    [default] = ann.locations("/securitygroup/")
    cloud.quiesce(2)
    shown = ann.attributes(default)
    assert shown["occi.core.title"] == "default"
    assert shown[RULES] == [{"type": "inbound", "protocol": "all", "group": default}, OUT]
    vpc = row(ann, SecurityGroup, default).vpc_id
    assert shown["occi.securitygroup.state.message"] == f"in {vpc}: {NO_NETWORK.briefly[0]}"
    assert bob("GET", default).status_code == 404
    assert ann("DELETE", default).status_code == 409
    ann.make(kind=GROUP)
    assert ann("DELETE", "/securitygroup/").status_code == 200
    assert ann.locations("/securitygroup/") == [default]
    assert ann("POST", default, query="action=up").status_code == 404
    assert ann("POST", default, attribute("occi.core.summary", "x" * 256)).status_code == 400


def grouped(ann, source):
    return {link["target"]["location"] for link in links(ann, source, "securitygrouplink")}


def test_machines_are_linked_with_groups(ann, bob, cloud):
    [default] = ann.locations("/securitygroup/")
    web, other = ann.make(kind=GROUP), ann.make(kind=GROUP)
    inner = ann.make(attribute(ADDRESS, "10.2.0.0/24"), kind=NETWORK)
    plain = machine(ann)
    assert grouped(ann, plain) == {default}
    group_link = inline(web, "securitygroup", "securitygrouplink")
    source = machine(ann, group_link, inline(default_network(ann)), inline(inner))
    assert grouped(ann, source) == {web}
    bare = machine(ann, f'Link: <{web}>; rel="{INFRA}securitygroup"')
    assert grouped(ann, bare) == {web}
    connect(ann, bare, inner)
    ann("POST", bare, inline(ann.make(kind=NETWORK)))
    cloud.settle()
    assert grouped(ann, bare) == {web}  # groups go with machines, later interfaces included
    assert (
        len({nic.subnet_id for nic in cloud.engine.networks.nics_of([names.id_at(bare)])[names.id_at(bare)]})
        == 3
    )
    nics = cloud.engine.networks.nics_of([names.id_at(source)])[names.id_at(source)]
    assert [nic.groups for nic in nics] == [(names.id_at(web),)] * 2
    link = connect(ann, source, other, kind=GROUPLINK)
    assert grouped(ann, source) == {web, other}
    shown = ann.json(link)
    assert shown["target"] == {"location": other, "kind": f"{INFRA}securitygroup"}
    assert shown["attributes"]["occi.securitygrouplink.state"] == "active"
    assert ann("POST", "/securitygrouplink/", GROUPLINK, *ends(source, other)).status_code == 409
    assert ann("POST", source, inline(other, "securitygroup", "securitygrouplink")).status_code == 200
    assert bob("GET", link).status_code == 404
    assert bob("DELETE", link).status_code == 404
    assert ann("DELETE", other).status_code == 409
    assert ann("DELETE", link).status_code == 200
    assert ann("GET", link).status_code == 404
    assert grouped(ann, source) == {web}
    # At least one group is left.
    [last] = [location(each) for each in links(ann, source, "securitygrouplink")]
    assert ann("DELETE", last).status_code == 409
    assert ann("POST", source, inline(default, "securitygroup", "securitygrouplink")).status_code == 200
    assert grouped(ann, source) == {web, default}
    assert ann("DELETE", last).status_code == 200
    assert grouped(ann, source) == {default}
    assert len(ann.locations("/securitygrouplink/")) == 3
    nowhere = "/securitygroup/sg-00000000000000001"
    assert ann("POST", "/securitygrouplink/", GROUPLINK, *ends(source, nowhere)).status_code == 404


# All of them --------------------------------------------------------------------------------------------


def test_tags_go_with_all_of_them(ann, cloud):
    assert ann("POST", "/-/", TAG).status_code == 200
    source = machine(ann)
    made = [
        ann.make(WEB, kind=NETWORK),
        ann.make(WEB, kind=GROUP),
        ann.make(WEB, kind=RESERVATION),
        connect(ann, source, default_network(ann), WEB),
    ]
    assert set(ann.locations("/tag/web/")) == set(made)
    for path in made:
        assert "http://cloud.example.org/ann#web" in ann.json(path)["mixins"]
    assert (
        ann("DELETE", "/tag/web/", *(f"X-OCCI-Location: http://h{path}" for path in made[:2])).status_code
        == 200
    )
    assert set(ann.locations("/tag/web/")) == set(made[2:])
    assert ann("POST", "/tag/web/", *(f"X-OCCI-Location: http://h{path}" for path in made)).status_code == 200
    assert set(ann.locations("/tag/web/")) == set(made)
    assert ann("POST", "/tag/web/", f"X-OCCI-Location: http://h{outside()}").status_code == 403
    assert ann("DELETE", made[0]).status_code == 200
    assert set(ann.locations("/tag/web/")) == set(made[1:])


def test_a_machine_without_links_gets_the_connectivity_that_it_asks_for(ann, cloud):
    mixin = f'Category: default_connectivity; scheme="{FEDCLOUD}compute#"; class="mixin"'
    wanted = "eu.egi.fedcloud.compute.default_connectivity"
    cloud.quiesce(2)
    public = machine(ann, mixin, attribute(wanted, "public"))
    private = machine(ann, mixin, attribute(wanted, "private"))
    assert [len(links(ann, path)) for path in (public, private)] == [2, 1]
    assert [ann.attributes(path)[wanted] for path in (public, private)] == ["public", "private"]
    assert ann.locations("/mixin/fedcloud/default_connectivity/") == [public, private]
    assert ann("POST", public, mixin, attribute(wanted, "public")).status_code == 200
    assert ann("POST", public, mixin, attribute(wanted, "private")).status_code == 403
    assert ann("POST", machine(ann), mixin, attribute(wanted, "public")).status_code in {400, 403}
    assert ann("POST", "/compute/", COMPUTE, mixin, attribute(wanted, "nat")).status_code == 409
    assert ann("POST", "/compute/", COMPUTE, mixin).status_code == 400
    assert ann("POST", "/compute/", COMPUTE, mixin, attribute(wanted, "all")).status_code == 400
    inner = ann.make(f'Category: private_net; scheme="{FEDCLOUD}network#"; class="mixin"', kind=NETWORK)
    within = ann.make(mixin, attribute(wanted, "private"))
    assert [each["target"]["location"] for each in links(ann, within)] == [inner]


def test_quotas_of_networks_are_403(ann, cloud):
    quotas = {"floating_ips": 0, "security_groups": 1}
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas=quotas))
    assert ann("POST", "/ipreservation/", RESERVATION).status_code == 403
    assert ann("POST", "/securitygroup/", GROUP).status_code == 403


def test_networks_and_machines_are_made_together_or_not_at_all(ann):
    both = {
        "resources": [
            {"kind": INFRA + "network", "attributes": {ADDRESS: "10.5.0.0/24"}},
            {"kind": INFRA + "securitygroup", "attributes": {"occi.core.title": "web", RULES: [SSH]}},
            {"kind": INFRA + "ipreservation", "attributes": {}},
        ]
    }
    made = ann("POST", "/", headers=JSON, body=json.dumps(both))
    assert made.status_code == 201
    assert [uri.rpartition("/")[0].rpartition("/")[2] for uri in made.json] == [
        "network", "securitygroup", "ipreservation",
    ]  # fmt: skip
    both["resources"][1]["attributes"][RULES] = [{**SSH, "port": "99999"}]
    both["resources"][0]["attributes"][ADDRESS] = "10.6.0.0/24"
    assert ann("POST", "/", headers=JSON, body=json.dumps(both)).status_code == 400
    assert blocks(ann) == ["10.5.0.0/16"]


def test_without_public_addresses_there_is_no_network_outside():
    cloud = Cloud(settings=EngineSettings())
    ann = Client(cloud, cloud.caller)
    assert ann.locations("/network/") == [default_network(ann)]
    source = machine(ann)
    assert len(links(ann, source)) == 1
    assert ann("POST", "/networkinterface/", INTERFACE, *ends(source, "/network/PUBLIC")).status_code == 404
    assert ann("POST", "/networkinterface/", INTERFACE, *ends(source, outside())).status_code == 404
    assert ann("POST", "/ipreservation/", RESERVATION).status_code == 503


# Clients ------------------------------------------------------------------------------------------------


PRIVATE_TO_IM = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10")


def seen_by_im(text):
    """Interface number, address and link of each network link, as the Infrastructure Manager takes them."""
    found = []
    for line in text.split("\n"):
        if "Link:" not in line or ("/network/" not in line and "/networklink/" not in line):
            continue
        parts = dict(part.strip().split("=", 1) for part in line.split(";")[1:])
        device = parts["occi.networkinterface.interface"].strip('"')
        number = "".join(filter(str.isdigit, device))
        found.append((number, parts["occi.networkinterface.address"].strip('"'), parts["self"].strip('"')))
    return found


def test_the_infrastructure_manager_finds_and_adds_addresses(ann, cloud):
    network = default_network(ann)
    subnet = row(ann, Subnet, network)
    quiet = ModifySubnet(subnet_id=subnet.id, map_public_ip=False)
    cloud.engine.execute(cloud.caller, quiet)
    source = machine(ann)
    instance = cloud.engine.instance(ann.caller, names.id_at(source))
    assert [each[:2] for each in seen_by_im(ann("GET", source).text)] == [("0", instance.address)]
    # It looks for a network whose addresses are public, by its last path element.
    listed = ann("GET", "/network/", headers={"Accept": "text/plain"}).text.split("\n")
    public = []
    for line in listed:
        path = line.removeprefix("X-OCCI-Location: http://h")
        values = [each for each in ann("GET", path).text.split("\n") if f"Attribute: {ADDRESS}=" in each]
        address = ipaddress.ip_address(values[0].split("=")[1].strip('"').split("/")[0])
        if not any(address in ipaddress.ip_network(mask) for mask in PRIVATE_TO_IM):
            public.append(path.rpartition("/")[2])
    assert public == [each.rpartition("/")[2] for each in (outside(), outside("second"))]
    name = public[0]
    body = (
        'Category: networkinterface;scheme="http://schemas.ogf.org/occi/infrastructure#";class="kind"\n'
        'Category: outside;scheme="http://schemas.openstack.org/network/floatingippool#";class="mixin"\n'
        'X-OCCI-Attribute: occi.core.id="imnet-6d1"\n'
        f'X-OCCI-Attribute: occi.core.target="/network/{name}"\n'
        f'X-OCCI-Attribute: occi.core.source="/compute/{source.rpartition("/")[2]}"'
    )
    headers = {"Accept": "text/plain", "Content-Type": "text/plain,text/occi"}
    made = ann("POST", "/networkinterface/", headers=headers, body=body)
    assert made.status_code == 201
    [address] = addresses(ann)
    (_, first, _), (number, second, link) = seen_by_im(ann("GET", source).text)
    assert (first, number, second) == (instance.address, "0", address.ip)
    assert ann("DELETE", link).status_code == 200
    assert addresses(ann) == []


def test_the_infrastructure_manager_retries_with_networks(ann, cloud):
    # OCCI-REAL-10: what it sends after a 409 at creation.
    names_of = (outside().rpartition("/")[2], default_network(ann).rpartition("/")[2])
    lines = [
        f'Link: </network/{name}>; rel="http://schemas.ogf.org/occi/infrastructure#network"; '
        'self="/networkinterface/im-1"; '
        'category="http://schemas.ogf.org/occi/infrastructure#networkinterface"; '
        f'occi.core.target="/network/{name}"; occi.core.source="/compute/im-2"; occi.core.id="im-1"'
        for name in names_of
    ]
    source = machine(ann, attribute("occi.core.id", "im-2"), *lines)
    assert [each["target"]["location"] for each in links(ann, source)] == [default_network(ann), outside()]


@pytest.mark.parametrize(
    "kind", ["network", "networkinterface", "securitygroup", "securitygrouplink", "ipreservation"]
)
@pytest.mark.parametrize("media", [*MEDIA, "text/uri-list"])
def test_collections_in_all_renderings(ann, kind, media):
    machine(ann)
    ann.make(POOL, kind=RESERVATION)
    got = ann("GET", f"/{kind}/", headers={"Accept": media})
    assert got.status_code == 200
    count = len(ann.locations(f"/{kind}/"))
    assert count
    if media == MEDIA[2]:
        [(member, found)] = got.json.items()
        assert member == ("links" if kind in {"networkinterface", "securitygrouplink"} else "resources")
        assert {each["kind"] for each in found} == {INFRA + kind}
        assert len(found) == count
    elif media == MEDIA[1]:
        assert len(got.headers["x-occi-location"].split(", ")) == count
    else:
        assert len(got.text.split("\n")) == count
    assert ann("GET", f"/{kind}/", query="page=1&number=1").status_code == 200
    assert ann("PUT", f"/{kind}/").status_code == 405
