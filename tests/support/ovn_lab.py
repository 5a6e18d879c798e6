"""A small cloud of network namespaces with real Open vSwitch, OVN and libvirt daemons.

::

        outside (203.0.113.1, 100.64.0.1)         central: northbound, southbound, northd
           |                                          |
      provider network ----- h1 ----- h2 -----   management network 172.30.0.0/16
                              |  tunnel |              and
                              +---------+          tunnel network 172.31.0.0/16

Each chassis is a host: its own network, mount and UTS namespaces, private ``/run`` and libvirt directories,
an `ovs-vswitchd` with the userspace datapath (no kernel module), `ovn-controller` and, when asked for,
`libvirtd`. Guests are real ones of that libvirtd, or cheap: a network namespace behind a veth pair plugged
into ``br-int``.

All of it lives below one process in a process namespace of its own, which holds the network namespaces and
reaps orphans at once (libvirt waits for a killed guest until nobody answers for its process id). When that
process ends, because the test is over, failed or was killed, everything in it ends, the network namespaces
with it, and the directory is removed. Names exist only inside, so labs of parallel test processes do not
meet, and the machine's own network is never touched. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

NEXT_HOP = "203.0.113.1"  # what the provider network's routers go out by; on `outside`
PROVIDER_NETWORK = "203.0.113.0/24"
GATEWAY = "100.64.0.1"  # where the metadata service listens; on `outside`
INFRA_NETWORK = "100.64.0.0/16"
CENTRAL = "172.30.0.1"
TUNNEL_MTU = 1600  # room for Geneve around a guest's 1500 bytes
PATIENCE = 30.0

LIBVIRT_DIRECTORIES = ("var/lib/libvirt", "etc/libvirt", "var/cache/libvirt", "var/log/libvirt")
SCHEMAS = Path("/usr/share")


def lab_possible() -> bool:
    """Whether this user may make the namespaces, and the daemons are installed."""
    return os.geteuid() == 0 and all(map(shutil.which, ("ovs-vswitchd", "ovn-northd", "ovn-controller")))


@dataclass(frozen=True)
class Namespace:
    """A network namespace, and for a chassis its mount and UTS namespaces.

    ``prefix`` before a command runs it inside.
    """

    name: str
    prefix: tuple[str, ...]
    net: str  # path of the network namespace, for `ip link … netns`
    started: list[subprocess.Popen[Any]] = field(default_factory=list, compare=False)

    def popen(self, *command: str | Path, **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside; it is killed with the lab if not before."""
        process = subprocess.Popen([*self.prefix, *map(str, command)], **options)
        self.started.append(process)
        return process

    def run(self, *command: str | Path, check: bool = True, timeout: float = PATIENCE) -> str:
        """Run a command inside and return its output.

        Raises:
            RuntimeError: It failed and ``check`` is set; with what it said.
        """
        done = subprocess.run(
            [*self.prefix, *map(str, command)], capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(map(str, command))}: {done.stdout}{done.stderr}")
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run several `ip` commands at once."""
        done = subprocess.run(
            ["nsenter", f"--net={self.net}", "--", "ip", "-batch", "-"],
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {lines}: {done.stderr}")

    def ping(self, address: str, *, count: int = 1, seconds: float = 1) -> bool:
        """Whether an answer came to any of ``count`` pings, ``seconds`` after the last at most."""
        command = ("busybox", "ping", "-c", str(count), "-W", str(max(1, round(seconds))), address)
        return subprocess.run([*self.prefix, *command], capture_output=True, check=False).returncode == 0


@dataclass
class Chassis:
    """A host of the lab."""

    lab: OvnLab
    name: str
    number: int
    space: Namespace
    home: Path

    @property
    def management(self) -> str:
        """Its address on the management network."""
        return f"172.30.0.{10 + self.number}"

    @property
    def tunnel(self) -> str:
        """Its address on the tunnel network: `ovn-encap-ip`."""
        return f"172.31.0.{10 + self.number}"

    def vsctl(self, *words: str) -> str:
        """`ovs-vsctl` on this host."""
        return self.space.run("ovs-vsctl", "--timeout=10", *words).strip()

    def start(self, daemon: str) -> None:
        """Start one of its daemons again, by its program's name."""
        self.lab.start(f"{self.name}/{daemon}")

    def kill(self, daemon: str) -> None:
        """SIGKILL one of its daemons, by its program's name, and wait until it is gone."""
        self.lab.kill(f"{self.name}/{daemon}")

    def libvirtd(self) -> str:
        """Start a `libvirtd` here and return its URI, good in any namespace.

        Interfaces of guests: ``<interface type='bridge'><source bridge='br-int'/><virtualport
        type='openvswitch'>``, with the offloads off that :data:`OFFLOADS_OFF` lists.
        """
        etc = self.home / "etc/libvirt"
        (self.home / "run/lock").mkdir(exist_ok=True)
        (self.home / "var/lib/libvirt/images").mkdir(exist_ok=True)
        (etc / "libvirtd.conf").write_text(
            f'auth_unix_rw = "none"\nhost_uuid = "{uuid.uuid4()}"\n'
            f'listen_tls = 0\nlisten_tcp = 1\nlisten_addr = "{self.management}"\nauth_tcp = "none"\n'
        )
        (etc / "qemu.conf").write_text(
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
            f'migration_address = "{self.management}"\n'
        )
        self.lab._daemon(self.space, f"{self.name}/virtlogd", "virtlogd")
        path = self.home / "run/libvirt/libvirt-sock"
        self.lab._daemon(self.space, f"{self.name}/libvirtd", "libvirtd", "-l", listens=path)
        return f"qemu+unix:///system?socket={path}"


