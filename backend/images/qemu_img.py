"""Running ``qemu-img`` on bytes that nobody vouches for.

The tool is told every file and format it may open, as a node of its own block layer: nothing in an image can
make it look for a format, follow a backing file or open a protocol. It runs in the folder of its files, with
bounded memory, time and output, at low priority, and dies with the process that runs it.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from backend.images.reading import Limits, refuse
from backend.ports import Progress, no_progress

_TOOL: Final = "qemu-img"
_TAIL_BYTES: Final = 4096
_SLICE: Final = 0.5
_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")
_KILLED: Final = {
    -signal.SIGXFSZ: "it holds more bytes than are allowed",
    -signal.SIGXCPU: "converting it takes too long",
    -signal.SIGKILL: "converting it takes too long or too much memory",
}
_TOO_LARGE: Final = "File too large"
_LEAKS: Final = 3
"""What ``check`` answers when clusters are lost to nobody's harm."""
_CHECKED: Final = frozenset({"qcow2", "vmdk", "vdi", "vhdx"})
_OUTPUT_OPTIONS: Final = {
    "qcow2": ("-o", "compat=1.1"),
    "vmdk": ("-o", "subformat=streamOptimized"),
    "vhdx": ("-o", "subformat=dynamic"),
    "vpc": ("-o", "subformat=dynamic,force_size=on"),
}


def node(path: str, form: str, backing: dict[str, Any] | None = None) -> dict[str, Any]:
    """A disk image for QEMU's block layer: its file, its format, and its backing image, whatever it says."""
    return {"driver": form, "file": {"driver": "file", "filename": path}, "backing": backing}


def available() -> bool:
    """Whether the tool is installed."""
    return shutil.which(_TOOL) is not None


def check(folder: Path, name: str, form: str, limits: Limits) -> None:
    """Have the tool look through an image's tables, for the formats for which it can.

    Raises:
        BackendError: IMAGE_UNREADABLE, it found it damaged.
    """
    if form in _CHECKED:
        _run(["check", "-q", _named(node(name, form))], folder, limits, output_bytes=0, fine={0, _LEAKS})


def convert(
    folder: Path,
    source: dict[str, Any],
    target: str,
    form: str,
    limits: Limits,
    *,
    output_bytes: int,
    progress: Progress = no_progress,
) -> None:
    """Write the disk of a node into a new self-contained image of a format, of at most so many bytes.

    Raises:
        BackendError: IMAGE_UNREADABLE, it cannot be read, or the output would be larger.
    """
    _run(
        ["convert", "-p", "-O", form, *_OUTPUT_OPTIONS.get(form, ()), _named(source), target],
        folder,
        limits,
        output_bytes=output_bytes,
        progress=progress,
    )


def set_backing(folder: Path, name: str, backing: str, backing_format: str, limits: Limits) -> None:
    """Make a qcow2 image tell the difference to a file in whatever folder it will lie in; opens neither."""
    _run(
        ["rebase", "-u", "-f", "qcow2", "-F", backing_format, "-b", backing, name],
        folder,
        limits,
        output_bytes=1 << 62,
    )


def _named(opened: dict[str, Any]) -> str:
    return f"json:{msgspec.json.encode(opened).decode()}"


def _run(
    arguments: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    output_bytes: int,
    fine: frozenset[int] | set[int] = frozenset({0}),
    progress: Progress = no_progress,
) -> None:
    if not available():
        refuse("qemu-img is not installed on the gateway (Debian: qemu-utils)")
    command = [
        *("setpriv", "--no-new-privs", "--pdeathsig", "KILL"),
        *("nice", "-n", "10"),
        *("prlimit", f"--as={limits.memory_bytes}", f"--cpu={limits.seconds}"),
        *(f"--fsize={output_bytes}", "--core=0", _TOOL, *arguments),
    ]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o077,
    ) as process:
        said = b""
        try:
            for piece in _pieces(process, limits.seconds):
                said = (said + piece)[-_TAIL_BYTES:]
                if found := _PERCENT.findall(piece):
                    progress(round(float(found[-1]) * 100), 10_000)
        finally:
            process.kill()  # nothing, when it has ended
    if process.returncode not in fine:
        refuse(_KILLED.get(process.returncode) or _complaint(said, arguments))


def _pieces(process: subprocess.Popen[bytes], seconds: float) -> Iterator[bytes]:
    """What the tool prints, until it ends; refuses the image when that takes too long."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if time.monotonic() > deadline:
                refuse("converting it takes too long")
            if selector.select(_SLICE):
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    process.wait(max(deadline - time.monotonic(), _SLICE))
                    return
                yield piece


def _complaint(said: bytes, arguments: Sequence[str]) -> str:
    """The tool's last words, without the names of our files."""
    lines = [line for line in re.split(r"[\r\n]+", said.decode(errors="replace")) if line.strip()]
    text = next((line for line in reversed(lines) if "/100%)" not in line), "qemu-img found it damaged")
    if text.endswith(_TOO_LARGE):
        return _KILLED[-signal.SIGXFSZ]
    text = text.strip().removeprefix(f"{_TOOL}: ")
    for argument in arguments:
        if argument.startswith("json:") or "." in argument:
            text = text.replace(f"'{argument}'", "the image").replace(argument, "the image")
    return text.rstrip(".")[:400]
