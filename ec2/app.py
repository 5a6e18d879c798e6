"""The EC2 endpoint: one request in, one reply out, whatever happens.

Order of checks (EC2 API reference, and what SDKs' test suites rely on): signature, action and version,
syntax, dry run, and then what the action itself refuses. A refusal is always a well-formed error document;
an unexpected failure is an ``InternalError`` with the request's id and a line in the log.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import quote

import falcon
import msgspec
import structlog

from backend.engine import Engine
from backend.errors import BackendError, Code
from backend.model import Caller
from ec2.actions import ACTIONS
from ec2.actions.nothing import list_nothing
from ec2.context import Ec2Context, Ec2Settings, ImageImporter, KeyMint
from ec2.errors import Ec2Error, dry_run, http_status, in_words_of, request_limit_exceeded
from ec2.pages import PageTokens
from ec2.refusals import from_backend
from ec2.rendered import Fragments, RenderedInstances
from ec2.service import Endpoint, error_reply, operation, reads, service_of
from ec2.signature import SignedRequest
from rendering.query_params import Pair, QueryError, decode_pairs, envelope

Authenticate = Callable[[SignedRequest, str], Caller]
"""Who signed a request, which has this request id; raises Ec2Error for one that cannot be trusted."""

Admit = Callable[[str, str], bool]
"""Whether an account may make one more call, ``reading`` or ``changing``, now."""

_METHODS = ("GET", "POST")
CONTENT_TYPE = "text/xml;charset=UTF-8"
_log = structlog.get_logger("isthmus.ec2")


class _Call(msgspec.Struct, kw_only=True):
    """What is known of a request so far, so that every failure can be told in the caller's own terms."""

    request_id: str
    action: str = ""
    version: str | None = None


def put(resp: falcon.Response, status: int, body: bytes, request_id: str) -> None:
    """Make a document the reply, with the request's id in the headers by both of its names."""
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = CONTENT_TYPE
    resp.data = body
    resp.set_header("x-amzn-RequestId", request_id)
    resp.set_header("x-amz-request-id", request_id)


def _everybody(_account_id: str, _kind: str) -> bool:
    return True


