"""The command line of networks: what is shown in tables and as JSON, and refusals that say what to do."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from ovn_lab import lab_possible, ovn_lab
from typer.testing import CliRunner

from backend.commands import Launch, NicRequest
from backend.model import Content, Image, ImageState, uuid_of
from backend.network_commands import CreateNic, ModifySubnet, PutRoute
from backend.network_model import InternetGateway, PublicAddress, RouteTable, SecurityGroup, Subnet, Vpc
from gateway.cli import app
from gateway.commands.prepare import script_for
from gateway.context import Refused
from gateway.installation import Installation, acting_for, make
from gateway.settings import NetworkTable


class Cloud:
    """An installation, and the command line in front of it."""

    def __init__(self, home):
        self.home = home
        self.installation = Installation.at(home)
        self.engine = self.installation.engine
        self.tenant = self.engine.tenant("default")
        self.caller = acting_for(self.tenant, "us-east-1")

    def run(self, *words):
        return CliRunner().invoke(app, [*words, "--home", str(self.home)])

    def cli(self, *words, status=0):
        done = self.run(*words, "--json")
        assert done.exit_code == status, done.output
        return json.loads(done.stdout)

    def table(self, *words):
        """The cells of what is printed, row by row, the first row being the head."""
        done = self.run(*words)
        assert done.exit_code == 0, done.output
        return [line.split() for line in done.stdout.splitlines() if line.strip()]

    def refused(self, *words):
        done = self.run(*words)
        assert done.exit_code == 1, done.output
        assert done.stderr.startswith("error: ")
        return done.stderr

    def all(self, kind):
        return self.engine.networks.all(self.caller, kind)

    def nic(self, **parameters):
        parameters.setdefault("subnet_id", self.all(Subnet)[0].id)
        return self.engine.execute(self.caller, CreateNic(nic=NicRequest(**parameters)))

    def instance(self):
        """An instance as it is accepted, with its interface; nothing here starts any."""
        content = Content(
            checksum="c" * 64, path="c.qcow2", format="qcow2", size_bytes=1 << 20, virtual_bytes=1 << 30
        )
        image = Image(
            id="ami-0123456789abcdef0", tenant_id=self.tenant.id, account_id=self.tenant.account_id, name="x",
            state=ImageState.READY, format="qcow2", checksum=content.checksum, size_bytes=1 << 20,
            virtual_bytes=1 << 30, created_at=1.0,
        )  # fmt: skip
        with self.installation.store.begin() as tx:
            if tx.images.get(image.id) is None:
                tx.contents.insert(content)
                tx.images.insert(image)
        launch = Launch(image_id=image.id, held=True, public_ip=False, subnet_id=self.all(Subnet)[0].id)
        [made] = self.engine.execute(self.caller, launch).instances
        return made, self.engine.networks.nics_of([made.id])[made.id][0]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A fresh home; tests get copies of it."""
    home = tmp_path_factory.mktemp("template") / "home"
    zones = {"us-east-1": ("us-east-1a", "us-east-1b")}
    installation, _ = make(home, listen="127.0.0.1:0", regions=zones)
    installation.close()
    return home


