"""Tenant networks on OVN: a rule's change, a host's restart, a whole comparison, against OVN's own tools.

Two chassis of a lab (namespaces, userspace datapath) have the interfaces as ports of ``br-int``; no guest
runs behind them. The rows are the engine's own, and its applier follows them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from backend.commands import AddHost, Command, CreateTenant, CreateUser, NicRequest, SetQuota
from backend.drivers.ovn.capabilities import CAPABILITIES
from backend.drivers.ovn.driver import OvnNetwork
from backend.drivers.ovn.settings import OvnSettings
from backend.engine import Engine, EngineSettings
from backend.engine.network_applier import NetworkApplier
from backend.engine.settings import NetworkSettings
from backend.model import UNLIMITED, Api, Caller, QuotaName, Role, uuid_of
from backend.network_commands import (
    AuthorizeRules,
    CreateNic,
    CreateSecurityGroup,
    CreateSubnet,
    CreateVpc,
    RevokeRules,
    RuleSpec,
)
from backend.network_model import Nic
from backend.store import Store
from benchmarks.report import Row, show
from tests.support.ovn_lab import GATEWAY, INFRA_NETWORK, NEXT_HOP, OvnLab, lab_possible, ovn_lab
from tests.support.simulation import ListQueue

R = TypeVar("R")
_OPERATOR = Caller(tenant_id="", account_id="", user_id="", user_name="bench", role=Role.ADMIN, api=Api.CLI)
_HOSTS = ("h1", "h2")
_PATIENCE = 180.0
_BARE = "bare"


def run(*, quick: bool) -> None:
    """Measure and print."""
    if not lab_possible():
        print("\n## Tenant networks on OVN: not measured, needs root, Open vSwitch and OVN")
        return
    count, rules, repeats = (40, 50, 5) if quick else (200, 50, 15)
    with tempfile.TemporaryDirectory(prefix="networking-") as folder, ovn_lab(_HOSTS) as lab:
        _draw_bare(lab, count, rules)
        _bind(lab, [f"{_BARE}{number}" for number in range(count)])
        bare = _restart(lab, count)
        with _tenant(lab, Path(folder)) as tenant:
            nics, one, all_of_them = tenant.draw(count, rules)
            whole = _timed(tenant.applier.reconcile)
            _bind(lab, [uuid_of(nic.id) for nic in nics])
            alone, alone_bare = _rule_changes(lab, tenant, one, repeats)
            many, many_bare = _rule_changes(lab, tenant, all_of_them, repeats)
            ours = _restart(lab, count)
            again = _timed(tenant.applier.reconcile)
            waits = _timed(lambda: lab.nbctl("sync", wait=True))
            assert not tenant.applier.differences()
    peer = "ovn-nbctl"
    show(
        f"{count} interfaces of {rules} rules each on two hosts "
        "(seconds, median; ratio = ovn-nbctl / isthmus)",
        [
            Row("a rule's change, one interface in the group", {"isthmus": alone, peer: alone_bare}),
            Row(f"a rule's change, {count} interfaces in the group", {"isthmus": many, peer: many_bare}),
            Row("a host's daemons killed and started", {"isthmus": ours, peer: bare}),
            Row("everything compared, nothing changed", {"isthmus": again, peer: waits}),
            Row("everything made at once", {"isthmus": whole}),
        ],
    )
    print(f"\nA rule's change with {count} interfaces costs {many / alone:.2f} times that with one.")


# The engine's side --------------------------------------------------------------------------------------


class _Tenant:
    """A tenant of an engine whose applier has the lab's OVN."""

    def __init__(self, lab: OvnLab, folder: Path) -> None:
        store = Store(f"sqlite:///{folder / 'bench.db'}")
        store.create()
        network = NetworkSettings(infra=INFRA_NETWORK, capabilities=CAPABILITIES)
        self.engine = Engine(store, ListQueue(), EngineSettings(network=network))
        self.driver = OvnNetwork(
            OvnSettings(
                northbound=lab.nb,
                southbound=lab.sb,
                next_hop=NEXT_HOP,
                infra=INFRA_NETWORK,
                metadata_address=GATEWAY,
                offload=False,
                patience=_PATIENCE,
                hosts_patience=_PATIENCE,
            )
        )
        self.applier = NetworkApplier(self.engine, self.driver)
        self.caller = self._member()
        for name in _HOSTS:
            host = self.do(AddHost(uri=f"test:///{name}", region="us-east-1", zone="us-east-1a"), _OPERATOR)
            with store.begin() as tx:
                tx.hosts.update(host, capabilities={"chassis": name})

    def _member(self) -> Caller:
        tenant = self.do(CreateTenant(name="bench", account_id="111122223333"), _OPERATOR)
        user = self.do(CreateUser(tenant_id=tenant.id, name="bench", password_hash="x"), _OPERATOR)
        no_limits = {each.value: UNLIMITED for each in QuotaName}
        self.do(SetQuota(tenant_id=tenant.id, quotas=no_limits), _OPERATOR)
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=user.id,
            user_name="bench",
            api=Api.EC2,
            region="us-east-1",
        )

    def do(self, command: Command[R], caller: Caller | None = None) -> R:
        """What a command answers."""
        return self.engine.execute(caller or self.caller, command)

    def draw(self, count: int, rules: int) -> tuple[list[Nic], str, str]:
        """Interfaces in one group of so many rules, the first one in a like group of its own, too."""
        vpc = self.do(CreateVpc(cidr="10.0.0.0/16"))
        subnet = self.do(CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/20"))
        specs = tuple(_spec(1000 + number) for number in range(rules))
        one, many = (
            self.do(CreateSecurityGroup(name=name, description="", vpc_id=vpc.id, rules=specs))
            for name in ("one", "many")
        )
        nics = [
            self.do(CreateNic(nic=NicRequest(subnet_id=subnet.id, groups=(one.id, many.id)[number > 0 :])))
            for number in range(count)
        ]
        return nics, one.id, many.id


def _spec(port: int) -> RuleSpec:
    return RuleSpec(egress=False, protocol="tcp", from_port=port, to_port=port, cidr="0.0.0.0/0")


@contextmanager
def _tenant(lab: OvnLab, folder: Path) -> Iterator[_Tenant]:
    tenant = _Tenant(lab, folder)
    try:
        yield tenant
    finally:
        tenant.driver.close()


def _rule_changes(lab: OvnLab, tenant: _Tenant, group: str, repeats: int) -> tuple[float, float]:
    """From a change's commit until it is in force on both hosts; the same by hand, by turns."""
    ours: list[float] = []
    theirs: list[float] = []
    [port_group] = _lines(
        lab.nbctl("--bare", "--columns=name", "find", "Port_Group", f"external_ids:isthmus={group}")
    )
    for number in range(repeats):
        made = tenant.do(AuthorizeRules(group_id=group, rules=(_spec(9000 + number),)))
        ours.append(_timed(tenant.applier.drain))
        match = f"outport == @{port_group} && ip4 && tcp.dst == {20000 + number}"
        acl = (port_group, "to-lport", "1001", match)
        add = ("--type=port-group", "acl-add", *acl, "allow-related")
        theirs.append(_timed(lambda add=add: lab.nbctl(*add, wait=True)))  # type: ignore[misc]
        lab.nbctl("--type=port-group", "acl-del", *acl, wait=True)
        tenant.do(RevokeRules(group_id=group, egress=False, rule_ids=(made[0].id,)))
        tenant.applier.drain()
    return statistics.median(ours), statistics.median(theirs)


# OVN by hand --------------------------------------------------------------------------------------------


def _draw_bare(lab: OvnLab, count: int, rules: int) -> None:
    """The same interfaces and rules as an operator would make them: a switch, a port group, ACLs."""
    words: list[str] = ["ls-add", _BARE]
    for number in range(count):
        name, address = f"{_BARE}{number}", f"10.0.{number // 200}.{number % 200 + 4}"
        mac = f"02:00:00:00:{number // 256:02x}:{number % 256:02x}"
        words += ["--", "lsp-add", _BARE, name, "--", "lsp-set-addresses", name, f"{mac} {address}"]
        words += ["--", "lsp-set-port-security", name, f"{mac} {address}"]
    words += ["--", "pg-add", _BARE, *(f"{_BARE}{number}" for number in range(count))]
    for number in range(rules):
        match = f"outport == @{_BARE} && ip4 && tcp.dst == {1000 + number}"
        words += ["--", "--type=port-group", "acl-add", _BARE, "to-lport", "1001", match, "allow-related"]
    for way, port in (("to-lport", "outport"), ("from-lport", "inport")):
        words += [
            "--",
            "--type=port-group",
            "acl-add",
            _BARE,
            way,
            "1000",
            f"{port} == @{_BARE} && ip",
            "drop",
        ]
    lab.nbctl(*words, wait=True)


def _bind(lab: OvnLab, names: Sequence[str]) -> None:
    """Plug ports of these names into the hosts, half of them each, in place of those that were."""
    for number, host in enumerate(lab.hosts.values()):
        words: list[str] = []
        for index, name in enumerate(names[number :: len(lab.hosts)]):
            port = f"p{index}"
            words += ["--", "--may-exist", "add-port", "br-int", port]
            words += ["--", "set", "interface", port, "type=internal", f"external_ids:iface-id={name}"]
        host.vsctl(*words[1:])
    wanted = set(names)
    _wait(lambda: wanted <= set(_lines(_up(lab))), "ports")
    lab.nbctl("sync", wait=True)


def _up(lab: OvnLab) -> str:
    return lab.sbctl("--bare", "--columns=logical_port", "find", "Port_Binding", "up=true")


def _restart(lab: OvnLab, count: int) -> float:
    """A host's daemons die and are started: until all its ports forward again as they did."""
    host = lab.hosts[_HOSTS[0]]
    before = _flows(lab)
    daemons = [f"{_HOSTS[0]}/ovn-controller", f"{_HOSTS[0]}/ovs-vswitchd"]

    def die_and_live() -> None:
        for daemon in daemons:
            lab.kill(daemon)
        for daemon in reversed(daemons):
            lab.start(daemon)
        _wait(lambda: _flows(lab) >= before and _ports(host) >= count // len(_HOSTS), "flows")

    return _timed(die_and_live)


def _flows(lab: OvnLab) -> int:
    """How many flows the first host's switch has."""
    said = lab.hosts[_HOSTS[0]].space.run("ovs-ofctl", "dump-aggregate", "br-int", check=False)
    return int(said.rpartition("flow_count=")[2] or 0)


def _ports(host: Any) -> int:
    """How many of our ports the host's switch has connected."""
    said = host.space.run("ovs-ofctl", "show", "br-int", check=False)
    return sum(line.partition("(")[2].startswith("p") for line in said.splitlines())


def _lines(text: str) -> list[str]:
    return text.split()


def _wait(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(what)
        time.sleep(0.02)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