class Ec2Face:
    """Serves the EC2 Query API, and what its clients need of STS, on an engine."""

    def __init__(
        self,
        engine: Engine,
        settings: Ec2Settings,
        *,
        importer: ImageImporter | None = None,
        mint: KeyMint | None = None,
        admit: Admit = _everybody,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._importer = importer
        self._mint = mint
        self._admit = admit
        self._tokens = PageTokens(settings.page_secret)
        self._rendered = RenderedInstances(settings.rendered_instances, public_domain=settings.public_domain)
        self._fragments = Fragments(settings.rendered_fragments)
        self._waits = threading.Semaphore(settings.waits)

    def on_request(
        self, req: falcon.Request, resp: falcon.Response, authenticate: Authenticate, *, request_id: str = ""
    ) -> None:
        """Answer one request. ``request_id`` is the id it has elsewhere; without one it gets a fresh one.

        The action's name is left in ``req.context.ec2_action`` for logs and metrics, empty when unknown.
        """
        call = _Call(request_id=request_id or str(uuid.uuid4()))
        status, body = 200, b""
        try:
            body = self._answer(req, call, authenticate)
        except QueryError as refused:
            status, body = self._refusal(refused, call)
        except BackendError as refused:
            if refused.code is Code.INTERNAL:
                _log.exception("ec2.internal_error", request_id=call.request_id, action=call.action)
            status, body = self._refusal(from_backend(refused), call)
        except Exception:
            _log.exception("ec2.internal_error", request_id=call.request_id, action=call.action)
            status, body = self._refusal(_internal(), call)
        if req.method not in _METHODS:
            status = 405
            resp.set_header("Allow", ", ".join(_METHODS))
        req.context.ec2_action = call.action
        put(resp, status, body, call.request_id)

    def _answer(self, req: falcon.Request, call: _Call, authenticate: Authenticate) -> bytes:
        if req.method not in _METHODS:
            raise Ec2Error("InvalidRequest", "The HTTP method must be GET or POST")
        request = self._received(req, call)
        caller = authenticate(request, call.request_id)
        action_name = envelope(request.pairs, "Action")
        if not self._admit(caller.account_id, "reading" if reads(action_name) else "changing"):
            raise request_limit_exceeded()
        endpoint = operation(action_name, call.version)
        call.action = endpoint.name
        unknown: list[str] | None = [] if self._settings.lenient else None
        params = endpoint.parse(request.pairs, unknown)
        if unknown:
            _log.warning(
                "ec2.unknown_parameters", request_id=call.request_id, action=call.action, names=unknown[:20]
            )
        if params.pop("DryRun", False):
            raise dry_run()
        action = ACTIONS.get(endpoint.name)
        if action is None:
            document = list_nothing(endpoint)
        else:
            document = action(self._context(endpoint, caller, request), params)
        return endpoint.reply(document, version=call.version or "", request_id=call.request_id)

    def _received(self, req: falcon.Request, call: _Call) -> SignedRequest:
        """The request as it was on the wire, its parameters decoded."""
        body = self._body(req)
        raw_path, query = _target(req)
        pairs: list[Pair] = decode_pairs(query.encode("latin-1")) if query else []
        if body:
            pairs += decode_pairs(body)
        call.version = envelope(pairs, "Version")
        return SignedRequest(
            method=req.method,
            path=raw_path,
            query=query,
            headers=_headers(req.env),
            body=body,
            pairs=pairs,
        )

    def _body(self, req: falcon.Request) -> bytes:
        limit = self._settings.max_body
        if (req.content_length or 0) > limit:
            raise _too_large(limit)
        chunked = req.content_length is None and req.env.get("wsgi.input_terminated")
        stream = req.stream if chunked else req.bounded_stream
        body: bytes = stream.read(limit + 1)
        if len(body) > limit:
            raise _too_large(limit)
        return body

    def _context(self, endpoint: Endpoint, caller: Caller, request: SignedRequest) -> Ec2Context:
        return Ec2Context(
            engine=self._engine,
            caller=caller,
            settings=self._settings,
            action=endpoint.name,
            tokens=self._tokens,
            rendered=self._rendered,
            fragments=self._fragments,
            waits=self._waits,
            endpoint=self._settings.endpoint or request.headers.get("host", ""),
            importer=self._importer,
            mint=self._mint,
        )

    def _refusal(self, error: QueryError, call: _Call) -> tuple[int, bytes]:
        error = in_words_of(service_of(call.version), error)
        status = http_status(error.code)
        body = error_reply(
            error.code,
            error.message,
            version=call.version,
            request_id=call.request_id,
            sender=status < 500,
        )
        return status, body


def _internal() -> Ec2Error:
    return Ec2Error("InternalError", "An internal error has occurred")


def _too_large(limit: int) -> Ec2Error:
    return Ec2Error("RequestEntityTooLarge", f"The request is longer than {limit} bytes")


def _target(req: falcon.Request) -> tuple[str, str]:
    """Path and query, still encoded: as the server received them when it tells, else encoded again."""
    raw = req.env.get("RAW_URI") or req.env.get("REQUEST_URI") or ""
    query = req.env.get("QUERY_STRING", "")
    if "://" in raw.split("?", 1)[0]:  # absolute form, as sent to a proxy
        raw = "/" + raw.split("://", 1)[1].partition("/")[2]
    path = raw.split("?", 1)[0]
    if not path.startswith("/"):
        path = quote(req.env.get("PATH_INFO", "/").encode("latin-1"), safe="/~")
    return path, query


def _headers(env: Mapping[str, object]) -> dict[str, str]:
    """Headers by lower-case name, out of a WSGI environment."""
    found = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in env.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if env.get(name):
            found[name.replace("_", "-").lower()] = str(env[name])
    return found
