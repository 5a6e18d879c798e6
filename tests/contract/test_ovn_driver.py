"""The OVN driver against real databases and northd: what it writes, what it leaves alone, and what survives."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ovn_central import Central, central_possible, run
from ovn_topology import OPEN, Drawing, anything

from backend.drivers.ovn.driver import OvnNetwork
from backend.drivers.ovn.northbound import NorthboundReplica
from backend.drivers.ovn.settings import OvnSettings
from backend.model import uuid_of
from backend.network_model import Route, Topology
from backend.ports import HostSilent, StepFailed

pytestmark = pytest.mark.skipif(not central_possible(), reason="needs the daemons of ovn-central")

ELASTIC = "203.0.113.50"


@pytest.fixture
def central() -> Iterator[Central]:
    home = Path(tempfile.mkdtemp(prefix="ovn-", dir="/tmp"))  # a UNIX socket's path is short
    made = Central(home)
    yield made
    made.close()
    shutil.rmtree(home)


@pytest.fixture
def network(central: Central) -> Iterator[OvnNetwork]:
    with contextlib.closing(driver(central)) as made:
        yield made


def driver(central: Central, **more: Any) -> OvnNetwork:
    return OvnNetwork(
        OvnSettings(
            **{"northbound": central.north, "next_hop": "203.0.113.1", "pools": ("203.0.113.0/24",), **more}
        )
    )


def drawing() -> Drawing:
    """Two subnets, two groups, three interfaces, an elastic address, a NAT gateway."""
    draw = Drawing()
    vpc = draw.vpc("a")
    first = draw.subnet("a1", vpc, "10.0.1.0/24")
    gateway = draw.nat("n", first, "203.0.113.60")
    table = draw.table("rtb-n", vpc, Route(destination="0.0.0.0/0", target=gateway.id))
    second = draw.subnet("a2", vpc, "10.0.2.0/24", route_table_id=table.id)
    web = draw.group("web", vpc, anything(), anything(egress=True))
    data = draw.group("data", vpc, {"protocol": "tcp", "from_port": 1, "to_port": 2, "peer_group_id": web.id})
    nic = draw.nic(first, web)
    draw.nic(first, web, data)
    draw.nic(second, data)
    draw.public("e", ELASTIC, nic)
    return draw


def configuration(central: Central) -> int:
    return int(central.nbctl("get", "NB_Global", ".", "nb_cfg"))


# What it writes -----------------------------------------------------------------------------------------


def test_repeating_it_changes_nothing(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    before, number = central.rows(), configuration(central)

    network.apply(draw.topology)
    network.apply(draw.topology, [*draw.vpcs, *draw.subnets, *draw.groups, *draw.nics])

    assert central.rows() == before
    assert configuration(central) == number
    assert network.differences(draw.topology) == []


def test_another_process_finds_the_same_to_be_true(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    before = central.rows()

    with contextlib.closing(driver(central)) as other:
        assert other.differences(draw.topology) == []
        other.apply(draw.topology)

    assert central.rows() == before


def test_what_is_gone_from_the_topology_goes(central: Central, network: OvnNetwork) -> None:
    network.apply(Topology(chassis=("h1",)))
    empty = central.rows()
    network.apply(drawing().topology)

    network.apply(Topology(chassis=("h1",)))

    assert central.rows() == empty
    assert {row["name"] for row in empty["Logical_Switch"]} == {"public"}


def test_scopes_that_are_gone_go_alone(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    nic, *others = draw.nics
    topology = draw.topology

    network.apply(Topology(chassis=draw.chassis), ["sg-data", others[-1]])

    draw.groups.pop("sg-data")
    draw.nics.pop(others[-1])
    for other in others[:-1]:
        kept = tuple(each for each in draw.nics[other].groups if each != "sg-data")
        draw.nics[other] = msgspec.structs.replace(draw.nics[other], groups=kept)
    assert network.differences(draw.topology) == []
    assert nic in topology.nics


def test_rows_of_others_are_left_alone(central: Central, network: OvnNetwork) -> None:
    central.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", "their-port", "--", "lr-add", "their-router")
    central.nbctl(
        "pg-add", "their_group", "their-port", "--", "acl-add", "theirs", "to-lport", "1", "ip", "drop"
    )
    theirs = central.rows()
    draw = drawing()
    network.apply(draw.topology)
    port = uuid_of(list(draw.nics)[1])
    central.nbctl("pg-set-ports", "their_group", "their-port", port)
    network.apply(draw.topology)

    network.apply(Topology(chassis=draw.chassis))

    left = central.rows()
    network.apply(Topology(chassis=draw.chassis))
    for table in ("ACL", "Logical_Router", "Logical_Switch_Port"):
        assert [row for row in theirs[table] if row not in left[table]] == []
    assert "their_group" in central.nbctl("list", "Port_Group")


def test_scopes_touch_their_owners_rows_alone(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    central.nbctl("set", "Port_Group", "sg_data", "name=renamed")
    central.nbctl("clear", "Port_Group", "sg_web", "acls")

    network.apply(draw.topology, ["sg-web"])

    assert network.differences(draw.topology) == ["Port_Group sg-data: name is 'renamed', not 'sg_data'"]


def test_what_differs_is_told_and_mended(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    before = central.rows()
    nic, other = list(draw.nics)[1:3]
    central.nbctl("set", "Logical_Switch_Port", uuid_of(nic), "enabled=false")
    central.nbctl("clear", "Port_Group", "sg_data", "ports")
    central.nbctl("lr-nat-del", "vpc-a-r", "dnat_and_snat", ELASTIC)
    central.nbctl("ls-add", "stray", "--", "set", "Logical_Switch", "stray",
                  "external_ids:isthmus=subnet-9", "external_ids:isthmus-key=subnet-9")  # fmt: skip

    lines = network.differences(draw.topology)
    network.apply(draw.topology)

    assert f"Logical_Switch_Port {nic}: enabled is False, not True" in lines
    assert f"Port_Group sg-data: ports lacks {other}" in lines
    assert "NAT eipalloc-e: missing" in lines
    assert "Logical_Switch subnet-9: belongs to nothing" in lines
    assert len(lines) == 5
    assert central.rows() == before


def test_a_public_address_that_moves_leaves_its_old_interface(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    target = list(draw.nics)[-1]
    draw.public("e", ELASTIC, draw.nics[target])

    network.apply(draw.topology, [target])

    assert [row["logical_ip"] for row in central.rows()["NAT"] if row["external_ip"] == ELASTIC] == [
        draw.nics[target].address
    ]
    assert network.differences(draw.topology) == []


def test_what_an_interface_needs_comes_along(central: Central, network: OvnNetwork) -> None:
    draw = drawing()

    network.apply(draw.topology, [list(draw.nics)[1]])

    names = {row["name"] for row in central.rows()["Logical_Switch_Port"]}
    assert uuid_of(list(draw.nics)[1]) in names
    assert uuid_of(list(draw.nics)[2]) not in names
    network.apply(draw.topology)
    assert network.differences(draw.topology) == []


def test_an_interface_without_its_group_is_refused_whole(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    draw.groups.pop("sg-data")

    with pytest.raises(StepFailed, match="sg-data") as refused:
        network.apply(draw.topology, list(draw.nics))

    assert refused.value.transient
    assert central.rows()["Logical_Switch"] == []


def test_a_refused_transaction_leaves_the_old_rows(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    network.apply(draw.topology)
    before = central.rows()
    vpc, subnet, group = draw.vpcs["vpc-a"], draw.subnets["subnet-a1"], draw.groups["sg-web"]
    nic = draw.nic(subnet, group)
    draw.group("web", vpc)
    # A name that somebody else has in a table where names are unique.
    central.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", uuid_of(nic.id))

    with pytest.raises(StepFailed, match="constraint violation"):
        network.apply(draw.topology, ["sg-web", nic.id])

    central.nbctl("ls-del", "theirs")
    assert central.rows() == before
    network.apply(draw.topology, ["sg-web", nic.id])
    assert network.differences(draw.topology) == []


def test_a_database_that_no_northd_has_used(tmp_path: Path, central: Central) -> None:
    central.kill("northd")
    central.nbctl("destroy", "NB_Global", ".")
    with (
        contextlib.closing(driver(central, patience=1.0)) as network,
        pytest.raises(StepFailed, match="northd"),
    ):
        network.apply(drawing().topology)


# What it survives ---------------------------------------------------------------------------------------


def test_a_database_that_is_killed_in_between(central: Central) -> None:
    draw = drawing()
    with contextlib.closing(driver(central, patience=8.0)) as network:
        network.apply(draw.topology)
        central.kill("nb")
        central.start("nb")
        central.nbctl("ls-del", "subnet-a2")  # unseen: the replica must not remember it
        draw.group("web", draw.vpcs["vpc-a"])

        network.apply(draw.topology)

        assert network.differences(draw.topology) == []
        assert "subnet-a2" in central.nbctl("ls-list")


def test_a_database_that_is_not_there(central: Central) -> None:
    draw = drawing()
    with contextlib.closing(driver(central, patience=1.0)) as network:
        network.apply(draw.topology)
        central.kill("nb")
        draw.group("late", draw.vpcs["vpc-a"])  # something to write: nothing to do needs no database
        with pytest.raises(HostSilent):
            network.apply(draw.topology, ["sg-late"])
        with pytest.raises(HostSilent):
            network.differences(draw.topology)
        central.start("nb")


def test_a_database_that_hangs(central: Central) -> None:
    draw = drawing()
    with contextlib.closing(driver(central, patience=1.0)) as network:
        network.apply(draw.topology)
        draw.group("web", draw.vpcs["vpc-a"])
        with central.stopped("nb"):
            with pytest.raises(HostSilent):
                network.apply(draw.topology, ["sg-web"])
        network.apply(draw.topology, ["sg-web"])
        assert network.differences(draw.topology) == []
        assert central.nbctl("acl-list", "sg_web") == ""


def test_northd_that_hangs_is_waited_for_the_next_time(central: Central) -> None:
    draw = drawing()
    with contextlib.closing(driver(central, patience=1.0)) as network:
        network.apply(draw.topology)
        draw.group("web", draw.vpcs["vpc-a"])
        with central.stopped("northd"):
            for _ in range(2):  # the second time nothing is left to write
                with pytest.raises(HostSilent, match="northd"):
                    network.apply(draw.topology, ["sg-web"])
        network.apply(draw.topology, ["sg-web"])


def test_a_southbound_database_that_is_not_there_holds_nobody_up_twice(central: Central) -> None:
    draw = drawing()
    nowhere = f"unix:{central.home}/nowhere.sock"
    with contextlib.closing(driver(central, southbound=nowhere, hosts_patience=2.0, patience=2.0)) as network:
        network.apply(draw.topology)
        spent = []
        for rules in ((), (anything(),), (), (anything(),)):
            begun = time.monotonic()
            draw.group("web", draw.vpcs["vpc-a"], *rules)
            network.apply(draw.topology, ["sg-web"])
            spent.append(time.monotonic() - begun)
        assert min(spent) < 2
        assert network.differences(draw.topology) == ["southbound: not connected"]


def test_chassis_of_a_real_southbound_database(central: Central) -> None:
    draw = drawing()
    run("ovn-sbctl", f"--db={central.south}", "--no-leader-only", "chassis-add", "h1", "geneve", "127.0.0.1")
    with contextlib.closing(driver(central, southbound=central.south, hosts_patience=2.0)) as network:
        spent = []
        for _ in range(5):
            begun = time.monotonic()
            network.apply(draw.topology)
            draw.group("web", draw.vpcs["vpc-a"])
            spent.append(time.monotonic() - begun)
        assert spent[0] >= 2
        assert min(spent[1:]) < 2  # it was late once, and nobody waits for it again
        assert network.differences(drawing().topology)[-3:] == [
            "chassis h2: not in the southbound database",
            "chassis h1: has not followed the latest changes",
            "chassis h1: no bridge is mapped to the network public",
        ]


def test_many_at_once_in_several_processes(central: Central, network: OvnNetwork) -> None:
    draw = drawing()
    subnet, group = draw.subnets["subnet-a1"], draw.groups["sg-web"]
    nics = [draw.nic(subnet, group).id for _ in range(24)]
    topology = draw.topology
    with contextlib.closing(driver(central)) as other:
        failures: list[Exception] = []

        def work(part: list[str], through: OvnNetwork) -> None:
            try:
                for nic in part:
                    through.apply(topology, [nic, "subnet-a1", "sg-web"])
            except Exception as problem:
                failures.append(problem)

        threads = [
            threading.Thread(target=work, args=(nics[n::4], (network, other)[n % 2])) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        network.apply(topology)
        assert network.differences(topology) == []
        assert other.differences(topology) == []
    names = [
        (table, str(row["external_ids"]))
        for table, rows in central.rows().items()
        for row in rows
        if "external_ids" in row
    ]
    assert len(names) == len(set(names)) > 150


def test_a_scope_costs_its_own_rows(
    central: Central, network: OvnNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = drawing()
    subnet = draw.subnets["subnet-a1"]
    for _ in range(150):
        draw.nic(subnet, draw.groups["sg-web"])
    network.apply(draw.topology)
    asked: list[str] = []
    value = NorthboundReplica.value

    def counting(self: NorthboundReplica, table: str, row: Any, column: str) -> Any:
        asked.append(table)
        return value(self, table, row, column)

    monkeypatch.setattr(NorthboundReplica, "value", counting)
    network.apply(draw.topology, [])
    always, asked[:] = len(asked), []
    network.apply(draw.topology, [list(draw.nics)[50], "sg-data"])

    assert len(asked) - always < 30


def test_after_the_end_nobody_answers(central: Central) -> None:
    network = driver(central)
    network.apply(Topology())
    threads = threading.active_count()
    network.close()
    deadline = time.monotonic() + 5
    while threading.active_count() >= threads and time.monotonic() < deadline:
        time.sleep(0.02)

    assert threading.active_count() < threads
    network.close()
    driver(central).close()
    with pytest.raises(HostSilent, match="closed"):
        network.apply(Topology())


def test_with_very_many_files_open(central: Central) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.dup(0))
        network = stack.enter_context(contextlib.closing(driver(central)))
        network.apply(drawing().topology)
        assert network.differences(drawing().topology) == []


def test_over_tls_with_certificates(central: Central) -> None:
    files = certificates(central.home)
    central.extra = (
        "--remote=pssl:0:127.0.0.1", f"--private-key={files[0]}", f"--certificate={files[1]}", f"--ca-cert={files[2]}",
    )  # fmt: skip
    central.kill("nb")
    central.start("nb")
    said = (central.home / "nb.log").read_text()
    port = (
        said.rsplit("listening on port ", 1)[-1].split()[0]
        if "listening on port" in said
        else listening(central)
    )
    keys = {"private_key": files[0], "certificate": files[1], "ca_certificate": files[2]}
    with contextlib.closing(driver(central, northbound=f"ssl:127.0.0.1:{port}", **keys)) as network:
        network.apply(drawing().topology)
        assert network.differences(drawing().topology) == []


def listening(central: Central) -> str:
    """The port on which the northbound server takes TLS connections."""
    pid = central._running["nb"].pid
    sockets = {
        str(link.readlink())[8:-1]
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and words[9] in sockets:
            return str(int(words[1].split(":")[1], 16))
    raise AssertionError("not listening")


def certificates(home: Path) -> tuple[str, str, str]:
    """A key and a certificate that are their own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    (home / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    (home / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return f"{home}/key.pem", f"{home}/cert.pem", f"{home}/cert.pem"


# Any sequence -------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 3)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["vpc", "subnet", "unsubnet", "nic", "unnic", "group", "regroup", "ungroup", "public", "unpublic",
             "route", "acl", "flip", "nat", "unnat", "chassis", "gateway", "table"]
        ),
        NUMBERS,
        NUMBERS,
    ),
    max_size=25,
)  # fmt: skip


