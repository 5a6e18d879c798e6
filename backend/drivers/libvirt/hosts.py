"""Hosts by libvirt URI: which parts make the driver of which kind of URI (:mod:`.uri`)."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import libvirt

from backend.drivers.libvirt import uri as uris
from backend.drivers.libvirt.connection import Links
from backend.drivers.libvirt.events import Happenings
from backend.drivers.libvirt.host import LibvirtHost
from backend.drivers.libvirt.keys import remove_files
from backend.drivers.libvirt.local_storage import LocalStorage
from backend.drivers.libvirt.pool_storage import PoolStorage
from backend.drivers.libvirt.simulated_storage import SimulatedStorage
from backend.drivers.libvirt.storage import QCOW2, Storage
from backend.drivers.libvirt.uri import HostKind, Parts, embedded_root, parts_of, store_directory
from backend.drivers.libvirt.xml import E, text_of
from backend.model import Value
from backend.ports import HostDriver, HostEvent, HostSilent

log = logging.getLogger(__name__)

POOL: Final = "isthmus"
POOL_PATH: Final = "/var/lib/libvirt/images/isthmus"
READ_ONLY: Final = "0444"
"""Permissions of cached images: a daemon that is not root could not write into what it has made so."""
ROOT_LIMIT: Final = 107 - len(
    "/lib/qemu/channel/target/domain-99999-i-0123456789abcdef0/org.qemu.guest_agent.0"
)
"""Bytes of an embedded root: a UNIX socket's path holds 107, and libvirt makes sockets deep below it."""
QEMU_CONF: Final = """\
# Written for an embedded host: there is no log daemon, and no security driver set up for this directory.
stdio_handler = "file"
security_driver = "none"
# A private /dev for each guest needs mounts that a container or a changed root directory does not allow.
namespaces = []
# QEMU runs as the owner of every file here; an image is not to change hands.
dynamic_ownership = 0
"""
QEMU_CONF_SANDBOX: Final = """\
# Each QEMU gets its sandbox by arguments of its own: libvirt's would kill it when it runs the relay to the
# metadata service.
seccomp_sandbox = 0
"""
QEMU_CONF_ROOT: Final = """\
user = "root"
group = "root"
"""


_SANDBOX_OFF: Final = re.compile(r"^\s*seccomp_sandbox\s*=\s*0\s*$", re.MULTILINE)


class Kind(Value, frozen=True, kw_only=True):
    """What makes the driver for one kind of URI."""

    in_process: bool
    simulated: bool
    capabilities: dict[str, str]
    prepare: Callable[[Parts], str]
    storage: Callable[[Parts, Links, str], Storage]
    own_sandbox: Callable[[Parts], bool] = lambda _parts: False
    opened: Callable[[str], None] = lambda _uri: None


Tell = Callable[[str | None], None]


