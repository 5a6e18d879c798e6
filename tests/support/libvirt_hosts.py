"""Hosts for tests: a private libvirt daemon that can be killed and stopped, and an embedded root.

The daemon runs as root in its own mount and process namespaces with private directories, so that neither the
machine's own libvirt nor another test's is touched; its guests die with it. Process 1 of the namespace reaps
orphans at once: libvirt waits for a killed guest until nobody answers for its process id.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PRIVATE = ("/run", "/var/lib/libvirt", "/etc/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
ROOT = Path(__file__).resolve().parents[2]

# Process 1 of the namespace. Commands come one a line; what they did goes back the same way.
INIT = """
import os, signal, subprocess, sys, threading
home, port = sys.argv[1:]
for target in %r:
    os.makedirs(target, exist_ok=True)
    subprocess.run(["mount", "--bind", home + target, target], check=True)
daemon = 0
ended = threading.Condition()

def spawn(*command):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        log = os.open(home + "/daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execvp(command[0], command)
    return pid

def obey():
    global daemon
    for line in sys.stdin:
        word = line.strip()
        if word == "start":
            daemon = spawn("libvirtd", "-l")
        elif word == "kill":
            with ended:
                mine, daemon = daemon, 0
                os.kill(mine, signal.SIGKILL)
                ended.wait(10)
        elif word == "stop":
            os.kill(daemon, signal.SIGSTOP)
        elif word == "go":
            os.kill(daemon, signal.SIGCONT)
        elif word == "kill-guests":
            for guest in filter(str.isdecimal, os.listdir("/proc")):  # of this namespace only
                try:
                    if "qemu-system" in open("/proc/" + guest + "/cmdline").read().split("\\0")[0]:
                        os.kill(int(guest), signal.SIGKILL)
                except OSError:
                    pass  # it has just ended
        print("done", flush=True)
    os._exit(0)

spawn("virtlogd")
threading.Thread(target=obey, daemon=True).start()
while True:
    try:
        os.wait()
    except ChildProcessError:
        import time
        time.sleep(0.05)
    with ended:
        ended.notify_all()
""" % (PRIVATE,)


class LibvirtDaemon:
    """A private libvirtd with TCP on loopback; ``uri`` is for the driver."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = _free_port()
        self.uri = f"qemu+tcp://127.0.0.1:{self.port}/system"
        self._prepare()
        self._init = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation",
             "private", sys.executable, "-c", INIT, str(home), str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(home / "init.log").open("wb"), text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("LIBVIRT_")},
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the daemon and wait until it accepts connections."""
        self._order("start")
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError((self.home / "daemon.log").read_text())

    def kill(self) -> None:
        """SIGKILL; guests live on."""
        self._order("kill")

    def stop(self) -> None:
        """SIGSTOP: it hangs, and its sockets stay open."""
        self._order("stop")

    def go(self) -> None:
        """SIGCONT."""
        self._order("go")

    def kill_guests(self) -> None:
        """SIGKILL every QEMU of this daemon."""
        self._order("kill-guests")

    def close(self) -> None:
        """End the namespace and everything in it."""
        self._init.kill()
        self._init.wait()

    def _order(self, word: str) -> None:
        assert self._init.stdin is not None
        assert self._init.stdout is not None
        self._init.stdin.write(word + "\n")
        self._init.stdin.flush()
        if self._init.stdout.readline().strip() != "done":
            raise RuntimeError((self.home / "init.log").read_text())

    def _prepare(self) -> None:
        for folder in PRIVATE:
            (self.home / folder.lstrip("/")).mkdir(parents=True)
        (self.home / "run/lock").mkdir()
        (self.home / "var/lib/libvirt/images").mkdir()
        etc = self.home / "etc/libvirt"
        (etc / "libvirtd.conf").write_text(
            f'listen_tls = 0\nlisten_tcp = 1\nlisten_addr = "127.0.0.1"\ntcp_port = "{self.port}"\n'
            'auth_tcp = "none"\n'
        )
        (etc / "qemu.conf").write_text(
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
        )


@contextlib.contextmanager
def libvirt_daemon(home: Path) -> Iterator[LibvirtDaemon]:
    """A private libvirtd below an empty directory, ended with its guests afterwards."""
    daemon = LibvirtDaemon(home)
    try:
        yield daemon
    finally:
        daemon.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def daemon_possible() -> bool:
    """Whether this user may make the namespaces."""
    return os.geteuid() == 0


def guest_image() -> Path:
    """The test guest, built when it is not there."""
    output = Path(os.environ.get("ISTHMUS_CACHE", ROOT / ".cache")) / "guest" / "guest.qcow2"
    if not output.exists():
        subprocess.run([ROOT / "conformance/guest/build"], check=True, capture_output=True)
    return output


def kill_embedded_guests(root: Path) -> None:
    """SIGKILL the QEMU processes of an embedded root: they outlive the test process otherwise."""
    for pid_file in (root / "run/qemu").glob("*.pid"):
        with contextlib.suppress(ValueError, OSError):
            pid = int(re.sub(r"\D", "", pid_file.read_text()))
            if str(root) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, 9)


def remove_link_to(root: Path) -> None:
    """The driver's short name for a long root stays, for the guests that outlive it; a test's root does not."""
    for link in Path("/tmp").glob(f"ist-{os.geteuid()}-*"):
        with contextlib.suppress(OSError):
            if link.readlink() == root:
                link.unlink()
