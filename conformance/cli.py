"""``isthmus-conformance``: judge an OCCI or EC2 endpoint, anybody's, clause by clause."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from conformance.checks import Check, Level, Suite, Unknown
from conformance.reports import as_html, as_junit, as_table
from conformance.reports import as_json as json_report
from conformance.runner import Report, Run, Session
from conformance.wire import Wire

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Judge a cloud's endpoint: each check cites the requirement that it judges.",
)

Url = Annotated[str, typer.Argument(help="Where the endpoint is: http(s)://HOST[:PORT][/PATH].")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Change nothing at the endpoint.")]
Only = Annotated[
    list[str] | None, typer.Option(help="Checks or requirements whose name has this in it; may be repeated.")
]
Listed = Annotated[bool, typer.Option("--list", help="Name the checks instead of carrying them out.")]
Strict = Annotated[bool, typer.Option("--strict", help="Let a SHOULD that fails fail the run, too.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write the matrix as one HTML page.")]
JunitFile = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Write the report as JSON.")]
Brief = Annotated[bool, typer.Option("--brief", help="Leave out the exchanges of what failed.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for one answer.", min=0.1)]
Deadline = Annotated[float, typer.Option(help="Seconds to wait for what takes time, as a start.", min=0.1)]
CaFile = Annotated[str, typer.Option(help="PEM file of authorities to trust besides the system's.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Do not verify the server's certificate.")]


class Output:
    """Where the report of one run goes."""

    def __init__(
        self,
        *,
        as_json: bool,
        brief: bool,
        strict: bool,
        html: Path | None,
        junit: Path | None,
        json_file: Path | None,
    ) -> None:
        self.as_json = as_json
        self.brief = brief
        self.strict = strict
        self._files: tuple[tuple[Path | None, Callable[[Report], bytes]], ...] = (
            (html, as_html.rendered),
            (junit, as_junit.rendered),
            (json_file, json_report.rendered),
        )

    def judge(self, suite: Suite[Any], session: Session, only: Sequence[str], *, read_only: bool) -> int:
        """Carry out the checks, show and write the report; answers the exit status."""
        checks = chosen(suite, only)
        _reach(session.wire)
        console = Console(stderr=self.as_json, highlight=False)
        run = Run(suite, session, read_only=read_only)
        report = run(checks, as_table.Live(console))
        for path, render in self._files:
            if path is not None:
                path.write_bytes(render(report))
        if self.as_json:
            sys.stdout.buffer.write(json_report.rendered(report) + b"\n")
        else:
            as_table.show(console, report, exchanges=not self.brief)
        levels = (Level.MUST, Level.SHOULD) if self.strict else (Level.MUST,)
        return 1 if any(report.failures(level) for level in levels) else 0


def _reach(endpoint: Wire) -> None:
    """End the program when nobody answers: that would be no judgement."""
    try:
        endpoint.send("HEAD", "/")
    except Unknown as unknown:
        _stop(f"{endpoint.origin} does not answer: {unknown.__cause__}. Is the URL right?")


def chosen(suite: Suite[Any], only: Sequence[str]) -> list[Check[Any]]:
    """The checks asked for; ends the program when there are none."""
    checks = suite.matching(only)
    if not checks:
        _stop(f"No check or requirement has {' or '.join(only)} in its name; --list names them all.")
    return checks


def name_all(suite: Suite[Any], only: Sequence[str]) -> None:
    """Print the checks, one a line."""
    for check in chosen(suite, only):
        mark = "changes" if check.changes else "reads"
        typer.echo(f"{check.id}\t{check.level.value}\t{mark}\t{','.join(check.cites)}\t{check.title}")


def wire(url: str, *, timeout: float, ca_file: str, insecure: bool) -> Wire:
    """The connection to an endpoint; ends the program when the URL is none."""
    try:
        return Wire(url, timeout=timeout, ca_file=ca_file, verify=not insecure)
    except (ValueError, OSError) as error:
        _stop(str(error))


def secret(variable: str, file: Path | None, prompt: str) -> str:
    """A secret out of a file, the environment, or (at a terminal) asked for: never an argument."""
    if file is not None:
        try:
            return file.read_text("utf-8").strip()
        except OSError as error:
            _stop(f"{file}: {error.strerror}")
    if found := os.environ.get(variable):
        return found
    if not sys.stdin.isatty():
        _stop(f"Set {variable}, or name a file.")
    return getpass.getpass(f"{prompt}: ")


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


@app.command("occi")
def occi(
    url: Url,
    user: Annotated[str, typer.Option(help="Name for HTTP Basic; the password is asked for.")] = "",
    password_file: Annotated[Path | None, typer.Option(help="File with the password.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with a bearer token.")] = None,
    read_only: ReadOnly = False,
    only: Only = None,
    listed: Listed = False,
    strict: Strict = False,
    as_json: AsJson = False,
    html: HtmlFile = None,
    junit: JunitFile = None,
    json_file: JsonFile = None,
    brief: Brief = False,
    timeout: Timeout = 60.0,
    deadline: Deadline = 300.0,
    ca_file: CaFile = "",
    insecure: Insecure = False,
) -> None:
    """Judge an endpoint of the Open Cloud Computing Interface, versions 1.1 and 1.2.

    The password is taken from --password-file or ISTHMUS_CONFORMANCE_PASSWORD, else asked for.
    """
    from conformance.occi.checks import SUITE
    from conformance.occi.session import OcciSession

    if listed:
        name_all(SUITE, only or [])
        return
    authorization = ""
    if token_file is not None:
        authorization = f"Bearer {secret('', token_file, '')}"
    elif user:
        password = secret("ISTHMUS_CONFORMANCE_PASSWORD", password_file, f"Password of {user}")
        authorization = OcciSession.basic(user, password)
    session = OcciSession(
        wire(url, timeout=timeout, ca_file=ca_file, insecure=insecure), authorization, deadline=deadline
    )
    output = Output(as_json=as_json, brief=brief, strict=strict, html=html, junit=junit, json_file=json_file)
    raise typer.Exit(output.judge(SUITE, session, only or [], read_only=read_only))


@app.command("ec2")
def ec2(
    url: Url,
    access_key: Annotated[str, typer.Option(help="Access key id; the secret is asked for.")] = "",
    secret_file: Annotated[Path | None, typer.Option(help="File with the secret key.")] = None,
    region: Annotated[str, typer.Option(help="Region to sign for.")] = "us-east-1",
    image: Annotated[str, typer.Option(help="Image to launch; the first that can be, without.")] = "",
    instance_type: Annotated[str, typer.Option(help="Type to launch.")] = "t2.micro",
    read_only: ReadOnly = False,
    only: Only = None,
    listed: Listed = False,
    strict: Strict = False,
    as_json: AsJson = False,
    html: HtmlFile = None,
    junit: JunitFile = None,
    json_file: JsonFile = None,
    brief: Brief = False,
    timeout: Timeout = 60.0,
    deadline: Deadline = 300.0,
    ca_file: CaFile = "",
    insecure: Insecure = False,
) -> None:
    """Judge an endpoint of the Amazon EC2 Query API.

    The secret key is taken from --secret-file or AWS_SECRET_ACCESS_KEY, else asked for; the token of a
    temporary key from AWS_SESSION_TOKEN, unless --access-key names another.
    """
    from conformance.ec2.checks import SUITE
    from conformance.ec2.session import Ec2Session

    if listed:
        name_all(SUITE, only or [])
        return
    key = access_key or os.environ.get("AWS_ACCESS_KEY_ID", "")
    if not key:
        _stop("Give --access-key, or set AWS_ACCESS_KEY_ID.")
    session = Ec2Session(
        wire(url, timeout=timeout, ca_file=ca_file, insecure=insecure),
        key,
        secret("AWS_SECRET_ACCESS_KEY", secret_file, f"Secret of {key}"),
        region=region,
        image=image,
        instance_type=instance_type,
        token="" if access_key else os.environ.get("AWS_SESSION_TOKEN", ""),
        deadline=deadline,
    )
    output = Output(as_json=as_json, brief=brief, strict=strict, html=html, junit=junit, json_file=json_file)
    raise typer.Exit(output.judge(SUITE, session, only or [], read_only=read_only))


def main() -> None:
    """The program."""
    app()
