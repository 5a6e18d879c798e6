"""``isthmus doctor``."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from gateway import examine
from gateway.context import HomeOption, JsonOption, command
from gateway.output import Output

_MARKS = {examine.Verdict.GOOD: "ok  ", examine.Verdict.WARNING: "warn", examine.Verdict.BAD: "BAD "}


@command
def doctor(
    hosts: Annotated[bool, typer.Option("--hosts/--no-hosts", help="Connect to every host.")] = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with this machine and its hosts, and say how to mend it. Exit status 1 when bad."""
    findings = list(examine.everything(home, hosts=hosts))
    output = Output(as_json=as_json)
    if as_json:
        output.document([msgspec.to_builtins(finding) for finding in findings])
    for finding in findings:
        output.say(f"{_MARKS[finding.verdict]} {finding.subject}: {finding.found}")
        if finding.cure:
            output.say(f"     → {finding.cure}")
    if any(finding.verdict is examine.Verdict.BAD for finding in findings):
        raise typer.Exit(1)