# Without these a guest leaves check sums to its network card, and the userspace datapath has none.
OFFLOADS_OFF = (
    "<driver><host csum='off' gso='off' tso4='off' tso6='off' ecn='off' ufo='off'/>"
    "<guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver>"
)


@dataclass
class Guest:
    """A network namespace that stands for a guest: one interface, ``eth0``."""

    space: Namespace
    chassis: Chassis
    iface_id: str
    mac: str
    device: str  # the other end of its cable, on the chassis

    def unplug(self) -> None:
        """Pull its cable out of ``br-int``."""
        self.chassis.vsctl("--if-exists", "del-port", "br-int", self.device)

    def static(self, address: str, router: str | None = None, *, mtu: int = 1442) -> None:
        """Give it an address such as 10.0.0.11/24 and a default route, as a guest that asks nobody would."""
        self.space.ip(
            "address flush dev eth0", f"address add {address} dev eth0", f"link set eth0 mtu {mtu}",
            *([f"route add default via {router}"] if router else []),
        )  # fmt: skip

    def dhcp(self, *, seconds: float = 10) -> dict[str, str]:
        """Ask for a lease, take what it says (address, MTU, routes) and return it as udhcpc names it.

        Raises:
            RuntimeError: Nobody answered.
        """
        script = self.chassis.lab.home / "udhcpc"
        if not script.exists():
            script.write_text(DHCP_SCRIPT)
            script.chmod(0o755)
        tries = str(max(1, round(seconds)))
        said = self.space.run(
            "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", tries, "-T", "1", "-O", "staticroutes",
            "-O", "mtu", "-O", "search", "-s", script, timeout=seconds + PATIENCE,
        )  # fmt: skip
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


DHCP_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
if [ -n "$staticroutes" ]; then  # RFC 3442: then `router` does not count
    set -- $staticroutes
    while [ $# -ge 2 ]; do
        case $2 in
        0.0.0.0) ip route replace "$1" dev "$interface" ;;
        *) ip route replace "$1" via "$2" dev "$interface" onlink ;;
        esac
        shift 2
    done
elif [ -n "$router" ]; then
    ip route replace default via "${router%% *}" dev "$interface"
