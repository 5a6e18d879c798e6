"""``isthmus identity``: whom OpenID issuers and certificates let in, and as which users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.identity_commands import AddIdentity, RemoveIdentity
from backend.model import Identity
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, user_named
from gateway.installation import Installation, operator
from gateway.output import Output

app = typer.Typer(
    no_args_is_help=True, help="Who users are to OpenID issuers, and the subjects of their certificates."
)
COLUMNS = ("user", "issuer", "subject", "claimed", "created_at")
_X509 = "x509"

IssuerOption = Annotated[
    str | None, typer.Option(metavar="URL", help="The issuer, as its tokens say it; or x509.")
]
SubjectOption = Annotated[
    str | None, typer.Option(help="The token's `sub`; or the certificate's subject, in either form.")
]
CertificateOption = Annotated[
    Path | None, typer.Option(help="A certificate in PEM, instead: whoever has its subject.", dir_okay=False)
]


def _row(identity: Identity, names: dict[str, str]) -> dict[str, Any]:
    return {
        "user": names.get(identity.user_id, identity.user_id),
        "issuer": identity.issuer,
        "subject": identity.subject,
        "claimed": identity.claimed,
        "created_at": identity.created_at,
    }


@app.command("add")
@command
def add(
    user: Annotated[str, typer.Argument(metavar="USER", help="Who it is here.")],
    issuer: IssuerOption = None,
    subject: SubjectOption = None,
    certificate: CertificateOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let in, as a user, whom an OpenID issuer calls SUBJECT, or who has a certificate."""
    installation = installation_of(home)
    found = user_named(installation, user, None)
    issuer, subject = _meant(issuer, subject, certificate)
    identity = installation.engine.execute(
        operator(), AddIdentity(user_name=found.name, issuer=issuer, subject=subject)
    )
    output = Output(as_json=as_json)
    output.one(_row(identity, {found.id: found.name}))
    if hint := _missing(installation, issuer):
        output.hint(hint)


@app.command("list")
@command
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[USER]", help="Whose; everybody's without.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Identities. Users of those that are claimed were made by what their issuer says of them."""
    installation = installation_of(home)
    engine = installation.engine
    names = {user.id: user.name for user in engine.users()}
    wanted = None if name is None else user_named(installation, name, None).id
    rows = [_row(each, names) for each in engine.identities() if wanted in {None, each.user_id}]
    Output(as_json=as_json).rows(rows, COLUMNS, empty="No identity.")


@app.command("remove")
@command
def remove(
    issuer: IssuerOption = None,
    subject: SubjectOption = None,
    certificate: CertificateOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let somebody in no more, from the next request on; the user stays."""
    installation = installation_of(home)
    issuer, subject = _meant(issuer, subject, certificate)
    gone = installation.engine.execute(operator(), RemoveIdentity(issuer=issuer, subject=subject))
    output = Output(as_json=as_json)
    output.one({"issuer": gone.issuer, "subject": gone.subject, "removed": True})
    if gone.claimed:
        output.hint("Claims that lead to a tenant let this subject in again: have its issuer withdraw them.")


def _meant(issuer: str | None, subject: str | None, certificate: Path | None) -> tuple[str, str]:
    """Issuer and subject of the options, a certificate's subject in its one spelling."""
    from gateway.auth.certificates import NoSubject, subject_in, subject_of

    try:
        if certificate is not None and subject is None and issuer in {None, _X509}:
            return _X509, subject_in(certificate.read_bytes())
        if certificate is not None or issuer is None or subject is None:
            raise Refused("Say --issuer and --subject, or --certificate FILE.")
        return issuer, subject_of(subject) if issuer == _X509 else subject
    except NoSubject as error:
        raise Refused(
            f"No subject of a certificate: {error}. "
            "Give the file with --certificate, or what this prints after subject=: "
            "openssl x509 -in FILE -noout -subject -nameopt RFC2253"
        ) from error


def _missing(installation: Installation, issuer: str) -> str:
    """What isthmus.toml has to say before somebody comes in by an issuer; nothing when it does."""
    settings = installation.settings
    if issuer == _X509:
        if settings.x509.header:
            return ""
        return "Next: in isthmus.toml, [x509] with the header and the addresses of your proxy; then restart."
    if issuer in {table.issuer for table in settings.oidc}:
        return ""
    return f'Next: in isthmus.toml, [[oidc]] with issuer = "{issuer}" and an audience; then restart.'
