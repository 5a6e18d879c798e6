"""What several checks look at or act on: machines in the states that they need, with links."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from conformance.checks import Absent, Unknown, Value
from conformance.occi.documents import (
    COMPUTE,
    NETWORK,
    NETWORKINTERFACE,
    OS_TPL,
    PLAIN,
    RESOURCE_TPL,
    STORAGE,
    STORAGELINK,
    Category,
    Entity,
    Link,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.tables import SAVE, SSH_KEY, START, STOP, SUSPEND, USER_DATA, type_of
from conformance.wire import Answer

STATE = "occi.compute.state"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVnYm9uZm9ybWFuY2V0ZXN0a2V5MDAwMDAwMDAw conformance"
SCRIPT = base64.b64encode(b"#cloud-config\n{}\n").decode()
#: The action that leads from a state towards another one, and its method.
_WAY: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("inactive", "active"): (START, {}),
    ("suspended", "active"): (START, {}),
    ("active", "inactive"): (STOP, {"method": "poweroff"}),
    ("active", "suspended"): (SUSPEND, {}),
    ("inactive", "suspended"): (START, {}),
    ("suspended", "inactive"): (START, {}),
}


def refusal(answer: Answer) -> bool:
    """Whether the endpoint said no, rather than broke."""
    return 400 <= answer.status < 500 or answer.status == 501


def accepted(answer: Answer) -> bool:
    """Whether the endpoint said yes."""
    return 200 <= answer.status < 300


def stable(session: OcciSession, path: str, action: str) -> None:
    """Wait until an entity offers an action, a little: one that never does is asked all the same."""
    ends = time.monotonic() + 5
    while action not in session.read(path).actions and time.monotonic() < ends:
        time.sleep(0.05)


def act(session: OcciSession, path: str, action: str, media: str = PLAIN, **given: Any) -> Answer:
    """The answer to an action that the endpoint should carry out."""
    stable(session, path, action)
    answer = session.patiently(lambda: session.act(path, action, media, **given))
    return session.ok(answer, action.rpartition("#")[2], 200, 204)


def bring(session: OcciSession, path: str, state: str) -> str:
    """Bring a machine into a state by actions; answers its path.

    Raises:
        Unknown: it does not get there.
    """
    refused = 0
    while (now := str(session.rested(path).attributes[STATE])) != state:
        if (now, state) not in _WAY:
            raise Unknown(f"{path} is {now}, and no action makes it {state}")
        action, given = _WAY[now, state]
        stable(session, path, action)
        answer = session.act(path, action, **given)
        if accepted(answer):
            after = {START: "active", STOP: "inactive", SUSPEND: "suspended"}[action]
            session.state(path, STATE, after)
        elif (refused := refused + 1) > 4:
            raise Unknown(f"{path} could not be made {state}: {answer} {answer.text[:200]}")
    return path


def machine(session: OcciSession, state: str) -> str:
    """A machine that checks act on, and that has no size template if there can be such, in a state."""

    def make() -> str:
        whole, bare = session.machine_wanted(), sized(session)
        answer = session.send("POST", session.location(COMPUTE), bare)
        return session.made(answer, shared=True) if accepted(answer) else session.create(whole, shared=True)

    path = session.shared("a machine to act on", make)
    vain: list[str] = session.shared(f"what came in the way of machines that are {state}", list)
    if len(vain) > 1:
        raise Unknown(vain[-1])
    try:
        return bring(session, path, state)
    except Unknown as unknown:
        vain.append(str(unknown))  # waited for twice, and not by each check that needs it
        raise


class Dressed(Value, frozen=True, kw_only=True):
    """A machine made with all that the endpoint offers, and what it was made of; paths, empty for none."""

    path: str
    wanted: Wanted
    disk: str = ""
    network: str = ""

    def link(self, session: OcciSession, kind: str) -> str:
        """The path of its link of a kind to what it was made with."""
        target = self.disk if kind == STORAGELINK else self.network
        if not target:
            raise Absent(f"{kind} is not offered")
        return link_to(session, session.read(self.path), kind, target)


def dressed(session: OcciSession) -> Dressed:
    """A running machine with templates, a key, user data, and inline links to a disk and a network."""

    def make() -> Dressed:
        offered = session.model()
        disk = session.disk() if {STORAGE, STORAGELINK} <= set(offered) else ""
        network = session.net() if {NETWORK, NETWORKINTERFACE} <= set(offered) else ""
        links = [
            Link(target=target, rel=(kind,), categories=(link,))
            for target, kind, link in ((disk, STORAGE, STORAGELINK), (network, NETWORK, NETWORKINTERFACE))
            if target
        ]
        wanted = session.machine_wanted(links=tuple(links))
        extras = [each for each in (SSH_KEY, USER_DATA) if each in offered]
        values = {SSH_KEY: PUBLIC_KEY, USER_DATA: SCRIPT}
        attributes = {type_of(each).attributes[0].name: values[each] for each in extras}
        wanted = Wanted(
            kind=COMPUTE,
            mixins=(*wanted.mixins, *extras),
            attributes={
                **wanted.attributes,
                "occi.core.summary": "made by a conformance check",
                "occi.compute.hostname": "conformance.example.org",
                **attributes,
            },
            links=wanted.links,
        )
        path = session.create(wanted, shared=True)
        return Dressed(path=bring(session, path, "active"), wanted=wanted, disk=disk, network=network)

    return session.shared("a machine with everything", make)


def link_to(session: OcciSession, found: Entity, kind: str, target: str) -> str:
    """The path of the link of a kind that a resource has with a target."""
    for each in found.links:
        if kind in each.categories and session.path(each.target) == target:
            return session.path(each.self_)
    raise Unknown(f"the resource shows no {kind.rpartition('#')[2]} to {target}")


def spare_disk(session: OcciSession, **given: Any) -> str:
    """Storage of the check's own, usable."""
    attributes = {"occi.core.title": session.name("storage"), "occi.storage.size": 1.0, **given}
    path = session.create(Wanted(kind=STORAGE, mixins=session.zone(), attributes=attributes))
    session.usable(path)
    return path