fi
env | grep -E '^(ip|mask|mtu|router|staticroutes|dns|domain|hostname|lease|serverid|search)='
"""


class OvnLab:
    """The lab: central daemons and the networks between the hosts. Use :func:`ovn_lab`."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="ovnlab-", dir="/tmp"))  # a UNIX socket's path is short
        self.home.chmod(0o755)
        self._lock = threading.RLock()
        ours = ("LIBVIRT_", "OVS_", "OVN_")
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(self.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=(self.home / "keeper.log").open("wb"), text=True, start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
        )  # fmt: skip
        self._pid = int(self._answer())
        self._started: list[subprocess.Popen[Any]] = []
        self._commands: dict[str, tuple[Namespace, tuple[str, ...], Path | None]] = {}
        self.hosts: dict[str, Chassis] = {}
        self._cables = 0
        self.nb = f"unix:{self.home}/nb.sock"  #: the northbound database, reachable from every namespace
        self.sb = f"unix:{self.home}/sb.sock"
        try:
            self.fabric = self.namespace("fabric")
            self.outside = self.namespace("outside")
            self._networks()
            self._central()
        except BaseException:
            self.close()
            raise

    # ---- namespaces and daemons ----------------------------------------------------------------------------

    def namespace(self, name: str, *, host_home: Path | None = None) -> Namespace:
        """A new network namespace with loopback up; with ``host_home`` also mount and UTS namespaces."""
        made = self._order(do="namespace", name=name, home=str(host_home) if host_home else None)
        paths = {kind: f"/proc/{self._pid}/fd/{number}" for kind, number in made.items()}
        flags = {"net": "--net", "mnt": "--mount", "uts": "--uts"}
        prefix = ("nsenter", *(f"{flags[kind]}={path}" for kind, path in paths.items()), "--")
        space = Namespace(name, prefix, paths["net"], self._started)
        space.ip("link set lo up")
        return space

    def start(self, daemon: str) -> None:
        """Start a daemon that was killed (``ovn-northd``, ``ovsdb-nb``, ``h1/ovs-vswitchd``, …).

        One that listens does so when this returns.
        """
        space, command, listens = self._commands[daemon]
        log = self.log_of(daemon)
        self._order(do="start", name=daemon, space=space.name, command=command, log=str(log))
        if listens:
            _wait(lambda: _accepts(listens), daemon, log)
        if daemon.endswith("/ovn-controller"):
            _wait(lambda: self._tells_everything(self.hosts[space.name]), daemon, log)

    def kill(self, daemon: str) -> None:
        """SIGKILL a daemon and wait until it is gone."""
        self.signal(daemon, signal.SIGKILL)

    def signal(self, daemon: str, number: int) -> None:
        """Send a signal, such as SIGSTOP to make it hang; waits for its end after SIGKILL and SIGTERM."""
        self._order(do="signal", name=daemon, signal=int(number))

    def processes(self) -> dict[int, str]:
        """Every process of the lab, QEMU's included: its id, seen from outside, and its command line."""
        mine = Path(f"/proc/{self._pid}/ns/pid").readlink()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "ns/pid").readlink() == mine:
                    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    found[int(folder.name)] = " ".join(words).strip()
        return found

    def log_of(self, daemon: str) -> Path:
        """Where what a daemon says is kept."""
        return self.home / f"{daemon.replace('/', '.')}.log"

    def nbctl(self, *words: str, wait: bool = False) -> str:
        """`ovn-nbctl`, with ``wait`` until every chassis has it."""
        return _output(
            "ovn-nbctl", f"--db={self.nb}", "--timeout=30", *(["--wait=hv"] if wait else []), *words
        )

    def sbctl(self, *words: str) -> str:
        """`ovn-sbctl`."""
        return _output("ovn-sbctl", f"--db={self.sb}", "--timeout=30", *words)

    def refused_rules(self) -> list[str]:
        """Matches and actions that a host could not parse: nothing else says so, and they have no effect."""
        logs = (self.log_of(f"{name}/ovn-controller").read_text() for name in self.hosts)
        return [line for log in logs for line in log.splitlines() if "error parsing" in line]

    def close(self) -> None:
        """End everything and remove the directory."""
        for process in self._started:
            process.kill()
            process.wait()
        with self._lock, self._keeper:  # which closes its pipes and waits
            assert self._keeper.stdin is not None
            self._keeper.stdin.write(json.dumps({"do": "end"}) + "\n")

    # ---- hosts and guests ----------------------------------------------------------------------------------

    def chassis(self, name: str) -> Chassis:
        """Add a host: Open vSwitch and `ovn-controller` run, and the provider network is ``public``."""
        home = self.home / name
        for folder in ("run/openvswitch", "run/ovn", *LIBVIRT_DIRECTORIES):
            (home / folder).mkdir(parents=True)
        space = self.namespace(name, host_home=home)
        host = Chassis(self, name, len(self.hosts) + 1, space, home)
        self.hosts[name] = host
        n = host.number
        self.fabric.ip(
            *(
                line
                for bridge, device, mtu in (
                    ("mgmt", "mgmt0", 1500),
                    ("tun", "tun0", TUNNEL_MTU),
                    ("prov", "prov0", 1500),
                )
                for line in (
                    f"link add {bridge}{n} type veth peer name {device} netns {space.net}",
                    f"link set {bridge}{n} mtu {mtu} master br-{bridge} up",
                )
            )
        )
        for bridge in ("mgmt", "tun", "prov"):
            self._plain_checksums(self.fabric, f"{bridge}{n}")
        for device in ("mgmt0", "tun0", "prov0"):
            self._plain_checksums(space, device)
        space.ip(
            f"address add {host.management}/16 dev mgmt0", "link set mgmt0 up",
            f"link set tun0 mtu {TUNNEL_MTU} up", "link set prov0 up",
        )  # fmt: skip
        # The host's own stack also sees what the userspace datapath handles, and would answer ARP for it.
        space.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")
        database = home / "run/openvswitch/conf.db"
        _output("ovsdb-tool", "create", str(database), str(SCHEMAS / "openvswitch/vswitch.ovsschema"))
        self._daemon(
            space, f"{name}/ovsdb-server", "ovsdb-server", str(database),
            "--remote=punix:/run/openvswitch/db.sock", "--pidfile=/run/openvswitch/ovsdb-server.pid",
            "--unixctl=/run/openvswitch/ovsdb-server.ctl", listens=home / "run/openvswitch/db.sock",
        )  # fmt: skip
        host.vsctl("--no-wait", "init")
        self._daemon(
            space, f"{name}/ovs-vswitchd", "ovs-vswitchd", "unix:/run/openvswitch/db.sock",
            "--pidfile=/run/openvswitch/ovs-vswitchd.pid", "--unixctl=/run/openvswitch/ovs-vswitchd.ctl",
        )  # fmt: skip
        host.vsctl(
            "set", "Open_vSwitch", ".", f"external_ids:system-id={name}",
            f"external_ids:ovn-remote=tcp:{CENTRAL}:6642",
            "external_ids:ovn-encap-type=geneve", f"external_ids:ovn-encap-ip={host.tunnel}",
            "external_ids:ovn-bridge-datapath-type=netdev", "external_ids:ovn-bridge-mappings=public:br-ex",
            "external_ids:ovn-monitor-all=true",
            "--", "add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=netdev",
            "--", "add-port", "br-ex", "prov0",
            "--", "add-br", "br-tun", "--", "set", "bridge", "br-tun", "datapath_type=netdev",
            "--", "add-port", "br-tun", "tun0",
        )  # fmt: skip
        space.ip(
            f"address add {host.tunnel}/16 dev br-tun",
            f"link set br-tun mtu {TUNNEL_MTU} up",
            "link set br-ex up",
        )
        self._daemon(
            space, f"{name}/ovn-controller", "ovn-controller", "unix:/run/openvswitch/db.sock",
            "--pidfile=/run/ovn/ovn-controller.pid",
        )  # fmt: skip
        _wait(
            lambda: name in self.sbctl("--bare", "--columns=name", "list", "chassis").split(),
            f"{name}: chassis",
            self.log_of(f"{name}/ovn-controller"),
        )
        return host

    def guest(self, chassis: Chassis, iface_id: str, mac: str) -> Guest:
        """A namespace with ``eth0`` of that MAC, plugged into ``br-int`` as the logical port ``iface_id``."""
        self._cables += 1
        device = f"tap{self._cables}"
        space = self.namespace(f"guest{self._cables}")
        chassis.space.ip(
            f"link add {device} type veth peer name eth0 netns {space.net}", f"link set {device} up",
        )  # fmt: skip
        space.ip(f"link set eth0 address {mac} up")
        self._plain_checksums(space, "eth0")
        self._plain_checksums(chassis.space, device)
        chassis.vsctl(
            "add-port", "br-int", device, "--", "set", "interface", device,
            f"external_ids:iface-id={iface_id}",
            f"external_ids:attached-mac={mac}",
        )  # fmt: skip
        return Guest(space, chassis, iface_id, mac, device)

    # ---- inside --------------------------------------------------------------------------------------------

    def _networks(self) -> None:
        self.fabric.ip(
            "link add br-mgmt type bridge", f"address add {CENTRAL}/16 dev br-mgmt", "link set br-mgmt up",
            "link add br-tun type bridge", f"link set br-tun mtu {TUNNEL_MTU} up",
            "link add br-prov type bridge", "link set br-prov up",
            f"link add outside type veth peer name eth0 netns {self.outside.net}",
            "link set outside master br-prov up",
        )  # fmt: skip
        self._plain_checksums(self.fabric, "outside")
        self._plain_checksums(self.outside, "eth0")
        self.outside.ip(
            "link set eth0 up", f"address add {NEXT_HOP}/{PROVIDER_NETWORK.split('/')[1]} dev eth0",
            f"address add {GATEWAY}/{INFRA_NETWORK.split('/')[1]} dev eth0",
        )  # fmt: skip

    def _central(self) -> None:
        for short, listen in (("nb", []), ("sb", [f"--remote=ptcp:6642:{CENTRAL}"])):
            database = self.home / f"{short}.db"
            _output("ovsdb-tool", "create", str(database), str(SCHEMAS / f"ovn/ovn-{short}.ovsschema"))
            self._daemon(
                self.fabric, f"ovsdb-{short}", "ovsdb-server", str(database),
                f"--remote=punix:{self.home}/{short}.sock",
                *listen, f"--unixctl={self.home}/{short}.ctl", listens=self.home / f"{short}.sock",
            )  # fmt: skip
        self.nbctl("init")
        self.sbctl("init")
        self._daemon(
            self.fabric, "ovn-northd", "ovn-northd", f"--ovnnb-db={self.nb}", f"--ovnsb-db={self.sb}",
            f"--unixctl={self.home}/northd.ctl",
        )  # fmt: skip

    def _tells_everything(self, host: Chassis) -> bool:
        """`ovn-controller` would log one refused rule a minute."""
        with contextlib.suppress(OSError):
            pid = (host.home / "run/ovn/ovn-controller.pid").read_text().strip()
            socket_path = f"/run/ovn/ovn-controller.{pid}.ctl"
            command = (*host.space.prefix, "ovn-appctl", "-t", socket_path, "vlog/disable-rate-limit")
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return False

    def _daemon(self, space: Namespace, name: str, *command: str, listens: Path | None = None) -> None:
        self._commands[name] = (space, command, listens)
        self.start(name)

    def _plain_checksums(self, space: Namespace, device: str) -> None:
        """The userspace datapath cannot fill in a check sum that the sender left to its network card."""
        self._order(do="plain", space=space.name, device=device)

    def _order(self, **order: Any) -> Any:
        with self._lock:
            assert self._keeper.stdin is not None
            self._keeper.stdin.write(json.dumps(order) + "\n")
            self._keeper.stdin.flush()
            answer = json.loads(self._answer())
        if "problem" in answer:
            raise RuntimeError(f"{order}: {answer['problem']}")
        return answer["value"]

    def _answer(self) -> str:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        if not line:
            raise RuntimeError(
                (self.home / "keeper.log").read_text() if self.home.exists() else "the keeper ended"
            )
        return line