@pytest.fixture
def cloud(tmp_path, template, monkeypatch):
    for name in ("ISTHMUS_HOME", "ISTHMUS_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    shutil.copytree(template, home)
    (home / "location").write_text(str(home))  # it is no copy, for all that it knows
    made = Cloud(home)
    yield made
    made.installation.close()


# What is drawn ------------------------------------------------------------------------------------------


def test_a_fresh_installation_has_a_default_network_with_a_subnet_in_each_zone(cloud):
    [vpc] = cloud.cli("net", "list")
    assert (vpc["tenant"], vpc["cidr"], vpc["default"], vpc["subnets"]) == (
        "default",
        "172.31.0.0/16",
        True,
        2,
    )
    assert vpc["uuid"] == uuid_of(vpc["id"])
    head, row = cloud.table("net", "list")
    assert head == ["id", "tenant", "cidr", "default", "subnets", "region"]
    assert row[:3] == [vpc["id"], "default", "172.31.0.0/16"]
    assert cloud.cli("net", "list", "--tenant", "default") == [vpc]


def test_a_network_is_shown_with_all_that_is_in_it(cloud):
    [vpc] = cloud.all(Vpc)
    shown = cloud.cli("net", "show", vpc.id)
    assert {name: len(shown[name]) for name in ("subnets", "route_tables", "internet_gateways")} == {
        "subnets": 2,
        "route_tables": 1,
        "internet_gateways": 1,
    }
    assert cloud.cli("net", "show", uuid_of(vpc.id)) == shown  # as OCCI calls it
    [gateway], [table] = cloud.all(InternetGateway), cloud.all(RouteTable)
    said = cloud.run("net", "show", vpc.id).stdout
    assert f"route table {table.id}: main, 0.0.0.0/0 → {gateway.id}" in said
    assert f"internet gateway {gateway.id}: attached" in said
    assert "entries, default" in said
    assert "172.31.0.0/20 in us-east-1a" in said


def test_subnets_tell_what_is_free_and_are_switched(cloud):
    first, second = cloud.cli("subnet", "list")
    assert (first["free"], first["up"]) == (4091, True)
    cloud.nic(secondary_count=3)
    assert [each["free"] for each in cloud.cli("subnet", "list")] == [4087, 4091]
    assert cloud.cli("subnet", "down", first["uuid"])["up"] is False
    lines = [line.split() for line in cloud.run("subnet", "up", first["id"]).stdout.splitlines()]
    assert [line[0] for line in lines] == ["id", "tenant", "cidr", "zone", "vpc", "up", "map"]
    assert {first["zone"], second["zone"]} == {"us-east-1a", "us-east-1b"}
    assert cloud.all(Subnet)[0].up


def test_interfaces_with_their_addresses(cloud):
    assert cloud.run("nic", "list").stdout == "None.\n"
    nic = cloud.nic(secondary_count=1)
    [shown] = cloud.cli("nic", "list")
    assert (shown["id"], shown["attached"], shown["public"]) == (nic.id, "", "")
    assert len(shown["addresses"].split(", ")) == 2
    assert shown["addresses"].startswith(nic.address)
    assert nic.id in cloud.run("nic", "list").stdout


def test_public_addresses_are_held_and_given_back(cloud):
    [pool] = cloud.cli("address", "pools")
    assert pool["held"] == 0
    made = cloud.cli("address", "allocate")
    assert (made["tenant"], made["pool"], made["nic_id"]) == ("default", pool["pool"], None)
    certain = cloud.cli("address", "allocate", "--tenant", "default", "--pool", pool["pool"])
    assert {each["ip"] for each in cloud.cli("address", "list")} == {made["ip"], certain["ip"]}
    assert cloud.cli("address", "pools")[0]["held"] == 2
    assert made["ip"] in cloud.refused("address", "allocate", "--ip", made["ip"])
    assert cloud.cli("address", "release", made["ip"])["id"] == made["id"]
    assert cloud.cli("address", "release", uuid_of(certain["id"]))["ip"] == certain["ip"]
    assert cloud.all(PublicAddress) == []
    assert "See: isthmus address list" in cloud.refused("address", "release", made["ip"])


def test_an_address_is_held_in_a_region_that_is_there_or_not_at_all(cloud):
    assert "There are: us-east-1" in cloud.refused("address", "allocate", "--region", "mars-1")
    assert cloud.all(PublicAddress) == []


def test_rules_are_allowed_shown_and_forbidden(cloud):
    [group] = cloud.cli("secgroup", "list")
    assert (group["name"], group["rules"]) == ("default", 2)
    [rule] = cloud.cli("secgroup", "allow", group["id"], "--ports", "8000-8099", "--peer", "10.0.0.7/8")
    assert (rule["way"], rule["rule"]) == ("in", "tcp 8000-8099 from 10.0.0.0/8")
    [out] = cloud.cli(
        "secgroup", "allow", group["uuid"], "--protocol", "icmp", "--egress", "--peer", "default"
    )
    assert (out["way"], out["rule"]) == ("out", f"icmp to {group['id']}")
    [every] = cloud.cli("secgroup", "allow", group["id"], "--protocol", "all", "--peer", "192.0.2.1")
    assert every["rule"] == "everything from 192.0.2.1/32"
    assert "tcp 8000-8099 from 10.0.0.0/8" in cloud.run("secgroup", "show", group["id"]).stdout
    assert [each["id"] for each in cloud.cli("secgroup", "forbid", group["id"], rule["id"])] == [rule["id"]]
    assert [each["id"] for each in cloud.cli("secgroup", "forbid", group["id"], out["id"])] == [out["id"]]
    assert len(cloud.cli("secgroup", "show", group["id"])) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ports", "http"), "such as 22 or 8000-8099"),
        (("--ports", "22-http"), "such as 22 or 8000-8099"),
        (("--ports", "99-22"), "Invalid TCP port range (99:22)"),
        ((), "from and to ports"),
        (("--protocol", "nonsense", "--ports", "1"), "Invalid IP protocol: nonsense"),
        (("--ports", "1", "--peer", "10.0.0.0/99"), "10.0.0.0/99 is malformed"),
        (("--ports", "1", "--peer", "nobody"), "'nobody' does not exist"),
    ],
)
def test_rules_that_are_none(cloud, words, said):
    [group] = cloud.all(SecurityGroup)
    assert said in cloud.refused("secgroup", "allow", group.id, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("net", "show", "vpc-none"),
        ("subnet", "down", "subnet-none"),
        ("secgroup", "show", "sg-none"),
        ("secgroup", "allow", "sg-none"),
        ("net", "list", "--tenant", "nobody"),
    ],
)
def test_what_is_not_there(cloud, words):
    assert words[-1] in cloud.refused(*words)


