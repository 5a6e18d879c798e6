"""Runs of the conformance tool as people run it: a process of its own, against an endpoint over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).resolve().parents[2]


class Judgement(NamedTuple):
    """What came of one run: the exit status, the report as JSON tells it, what was printed."""

    status: int
    report: dict[str, Any]
    printed: str

    def failed(self, *levels: str) -> dict[str, str]:
        """The requirements that are not met, by id, with the checks that say so."""
        bad = {row["id"]: ", ".join(row["checks"]) for row in self.report["matrix"] if row["verdict"] in _BAD}
        binding = {each["id"]: each["level"] for each in self.report["requirements"]}
        return {name: checks for name, checks in bad.items() if not levels or binding[name] in levels}

    def said(self) -> str:
        """The checks that failed or could not be carried out, and why."""
        told = [each for each in self.report["results"] if each["verdict"] in {*_BAD, "unknown"}]
        return "\n".join(
            f"{each['verdict']} {each['cites']} {each['id']}: {each['message']}" for each in told
        )


_BAD = {"failed", "broken"}


def judge(standard: str, url: str, *words: str, secrets: Mapping[str, str], folder: Path) -> Judgement:
    """Run the tool; secrets go into its environment. Its files are left in the folder."""
    files = {form: folder / f"report.{form}" for form in ("html", "xml", "json")}
    done = subprocess.run(
        [
            str(BIN / "isthmus-conformance"), standard, url, *words, "--html", str(files["html"]),
            "--junit", str(files["xml"]), "--json-file", str(files["json"]),
        ],
        check=False, capture_output=True, text=True, env={**os.environ, **secrets, "COLUMNS": "200"},
        timeout=1500, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert files["json"].exists(), done.stdout + done.stderr
    return Judgement(done.returncode, json.loads(files["json"].read_text()), done.stdout + done.stderr)


@contextlib.contextmanager
def pyssf() -> Iterator[str]:
    """Another OCCI server, from a package registry: its URL."""
    cache = Path(os.environ.get("ISTHMUS_CACHE", REPOSITORY / ".cache"))
    python = cache / "pyssf" / "bin" / "python"
    assert python.exists(), "script/setup --test installs pyssf"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [str(python), str(REPOSITORY / "tests" / "support" / "pyssf_server.py"), str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