def spare_network(session: OcciSession, *mixins: str, **attributes: Any) -> str:
    """A network of the check's own."""
    given = {"occi.core.title": session.name("network"), **attributes}
    return session.create(Wanted(kind=NETWORK, mixins=(*session.zone(), *mixins), attributes=given))


def example(session: OcciSession, kind: str) -> str:
    """The path of an instance of a kind that is only looked at."""
    session.category(kind)
    makers: dict[str, Callable[[], str]] = {
        COMPUTE: lambda: dressed(session).path,
        STORAGE: session.disk,
        NETWORK: session.net,
        STORAGELINK: lambda: dressed(session).link(session, STORAGELINK),
        NETWORKINTERFACE: lambda: dressed(session).link(session, NETWORKINTERFACE),
    }
    return makers[kind]()


def templates(session: OcciSession, parent: str = OS_TPL) -> list[Category]:
    """The mixins that depend on a parent; Absent without any."""
    found = session.depending(parent)
    if not found:
        raise Absent(f"no mixin depends on {parent}")
    return found


def defaults(template: Category) -> dict[str, Any]:
    """The defaults that a template's attributes have."""
    return {each.name: each.default for each in template.attributes if each.default is not None}


def sized(session: OcciSession, size: str = "", **attributes: Any) -> Wanted:
    """A machine with an OS template, and with one size or none."""
    whole = session.machine_wanted()
    sizes = {each.id for each in session.depending(RESOURCE_TPL)}
    mixins = [each for each in whole.mixins if each not in sizes]
    return Wanted(
        kind=COMPUTE,
        mixins=(*mixins, *([size] if size else [])),
        attributes={**whole.attributes, **attributes},
    )


def saved_system(session: OcciSession) -> str:
    """A second OS template, made by saving a machine; Absent where that cannot be."""

    def make() -> str:
        session.category(SAVE)
        known = {each.id for each in session.discovered()}
        act(session, machine(session, "active"), SAVE, method="hot")
        new = [each for each in session.discovered() if each.id not in known and OS_TPL in each.rel]
        if not new:
            raise Unknown("save made no OS template")
        session.afterwards(lambda: session.untag(new[0]), at_end=True)
        return new[0].id

    return session.shared("a second OS template", make)
