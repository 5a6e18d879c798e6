"""Writes the results in docs/conformance.md: the conformance tool's of Isthmus, with real guests, and of other servers.

The pages that the tool makes of Isthmus are kept in docs/conformance/.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from conformance_runs import REPOSITORY, Judgement, judge, pyssf
from live_cloud import LiveCloud

sys.path.insert(0, str(REPOSITORY))

from benchmarks.servers import ministack, moto  # noqa: E402 - found once the line above was read

DOCS = REPOSITORY / "docs" / "conformance.md"
PAGES = REPOSITORY / "docs" / "conformance"
_LEVELS = ("MUST", "SHOULD", "MAY")
_VERDICTS = ("passed", "absent", "unknown", "failed", None)
_SIGNS = {"passed": "✓", "failed": "✗", "broken": "✗", "absent": "–", "unknown": "?", None: ""}
_OURS = "Isthmus"


class Endpoint(NamedTuple):
    """Something to judge: what it is called, and what the tool is told of it."""

    name: str
    url: str
    words: tuple[str, ...] = ()
    secrets: dict[str, str] = {}


@contextlib.contextmanager
def isthmus(folder: Path) -> Iterator[LiveCloud]:
    """An installation with the test guest as real guests."""
    cloud = LiveCloud(folder).init("--host")
    try:
        guest = REPOSITORY / ".cache" / "guest" / "guest.qcow2"
        cloud.image = cloud.cli("image", "import", str(guest), "--name", "guest", "--public")["id"]
        cloud.start().wait_hosts()
        yield cloud
    finally:
        cloud.end()


@contextlib.contextmanager
def occi_endpoints(cloud: LiveCloud) -> Iterator[list[Endpoint]]:
    secrets = {"ISTHMUS_CONFORMANCE_PASSWORD": cloud.facts["occi_password"]}
    with pyssf() as other:
        yield [
            Endpoint(_OURS, cloud.endpoint, ("--user", cloud.facts["occi_user"]), secrets),
            Endpoint("pyssf 0.4.7", other, ("--deadline", "5")),
        ]


@contextlib.contextmanager
def ec2_endpoints(cloud: LiveCloud) -> Iterator[list[Endpoint]]:
    known = cloud.facts
    words = ("--access-key", known["access_key"], "--region", known["region"], "--image", cloud.image)
    with moto() as first, ministack() as second:
        peers = [
            Endpoint(
                f"{name} {version(name)}",
                peer.endpoint,
                ("--access-key", peer.access_key, "--deadline", "30"),
                {"AWS_SECRET_ACCESS_KEY": peer.secret_key},
            )
            for name, peer in (("moto", first), ("ministack", second))
        ]
        secrets = {"AWS_SECRET_ACCESS_KEY": known["secret_key"]}
        yield [Endpoint(_OURS, cloud.endpoint, (*words, "--instance-type", "t2.nano"), secrets), *peers]


def main(*standards: str) -> None:
    """Judge by the standards named, by both without."""
    PAGES.mkdir(exist_ok=True)
    suites = {"occi": occi_endpoints, "ec2": ec2_endpoints}
    with tempfile.TemporaryDirectory() as scratch, isthmus(Path(scratch)) as cloud:
        for standard in standards or suites:
            with suites[standard](cloud) as found:
                runs = {each.name: _run(standard, each, Path(scratch)) for each in found}
            _write(standard, "".join(_results(runs)))


def _run(standard: str, endpoint: Endpoint, scratch: Path) -> Judgement:
    folder = scratch / f"{endpoint.name.split()[0]}-{standard}"
    folder.mkdir()
    run = judge(standard, endpoint.url, *endpoint.words, secrets=endpoint.secrets, folder=folder)
    if endpoint.name == _OURS:
        page = PAGES / f"{standard}.html"
        shutil.copyfile(folder / "report.html", page)
        page.write_text(page.read_text().replace(endpoint.url, "http://cloud.example"))
    print(f"{endpoint.name}, {standard}: exit status {run.status}\n{run.said()}\n", flush=True)
    return run


def _results(runs: dict[str, Judgement]) -> Iterator[str]:
    """Sums and matrix of several endpoints, in Markdown."""
    yield "| | | passed | absent | unknown | failed | not judged |\n|---|---|--:|--:|--:|--:|--:|\n"
    for name, run in runs.items():
        level = {each["id"]: each["level"] for each in run.report["requirements"]}
        for binding in _LEVELS:
            rows = [row["verdict"] for row in run.report["matrix"] if level[row["id"]] == binding]
            counts = Counter("failed" if verdict == "broken" else verdict for verdict in rows)
            numbers = " | ".join(str(counts[verdict] or "") for verdict in _VERDICTS)
            yield f"| {name if binding == 'MUST' else ''} | {binding} | {numbers} |\n"
    yield "\n✓ passed, ✗ failed, – absent, ? unknown, nothing: not judged from outside.\n\n"
    yield f"| Requirement | | {' | '.join(runs)} | |\n|---|---|{':-:|' * len(runs)}---|\n"
    verdicts = {
        name: {row["id"]: row["verdict"] for row in run.report["matrix"]} for name, run in runs.items()
    }
    for each in next(iter(runs.values())).report["requirements"]:
        signs = " | ".join(_SIGNS[found[each["id"]]] for found in verdicts.values())
        yield f"| `{each['id']}` | {each['level']} | {signs} | {_escaped(each['text'])} |\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _write(standard: str, results: str) -> None:
    """Put results between the two marks of a standard."""
    begin, end = f"<!-- {standard}: written by script/conformance -->\n", f"<!-- {standard}: end -->\n"
    head, rest = DOCS.read_text().split(begin)
    DOCS.write_text(f"{head}{begin}\n{results}\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
