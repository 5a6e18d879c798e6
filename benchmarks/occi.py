"""OCCI's renderings against those of ooi and occi-py: the same documents, each peer in a process of its own.

Documents are like real traffic: what names things (kinds, templates, schemes) repeats, every value is new:
ids, titles, host names, keys, user data, addresses, three images in each answer of the query interface. No
body is read twice. What the peers leave out is told in their drivers; the ratios take no account of it.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from benchmarks.report import Row, show
from occi import kinds, mixins
from rendering import occi_json, occi_text
from rendering.occi_document import (
    SOURCE,
    TARGET,
    Category,
    CategoryClass,
    Collection,
    Discovery,
    Link,
    Request,
    named,
)

_ROOT = Path(__file__).resolve().parent.parent
_PEERS = _ROOT / "benchmarks" / "peers"
_PEERS_PYTHON = _ROOT / ".cache" / "occi-peers" / "bin" / "python"
_DOMAIN = "cloud.example.org"
_INFRA = kinds.INFRASTRUCTURE
_ACTIONS = ("start", "stop", "restart", "suspend", "save")
_SIZES = ("small", "medium", "large")
_COMPUTES = 200
_MODELS = 20
_LISTINGS = 5
_TURNS = 3


def run(*, quick: bool) -> None:
    """Measure and print."""
    chance = random.Random(1)
    rounds = [_round(chance, number) for number in range(4 if quick else 10)]
    pythons = {"isthmus": Path(sys.executable), "ooi": _PEERS_PYTHON, "occi": _PEERS_PYTHON}
    with tempfile.TemporaryDirectory(prefix="isthmus-occi-") as folder:
        file = Path(folder) / "documents.json"
        file.write_text(json.dumps(rounds), "utf-8")
        # In turns, as the machine may be slower for a while.
        turns = [
            {peer: _driven(python, peer, file) for peer, python in pythons.items()} for _ in range(_TURNS)
        ]
    answers = {peer: _together([turn[peer] for turn in turns]) for peer in pythons}
    counts = {"compute": _COMPUTES, "`/-/`": _MODELS, "collection": _LISTINGS}
    rows = []
    for name, ours in answers["isthmus"].items():
        found = {peer: answer[name] for peer, answer in answers.items() if name in answer}
        for peer, answer in found.items():
            if answer["said"] != ours["said"]:
                raise RuntimeError(f"{name}: {peer} says {answer['said']}, isthmus {ours['said']}")
        each = next((count for word, count in counts.items() if f"a {word}" in name), 1)
        # In milliseconds for one document, as the seconds would be all zeros; of the fastest round, which is
        # what the code needs when nobody else is at the processor and its caches.
        rows.append(Row(name, {p: min(a["seconds"]) * 1000 / each for p, a in found.items()}))
    show(
        "OCCI renderings (milliseconds of processor time for one, fastest round; ratio = peer / isthmus)",
        rows,
    )


def _driven(python: Path, peer: str, file: Path) -> dict[str, Any]:
    command = [str(python), "-W", "ignore", str(_PEERS / f"drive_{peer}.py"), str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"{peer}: {done.stderr[-2000:]}")
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def _together(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """What one peer says in several turns."""
    return {
        name: {"said": case["said"], "seconds": [each for turn in turns for each in turn[name]["seconds"]]}
        for name, case in turns[0].items()
    }


# The documents ------------------------------------------------------------------------------------------


def _round(chance: random.Random, number: int) -> dict[str, Any]:
    models = [_model(chance, number * _MODELS + each) for each in range(_MODELS)]
    creations = [_creation(chance) for _ in range(_COMPUTES)]
    listings = [[f"http://{_DOMAIN}/compute/{_id(chance)}" for _ in range(1000)] for _ in range(_LISTINGS)]
    return {
        "creations": [occi_text.plain(each) for each in creations],
        "json_creations": [occi_json.encode(each).decode() for each in creations],
        "machines": [_machine(chance) for _ in range(_COMPUTES)],
        "models": [[_fact(category) for category in model] for model in models],
        "model_bodies": [occi_text.plain(Discovery(categories=model)) for model in models],
        "listings": listings,
        "listing_bodies": [occi_text.plain(Collection(locations=tuple(each))) for each in listings],
    }


def _id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _creation(chance: random.Random) -> Request:
    """A machine as a client asks for it: image, size, key, user data, a disk and a network."""
    own, image = _id(chance), chance.randrange(20)
    key = base64.b64encode(chance.randbytes(279)).decode()
    disk, net = f"/storage/{_id(chance)}", f"/network/{_id(chance)}"
    return Request(
        categories=(
            named(f"{_INFRA}compute", CategoryClass.KIND),
            named(f"http://{_DOMAIN}/occi/os_tpl#ami-{image:017x}", CategoryClass.MIXIN),
            named(mixins.CRTP + chance.choice(_SIZES), CategoryClass.MIXIN),
            named(f"{_INFRA[:-1]}/credentials#ssh_key", CategoryClass.MIXIN),
            named(f"{_INFRA[:-1]}/compute#user_data", CategoryClass.MIXIN),
        ),
        links=(
            Link(
                target=disk,
                rel=(f"{_INFRA}storage",),
                kind=named(f"{_INFRA}storagelink", CategoryClass.KIND),
                attributes={TARGET: disk, "occi.storagelink.deviceid": f"/dev/vd{chance.choice('bcdef')}"},
            ),
            Link(
                target=net,
                rel=(f"{_INFRA}network",),
                kind=named(f"{_INFRA}networkinterface", CategoryClass.KIND),
                attributes={TARGET: net, "occi.networkinterface.address": _address(chance)},
            ),
        ),
        attributes={
            "occi.core.title": f"web {own[:8]}, of {chance.choice(('blue', 'green'))}",
            "occi.core.summary": f"Made for {own}",
            "occi.compute.hostname": f"web-{own[:8]}",
            "occi.compute.cores": chance.choice((1, 2, 4, 8)),
            "occi.compute.memory": chance.choice((0.5, 1.0, 2.0, 4.0)),
            "occi.credentials.ssh.publickey": f"ssh-rsa {key} {own[:8]}@example.org",
            "occi.compute.userdata": base64.b64encode(chance.randbytes(600)).decode(),
        },
    )


def _address(chance: random.Random) -> str:
    return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"


def _machine(chance: random.Random) -> dict[str, Any]:
    """A machine as a server shows it, with a disk and an interface."""
    own, image = _id(chance), chance.randrange(20)
    location = f"/compute/{own}"
    compute = next(kind for kind in kinds.KINDS if kind.term == "compute")
    return {
        "kind": _fact(compute),
        "mixins": [
            _fact(mixins.os_template(_DOMAIN, f"ami-{image:017x}", f"Debian 12 number {image}")),
            _fact(next(each for each in mixins.MIXINS if each.term == "ssh_key")),
        ],
        "location": location,
        "attributes": {
            "occi.core.id": own,
            "occi.core.title": f"web {own[:8]}, of {chance.choice(('blue', 'green'))}",
            "occi.compute.architecture": "x64",
            "occi.compute.cores": chance.choice((1, 2, 4, 8)),
            "occi.compute.hostname": f"web-{own[:8]}",
            "occi.compute.share": chance.randrange(100),
            "occi.compute.memory": chance.choice((0.5, 1.0, 2.0, 4.0)),
            "occi.compute.state": "active",
        },
        "actions": [kinds.COMPUTE_ACTION + term for term in _ACTIONS],
        "links": [
            _link(chance, location, "storage", "storagelink", "deviceid", "/dev/vdb"),
            _link(chance, location, "network", "networkinterface", "interface", "eth0"),
        ],
    }


def _link(
    chance: random.Random, source: str, target: str, kind: str, attribute: str, value: str
) -> dict[str, Any]:
    own, end = _id(chance), f"/{target}/{_id(chance)}"
    more = {}
    if kind == "networkinterface":
        more = {"occi.networkinterface.mac": "06:" + chance.randbytes(5).hex(":")}
    return {
        "target": end,
        "rel": _INFRA + target,
        "kind": _INFRA + kind,
        "location": f"/{kind}/{own}",
        "attributes": {
            "occi.core.id": own,
            SOURCE: source,
            TARGET: end,
            f"occi.{kind}.{attribute}": value,
            f"occi.{kind}.state": "active",
            **more,
        },
    }


def _model(chance: random.Random, number: int) -> tuple[Category, ...]:
    """What a server with twenty images shows, three of which are new since the last time."""
    images = [(f"{each:017x}", f"Debian 12 number {each}") for each in range(17)]
    images += [(f"{chance.getrandbits(68):017x}", f"Build {number} of {each}") for each in range(3)]
    return (
        *kinds.KINDS,
        *mixins.MIXINS,
        *(mixins.os_template(_DOMAIN, f"ami-{image}", name) for image, name in images),
        *(mixins.zone_of(_DOMAIN, f"us-east-1{letter}") for letter in "abc"),
        *kinds.ACTIONS,
    )


def _fact(category: Category) -> dict[str, Any]:
    return {
        "term": category.term,
        "scheme": category.scheme,
        "class": category.class_.value if category.class_ else "",
        "title": category.title,
        "rel": category.parent or (category.depends[0] if category.depends else ""),
        "location": category.location,
        "attributes": [[spec.name, not spec.mutable, spec.required] for spec in category.attributes],
        "actions": list(category.actions),
    }
