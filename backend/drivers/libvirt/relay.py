"""Carries one connection of a guest to the metadata service: ``python relay.py SOCKET``.

QEMU runs it for each connection that a guest on a user network makes to the metadata address, with the
connection as its standard input and output. Nothing is imported from elsewhere, so that it starts at once.

The obvious way, a character device between QEMU and the socket, gives all of a guest's connections one
stream: QEMU sends each answer to the connection that was opened last, and requests made at the same time get
each other's answers.
"""

import os
import socket
import sys
import threading

PIECE = 65536


def carry(source: socket.socket, target: socket.socket) -> None:
    """Send on what comes, and at last that no more will come."""
    try:
        while data := source.recv(PIECE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone; the other one is told by the end of the process, or by its own


def main(path: str) -> None:
    """Carry until the service has said all."""
    guest = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the last one is the guest's, too: it is not to read our errors
        os.dup2(nowhere, stream)
    folder, _, name = path.rpartition("/")
    service = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(folder)  # an address of a socket holds 107 bytes, and homes may lie deep
        service.connect(name)
    except OSError:
        return
    threading.Thread(target=carry, args=(guest, service), daemon=True).start()
    carry(service, guest)


if __name__ == "__main__":
    main(sys.argv[1])