def step(draw: Drawing, what: str, one: int, two: int) -> list[str]:
    """One change, and the scopes that an engine would name for it."""
    vpcs, subnets, nics = list(draw.vpcs.values()), list(draw.subnets.values()), list(draw.nics.values())
    guests = [nic for nic in nics if not nic.requester]
    groups, addresses = list(draw.groups.values()), list(draw.addresses.values())

    def pick(things: list[Any], number: int) -> Any:
        return things[number % len(things)] if things else None

    vpc, subnet, nic, group = pick(vpcs, one), pick(subnets, one), pick(guests, one), pick(groups, two)
    match what:
        case "vpc":
            made = draw.vpc(f"v{draw.number()}")
            return [made.id]
        case "subnet" if vpc is not None:
            number = draw.number()
            made = draw.subnet(f"s{number}", vpc, f"10.0.{number}.0/24")
            return [made.id, vpc.id]
        case "unsubnet" if subnet is not None and not any(each.subnet_id == subnet.id for each in nics):
            del draw.subnets[subnet.id]
            return [subnet.id, subnet.vpc_id]
        case "nic" if subnet is not None:
            mine = [each for each in groups if each.vpc_id == subnet.vpc_id][: two + 1]
            return [draw.nic(subnet, *mine).id]
        case "unnic" if nic is not None:
            del draw.nics[nic.id], draw.leases[nic.id], draw.infra[nic.id]
            for address in addresses:
                if address.nic_id == nic.id:
                    draw.public(address.id[9:], address.ip, None)
            return [nic.id]
        case "group" if vpc is not None:
            return [draw.group(f"g{draw.number()}", vpc, anything()).id]
        case "regroup" if group is not None:
            peer = pick([each for each in groups if each.vpc_id == group.vpc_id], one)
            rules = [anything(), {"protocol": "-1", "peer_group_id": peer.id}, anything(egress=True)][:two]
            draw.group(group.name, draw.vpcs[group.vpc_id], *rules)
            return [group.id]
        case "ungroup" if group is not None and not any(group.id in each.groups for each in nics):
            del draw.groups[group.id], draw.rules[group.id]
            return [group.id]
        case "public" if nic is not None:
            before = draw.addresses.get(f"eipalloc-{two}")
            draw.public(str(two), f"203.0.113.{50 + two}", nic)
            return [nic.id, *([before.nic_id] if before is not None and before.nic_id else [])]
        case "unpublic" if (
            address := pick([each for each in addresses if len(each.id) < 11], one)
        ) is not None:
            draw.public(address.id[9:], address.ip, None)
            return [address.nic_id] if address.nic_id else []
        case "route" if vpc is not None:
            targets = [f"igw-{vpc.id[4:]}", *draw.nat_gateways, "eni-gone", *(each.id for each in guests)]
            routes = [
                Route(destination=f"192.0.{each}.0/24", target=pick(targets, two + each))
                for each in range(two)
            ]
            main = next(each for each in draw.route_tables.values() if each.vpc_id == vpc.id and each.main)
            draw.table(main.id, vpc, *routes, main=True)
            return [vpc.id]
        case "table" if subnet is not None:
            table = draw.table(f"rtb-t{two}-{subnet.vpc_id}", draw.vpcs[subnet.vpc_id])
            draw.subnets[subnet.id] = msgspec.structs.replace(subnet, route_table_id=table.id if two else "")
            return [subnet.id]
        case "acl" if vpc is not None:
            acl = f"acl-{vpc.id[4:]}"
            draw.acl(acl, vpc, OPEN[:two])
            return [each.id for each in subnets if each.acl_id == acl]
        case "flip" if nic is not None:
            draw.nics[nic.id] = msgspec.structs.replace(nic, up=not nic.up, source_dest_check=bool(two % 2))
            return [nic.id]
        case "nat" if subnet is not None:
            number = draw.number()
            gateway = draw.nat(f"n{number}", subnet, f"203.0.113.{100 + number}")
            return [subnet.vpc_id, gateway.nic_id]
        case "unnat" if draw.nat_gateways:
            _, gateway = draw.nat_gateways.popitem()
            return [gateway.vpc_id]
        case "gateway" if (
            vpc is not None and draw.internet_gateways.pop(f"igw-{vpc.id[4:]}", None) is not None
        ):
            return [vpc.id]
        case "chassis":
            draw.chassis = ("h1", "h2", "h3", "h4")[: one + 1]
            return []
        case _:
            return []