class LibvirtHosts:
    """The drivers of all hosts, made on first use and kept. Implements ``Hosts``."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[str, LibvirtHost]] = {}
        self._lock = threading.Lock()
        self._listeners: list[Callable[[HostEvent], None]] = []
        self._hints: SimpleQueue[HostEvent] = SimpleQueue()
        self._telling = False

    def driver(self, host_id: str, uri: str) -> HostDriver:
        """The driver of a host; raises HostSilent when it cannot be reached, StepFailed for a wrong URI."""
        with self._lock:
            known = self._hosts.get(host_id)
            if known is None or known[0] != uri:
                old, known = known, (uri, self._make(host_id, uri))
                self._hosts[host_id] = known
            else:
                old = None
        if old is not None:
            old[1].close()
        known[1].ensure()
        return known[1]

    def forget(self, host_id: str) -> None:
        """Close a host's driver; its guests live on."""
        with self._lock:
            known = self._hosts.pop(host_id, None)
        if known is not None:
            known[1].close()

    def watch(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell a listener of hints, in a thread of its own: libvirt's event loop waits for nobody."""
        with self._lock:
            self._listeners.append(listener)
            if not self._telling:
                self._telling = True
                threading.Thread(target=self._tell_for_ever, name="libvirt-hints", daemon=True).start()

    def _make(self, host_id: str, uri: str) -> LibvirtHost:
        parts = parts_of(uri)
        kind = kind_of(parts)

        def tell(instance_id: str | None) -> None:
            if self._telling:
                self._hints.put(HostEvent(host_id=host_id, instance_id=instance_id))

        happenings = Happenings(tell)
        prepared = kind.prepare(parts)

        def registered(connection: libvirt.virConnect) -> None:
            happenings.register(connection)
            kind.opened(prepared)

        links = Links(
            prepared,
            in_process=kind.in_process,
            registered=registered,
            reconnected=happenings.note_everything,
        )
        return LibvirtHost(
            links=links,
            storage=kind.storage(parts, links, host_id),
            happenings=happenings,
            simulated=kind.simulated,
            acceleration=parts.options.get("acceleration", "auto"),
            own_sandbox=kind.own_sandbox(parts),
            capabilities=capabilities_of(parts),
        )

    def _tell_for_ever(self) -> None:
        while True:
            hint = self._hints.get()
            for listener in list(self._listeners):
                try:
                    listener(hint)
                except Exception:
                    log.exception("listener of host hints")


def kind_of(parts: Parts) -> Kind:
    """What makes the driver of the kind of host a URI means; raises StepFailed when nothing does."""
    return KINDS[uris.kind_of(parts)]


def capabilities_of(parts: Parts) -> dict[str, str]:
    """What is declared of a host with this URI; ``store`` names the store that it shares with others."""
    kind, options = kind_of(parts), parts.options
    declared = dict(kind.capabilities)
    if not kind.simulated:
        declared["format"] = options.get("format", QCOW2)
        if "shared" in options:
            declared["store"] = options["shared"]
    return declared


def _as_it_is(parts: Parts) -> str:
    return parts.uri


def _prepare_embedded(parts: Parts) -> str:
    """The embedded driver's URI; its root is made, private to us, with QEMU's settings for it."""
    root = embedded_root(parts)
    settings = root / "etc" / "qemu.conf"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.parent.mkdir(exist_ok=True)
        if not settings.exists():
            owner = QEMU_CONF_ROOT if os.geteuid() == 0 else ""
            settings.write_text(QEMU_CONF + QEMU_CONF_SANDBOX + owner)
        elif _written_before_sandbox(settings.read_text()):
            with settings.open("a") as file:
                file.write(QEMU_CONF_SANDBOX)
        remove_files(root)  # left by a process that was killed; libvirt would read them when it is opened
        name = _short_name(root)
    except OSError as error:
        raise HostSilent(f"{root}: {error.strerror}") from error
    split = urlsplit(parts.uri)
    options = dict(parse_qsl(split.query)) | {"root": str(name)}
    return f"qemu://{split.path}?{urlencode(options, quote_via=quote, safe='/')}"


def _written_before_sandbox(text: str) -> bool:
    """Whether settings are ours, of a version that left the sandbox to libvirt."""
    return text.startswith(QEMU_CONF.partition("\n")[0]) and "seccomp_sandbox" not in text


def _own_sandbox(parts: Parts) -> bool:
    """Whether libvirt's sandbox is off at an embedded host: there may be settings of the operator's own."""
    settings = embedded_root(parts) / "etc" / "qemu.conf"
    with contextlib.suppress(OSError):
        return bool(_SANDBOX_OFF.search(settings.read_text()))
    return False


def _short_name(root: Path) -> Path:
    """A name for the root that leaves room for the sockets below it: a link in /tmp when it is long.

    The name depends on the root alone, so that guests are found again. /tmp is sticky: nobody but us can
    change a link of ours, and one of somebody else's is refused.
    """
    if len(os.fsencode(root)) <= ROOT_LIMIT:
        return root
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    link = Path(f"/tmp/ist-{os.geteuid()}-{digest}")  # noqa: S108 - see above
    with contextlib.suppress(FileExistsError):
        link.symlink_to(root)
    if link.lstat().st_uid != os.geteuid() or not link.is_symlink() or link.readlink() != root:
        raise HostSilent(f"{link} is not our link to {root}")
    return link


def _prepare_simulated(parts: Parts) -> str:
    """A node description of the size asked; each simulated host has its own state that way."""
    cpus = parts.options.get("cpus", "64")
    memory_kib = int(parts.options.get("memory_gib", "512")) * 1024**2
    node = E.node(
        E.cpu(
            E.mhz("2000"),
            E.model("x86_64"),
            E.active(cpus),
            E.nodes("1"),
            E.sockets("1"),
            E.cores(cpus),
            E.threads("1"),
        ),
        E.memory(str(memory_kib)),
    )
    with tempfile.NamedTemporaryFile(
        "w", prefix="isthmus-node-", suffix=".xml", delete=False, encoding="utf-8"
    ) as file:
        file.write(text_of(node))
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return f"test://{file.name}"


def _remove_node(uri: str) -> None:
    """The node description was read when the connection was opened, which is never opened again."""
    Path(urlsplit(uri).path).unlink(missing_ok=True)


def _local_storage(parts: Parts, _links: Links, _host_id: str) -> Storage:
    root = embedded_root(parts)
    return LocalStorage(
        store_directory(parts),
        logs=root / "log" / "qemu",
        own=root / "isthmus",
        form=parts.options.get("format", QCOW2),
    )


def _pool_storage(parts: Parts, links: Links, host_id: str) -> Storage:
    options = parts.options
    return PoolStorage(
        links,
        pool=options.get("pool", POOL),
        path=options.get("pool_path", POOL_PATH),
        form=options.get("format", QCOW2),
        shared="shared" in options,
        host_id=host_id,
        image_mode=READ_ONLY if urlsplit(parts.uri).path == "/system" else "",
    )


def _simulated_storage(parts: Parts, _links: Links, _host_id: str) -> Storage:
    return SimulatedStorage(int(parts.options.get("disk_gib", "10240")))


EMBEDDED: Final = Kind(
    in_process=True,
    simulated=False,
    capabilities={"network": "user", "console": "log", "storage": "local"},
    prepare=_prepare_embedded,
    storage=_local_storage,
    own_sandbox=_own_sandbox,
)
DAEMON: Final = Kind(
    in_process=False,
    simulated=False,
    capabilities={"network": "user bridge", "console": "log", "storage": "pool"},
    prepare=_as_it_is,
    storage=_pool_storage,
)
SIMULATED: Final = Kind(
    in_process=True,
    simulated=True,
    capabilities={"network": "none", "console": "none", "storage": "none"},
    prepare=_prepare_simulated,
    storage=_simulated_storage,
    opened=_remove_node,
)
SIMULATED_FILE: Final = Kind(
    in_process=True,
    simulated=True,
    capabilities=SIMULATED.capabilities,
    prepare=_as_it_is,
    storage=_simulated_storage,
)

KINDS: Final[Mapping[HostKind, Kind]] = {
    HostKind.EMBEDDED: EMBEDDED,
    HostKind.DAEMON: DAEMON,
    HostKind.SIMULATED: SIMULATED,
    HostKind.SIMULATED_FILE: SIMULATED_FILE,
}