# Tracing ------------------------------------------------------------------------------------------------


def test_a_packet_is_followed_to_the_rule_that_lets_it_pass_and_to_what_stops_it(cloud):
    (instance, here), there = cloud.instance(), cloud.nic()
    [group] = cloud.all(SecurityGroup)
    shown = cloud.cli("trace", here.id, f"{there.address}:22", status=1)
    assert shown["passes"] is False
    assert shown["steps"][-1]["at"] == there.id
    assert "attached to no instance" in shown["steps"][-1]["words"]
    stopped = cloud.run("trace", "198.51.100.1", f"{here.address}:22")
    assert stopped.exit_code == 1
    assert stopped.stdout.startswith(f"STOP {here.address}: it is no public address")
    _, there = cloud.instance()
    passes = cloud.run("trace", instance.id, f"{there.address}:22")
    assert passes.exit_code == 1, "the rules let it pass, and user networks connect no guests"
    assert "STOP user: this network connects no guests" in passes.stdout
    assert [line.split(":")[0] for line in passes.stdout.splitlines() if line.startswith("ok")] == [
        f"ok   {group.id}",
        f"ok   {there.subnet_id}",
        f"ok   {group.id}",
    ]
    assert "yet to follow" in passes.stdout  # no worker has been here
    shown = cloud.cli("trace", uuid_of(instance.id), there.id, "--protocol", "icmp", status=1)
    assert [step["passes"] for step in shown["steps"]] == [True, True, True, False]
    assert group.id in cloud.cli("trace", here.id, f"{there.address}:1", status=1)["pending"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("SELF", "10.0.0.1"), "Give 10.0.0.1:PORT"),
        (("SELF", "10.0.0.1:http"), "http is no port"),
        (("SELF", "10.0.0.1:65536"), "65536 is no port"),
        (("SELF", "nowhere:22"), "nowhere is no instance, no interface and no IPv4 address"),
        (("somebody", "10.0.0.1:22"), "somebody is no instance"),
        (("SELF", "10.0.0.1:22", "--protocol", "sctp"), "choose one of tcp, udp, icmp"),
        (("198.51.100.1", "SELF:22"), "has no public address, and"),
    ],
)
def test_packets_that_are_none(cloud, words, said):
    nic = cloud.nic()
    assert said in cloud.refused("trace", *(word.replace("SELF", nic.id) for word in words))


