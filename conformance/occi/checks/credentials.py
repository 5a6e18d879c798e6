"""Checks of who is let in, and how the others are told."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi.aids import kind_of, nothing_made, thing, unchanged, wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE


def _strangers(session: OcciSession, headers: dict[str, str]) -> None:
    given = wanted(session, title=(title := session.name()))
    where, path = session.location(given.kind), thing(session)
    with nothing_made(session, given.kind, title), unchanged(session, path):
        for method, target, said in (
            ("GET", where, None),
            ("GET", path, None),
            ("POST", where, given),
            ("POST", path, wanted(session)),
            ("DELETE", path, None),
        ):
            answer = session.send(method, target, said, headers=headers, anonymous=True)
            session.refused(answer, f"{method} {target} by a stranger", 401)
            asked = answer.header("www-authenticate")
            expect(asked, "a 401 has no WWW-Authenticate")


@SUITE.check("OCCI-HTTP-015", "OCCI-HTTP-STATUS-401", changes=True)
def no_credentials(session: OcciSession) -> None:
    """Without credentials entities can neither be read nor changed: 401 with WWW-Authenticate."""
    if not session.authorized:
        raise Absent("this run has no credentials")
    _strangers(session, {})


@SUITE.check("OCCI-HTTP-STATUS-401", "OCCI-HTTP-015", changes=True)
def wrong_credentials(session: OcciSession) -> None:
    """With a wrong password, or nonsense for credentials, the answer is 401, and nothing changes."""
    if not session.authorized:
        raise Absent("this run has no credentials")
    _strangers(session, {"Authorization": session.impostor()})
    for nonsense in ("Basic", "Basic !!!", "Basic Og==", "Nonsense x"):
        answer = session.send(
            "GET", session.location(kind_of(session)), headers={"Authorization": nonsense}, anonymous=True
        )
        session.refused(answer, f"GET with Authorization: {nonsense}", 401, 400)


@SUITE.check("OCCI-HTTP-015")
def which_authentication(session: OcciSession) -> None:
    """The 401 asks for Basic or Digest."""
    answer = session.send("GET", session.location(kind_of(session)), anonymous=True)
    if answer.status != 401:
        raise Absent("the endpoint asks for no credentials")
    schemes = {
        each.split()[0].lower() for each in answer.all("www-authenticate") for each in [each.strip()] if each
    }
    expect(schemes & {"basic", "digest"}, f"WWW-Authenticate is {answer.header('www-authenticate')!r}")
    session.note("over TLS" if session.wire.origin.startswith("https:") else "over plain HTTP")
