"""A client of one EC2 endpoint: signs by itself, makes what checks need, and takes it away again."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from conformance.checks import Absent, Unknown, expect, fail
from conformance.ec2 import signing as sign
from conformance.ec2.reading import Refusal, Reply, refusal, reply, said
from conformance.ec2.signing import Pairs, Signing
from conformance.ec2.tables import OPTIONAL, UNDO, Undo
from conformance.runner import Session
from conformance.wire import Answer, Exchange, Wire

VERSION = "2016-11-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
Params = Mapping[str, object]

#: Told to a client that is too fast; SDKs wait and try again.
_SLOWER = frozenset({"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled"})
#: An operation that an endpoint does not have.
_NOT_OFFERED = frozenset({"InvalidAction", "UnsupportedOperation", "UnknownAction", "NotImplemented"})
#: The caller may not, or there is no room: nothing is wrong with the endpoint.
_NO_ROOM = re.compile(r"\w*LimitExceeded|Insufficient\w+|UnauthorizedOperation|OptInRequired|Blocked")
_GONE = re.compile(r".*(?:NotFound|NotFoundException|Unknown|Unavailable)$")
#: Told of what is still busy with something that this run asked for.
_MEANWHILE = frozenset({"IncorrectInstanceState", "IncorrectState"})
_BUSY = 60.0
#: Pages after which a listing has no end.
_MOST_PAGES = 500
#: How long, in seconds, something that was made may refuse to go before it is told as left over.
_CLEANING = 90.0


class Record:
    """Answers to a chain of requests that several checks judge, each from its own side."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.params: dict[str, object] = {}
        self.states: dict[str, list[str]] = {}
        self.exchanges: tuple[Exchange, ...] = ()

    def reply(self, name: str) -> Reply:
        """The reply to one of the requests; the check fails when it was refused."""
        return reply(self._answer(name), name)

    def refusal(self, name: str) -> Refusal:
        """The refusal of one of the requests; the check fails when it was granted."""
        return refusal(self._answer(name), name)

    def _answer(self, name: str) -> Answer:
        if name not in self.answers:
            raise Unknown(f"it did not come to this: {name}")
        return self.answers[name]