def test_a_trace_tells_of_routes_that_lead_nowhere(cloud):
    (_, nic), [table] = cloud.instance(), cloud.all(RouteTable)
    shown = cloud.cli("trace", nic.id, "198.51.100.1:80", status=1)
    assert "has no public address to leave under" in shown["steps"][-1]["words"]
    hop = cloud.nic()
    route = PutRoute(route_table_id=table.id, destination="198.51.100.0/24", target=hop.id)
    cloud.engine.execute(cloud.caller, route)
    stopped = cloud.cli("trace", nic.id, "198.51.100.1:80", status=1)["steps"][-1]
    assert (stopped["at"], f"leads to {hop.id}" in stopped["words"]) == (table.id, True)
    assert stopped["words"].endswith("which is not there (blackhole)")
    cloud.engine.execute(cloud.caller, ModifySubnet(subnet_id=nic.subnet_id, up=False))
    assert cloud.cli("trace", nic.id, "169.254.169.254:80")["passes"] is True


# Preparing hosts ----------------------------------------------------------------------------------------

OVN = NetworkTable(driver="ovn", northbound="tcp:192.0.2.1:6641", southbound="tcp:192.0.2.1:6642")


def test_a_host_is_prepared_only_for_ovn(cloud):
    assert 'Set driver = "ovn"' in cloud.refused("host", "prepare", "--tunnel", "10.0.0.1")


@pytest.mark.parametrize("words", [{}, {"interface": "eth1", "name": "h1", "userspace": True}])
def test_what_is_done_on_a_host_is_a_shell_script(words):
    script = script_for(OVN, tunnel="10.0.0.1", **words)
    done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ovn-remote=tcp:192.0.2.1:6642" in script
    assert "ovn-encap-ip=10.0.0.1" in script
    assert ("datapath_type=netdev" in script) is bool(words)
    assert ("add-port br-public eth1" in script) is bool(words)


@pytest.mark.parametrize(
    "words",
    [
        {"tunnel": "nowhere"},
        {"tunnel": "10.0.0.1", "interface": "eth0; reboot"},
        {"tunnel": "10.0.0.1", "name": "$(reboot)"},
        {"tunnel": "10.0.0.1", "name": "-x"},
    ],
)
def test_names_that_no_host_has(words):
    with pytest.raises(Refused):
        script_for(OVN, **words)


@pytest.mark.skipif(not lab_possible(), reason="needs root, Open vSwitch and OVN")
def test_a_prepared_host_is_a_chassis_and_stays_one_when_prepared_again():
    with ovn_lab(("h1",)) as lab:
        host = lab.hosts["h1"]
        table = NetworkTable(driver="ovn", northbound=lab.nb, southbound=host.vsctl(
            "get", "open_vswitch", ".", "external_ids:ovn-remote").strip().strip('"'))  # fmt: skip
        script = script_for(table, tunnel=host.tunnel, name="h1", userspace=True)
        said = []
        for _ in range(2):
            script_path = lab.home / "prepare.sh"
            script_path.write_text(script)
            said.append(host.space.run("sh", script_path))
        assert said == ["h1\n", "h1\n"]
        ids = host.vsctl("get", "open_vswitch", ".", "external_ids")
        assert 'ovn-bridge-mappings="public:br-public"' in ids
        assert host.vsctl("get", "bridge", "br-public", "datapath_type").strip() == "netdev"
        assert lab.sbctl("--bare", "--columns=name", "list", "chassis").split() == ["h1"]