def after(draw: Drawing, scopes: list[str]) -> list[str]:
    """Deleting what routes lead to changes the routers of those who have such routes."""
    return [*scopes, *draw.vpcs] if any(each.startswith("eni-") for each in scopes) else scopes


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Central, Central]]:
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(2):
            home = Path(tempfile.mkdtemp(prefix="ovn-", dir="/tmp"))
            stack.callback(shutil.rmtree, home)
            made.append(Central(home))
            stack.callback(made[-1].close)
        yield made[0], made[1]


@pytest.fixture(scope="module")
def drivers(pair: tuple[Central, Central]) -> Iterator[tuple[OvnNetwork, OvnNetwork]]:
    with contextlib.closing(driver(pair[0])) as one, contextlib.closing(driver(pair[1])) as other:
        yield one, other


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_step_by_step_or_all_at_once_is_the_same(
    steps: list[tuple[str, int, int]], pair: tuple[Central, Central], drivers: tuple[OvnNetwork, OvnNetwork]
) -> None:
    by_steps, at_once = drivers
    draw = Drawing()
    by_steps.apply(draw.topology)
    for what, one, two in [("vpc", 0, 0), ("subnet", 0, 0), ("group", 0, 0), ("nic", 0, 0), *steps]:
        scopes = after(draw, step(draw, what, one, two))
        by_steps.apply(draw.topology, scopes)

    assert by_steps.differences(draw.topology) == []
    at_once.apply(draw.topology)
    assert pair[0].rows() == pair[1].rows()