class Ec2Session(Session):
    """Talks to an endpoint as one account.

    ``image`` empty: one that can be launched is looked for. ``token`` is a session's, of temporary keys.
    """

    def __init__(
        self,
        wire: Wire,
        access_key: str,
        secret: str,
        *,
        region: str = "us-east-1",
        image: str = "",
        instance_type: str = "t2.micro",
        token: str = "",
        deadline: float = 300.0,
        poll: float = 0.25,
    ) -> None:
        super().__init__(wire, deadline=deadline, poll=poll)
        self.signing = Signing(id=access_key, secret=secret, token=token, region=region)
        self.given_image = image
        self.instance_type = instance_type
        self.root = "" if wire.prefix else "/"
        self.optional = OPTIONAL
        self._numbers = itertools.count(1)
        self._run = secrets.token_hex(4)
        wire.masks += (
            re.compile(r"(?<=Signature=)[^&]+"),
            re.compile(r"(?<=SecurityToken=)[^&]+"),
            re.compile(r"(?<=Security-Token=)[^&]+"),
            re.compile(r"(?s)(?<=<keyMaterial>)[^<]+"),
        )

    def name(self, what: str = "thing") -> str:
        """A name that nothing else has, in this run and others."""
        return f"conformance-{what}-{self._run}-{next(self._numbers)}"

    def unknown(self, prefix: str) -> str:
        """A well-formed id of something that does not exist."""
        return f"{prefix}-0{secrets.token_hex(8)}"

    # Requests -------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The path that signatures cover."""
        return self.wire.prefix or "/"

    def send(
        self,
        action: str,
        params: Params | None = None,
        *,
        method: str = "POST",
        version: str = VERSION,
        signing: Signing | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, signed in its header: parameters in the body of a POST, in the query of a GET."""
        said_ = pairs(action, params or {}, version)
        return self.patiently(lambda: self.signed(said_, method=method, signing=signing, headers=headers))

    def signed(
        self,
        said_: Pairs,
        *,
        method: str = "POST",
        query: Pairs = (),
        signing: Signing | None = None,
        headers: Mapping[str, str] | None = None,
        sent: Pairs | None = None,
        change: Callable[[dict[str, str]], None] | None = None,
    ) -> Answer:
        """A request with version 4 in its header, once. ``query`` goes beside the body of a POST.

        ``sent`` goes out instead of what was signed; ``change`` is done to the headers after signing.
        """
        in_body = method == "POST"
        query = list(query) if in_body else list(said_)
        body = sign.form(said_).encode() if in_body else b""
        given = {"host": self.wire.host, **({"content-type": FORM} if in_body else {}), **(headers or {})}
        every = sign.in_header(signing or self.signing, method, self.path, query, given, body)
        if change is not None:
            change(every)
        if sent is not None:
            query, body = (query, sign.form(sent).encode()) if in_body else (list(sent), b"")
        return self._out(method, query, every, body if in_body else None)

    def presigned(
        self,
        said_: Pairs,
        *,
        method: str = "GET",
        expires: int = 300,
        signing: Signing | None = None,
        change: Callable[[list[tuple[str, str]]], None] | None = None,
    ) -> Answer:
        """A request with version 4 in its query; ``change`` is done to the parameters after signing."""
        every = sign.in_query(
            signing or self.signing, method, self.path, said_, self.wire.host, expires=expires
        )
        if change is not None:
            change(every)
        return self._out(method, every, {"host": self.wire.host}, None)

    def version_2(
        self,
        said_: Pairs,
        *,
        method: str = "GET",
        digest: str = "sha256",
        signing: Signing | None = None,
    ) -> Answer:
        """A request with signature version 2."""
        every = sign.version_2(
            signing or self.signing, method, self.path, said_, self.wire.host, digest=digest
        )
        host = {"host": self.wire.host}
        if method == "GET":
            return self._out("GET", every, host, None)
        return self._out("POST", (), {**host, "content-type": FORM}, sign.form(every).encode())

    def unsigned(self, said_: Pairs, *, method: str = "POST") -> Answer:
        """A request without credentials."""
        host = {"host": self.wire.host}
        if method == "GET":
            return self._out("GET", said_, host, None)
        return self._out("POST", (), {**host, "content-type": FORM}, sign.form(said_).encode())

    def _out(self, method: str, query: Pairs, headers: Mapping[str, str], body: bytes | None) -> Answer:
        target = self.root + (f"?{sign.form(query)}" if query else "")
        return self.wire.send(method, target, headers, body)

    def patiently(self, attempt: Callable[[], Answer]) -> Answer:
        """An answer, asked for again as long as the endpoint says that it is asked too often."""
        for pause in (0.5, 1.0, 2.0, 4.0, 8.0):
            answer = attempt()
            told = said(answer) if answer.status in {400, 503} else None
            if told is None or told.code not in _SLOWER:
                return answer
            time.sleep(pause)
        return attempt()

    def ok(self, action: str, params: Params | None = None, *, method: str = "POST") -> Reply:
        """The reply to a request that must be granted; what is busy is asked again for a while.

        Raises:
            Absent: the endpoint does not have the operation, which is optional.
            Unknown: the account may not, or has no room.
        """
        ends = time.monotonic() + min(self.deadline, _BUSY)
        while True:
            answer = self.send(action, params, method=method)
            told = said(answer)
            if told is None or told.code not in _MEANWHILE or time.monotonic() >= ends:
                return self.granted(action, answer)
            time.sleep(self.poll)

    def granted(self, action: str, answer: Answer) -> Reply:
        """The reply that an answer is, as :meth:`ok` has it."""
        told = said(answer)
        if told is not None:
            if told.code in _NOT_OFFERED and action in self.optional:
                raise Absent(f"{action} is not offered: {told}")
            if _NO_ROOM.fullmatch(told.code):
                raise Unknown(f"{action}: {told}")
        return reply(answer, action)

    def refused(
        self, action: str, params: Params | None, *codes: str, status: int = 400, method: str = "POST"
    ) -> Refusal:
        """The refusal of a request, which must have one of some codes and a status.

        What is granted all the same is undone after the check.
        """
        answer = self.send(action, params, method=method)
        return self.refusal_of(action, params or {}, answer, *codes, status=status)

    def refusal_of(
        self, action: str, params: Params, answer: Answer, *codes: str, status: int = 400
    ) -> Refusal:
        """The refusal that an answer must be, as :meth:`refused` has it."""
        wanted = " or ".join(codes)
        if answer.status == 200:
            self._undo_later(action, params, reply(answer, action), shared=False)
            fail(f"{action} {_told(params)} should be refused ({wanted}); it was granted")
        told = refusal(answer, f"{action} {_told(params)}")
        if told.code in _NOT_OFFERED - set(codes) and action in self.optional:
            raise Absent(f"{action} is not offered: {told}")
        expect(told.code in codes, f"{action} {_told(params)}: expected {wanted}, got {told}")
        expect(told.status == status, f"{action} {_told(params)}: expected status {status}, got {told}")
        return told

    # Making and removing --------------------------------------------------------------------------------

    def make(self, action: str, params: Params | None = None, *, shared: bool = False) -> Reply:
        """The reply to a request that must be granted; it is undone after the check, or after all."""
        found = self.ok(action, params)
        self._undo_later(action, params or {}, found, shared=shared)
        return found

    def _undo_later(self, action: str, params: Params, made: Reply, *, shared: bool) -> None:
        undo = UNDO.get(action)
        if undo is None:
            return
        for call in undoing(undo, params, made):
            self.afterwards(lambda call=call: self.remove(undo.action, call), at_end=shared)  # type: ignore[misc]

    def remove(self, action: str, params: Params) -> None:
        """Take something away; that it is gone already is fine.

        Raises:
            Unknown: it does not go.
        """
        ends = time.monotonic() + min(self.deadline, _CLEANING)
        faults = 0
        while True:
            answer = self.send(action, params)
            told = said(answer)
            if answer.status == 200 or (told is not None and _gone(told)):
                break
            if action == "DetachVolume" and not self._in_use(str(params["VolumeId"])):
                break
            faults += answer.status >= 500 or answer.status in {401, 403}
            if time.monotonic() >= ends or faults > 3:
                raise Unknown(f"{action} {_told(params)}: {told or answer}")
            time.sleep(self.poll)
        if action == "TerminateInstances":
            self._wait_terminated([str(value) for value in params.values()], ends)
        if action == "DetachVolume":
            self._wait_detached(str(params["VolumeId"]), ends)

    def _wait_terminated(self, ids: list[str], ends: float) -> None:
        while time.monotonic() < ends:
            answer = self.send("DescribeInstances", numbered("InstanceId", ids))
            if answer.status != 200:
                return
            states = reply(answer, "DescribeInstances").texts(
                "reservationSet/item/instancesSet/item/instanceState/name"
            )
            if set(states) <= {"terminated"}:
                return
            time.sleep(self.poll)
        raise Unknown(f"{', '.join(ids)} did not end")

    def _wait_detached(self, volume: str, ends: float) -> None:
        while time.monotonic() < ends:
            if not self._in_use(volume):
                return
            time.sleep(self.poll)
        raise Unknown(f"{volume} was not let go")

    def _in_use(self, volume: str) -> bool:
        answer = self.send("DescribeVolumes", {"VolumeId.1": volume})
        if answer.status != 200:
            return False
        return reply(answer, "DescribeVolumes").get("volumeSet/item/status") == "in-use"

    # What several checks judge --------------------------------------------------------------------------

    def recorded(self, name: str, make: Callable[[Record], None]) -> Record:
        """A chain of requests, made once; the conversation is shown with every check that judges it."""
        before = len(self.wire.exchanges)
        fresh = []

        def record() -> Record:
            found = Record()
            make(found)
            found.exchanges = tuple(self.wire.exchanges[before:])
            fresh.append(found)
            return found

        found = self.shared(name, record)
        if not fresh:
            self.wire.exchanges.extend(each for each in found.exchanges if each not in self.wire.exchanges)
        return found

    def pages(self, action: str, params: Params, size: int) -> Iterator[Reply]:
        """The pages of a listing, as SDKs turn them."""
        token = ""
        seen: set[str] = set()
        while True:
            asked = {**params, "MaxResults": size, **({"NextToken": token} if token else {})}
            page = self.ok(action, asked)
            yield page
            token = page.get("nextToken")
            if not token:
                return
            endless = token in seen or len(seen) >= _MOST_PAGES
            expect(not endless, f"{action} came to the token {token!r} after {len(seen)} others: without end")
            seen.add(token)


def pairs(action: str, params: Params, version: str = VERSION) -> list[tuple[str, str]]:
    """A request's parameters as they go out; an action or version that is empty is left out."""
    head = [(name, value) for name, value in (("Action", action), ("Version", version)) if value]
    return [*head, *((name, worded(value)) for name, value in params.items())]


def worded(value: object) -> str:
    """A value as it is said in a request."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def numbered(name: str, values: list[str]) -> dict[str, str]:
    """A list of values as parameters."""
    return {f"{name}.{number}": value for number, value in enumerate(values, 1)}


def filters(wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Filters as parameters."""
    found = {}
    for number, (name, values) in enumerate(wanted.items(), 1):
        found[f"Filter.{number}.Name"] = name
        found |= numbered(f"Filter.{number}.Value", [values] if isinstance(values, str) else list(values))
    return found


def tags(kind: str, **values: str) -> dict[str, str]:
    """A tag specification of a kind of resource as parameters."""
    found = {"TagSpecification.1.ResourceType": kind}
    for number, (key, value) in enumerate(values.items(), 1):
        found |= {
            f"TagSpecification.1.Tag.{number}.Key": key,
            f"TagSpecification.1.Tag.{number}.Value": value,
        }
    return found


def undoing(undo: Undo, params: Params, made: Reply) -> list[dict[str, str]]:
    """The calls that undo what a call made."""
    calls: list[dict[str, str]] = [
        {name: value} for name, source in undo.each.items() for value in _values(source, params, made)
    ]
    if undo.with_:
        call: dict[str, str] = {}
        for name, source in undo.with_.items():
            values = _values(source, params, made)
            if name.endswith(".N"):
                call |= numbered(name.removesuffix(".N"), values)
            elif values:
                call[name] = values[0]
        if len(call) >= len(undo.with_):  # what made nothing has nothing to undo
            calls.append(call)
    return calls


def _values(source: str, params: Params, made: Reply) -> list[str]:
    if source.startswith("<"):
        return made.texts(source.strip("<>"))
    if source.startswith("="):
        return [worded(params[source[1:]])] if source[1:] in params else []
    return [source]


def _gone(told: Refusal) -> bool:
    """Whether a refusal to remove something says that it is not there."""
    return bool(_GONE.fullmatch(told.code)) or told.code == "Gateway.NotAttached"


def _told(params: Params) -> str:
    return "(" + ", ".join(f"{name}={str(value)[:60]}" for name, value in params.items()) + ")"
