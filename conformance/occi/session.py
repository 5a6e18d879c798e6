"""A client of one OCCI endpoint: speaks each rendering, makes what checks need, and takes it away again."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from conformance.checks import Absent, Failed, Unknown, expect
from conformance.occi import codec
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    HEADERS,
    INFRASTRUCTURE,
    JSON,
    NETWORK,
    OS_TPL,
    PLAIN,
    RESOURCE_TPL,
    STORAGE,
    Category,
    Entity,
    Wanted,
)
from conformance.runner import Session
from conformance.wire import Answer, Wire

QUERY = "/-/"
#: The scheme of the mixins that checks make.
TAGS = "http://conformance.example.org/tags#"
_GONE = frozenset({404, 410})


class OcciSession(Session):
    """Talks to an endpoint as one user. ``authorization`` is the header's value, empty for none."""

    def __init__(
        self, wire: Wire, authorization: str = "", *, deadline: float = 300.0, poll: float = 0.5
    ) -> None:
        super().__init__(wire, deadline=deadline, poll=poll)
        self._authorization = authorization
        self._numbers = itertools.count(1)
        self._run = secrets.token_hex(4)

    @property
    def authorized(self) -> bool:
        """Whether requests carry credentials."""
        return bool(self._authorization)

    @staticmethod
    def basic(user: str, password: str) -> str:
        """The Authorization header of HTTP Basic (RFC 7617)."""
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    def impostor(self) -> str:
        """The Authorization header of the same user with a wrong password or token."""
        scheme, _, secret = self._authorization.partition(" ")
        if scheme.lower() != "basic":
            return f"{scheme} {secrets.token_urlsafe(16)}"
        user = base64.b64decode(secret).decode().partition(":")[0]
        return self.basic(user, secrets.token_urlsafe(16))

    def name(self, what: str = "thing") -> str:
        """A name that nothing else has, in this run and others."""
        return f"conformance-{what}-{self._run}-{next(self._numbers)}"

    # Requests -------------------------------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        wanted: Wanted | None = None,
        *,
        media: str = PLAIN,
        accept: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        anonymous: bool = False,
        fields: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """One request. ``wanted`` is said in the rendering ``media``, which is also accepted unless told.

        ``accept`` empty sends no Accept header. Further ``headers`` win; ``body`` is sent as it is.
        ``fields`` are header fields that come after these, repeated or not.

        Raises:
            Absent: the rendering is JSON, which is of 1.2, and the endpoint claims other versions only.
        """
        if media == JSON and not self.speaks(("1.2",)):
            raise Absent(f"{JSON} is of OCCI 1.2, which the endpoint does not claim")
        given: dict[str, str] = {}
        accepted = media if accept is None else accept
        if accepted:
            given["Accept"] = accepted
        if self._authorization and not anonymous:
            given["Authorization"] = self._authorization
        if wanted is not None:
            said, body = codec.said(wanted, media)
            given.update(said)
        given.update(headers or {})
        return self.wire.send(method, path, [*given.items(), *fields], body)

    def describing(self) -> tuple[str, ...]:
        """The renderings of entities and categories that are due here."""
        return DESCRIBING if self.speaks(("1.2",)) else (PLAIN, HEADERS)

    def get(self, path: str, media: str = PLAIN, **headers: str) -> Answer:
        """GET that must succeed."""
        return self.ok(self.send("GET", path, media=media, headers=headers), f"GET {path}")

    def patiently(self, attempt: Callable[[], Answer], seconds: float = 90.0) -> Answer:
        """The answer to a request that is repeated while it conflicts with what is under way (409)."""
        ends = time.monotonic() + min(seconds, self.deadline)
        while (answer := attempt()).status == 409 and time.monotonic() < ends:
            time.sleep(min(self.poll, 0.2))
        return answer

    def ok(self, answer: Answer, what: str, *statuses: int) -> Answer:
        """The answer, whose status must be one of some: 200 without any."""
        wanted = statuses or (200,)
        expect(
            answer.status in wanted,
            f"{what}: expected {' or '.join(map(str, wanted))}, got {answer}: {answer.text[:200]!r}",
        )
        return answer

    def refused(self, answer: Answer, what: str, *statuses: int) -> Answer:
        """The answer, which must be a refusal with one of some statuses."""
        return self.ok(answer, f"{what} should be refused", *statuses)

    # Discovery ------------------------------------------------------------------------------------------

    def discovered(self, media: str = PLAIN) -> list[Category]:
        """What the query interface tells now."""
        return codec.categories(self.get(QUERY, media))

    def model(self, media: str = PLAIN) -> dict[str, Category]:
        """The query interface by type identifier, without our own mixins; read once for each rendering."""
        return self.shared(f"the model in {media}", lambda: _provided(self.discovered(media)))

    def detailed(self) -> dict[str, Category]:
        """The query interface in JSON, which alone tells types and defaults; Absent without it."""

        def read() -> dict[str, Category] | None:
            answer = self.send("GET", QUERY, media=JSON)
            if answer.status == 406:
                return None
            self.ok(answer, f"GET {QUERY}")
            return _provided(codec.categories(answer))

        found = self.shared("the model with types", read)
        if found is None:
            raise Absent(f"the endpoint does not speak {JSON}")
        return found

    def detail(self, type_id: str) -> Category:
        """What JSON tells of a category that text tells; the check fails when it tells nothing."""
        found = self.detailed().get(type_id)
        if found is None:
            raise Failed(f"{JSON} does not tell {type_id}")
        return found

    def fresh_details(self) -> dict[str, Category]:
        """What :meth:`detailed` tells, as it is now; nothing where the endpoint speaks no JSON."""
        try:
            self.detailed()
        except Absent:
            return {}
        return {each.id: each for each in self.discovered(JSON)}

    @property
    def versions(self) -> frozenset[str]:
        """The versions of OCCI that the Server header claims."""

        def read() -> frozenset[str]:
            header = self.send("GET", QUERY).header("server") or ""
            return frozenset(re.findall(r"\bOCCI/([0-9]+\.[0-9]+)", header))

        return self.shared("the versions", read)

    def speaks(self, versions: Sequence[str]) -> bool:
        """Whether something that some versions have is due here; one that claims none owes what all have."""
        claimed = self.versions
        return bool(claimed & set(versions)) if claimed else len(versions) > 1

    def category(self, type_id: str) -> Category:
        """A category that is on offer; the check is Absent without."""
        found = self.model().get(type_id)
        if found is None:
            raise Absent(f"{type_id} is not offered")
        return found

    def depends(self, type_id: str) -> tuple[str, ...]:
        """The mixins that a mixin depends on, all of them where JSON tells."""
        try:
            found = self.detailed().get(type_id)
        except Absent:
            found = self.model().get(type_id)
        return found.depends or found.rel if found is not None else ()

    def location(self, type_id: str) -> str:
        """The path of a category's collection."""
        found = self.category(type_id)
        if not found.location:
            raise Failed(f"{type_id} has no location")
        return self.path(found.location)

    def path(self, uri: str) -> str:
        """The path of a URI or path, as this endpoint's requests have it."""
        return self.wire.target(uri)

    def uris(self, *paths: str) -> tuple[str, ...]:
        """Paths as absolute URIs of the endpoint."""
        return tuple(each if "://" in each else self.wire.origin + each for each in paths)

    def depending(self, parent: str) -> list[Category]:
        """The mixins that depend on one, as the templates on os_tpl."""
        return [each for each in self.model().values() if each.class_ == "mixin" and parent in each.rel]

    # Entities -------------------------------------------------------------------------------------------

    def create(self, wanted: Wanted, *, media: str = PLAIN, at: str = "", shared: bool = False) -> str:
        """Make an entity and answer its path; it is deleted after the check, or (``shared``) after all."""
        where = at or self.location(wanted.kind)
        answer = self.send("POST", where, wanted, media=media)
        self.ok(answer, f"creating {wanted.kind.rpartition('#')[2]}", 201, 200)
        return self.made(answer, shared=shared)

    def made(self, answer: Answer, *, shared: bool = False) -> str:
        """The path of the entity that an answer says was made, registered for deletion."""
        found = answer.header("location") or next(iter(codec.locations(answer)), "")
        if not found:
            raise Failed("neither Location nor the body tells where the new entity is")
        path = self.path(found)
        self.afterwards(lambda: self.delete(path), at_end=shared)
        return path

    def act(self, path: str, action: str, media: str = PLAIN, **attributes: object) -> Answer:
        """The answer to an action (by its type identifier) on an entity or a collection."""
        term = action.rpartition("#")[2]
        return self.send(
            "POST", f"{path}?action={term}", Wanted(action=action, attributes=attributes), media=media
        )

    def update(self, path: str, kind: str, media: str = PLAIN, **parts: Any) -> Answer:
        """The answer to a partial update of an entity; ``parts`` are those of :class:`Wanted`."""
        return self.send("POST", path, Wanted(kind=kind, **parts), media=media)

    def tag(self, **changes: Any) -> Category:
        """A mixin of our own, removed after the check; Absent when the endpoint lets clients make none."""
        term = self.name("tag")
        given = {"scheme": TAGS, "location": f"/{term}/", **changes}
        wanted = Category(term=term, class_="mixin", **given)
        answer = self.send("POST", QUERY, Wanted(described=(wanted,)))
        if answer.status in {400, 403, 405, 501}:
            raise Absent(f"clients cannot make mixins here: {answer}")
        self.ok(answer, "adding a mixin", 200, 201, 204)
        self.afterwards(lambda: self.untag(wanted))
        return wanted

    def untag(self, tag: Category) -> None:
        """Remove a mixin of our own; one that is gone already is fine."""
        self.send("DELETE", QUERY, Wanted(described=(tag,)))

    def delete(self, path: str) -> None:
        """Delete an entity and wait until it is gone; one that is gone already is fine.

        Raises:
            Unknown: it does not go.
        """

        def gone() -> bool | None:
            answer = self.send("DELETE", path)
            if answer.status in _GONE:
                return True
            return True if self.send("GET", path).status in _GONE else None

        self.until(f"the deletion of {path}", gone)

    def deleted(self, path: str) -> None:
        """Delete an entity, which must be granted, and come true."""
        answer = self.patiently(lambda: self.send("DELETE", path))
        self.ok(answer, f"DELETE {path}", 200, 204)
        self.until(
            f"the end of {path}, whose deletion was granted",
            lambda: self.send("GET", path).status in _GONE or None,
            due=True,
        )

    def read(self, path: str, media: str = PLAIN) -> Entity:
        """An entity."""
        return codec.entity(self.get(path, media))

    def listed(self, path: str, media: str = PLAIN, **headers: str) -> list[str]:
        """The paths of a collection's members; an empty one may be 204."""
        answer = self.send("GET", path, media=media, headers=headers)
        self.ok(answer, f"GET {path}", 200, 204)
        return [self.path(each) for each in codec.locations(answer)] if answer.body or media != "" else []

    def state(self, path: str, attribute: str, *wanted: str, due: bool = False) -> Entity:
        """An entity once its state is one of some; Unknown when it gets into error, or never there.

        With ``due``, as after an action that was granted, the check fails when it never gets there.
        """

        def probe() -> Entity | None:
            found = self.read(path)
            state = found.attributes.get(attribute)
            if state in wanted:
                return found
            if state == "error":
                message = found.attributes.get(f"{attribute}.message", "")
                raise Unknown(f"{path} got into error while {' or '.join(wanted)} was awaited: {message}")
            return None

        return self.until(f"{attribute} {' or '.join(wanted)} of {path}", probe, due=due)

    def ready(self, path: str, seconds: float = 5.0) -> str:
        """The path of an entity once it offers an action, or has had time to; what is new is often busy."""
        ends = time.monotonic() + seconds
        found = self.read(path)
        kind = self.model().get(found.kind)
        while kind and kind.actions and not found.actions and time.monotonic() < ends:
            time.sleep(0.03)
            found = self.read(path)
        return path

    def rested(self, path: str) -> Entity:
        """A machine once it is in a state that it stays in: inactive counts when start is offered.

        A new machine is inactive at first (INFRA 3.1), whether or not the endpoint starts it by itself.

        Raises:
            Failed: its state is none of the standard's.
        """
        return self._still(
            path, "occi.compute.state", {"active": "", "inactive": "start", "suspended": "start"}
        )

    def usable(self, path: str) -> Entity:
        """Storage once it is online, or offline with online on offer; it is offline while it is made.

        Raises:
            Failed: its state is none of the standard's.
        """
        busy = dict.fromkeys(("backup", "snapshot", "resize", "degraded"), "online")
        return self._still(path, "occi.storage.state", {"online": "", "offline": "online", **busy})

    def _still(self, path: str, attribute: str, states: Mapping[str, str]) -> Entity:
        """An entity once it rests: in one of some states, and offering the action that the state needs."""

        def probe() -> Entity | None:
            found = self.read(path)
            state = str(found.attributes.get(attribute))
            if state == "error":
                raise Unknown(f"{path} got into error: {found.attributes.get(f'{attribute}.message')}")
            if state not in states:
                raise Failed(f"{attribute} of {path} is {state!r}, and should be one of {', '.join(states)}")
            offered = {each.rpartition("#")[2] for each in found.actions}
            return found if not states[state] or states[state] in offered else None

        return self.until(f"rest of {path}", probe)

    # What checks need -----------------------------------------------------------------------------------

    def zone(self) -> tuple[str, ...]:
        """The mixin for everything to be in one place, where the endpoint has several (OCCI-EXT-007)."""
        return tuple(each.id for each in self.depending(f"{INFRASTRUCTURE}availability_zone")[:1])

    def machine_wanted(self, **changes: object) -> Wanted:
        """A small machine as this endpoint can make it: with a template where there is one."""
        templates = [each.id for each in self.depending(OS_TPL)[:1]]
        sizes = self.depending(RESOURCE_TPL)
        small = next((each for each in sizes if each.term == "small"), sizes[0] if sizes else None)
        given = {
            "kind": COMPUTE,
            "mixins": (*templates, *([small.id] if small else []), *self.zone()),
            "attributes": {"occi.core.title": self.name("compute")},
            **changes,
        }
        return Wanted(**given)  # type: ignore[arg-type]

    def machine(self) -> str:
        """The path of a machine that several checks look at and none harms; it is active."""

        def make() -> str:
            path = self.create(self.machine_wanted(), shared=True)
            self.rested(path)
            return path

        return self.shared("a machine", make)

    def disk(self) -> str:
        """The path of storage that several checks look at and none harms."""

        def make() -> str:
            attributes = {"occi.core.title": self.name("storage"), "occi.storage.size": 1.0}
            path = self.create(Wanted(kind=STORAGE, mixins=self.zone(), attributes=attributes), shared=True)
            self.state(path, "occi.storage.state", "online", "offline")
            return self.ready(path)

        return self.shared("storage", make)

    def net(self) -> str:
        """The path of a network that several checks look at and none harms."""

        def make() -> str:
            attributes = {"occi.core.title": self.name("network")}
            return self.create(Wanted(kind=NETWORK, mixins=self.zone(), attributes=attributes), shared=True)

        return self.shared("a network", make)

    def cheap(self) -> Wanted:
        """An entity that costs the endpoint little: storage, else a network, else a machine."""
        if STORAGE in self.model():
            sized = {"occi.core.title": self.name("storage"), "occi.storage.size": 1.0}
            return Wanted(kind=STORAGE, attributes=sized)
        if NETWORK in self.model():
            return Wanted(kind=NETWORK, attributes={"occi.core.title": self.name("network")})
        return self.machine_wanted()


def _provided(found: Iterable[Category]) -> dict[str, Category]:
    """Categories by type identifier, without those that a check has made for a while."""
    return {each.id: each for each in found if each.scheme != TAGS}


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID."""
    return _UUID.fullmatch(text) is not None