@contextlib.contextmanager
def ovn_lab(hosts: Sequence[str] = ("h1",)) -> Iterator[OvnLab]:
    """A lab with these hosts, ended afterwards."""
    lab = OvnLab()
    try:
        for name in hosts:
            lab.chassis(name)
        yield lab
    finally:
        lab.close()


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 10, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout.strip()


def _accepts(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return True
    return False


def _wait(condition: Any, what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not there: {log.read_text() if log else ''}")
        time.sleep(0.02)


# ---- the keeper: process 1 of the lab ----------------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_STSO = 0x8946, 0x17, 0x1F
_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None)


class _Keeper:
    """Obeys orders, one JSON object a line, until its input ends."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[str, int]] = {}
        self.running: dict[str, int] = {}
        self.ended = threading.Condition()

    def obey(self, lines: IO[str]) -> None:
        for line in lines:
            order = json.loads(line)
            verb = order.pop("do")
            if verb == "end":
                break
            try:
                answer = {"value": getattr(self, verb)(**order)}
            except Exception as problem:
                answer = {"problem": repr(problem)}
            print(json.dumps(answer), flush=True)
        os._exit(0)  # process 1: all the others end with it

    def namespace(self, name: str, home: str | None) -> dict[str, int]:
        self.spaces[name] = self._in_thread(lambda: self._new_namespace(name, home))
        return self.spaces[name]

    def start(self, name: str, space: str, command: list[str], log: str) -> None:
        flags = {"net": "--net", "mnt": "--mount", "uts": "--uts"}
        enter = [f"{flags[kind]}=/proc/1/fd/{number}" for kind, number in self.spaces[space].items()]
        with self.ended:
            if name in self.running:
                raise RuntimeError(f"{name} runs already")
            self.running[name] = self._spawn(["nsenter", *enter, "--", *command], log)

    def signal(self, name: str, signal: int) -> None:
        with self.ended:
            pid = self.running.get(name, 0)
            if pid:
                os.kill(pid, signal)
            if signal in (9, 15):
                self.ended.wait_for(lambda: self.running.get(name, 0) != pid or not pid, 20)

    def plain(self, space: str, device: str) -> None:
        self._in_thread(lambda: self._plain(space, device))

    def reap(self) -> None:
        while True:
            try:
                pid, _ = os.wait()
            except ChildProcessError:
                time.sleep(0.02)
                continue
            with self.ended:
                for name in [name for name, mine in self.running.items() if mine == pid]:
                    del self.running[name]
                self.ended.notify_all()

    def _plain(self, space: str, device: str) -> None:
        _call("setns", self.spaces[space]["net"], CLONE_NEWNET)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for command in (ETHTOOL_STXCSUM, ETHTOOL_STSO):
                value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
                request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
                fcntl.ioctl(any_socket, SIOCETHTOOL, request)

    def _new_namespace(self, name: str, home: str | None) -> dict[str, int]:
        kinds = {"net": CLONE_NEWNET} | ({"mnt": CLONE_NEWNS, "uts": CLONE_NEWUTS} if home else {})
        _call("unshare", sum(kinds.values()))
        if home:
            socket.sethostname(name)
            _mount(
                "sys", "/sys", "sysfs", 0
            )  # else it shows the network devices of the namespace it was mounted in
            for folder in ("run", *LIBVIRT_DIRECTORIES):
                if Path("/", folder).is_dir():
                    _mount(f"{home}/{folder}", f"/{folder}", "", MS_BIND)
        thread = threading.get_native_id()
        return {kind: os.open(f"/proc/self/task/{thread}/ns/{kind}", os.O_RDONLY) for kind in kinds}

    def _spawn(self, command: list[str], log: str) -> int:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execvp(command[0], command)
        return pid

    def _in_thread(self, work: Any) -> Any:
        """A thread may enter namespaces of its own; the next order finds the process where it was."""
        box: dict[str, Any] = {}

        def body() -> None:
            try:
                box["value"] = work()
            except Exception as problem:
                box["problem"] = problem

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if "problem" in box:
            raise box["problem"]
        return box["value"]


def _keep(home: str) -> None:
    """The first process stays outside to remove the directory; the second is process 1 of the lab."""
    _call("unshare", CLONE_NEWPID | CLONE_NEWNS)
    inner = os.fork()
    if inner:
        print(inner, flush=True)
        os.close(0)
        os.close(1)
        os.waitpid(inner, 0)
        shutil.rmtree(home, ignore_errors=True)
        return
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", 0)
    keeper = _Keeper()
    threading.Thread(target=keeper.obey, args=(sys.stdin,), daemon=True).start()
    keeper.reap()


if __name__ == "__main__":
    _keep(sys.argv[1])
