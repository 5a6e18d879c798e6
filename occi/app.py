"""The OCCI face on falcon: negotiation, versions and errors around :mod:`occi.service`."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import falcon

from backend.engine import Engine
from backend.errors import BackendError
from backend.model import Caller
from occi import conditions, once
from occi.catalog import Catalog
from occi.errors import OcciError, failure
from occi.negotiation import LARGEST_BODY, Accepted, Media, Said, content, put, read, spoken_to, write
from occi.scope import Scope
from occi.service import Call, Detail, Reply, answer
from rendering import occi_text
from rendering.occi_document import Failure, RenderingError, Request

DEFAULT_DOMAIN = "isthmus.local"
_HIGHEST_VERSION = (1, 2)
_VERSION = re.compile(r"(?<![A-Za-z0-9-])OCCI/([0-9]{1,3})\.([0-9]{1,3})")
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_CONDITIONS = ("CATEGORY", "X-OCCI-CATEGORY", "X-OCCI-ATTRIBUTE")
_SAYING = ("CATEGORY", "LINK", "X-OCCI-")
_READING = frozenset({"GET", "HEAD"})
_WITHOUT_BODY = frozenset({*_READING, "OPTIONS"})
#: What answers to GET depend on besides the path: the rendering, and the filters of listings.
_VARY = "Accept, Category, X-OCCI-Attribute, X-OCCI-Category"


class OcciFace:
    """OCCI 1.1 and 1.2 for authenticated callers.

    ``domain`` names this provider in the schemes of its templates; changing it renames them for clients.
    ``public_url`` is the origin that clients use, when a proxy hides it; otherwise it is the request's own.
    """

    def __init__(
        self, engine: Engine, *, domain: str = DEFAULT_DOMAIN, public_url: str = "", server: str = "isthmus"
    ) -> None:
        self.engine = engine
        self.domain = domain
        self.public_url = public_url.rstrip("/")
        self.server = server
        self._profile: str | None = None

    def on_request(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        caller: Caller,
        prefix: str = "",
    ) -> None:
        """Answer one request. Refusals are answers; only bugs leave as exceptions.

        ``prefix`` is what the path began with before it was stripped of the project, as in a URI:
        ``/projects/NAME``, without a slash at the end.
        """
        scope = Scope(self.engine, caller, self.domain)
        accepted: Accepted | None = None
        resp.set_header("Accept", ", ".join(spoken_to(req.user_agent or "")))
        try:
            _check_version(req.user_agent or "")
            accepted = Accepted(req.get_header("Accept"))
            call = self._call(req, accepted, prefix)
            _respond(resp, accepted, call, answer(scope, call))
        except RenderingError as error:
            _refuse(resp, accepted, Failure(status=400, code="request.malformed", message=error.message))
        except (OcciError, BackendError) as error:
            _refuse(resp, accepted, failure(error))
            if isinstance(error, OcciError) and error.allow:
                resp.set_header("Allow", ", ".join(error.allow))
        self._profile = scope.catalog.profile
        resp.set_header("Server", self._server(self._profile))

    def introduce(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Say who answers and what is spoken here, to a caller who is not known."""
        resp.set_header("Accept", ", ".join(spoken_to(req.user_agent or "")))
        if self._profile is None:  # later ones do not cost a look into the database
            self._profile = Catalog(self.domain, flavors=self.engine.flavors()).profile
        resp.set_header("Server", self._server(self._profile))

    def _server(self, profile: str) -> str:
        """Who answers, and which standards it claims (OCCI-HTTP-008, OCCI-AMB-27, OCCI-CRTP-006)."""
        return " ".join(filter(None, (self.server, "OCCI/1.1", "OCCI/1.2", profile)))

    def _call(self, req: falcon.Request, accepted: Accepted, prefix: str) -> Call:
        body = b"" if req.method in _WITHOUT_BODY else _body(req)
        said = Said() if req.method in _WITHOUT_BODY else read(req.content_type, req.headers, body)
        key = once.key(req.get_header("Idempotency-Key"))
        return Call(
            method=req.method,
            path=req.path,
            query=_query(req.query_string),
            body=said.request,
            in_body=said.in_body,
            in_headers=said.in_headers,
            conditions=_conditions(req),
            base=self._base(req),
            detail=Detail.FULL if accepted.listing is Media.JSON else Detail.LOCATIONS,
            can_describe=accepted.describing is not None,
            prefix=prefix,
            wanted=conditions.read(req.get_header("If-Match"), req.get_header("If-None-Match")),
            key=key,
            digest=_digest(req, body) if key else "",
        )

    def _base(self, req: falcon.Request) -> str:
        if self.public_url:
            return self.public_url
        if not _HOST.fullmatch(req.netloc):
            raise OcciError(400, "The Host header is malformed.")
        return req.prefix


