"""Acts on a host's storage in processes that are killed at a chosen moment.

This process imports everything once and forks for each order, a line of JSON: what to build, what to do, and
at which of the child's steps to kill it (0: at none). It answers ``killed``, ``done`` or what went wrong. A
step is a system call that the audit hooks of Python tell of, or a call of libvirt.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from backend.drivers.libvirt.connection import Caller, Links
from backend.drivers.libvirt.local_storage import LocalStorage
from backend.drivers.libvirt.pool_storage import PoolStorage
from backend.drivers.libvirt.storage import Storage
from backend.ports import VolumeSpec

STEPS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod", "os.link", "fcntl.flock",
    "fcntl.ioctl", "subprocess.Popen", "shutil.copyfile",
}  # fmt: skip


def build(kind: dict[str, Any]) -> Storage:
    """A host's storage as a process of its own has it."""
    if "directory" in kind:
        return LocalStorage(Path(kind["directory"]), own=Path(kind["own"]), form=kind["form"])
    links = Links(
        kind["uri"], in_process=False, registered=lambda _connection: None, reconnected=lambda: None
    )
    return PoolStorage(
        links,
        pool=kind["pool"],
        path=kind["path"],
        form=kind["form"],
        shared=kind["shared"],
        host_id=kind["host_id"],
        image_mode="0444",
    )


def act(storage: Storage, method: str, arguments: list[Any]) -> None:
    """Call a method; a dictionary stands for a VolumeSpec."""
    plain = [msgspec.convert(one, VolumeSpec) if isinstance(one, dict) else one for one in arguments]
    getattr(storage, method)(*plain)


def child(order: dict[str, Any]) -> None:
    left = order["step"]

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    storage = build(order["kind"])
    if "directory" in order["kind"]:
        own = order["kind"]["directory"].encode()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and own not in os.fsencode(str(arguments[0])):
                return
            if event in STEPS:
                step()

        sys.addaudithook(hook)
    else:
        original = Caller.__call__

        def counted(self: Caller, wait: Any, function: Any, *rest: Any, **named: Any) -> Any:
            step()
            return original(self, wait, function, *rest, **named)

        Caller.__call__ = counted  # type: ignore[method-assign]
    act(storage, order["act"], order["arguments"])


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(order)
                code = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else "done" if status == 0 else f"failed {status}", flush=True)


if __name__ == "__main__":
    main()
