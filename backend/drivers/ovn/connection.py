"""A replica of an OVSDB database, kept up to date by a thread of its own.

The library is made for one thread that does everything. Here that thread only keeps the replica and the
connection going; whoever needs either waits for it under the one lock, never longer than a deadline.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from ovs import json, poller, stream
from ovs.db import error, idl

from backend.drivers.ovn.json_stream import Parser
from backend.ports import HostSilent, StepFailed

poller.SelectPoll = select.poll  # else a process with many files open cannot wait for one of a high number
if json.PARSER == json.PARSER_PY:
    json.Parser = Parser

PROBE_MILLISECONDS: Final = 5000
RETRY_MILLISECONDS: Final = (1000, 2000)
"""How soon a lost connection is tried again, first and at most; a queue of waiting changes is worth it."""

T = TypeVar("T")


class Replica(idl.Idl):  # type: ignore[misc]  # the library has no types
    """The library's replica, which tells of every row that comes, changes or goes."""

    def __init__(self, remote: str, schema: dict[str, Any]) -> None:
        helper = idl.SchemaHelper(schema_json=schema)
        helper.register_all()
        super().__init__(remote, helper, probe_interval=PROBE_MILLISECONDS)
        self._session.reconnect.set_backoff(*RETRY_MILLISECONDS)

    @property
    def whole(self) -> bool:
        """Whether it is connected and has seen everything that was there when it was."""
        return self.state == idl.Idl.IDL_S_MONITORING and bool(self._session.is_connected())

    @property
    def state_of_affairs(self) -> tuple[int, bool, int]:
        """What differs when there is news for those who wait: rows, the connection, or an answer."""
        return int(self.change_seqno), self.whole, len(self._outstanding_txns)

    def restart_fsm(self) -> None:
        """Begin anew after a reconnection: with nothing, so that each row there is is told of again."""
        self.last_id = str(uuid.UUID(int=0))
        self.forget()
        super().restart_fsm()

    def forget(self) -> None:
        """Called when all rows are about to be told of again."""


class Connection:
    """A database that can be read and changed from any thread. Its first use connects to it."""

    def __init__(self, name: str, make: Callable[[], Replica], patience: float) -> None:
        self._name = name
        self._make = make
        self._patience = patience
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._replica: Replica | None = None
        self._closed = False

    def close(self) -> None:
        """Disconnect, for good."""
        with self._changed:
            if self._closed:
                return
            self._ring()
            self._closed = True
            self._changed.notify_all()
            if self._replica is None:
                os.close(self._bell)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """The whole replica, which stays as it is meanwhile.

        Raises:
            HostSilent: There was none within the patience.
        """
        deadline = time.monotonic() + self._patience
        with self._changed:
            yield self._whole(deadline)

    def wait_for(self, holds: Callable[[Any], bool], seconds: float) -> bool:
        """Wait until something holds of the whole replica; whether it does."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                replica = self._replica
                if replica is not None and replica.whole and holds(replica):
                    return True
                if not self._sleep(deadline):
                    return False

    def change(self, compose: Callable[[Any], tuple[T, list[dict[str, Any]]]]) -> T:
        """Commit what ``compose`` makes of the replica, one transaction after the other.

        It is asked again when the database has changed in the meantime; without operations nothing is
        committed.

        Raises:
            HostSilent: The database did not answer within the patience; whether it has changed is unknown.
            StepFailed: It refused, and nothing has changed.
        """
        deadline = time.monotonic() + self._patience
        if not self._turn.acquire(timeout=self._patience):
            raise HostSilent(f"{self._name}: still busy with another change")
        try:
            with self._changed:
                while True:
                    replica = self._whole(deadline)
                    answer, operations = compose(replica)
                    if not operations or self._commit(replica, operations, deadline):
                        return answer
        finally:
            self._turn.release()

    def _commit(self, replica: Replica, operations: list[dict[str, Any]], deadline: float) -> bool:
        """Whether the operations are committed, not overtaken by somebody else's."""
        seen = replica.change_seqno
        transaction = idl.Transaction(replica)
        for operation in operations:
            transaction.add_op(operation)
        while (status := transaction.commit()) == idl.Transaction.INCOMPLETE:
            self._ring()
            if not self._sleep(deadline):
                transaction.abort()
                raise HostSilent(f"{self._name}: no answer within {self._patience:g} s")
        match status:
            case idl.Transaction.SUCCESS | idl.Transaction.UNCHANGED:
                return True
            case idl.Transaction.TRY_AGAIN:
                while replica is self._replica and replica.change_seqno == seen and self._sleep(deadline):
                    pass
                return False
            case _:
                raise StepFailed(f"{self._name}: refused: {transaction.get_error()}")

    def _whole(self, deadline: float) -> Replica:
        """The replica, once it is connected and complete; the lock is held."""
        while self._replica is None or not self._replica.whole:
            if not self._sleep(deadline):
                raise HostSilent(f"{self._name}: not connected")
        return self._replica

    def _sleep(self, deadline: float) -> bool:
        """Let the thread work until it has news; False when the deadline has passed. The lock is held."""
        if self._closed:
            raise HostSilent(f"{self._name}: closed")
        if self._replica is None:
            self._replica = self._make()
            threading.Thread(target=self._serve, name=f"ovsdb {self._name}", daemon=True).start()
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self._changed.wait(left)
        return True

    def _ring(self) -> None:
        """Wake the thread; the lock is held."""
        if not self._closed:
            os.eventfd_write(self._bell, 1)

    def _serve(self) -> None:
        while True:
            waiting = poller.Poller()
            with self._changed:
                replica = self._replica
                if self._closed or replica is None:
                    break
                before = replica.state_of_affairs
                self._take_in(replica)
                if replica.state_of_affairs != before:
                    self._changed.notify_all()
                replica.wait(waiting)
            waiting.fd_wait(self._bell, poller.POLLIN)
            waiting.block()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        if replica is not None:
            replica.close()
        os.close(self._bell)

    def _take_in(self, replica: Replica) -> None:
        """After an error the replica may lack what could not be read: all of it is asked for again."""
        try:
            replica.run()
        except (
            error.Error,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            AssertionError,
        ):
            replica.force_reconnect()


def use_certificates(private_key: str, certificate: str, ca_certificate: str) -> None:
    """The files for all ``ssl:`` remotes of this process (the library has one set)."""
    stream.Stream.ssl_set_private_key_file(private_key)
    stream.Stream.ssl_set_certificate_file(certificate)
    stream.Stream.ssl_set_ca_cert_file(ca_certificate)
