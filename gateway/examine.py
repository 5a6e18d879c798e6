"""What the doctor looks at: programs, permissions, the database, hosts, disk and clock; each with a cure.

Hosts are opened in a child process with a deadline: libvirt's open() may block for ever, and this process
must not load it.
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from backend.model import Host, Value
from gateway.crypto import KeyUnusable
from gateway.home import Home, open_to_others
from gateway.installation import Installation
from gateway.settings import NotConfigured

_HOST_SECONDS: Final = 30.0
_PROGRAM_SECONDS: Final = 20.0
_LEAST_DISK_GIB: Final = 5
_EARLIEST: Final = 1_767_225_600.0
"""2026-01-01: a clock before that was never set."""

_OPEN_HOST: Final = """
import sys
from backend.drivers.libvirt.hosts import LibvirtHosts
driver = LibvirtHosts().driver("doctor", sys.argv[1])
facts = driver.facts()
print(f"{facts.hypervisor or 'simulated'}, {facts.total.cpu // 100} cores, "
      f"{facts.total.memory_mib} MiB, {facts.total.disk_gib} GiB, {facts.acceleration}")
"""
_OPEN_OVSDB: Final = """
import sys
from ovs import jsonrpc, stream
error, stream_ = stream.Stream.open_block(stream.Stream.open(sys.argv[1].split(",")[0]), 10000)
if error:
    sys.exit(f"no answer: error {error}")
connection = jsonrpc.Connection(stream_)
error, reply = connection.transact_block(jsonrpc.Message.create_request("list_dbs", []))
print("serves " + ", ".join(reply.result) if not error else sys.exit(f"error {error}"))
"""
_VERSIONS: Final = """
import libvirt
number = libvirt.getVersion()
print(f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}")
"""


class Verdict(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Finding(Value, frozen=True, kw_only=True):
    """One thing looked at: what was found, and when it is not good, the cure."""

    subject: str
    verdict: Verdict
    found: str
    cure: str = ""


def _good(subject: str, found: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.GOOD, found=found)


def _warning(subject: str, found: str, cure: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.WARNING, found=found, cure=cure)


def _bad(subject: str, found: str, cure: str) -> Finding:
    return Finding(subject=subject, verdict=Verdict.BAD, found=found, cure=cure)


def everything(home: Path | None, *, hosts: bool = True) -> Iterator[Finding]:
    """All findings about this machine and (with a home directory) its installation, in order."""
    yield _python()
    yield _libvirt()
    yield _program("qemu-img", "qemu-utils")
    yield _program(f"qemu-system-{_qemu_architecture()}", "qemu-system-x86")
    yield _kvm(Path("/dev/kvm"))
    yield _clock(time.time())
    if home is None:
        yield _warning("home", "no home directory was given", "Give --home DIR to have it looked at too.")
    else:
        yield from _home(home.expanduser().absolute(), hosts=hosts)


# This machine -------------------------------------------------------------------------------------------


def _python() -> Finding:
    return _good("python", platform.python_version())


def _run(words: list[str], seconds: float) -> tuple[bool, str]:
    """Run a program to its end: whether it went well, and its last line."""
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {seconds:.0f} s"
    except OSError as error:
        return False, str(error.strerror)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
    return done.returncode == 0, lines[-1]


def _libvirt() -> Finding:
    well, line = _run([sys.executable, "-P", "-c", _VERSIONS], _PROGRAM_SECONDS)
    if well:
        return _good("libvirt", line)
    return _bad(
        "libvirt",
        line,
        "Install libvirt and its binding: apt-get install libvirt0 libvirt-dev, "
        "then pip install 'isthmus[libvirt]' (script/setup does both).",
    )


def _qemu_architecture() -> str:
    return {"arm64": "aarch64"}.get(platform.machine(), platform.machine())


def _program(name: str, package: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return _warning(name, "not found", f"Real guests on this machine need it: apt-get install {package}")
    well, line = _run([path, "--version"], _PROGRAM_SECONDS)
    version = line if well and "version" in line else _run_first(path)
    return _good(name, version)


def _run_first(path: str) -> str:
    done = subprocess.run(
        [path, "--version"], check=False, capture_output=True, text=True, timeout=_PROGRAM_SECONDS
    )
    return (done.stdout.splitlines() or ["version unknown"])[0]


def _kvm(device: Path) -> Finding:
    """Whether hardware virtualisation can be opened; whether it works is told by each host's probe."""
    slow = "guests run under emulation, 10 to 50 times slower"
    if not device.exists():
        return _warning(
            "kvm", f"{device} is missing: {slow}", "Enable virtualisation in the firmware, load kvm."
        )
    if not os.access(device, os.R_OK | os.W_OK):
        group = stat.filemode(device.stat().st_mode)
        return _warning(
            "kvm", f"{device} is closed to this user ({group}): {slow}", "Add the user to group kvm."
        )
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return _warning("kvm", f"{device}: {error.strerror}: {slow}", "Load kvm_intel or kvm_amd.")
    return _good("kvm", f"{device} can be opened")


