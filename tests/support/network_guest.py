"""A real guest that obeys its serial console, so that what it is told does not go by the network under test."""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from xml.etree import ElementTree as ET

import libvirt

AGENT = """#!/bin/sh
(
exec 3<>/dev/ttyS0 >/dev/ttyS0 2>&1 </dev/null
stty -echo -F /dev/ttyS0
while read -r token order <&3; do
    eval "$order" >/run/order 2>&1
    result=$?
    while IFS= read -r line || [ -n "$line" ]; do echo "@$token> $line"; done </run/order
    echo "@$token= $result"
done
) >/dev/null 2>&1 </dev/null &
true
"""
"""User data: afterwards each line on the console is a shell command with a token before it."""

COUNTER = "set -- $(grep ^Udp: /proc/net/snmp | tail -n 1); echo $(($2 + $3))"
"""Every UDP packet that came, whether somebody listens or not."""


def script(*lines: str) -> str:
    """User data that obeys, and does something of its own first."""
    head, rest = AGENT.split("\n", 1)
    return "\n".join([head, *lines, rest])


class Terminal:
    """The console of a running guest: orders in, answers out. Opened anew after a restart of the guest."""

    def __init__(self, host: str, domain: str) -> None:
        connection = libvirt.open(host)
        try:
            described = ET.fromstring(connection.lookupByName(domain).XMLDesc())
        finally:
            connection.close()
        source = described.find("./devices/serial/source")
        assert source is not None
        self._file = os.open(source.attrib["path"], os.O_RDWR | os.O_NOCTTY)
        self._said = b""
        self._news = threading.Condition()
        self._one = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Somebody must, or QEMU waits with the guest's next words.
        while True:
            try:
                some = os.read(self._file, 65536)
            except OSError:  # the guest ended
                return
            with self._news:
                self._said += some
                self._news.notify_all()

    def close(self) -> None:
        os.close(self._file)

    def wait(self, words: str, seconds: float) -> None:
        """Until it has said so since it was opened or ordered something."""
        deadline = time.monotonic() + seconds
        with self._news:
            while words.encode() not in self._said:
                if not self._news.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{words}: not in {self._said[-2000:]!r}")

    def run(self, order: str, seconds: float = 20) -> tuple[int, str]:
        """The exit status and output of a shell command in the guest.

        Raises:
            TimeoutError: It said nothing so long.
        """
        with self._one:
            token = uuid.uuid4().hex[:12]
            self._said = b""
            os.write(self._file, f"{token} {order}\n".encode())
            end = re.compile(rf"@{token}= (\d+)\r?\n".encode())
            deadline = time.monotonic() + seconds
            with self._news:
                while (found := end.search(self._said)) is None:
                    if not self._news.wait(deadline - time.monotonic()) and time.monotonic() > deadline:
                        raise TimeoutError(f"{order}: no answer; {self._said[-500:]!r}")
                said = self._said.decode(errors="replace")
        lines = re.findall(rf"@{token}> (.*?)\r?\n", said)
        return int(found[1]), "\n".join(lines)

    def ask(self, order: str, seconds: float = 20) -> str:
        """The output of a command that must succeed."""
        status, said = self.run(order, seconds)
        assert status == 0, f"{order}: {status}: {said}"
        return said

    # What guests are asked again and again ------------------------------------------------------------------

    def banner(self, address: str, port: int = 22, seconds: int = 1) -> str:
        """What a server says at once, at the first try within so many seconds; nothing when it is not reached."""
        return self._said_by(f"nc -w {seconds} {address} {port} </dev/null", seconds, "head")

    def fetch(self, address: str, port: int = 80) -> str:
        """The last line that a web server sends; nothing when it is not reached within a second."""
        asked = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'"
        return self._said_by(f"nc -w 1 {address} {port}", 1, "tail", f"{asked} | ")

    def _said_by(self, client: str, seconds: int, end: str, asked: str = "") -> str:
        """One line of an answer. What connects and then hears nothing is ended a little later."""
        order = f"{{ {asked}timeout {seconds + 1} {client} | {end} -n 1; }} 2>/dev/null"
        return self.run(order)[1].strip()

    def pings(self, address: str, *options: str) -> bool:
        return self.run(" ".join(["ping -c 1 -W 1", *options, address]))[0] == 0

    def metadata(self, path: str) -> str:
        """What the metadata service answers to IMDSv1: busybox wget closes with the answer."""
        return self.ask(f"wget -q -O - http://169.254.169.254/latest/{path}")

    def heard(self) -> int:
        return int(self.ask(COUNTER))
