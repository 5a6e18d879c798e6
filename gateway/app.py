"""The WSGI application: both faces on one origin, with health, metrics, logs and the last line of errors.

EC2's Query API lives at ``/`` and is told from OCCI by what only its clients send: a form, an ``Action`` in
the query string, or one of Amazon's signatures (design D3). Everything else is OCCI's.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Any, Final

import falcon
import msgspec
import structlog

from backend.engine import Engine
from backend.model import Caller
from ec2.app import Ec2Face, put
from ec2.context import Ec2Settings
from ec2.service import error_reply
from ec2.signature import SignedRequest
from gateway import bodies, metrics, upload_pages
from gateway.auth.certificates import CertificateDoor
from gateway.auth.ec2 import Ec2Door, SessionMint
from gateway.auth.issuers import FLOOR, IssuerSilent
from gateway.auth.occi import NoHome, NoProject, OcciDoor, TwoProjects, Unauthenticated
from gateway.auth.oidc import OidcDoor
from gateway.auth.projects import HEADER as PROJECT
from gateway.auth.projects import Place, place_of
from gateway.crypto import Passwords
from gateway.health import Health
from gateway.importer import Importer
from gateway.installation import Installation
from gateway.limits import Limiter
from gateway.logs import bind_contextvars, clear_contextvars
from gateway.settings import Settings
from gateway.upload_pages import UploadPages
from gateway.web import SERVER
from occi.app import OcciFace
from occi.errors import OcciError
from occi.negotiation import LARGEST_BODY, Accepted, Media, write
from rendering.occi_document import Failure

EC2_PATHS: Final = frozenset(
    path + slash
    for path in ("/services/Cloud", "/services/Eucalyptus", "/services/compute")
    for slash in ("", "/")
)
"""Where Eucalyptus, Nimbus and their clients expect the Query API."""
_EC2_QUERY: Final = re.compile(r"(?:^|&)(?:Action|AWSAccessKeyId|X-Amz-Algorithm|X-Amz-Signature)=")
_FORM: Final = "application/x-www-form-urlencoded"
_MALFORMED: Final = "The body of the request is malformed or was cut off."
_EVERYTHING: Final = re.compile(r"", re.DOTALL)
_REFUSED: Final[dict[type[Exception], tuple[int, str, str]]] = {
    Unauthenticated: (401, "unauthenticated", "Give a user name and password, or a bearer token."),
    IssuerSilent: (503, "issuer.silent", "The token cannot be judged now: its issuer does not answer."),
    NoProject: (404, "project.not_found", "There is no such project."),
    NoHome: (403, "project.missing", f"Say for which project this is: {PROJECT}, or /projects/NAME/."),
    TwoProjects: (400, "project.ambiguous", "The request is for several projects."),
}
"""What is answered to those who are not known, or have no business where they want to go."""

_log = structlog.get_logger("isthmus.request")


def compose(settings: Settings) -> falcon.App[Any, Any]:
    """The application of one web process. Opens its own connections; call it after the fork."""
    return application(Gateway(Installation(settings)))


def application(gateway: Gateway) -> falcon.App[Any, Any]:
    """Falcon around a gateway: it gets every request, whatever the method and path."""
    app = falcon.App()
    app.add_sink(gateway.on_request, _EVERYTHING)
    app.add_error_handler(Exception, gateway.on_error)
    return app


def is_ec2(req: falcon.Request) -> bool:
    """Whether a request is for the EC2 face."""
    if req.path in EC2_PATHS:
        return True
    if req.path != "/":
        return False
    media, _, _ = (req.content_type or "").partition(";")
    return (
        media.strip().lower() == _FORM
        or _EC2_QUERY.search(req.query_string) is not None
        or (req.get_header("Authorization") or "").startswith("AWS4-")
    )


class Gateway:
    """Takes a request to its face as a known caller, and watches over the answer."""

    def __init__(self, installation: Installation) -> None:
        settings, engine = installation.settings, installation.engine
        installation.queue.client()  # loads its library now, not in the first launch
        self._store = installation.store
        self._health = Health(installation.store)
        self._passwords = Passwords(memory=settings.credential_memory)
        box = installation.box()
        self._ec2_door = Ec2Door(engine, box, settings)
        self._certificates = CertificateDoor(settings.x509)
        self._occi_door = OcciDoor(
            engine, self._passwords, realm=settings.occi.realm, oidc=_oidc_door(settings, engine)
        )
        # Basic comes first: clients of the federation look no further (OCCI-EXT-012).
        self._challenges = f'{self._occi_door.challenge}, Bearer realm="{settings.occi.realm}"'
        self._uploads = _upload_pages(installation)
        self._max_body = max(settings.ec2.max_body, LARGEST_BODY)
        self._ec2 = Ec2Face(
            engine,
            Ec2Settings(
                page_secret=installation.keys.pages,
                endpoint=settings.ec2.endpoint,
                max_body=settings.ec2.max_body,
                lenient=settings.ec2.lenient,
                export_directory=settings.images.export_directory,
                public_domain=settings.ec2.public_domain,
                waits=max(settings.web.threads // 4, 1),
            ),
            importer=Importer(
                installation.images, installation.uploads, settings.images, run=installation.home.run
            ),
            mint=SessionMint(box),
            admit=Limiter(settings.limits),
        )
        self._occi = OcciFace(
            engine, domain=settings.occi.domain, public_url=settings.occi.public_url, server="isthmus"
        )

    # Every request --------------------------------------------------------------------------------------

    def on_request(self, req: falcon.Request, resp: falcon.Response, **_kwargs: Any) -> None:
        """Answer one request, count it, log it."""
        began = time.perf_counter()
        req.context.request_id = request_id = str(uuid.uuid4())
        req.context.face = "gateway"
        req.context.caller = None
        req.context.path = req.path
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        resp.set_header("Server", SERVER)
        try:
            self._route(req, resp)
        except Exception as error:
            self.on_error(req, resp, error, {})
        self._record(req, resp, time.perf_counter() - began)

    def _route(self, req: falcon.Request, resp: falcon.Response) -> None:
        place = place_of(req.env, req.path)
        if self._uploads is not None and upload_pages.is_ours(place.path):
            self._to_uploads(self._uploads, req, resp, place)
            return
        malformed = not bodies.receive(req.env, self._max_body)
        if is_ec2(req):
            req.context.face = "ec2"
            if malformed:
                _malformed_to_ec2(resp, req.context.request_id)
                return
            self._ec2.on_request(req, resp, _Noting(self._ec2_door, req), request_id=req.context.request_id)
        elif (own := _OWN.get(req.path)) is not None:
            own(self, req, resp)
        else:
            req.context.face = "occi"
            resp.set_header("X-Request-Id", req.context.request_id)
            if malformed:
                _tell(req, resp, 400, "request.malformed", _MALFORMED)
                return
            self._to_occi(req, resp, place)

    def _to_occi(self, req: falcon.Request, resp: falcon.Response, place: Place) -> None:
        caller = self._known(req, resp, place)
        if caller is None:
            self._occi.introduce(req, resp)
        else:
            req.path = place.path
            self._occi.on_request(req, resp, caller, prefix=place.prefix)

    def _to_uploads(
        self, pages: UploadPages, req: falcon.Request, resp: falcon.Response, place: Place
    ) -> None:
        req.context.face = "uploads"
        resp.set_header("X-Request-Id", req.context.request_id)
        caller = self._known(req, resp, place)
        if caller is None:
            bodies.drain(req.env)
        else:
            req.path = place.path
            pages.on_request(req, resp, caller)
            if made := resp.get_header("Location"):  # as the client knows it
                resp.set_header("Location", f"{place.prefix}{made}")

    def _known(self, req: falcon.Request, resp: falcon.Response, place: Place) -> Caller | None:
        """The caller in the project that the request is for; others are answered here, with a challenge."""
        try:
            caller = self._occi_door(
                req.get_header("Authorization"),
                req.context.request_id,
                subject=self._certificates(req.env),
                projects=place.names,
            )
        except tuple(_REFUSED) as error:
            status, code, message = _REFUSED[type(error)]
            if status == 401:
                resp.set_header("WWW-Authenticate", self._challenges)
            elif status == 503:
                resp.set_header("Retry-After", str(round(FLOOR)))
            _tell(req, resp, status, code, message)
            return None
        req.context.caller = caller
        return caller

    def on_error(
        self, req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]
    ) -> None:
        """The last line: a bug is a 500 with the request's id, and a line in the log (D11)."""
        request_id = getattr(req.context, "request_id", "")
        if isinstance(error, falcon.HTTPError) and error.status_code < 500:
            _tell(req, resp, error.status_code, "request.malformed", error.description or error.title or "")
            return
        _log.exception("internal error", path=req.path[:200], exc_info=error)
        _tell(req, resp, 500, "internal", f"An internal error has occurred. Request id: {request_id}")

    def _record(self, req: falcon.Request, resp: falcon.Response, seconds: float) -> None:
        status = resp.status_code
        face = req.context.face
        operation = getattr(req.context, "ec2_action", "") if face == "ec2" else _method(req)
        metrics.observe(face, operation, status, seconds)
        if face == "gateway" and status == 200:
            return
        caller: Caller | None = req.context.caller
        _log.info(
            "request",
            face=face,
            method=req.method[:20],
            path=req.context.path[:200],
            operation=operation,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            remote=req.remote_addr,
            user=caller.user_name if caller else None,
            account=caller.account_id if caller else None,
        )

    # Our own pages --------------------------------------------------------------------------------------

    def _livez(self, _req: falcon.Request, resp: falcon.Response) -> None:
        _json(resp, 200, {"status": "alive"})

    def _readyz(self, _req: falcon.Request, resp: falcon.Response) -> None:
        ready, facts = self._health.ready()
        _json(resp, 200 if ready else 503, facts)

    def _metrics(self, _req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = metrics.CONTENT_TYPE
        resp.data = metrics.exposition(self._store)


_OWN: Final = {"/livez": Gateway._livez, "/readyz": Gateway._readyz, "/metrics": Gateway._metrics}  # noqa: SLF001


def _oidc_door(settings: Settings, engine: Engine) -> OidcDoor | None:
    """What judges tokens of the issuers set, if any are; a part of the threads may wait for them."""
    if not settings.oidc:
        return None
    door = OidcDoor(settings.oidc, clock=engine.clock, waiting=max(settings.web.threads // 4, 1))
    door.begin()
    return door


def _upload_pages(installation: Installation) -> UploadPages | None:
    """The pages of uploads, unless the operator has none; half of the threads are left to the faces."""
    settings = installation.settings
    if not settings.images.uploads:
        return None
    return UploadPages(installation.uploads, _tell, parallel=settings.web.threads // 2)


class _Noting:
    """A door that leaves the caller it found in the request, for the log."""

    def __init__(self, door: Ec2Door, req: falcon.Request) -> None:
        self._door = door
        self._req = req

    def __call__(self, request: SignedRequest, request_id: str) -> Caller:
        caller = self._door(request, request_id)
        self._req.context.caller = caller
        return caller


def _method(req: falcon.Request) -> str:
    """The method as a label: a client must not be able to invent endless ones."""
    return req.method if req.method in falcon.COMBINED_METHODS else "other"


def _malformed_to_ec2(resp: falcon.Response, request_id: str) -> None:
    put(resp, 400, error_reply("InvalidRequest", _MALFORMED, version=None, request_id=request_id), request_id)


def _json(resp: falcon.Response, status: int, document: dict[str, Any]) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(document)


def _tell(req: falcon.Request, resp: falcon.Response, status: int, code: str, message: str) -> None:
    """A refusal in the rendering that the client accepts; text when it accepts none of ours."""
    document = Failure(status=status, code=code, message=message)
    try:
        media = Accepted(req.get_header("Accept")).of(document)
    except OcciError:
        media = Media.PLAIN
    write(resp, media, document)
    resp.status = falcon.code_to_http_status(status)