def _clock(now: float) -> Finding:
    if now < _EARLIEST:
        return _bad(
            "clock", "it was never set: every signature will seem to be from the future", "Run an NTP client."
        )
    if not _synchronised():
        return _warning(
            "clock",
            "the kernel does not know it to be synchronised; signatures hold for 5 minutes",
            "Run an NTP client, for example: apt-get install systemd-timesyncd",
        )
    return _good("clock", "synchronised")


def _synchronised() -> bool:
    import ctypes

    timex = ctypes.create_string_buffer(512)  # struct timex with modes 0: ask only
    result: int = ctypes.CDLL(None).adjtimex(timex)
    return result not in {-1, 5}  # TIME_ERROR: unsynchronised


# The installation ---------------------------------------------------------------------------------------


def _home(path: Path, *, hosts: bool) -> Iterator[Finding]:
    try:
        installation = Installation.at(path)
    except (NotConfigured, OSError) as error:
        made = Home(path=path).config.exists()
        yield _bad("home", str(error), "Do what it says." if made else f"isthmus init --home {path}")
        return
    yield _closed(installation.home)
    yield _keys(installation)
    yield _disk(installation.home)
    yield from _places(installation)
    yield from _network(installation)
    database = _database(installation)
    yield database
    if database.verdict is Verdict.BAD or installation.store.pending_revision() is not None:
        return
    yield _workers(installation)
    yield from sign_on(installation)
    for host in installation.engine.hosts() if hosts else ():
        yield _host(host)


def _closed(home: Home) -> Finding:
    within = home.path.iterdir() if open_to_others(home.path) else ()  # else nobody gets there
    for path in (home.config, home.keys, *sorted(within)):
        if path.exists() and open_to_others(path):
            return _bad("home", f"{path} can be read by others", f"chmod -R go= {home.path}")
    if home.path.stat().st_uid != os.geteuid():
        return _warning("home", f"{home.path} belongs to another user", "Run isthmus as its owner.")
    return _good("home", str(home.path))


def _keys(installation: Installation) -> Finding:
    try:
        assert installation.keys.at_rest
        assert installation.keys.pages
    except KeyUnusable as error:
        return _bad("keys", str(error), "The keys of an installation cannot be made anew.")
    return _good("keys", "both can be read")


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.path).free >> 30
    if free < _LEAST_DISK_GIB:
        return _warning("disk", f"{free} GiB free for {home.path}", "Guests' disks grow there; make room.")
    return _good("disk", f"{free} GiB free")


