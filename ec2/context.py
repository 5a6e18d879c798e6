"""What an action is given besides its parameters: the engine, the caller, and the face's settings.

Settings are a value handed down by the gateway; nothing here is global.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from backend.engine import Engine
from backend.model import Caller, Content
from ec2.errors import Ec2Error
from ec2.pages import PageLimits, PageTokens, Position, page_size
from ec2.rendered import Fragments, RenderedInstances

Params = dict[str, Any]
Document = dict[str, Any]


class Ec2Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the face behaves.

    ``page_secret`` signs page tokens and must be the same in all processes. ``endpoint`` is the host name
    (and port) that DescribeRegions tells; empty means the one the client called. ``max_body`` is the size in
    bytes above which a request is refused. ``lenient`` ignores parameters that the pinned model does not
    know, instead of refusing them. ``export_directory`` holds a directory for each bucket that ExportImage
    may name; without it, nothing is exported. ``public_domain`` is where public addresses have names
    (``ec2-203-0-113-10.<domain>``); empty where nobody serves such names. ``waits`` is how many calls of a
    process may wait for the worker at one time, so that the others find threads.
    """

    page_secret: str
    endpoint: str = ""
    max_body: int = 1 << 20
    lenient: bool = False
    export_directory: Path | None = None
    rendered_instances: int = 40_000
    rendered_fragments: int = 20_000
    public_domain: str = ""
    waits: int = 4


class ImageImporter(Protocol):
    """Brings disk images into the image store from where the operator lets tenants take them."""

    def resolve(self, location: str, tenant_id: str) -> str | None:
        """What a tenant's location means to the image store: a path or an http(s) URL.

        None, whatever the reason, for what the tenant may not take: a path or URL outside of the places that
        the operator allows (links followed), an upload that is not there (``upload:NAME``).
        """
        ...

    def import_location(self, location: str, form: str) -> Content:
        """Bring a resolved location into the store; ``form`` is its format, empty when not known.

        Raises BackendError IMAGE_UNREADABLE for what is no whole and self-contained image.
        """
        ...


class FreshKey(msgspec.Struct, frozen=True, kw_only=True):
    """A temporary key that was just made: what its holder is told, once, and what is kept of it."""

    key_id: str
    secret: str
    sealed: bytes
    token: str
    token_digest: str


KeyMint = Callable[[int], FreshKey]
"""Makes temporary keys, with session tokens of at least so many characters.

The engine comes to know neither secret nor token.
"""


class Ec2Context(msgspec.Struct, frozen=True, kw_only=True):
    """One call: who makes it, what it names, and what serves it.

    ``waits`` are the places for calls that wait for the worker.
    """

    engine: Engine
    caller: Caller
    settings: Ec2Settings
    action: str
    tokens: PageTokens
    rendered: RenderedInstances
    fragments: Fragments
    waits: threading.Semaphore
    endpoint: str = ""
    importer: ImageImporter | None = None
    mint: KeyMint | None = None

    @property
    def region(self) -> str:
        """The region the call goes to."""
        return self.caller.region or self.engine.settings.default_region

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of that region."""
        return self.engine.settings.zones.get(self.region, ())

    @property
    def now(self) -> float:
        """The engine's time, Unix seconds."""
        return self.engine.clock()

    def after(self, params: Params) -> Position | None:
        """The position of the last item of the page before; None on the first page."""
        return self.tokens.position(account=self._listing, action=self.action, params=params)

    def next_token(self, params: Params, last: Position) -> str:
        """The token of the page after an item."""
        return self.tokens.issue(account=self._listing, action=self.action, params=params, last=last)

    @property
    def _listing(self) -> str:
        return f"{self.caller.account_id}/{self.region}"


def page_of(
    context: Ec2Context, params: Params, rows: list[tuple[Position, Any]], limits: PageLimits
) -> tuple[list[Any], str | None]:
    """The rows of the page asked for and the token of the next one; rows come sorted by position."""
    size = page_size(params, limits)
    after = context.after(params)
    if after is not None and rows and len(after) != len(rows[0][0]):
        raise Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
    left = rows if after is None else [row for row in rows if row[0] > after]
    if size is None or len(left) <= size:
        return [row for _, row in left], None
    shown = left[:size]
    return [row for _, row in shown], context.next_token(params, shown[-1][0])