def _check_version(user_agent: str) -> None:
    """Refuse clients that speak nothing but newer versions (OCCI-HTTP-009)."""
    spoken = [(int(major), int(minor)) for major, minor in _VERSION.findall(user_agent)]
    if spoken and min(spoken) > _HIGHEST_VERSION:
        raise OcciError(501, "The versions of OCCI spoken here are 1.1 and 1.2.")


def _query(text: str) -> dict[str, str]:
    """The parameters in a URI; 400 for one that is given twice, as either could be meant."""
    found = parse_qsl(text, keep_blank_values=True)
    query = dict(found)
    if len(query) != len(found):
        raise OcciError(400, "A parameter of the URI is given twice.")
    return query


def _conditions(req: falcon.Request) -> Request:
    """The filter of a listing stands in the headers, whatever is accepted (OCCI-HTTP-022, 041)."""
    if req.method not in _READING:
        return Request()
    return occi_text.parse_headers({name: req.headers[name] for name in _CONDITIONS if name in req.headers})


def _body(req: falcon.Request) -> bytes:
    if (req.content_length or 0) > LARGEST_BODY:
        raise OcciError(413, f"A body has at most {LARGEST_BODY} bytes.")
    # A chunked body has no length; the server says when its stream ends by itself.
    stream = req.stream if req.env.get("wsgi.input_terminated") else req.bounded_stream
    body: bytes = stream.read(LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        raise OcciError(413, f"A body has at most {LARGEST_BODY} bytes.")
    return body


def _digest(req: falcon.Request, body: bytes) -> str:
    """What tells a request from others with the same key."""
    said = sorted((name, value) for name, value in req.headers.items() if name.upper().startswith(_SAYING))
    return once.digest(req.method, req.path, req.query_string, req.content_type or "", body, fields=said)


def _respond(resp: falcon.Response, accepted: Accepted, call: Call, reply: Reply) -> None:
    media, body, fields = _carried(accepted.of(reply.document), call, reply)
    if call.method in _READING and reply.status == 200:
        current = conditions.tag(media, body, fields)
        resp.set_header("ETag", current)
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Vary", _VARY)
        if _is_known(call, current):
            resp.status = 304
            return
    put(resp, media, body, fields)
    resp.status = reply.status
    if reply.location:
        resp.set_header("Location", reply.location)
    if reply.allow:
        resp.set_header("Allow", ", ".join(reply.allow))


def _carried(media: Media, call: Call, reply: Reply) -> tuple[Media, bytes, list[tuple[str, str]]]:
    """What carries an answer. What is done is done: its answer is text when it is too long for headers."""
    try:
        return media, *content(media, reply.document)
    except OcciError:
        if call.method in _READING:
            raise
        return Media.PLAIN, *content(Media.PLAIN, reply.document)


def _is_known(call: Call, current: str) -> bool:
    """Whether the client has what it asks for (304); 412 when it asks for something else."""
    wanted = call.wanted
    if wanted.match is not None and not conditions.is_met(wanted.match, [current], strongly=True):
        raise OcciError(412, "What is there is not what the request says in If-Match.")
    none_match = wanted.none_match
    return none_match is not None and conditions.is_met(none_match, [current], strongly=False)


def _refuse(resp: falcon.Response, accepted: Accepted | None, document: Failure) -> None:
    media = accepted.of(document) if accepted is not None else Media.PLAIN
    write(resp, media, document)
    resp.status = document.status