def _places(installation: Installation) -> Iterator[Finding]:
    """The directories that settings name for images."""
    images = installation.settings.images
    for folder in images.directories:
        if not os.access(folder, os.R_OK | os.X_OK):
            cure = "Make it, or take it out of images.directories in isthmus.toml."
            yield _warning("images", f"{folder} cannot be read", cure)
    exports = images.export_directory
    if exports is not None and not os.access(exports, os.W_OK | os.X_OK):
        yield _warning(
            "images", f"{exports} cannot be written to", "Make it, or change images.export_directory."
        )


def _network(installation: Installation) -> Iterator[Finding]:
    """What the network driver enforces, and whether what it needs is there."""
    settings = installation.settings.network
    capabilities = installation.engine.settings.network.capabilities
    if capabilities.limits:
        yield _warning(
            "network",
            f"{capabilities.name}: " + " ".join(capabilities.limits),
            'Networks in full need root on the hosts: driver = "ovn" in [network] of isthmus.toml.',
        )
    else:
        yield _good("network", capabilities.name)
    for name in filter(None, (settings.northbound, settings.southbound)):
        well, line = _run([sys.executable, "-P", "-c", _OPEN_OVSDB, name], _HOST_SECONDS)
        if well:
            yield _good(f"ovn {name}", line)
        else:
            yield _bad(f"ovn {name}", line, "Check the address, its server, and certificates for ssl.")


def _database(installation: Installation) -> Finding:
    try:
        pending = installation.store.pending_revision()
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return _bad(
            "database", first, "Check the setting `database` in isthmus.toml, and that the server runs."
        )
    if pending is not None:
        return _warning(
            "database", "older than this program", "isthmus serve upgrades it; or: isthmus migrate"
        )
    return _good("database", installation.store.url.get_backend_name())


def _workers(installation: Installation) -> Finding:
    with installation.store.read() as tx:
        beats = tx.workers.all()
    age = min((time.time() - beat.seen_at for beat in beats), default=None)
    if age is None or age > 60:
        return _warning("worker", "none is running", "isthmus serve (or isthmus worker)")
    return _good("worker", f"{len(beats)} running")


def sign_on(installation: Installation) -> Iterator[Finding]:
    """Whether issuers of tokens answer, and whether there are the tenants that claims lead to."""
    from gateway.auth.issuers import IssuerSilent, look

    for table in installation.settings.oidc:
        subject = f"issuer {table.issuer}"
        try:
            keys = look(table.issuer)
        except IssuerSilent as error:
            cure = "Check its URL, to the letter, and the way there. Meanwhile its tokens open nothing."
            yield _warning(subject, str(error), cure)
        else:
            if any(key.fits(algorithm) for key in keys for algorithm in table.algorithms):
                yield _good(subject, f"keys: {len(keys)}")
            else:
                found = f"none of its {len(keys)} keys is for {', '.join(table.algorithms)}"
                yield _warning(subject, found, "Set `algorithms` in its [[oidc]] table.")
        for name in table.projects.values():
            if installation.engine.tenant(name) is None:
                cure = f"isthmus tenant create {name}; or change `projects` in its [[oidc]] table."
                yield _warning(subject, f"claims lead to the tenant {name}, which is not there", cure)


def _host(host: Host) -> Finding:
    """Open a host as the worker would. An embedded one is the worker's alone: its row has to do."""
    subject = f"host {host.uri}"
    if host.uri.startswith("qemu:///embed"):
        if host.state.value in {"on", "dsbl", "maint"}:
            return _good(subject, f"{host.state.value}, {host.capabilities.get('acceleration', '')}")
        cure = "Start the worker: isthmus serve" if not host.message else "Mend what it says."
        return _warning(subject, f"{host.state.value}: {host.message or 'not met yet'}", cure)
    well, line = _run([sys.executable, "-P", "-c", _OPEN_HOST, host.uri], _HOST_SECONDS)
    if well:
        return _good(subject, line)
    return _bad(
        subject,
        line,
        "Check the URI by hand: virsh -c URI nodeinfo. For remote hosts: keys, certificates, firewall.",
    )
