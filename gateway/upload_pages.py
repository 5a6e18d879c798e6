"""``/uploads/``: where tenants send disk images, to import them by ``upload:NAME``.

``PUT /uploads/NAME`` with the bytes, ``GET /uploads/`` for a list, ``DELETE /uploads/NAME``; who it is, is
proved as to the OCCI face. A body goes to the disk as it comes, and never lies in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import falcon
import msgspec
from gunicorn.http.errors import ParseException

from backend.model import Caller
from gateway import bodies
from gateway.uploads import CutOff, NoRoom, TooLarge, Upload, Uploads, is_name

PATH: Final = "/uploads"
_SILENCE: Final = 60.0
"""Seconds after which a client that sends nothing has gone."""

Refuse = Callable[[falcon.Request, falcon.Response, int, str, str], None]
"""Puts a refusal into an answer: status, code, message."""


def is_ours(path: str) -> bool:
    """Whether a path is one of uploads."""
    return path == PATH or path.startswith(PATH + "/")


class UploadPages:
    """Answers requests about uploads; at most ``parallel`` files are received at a time.

    Each takes a thread for as long as it lasts, and the faces need some too.
    """

    def __init__(self, uploads: Uploads, refuse: Refuse, *, parallel: int) -> None:
        self._uploads = uploads
        self._refuse = refuse
        self._turn = threading.BoundedSemaphore(max(1, parallel))

    def on_request(self, req: falcon.Request, resp: falcon.Response, caller: Caller) -> None:
        """Answer one request of an authenticated caller."""
        name = req.path.removeprefix(PATH).removeprefix("/")
        methods = self._of_one if name else self._of_all
        answer = methods.get("GET" if req.method == "HEAD" else req.method)
        if name and not is_name(name):
            self._no(
                req, resp, 400, "name.invalid", "A name is up to 128 letters, digits, dots, dashes and _."
            )
        elif answer is None:
            resp.set_header("Allow", ", ".join(methods))
            self._no(req, resp, 405, "method.not_allowed", f"{req.method[:20]} is not for this path.")
        else:
            answer(self, req, resp, caller, name)

    def _list(self, _req: falcon.Request, resp: falcon.Response, caller: Caller, _name: str) -> None:
        _json(resp, 200, [_document(upload) for upload in self._uploads.of(caller.tenant_id)])

    def _delete(self, req: falcon.Request, resp: falcon.Response, caller: Caller, name: str) -> None:
        if self._uploads.delete(caller.tenant_id, name):
            resp.status = falcon.HTTP_204
        else:
            self._no(req, resp, 404, "upload.not_found", f"There is no upload {name}.")

    def _put(self, req: falcon.Request, resp: falcon.Response, caller: Caller, name: str) -> None:
        if req.get_header("Content-Range"):
            self._no(req, resp, 400, "request.malformed", "An upload is sent as a whole.")
        elif not self._turn.acquire(blocking=False):
            resp.set_header("Retry-After", "10")
            self._no(req, resp, 503, "busy", "Others are uploading; try again.")
        else:
            try:
                self._receive(req, resp, caller, name)
            finally:
                self._turn.release()

    def _receive(self, req: falcon.Request, resp: falcon.Response, caller: Caller, name: str) -> None:
        chunked = "HTTP_TRANSFER_ENCODING" in req.env
        try:
            upload = self._uploads.receive(
                caller.tenant_id, name, _reader(req.env), None if chunked else req.content_length or 0
            )
        except TooLarge as error:
            self._no(req, resp, 413, "upload.too_large", str(error))
        except NoRoom as error:
            self._no(req, resp, 507, "upload.no_room", str(error))
        except CutOff as error:
            self._no(req, resp, 400, "request.malformed", str(error))
        else:
            resp.set_header("ETag", f'"{upload.sha256}"')
            if upload.replaced:
                resp.status = falcon.HTTP_204
            else:
                resp.set_header("Location", req.path)
                _json(resp, 201, _document(upload))

    def _no(self, req: falcon.Request, resp: falcon.Response, status: int, code: str, message: str) -> None:
        """Refuse, after what of the body is still coming: a client that sends does not listen."""
        bodies.drain(req.env)
        self._refuse(req, resp, status, code, message)

    _of_all: Final = {"GET": _list}
    _of_one: Final = {"PUT": _put, "DELETE": _delete}


def _reader(env: dict[str, Any]) -> Callable[[int], bytes]:
    """Reads the body; the connection is given up when nothing comes for long."""
    bodies.be_patient(env, _SILENCE)

    def read(size: int) -> bytes:
        try:
            data: bytes = env["wsgi.input"].read(size)
        except (ParseException, OSError) as error:
            raise CutOff("The body is malformed, or was cut off.") from error
        return data

    return read


def _document(upload: Upload) -> dict[str, Any]:
    at = datetime.fromtimestamp(upload.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {"name": upload.name, "location": upload.location, "bytes": upload.size_bytes, "at": at}
    return found | ({"sha256": upload.sha256} if upload.sha256 else {})


def _json(resp: falcon.Response, status: int, document: Any) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(document)
