"""EC2 pagination: how many, and where the next page begins.

A token is signed and names the position of the last item shown, so that pages stay in step while resources
come and go. It belongs to one account, action and set of parameters; it holds no secret and survives
restarts as long as the secret does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from ec2.errors import Ec2Error

Position = tuple[str | int, ...]

_NOT_PART_OF_A_LISTING = frozenset({"NextToken", "MaxResults", "DryRun"})


class PageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What ``MaxResults`` may be, and the size of a page without it (None: everything).

    ``ids`` is the member that lists ids, which excludes MaxResults, and ``ids_word`` its name in the refusal.
    """

    minimum: int = 5
    maximum: int = 1000
    default: int | None = 1000
    ids: str | None = None
    ids_word: str = ""


def page_size(params: Mapping[str, Any], limits: PageLimits) -> int | None:
    """The number of items of a page, None for all.

    Raises Ec2Error: InvalidParameterValue outside the limits, InvalidParameterCombination together with ids.
    """
    wanted = params.get("MaxResults")
    if wanted is None:
        return limits.default
    if limits.ids is not None and params.get(limits.ids):
        raise Ec2Error(
            "InvalidParameterCombination",
            f"The parameter {limits.ids_word or limits.ids} cannot be used with the parameter maxResults",
        )
    if not limits.minimum <= wanted <= limits.maximum:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ( {wanted} ) for parameter maxResults is invalid. "
            f"Expecting a value between {limits.minimum} and {limits.maximum}.",
        )
    return int(wanted)


class PageTokens:
    """Makes and reads ``NextToken``. ``secret`` must be the same in all processes and after a restart."""

    def __init__(self, secret: str | bytes) -> None:
        self._serializer = URLSafeSerializer(
            secret,
            salt="isthmus.ec2.next-token",
            serializer=_Json,
            signer_kwargs={"digest_method": hashlib.sha256},
        )

    def issue(self, *, account: str, action: str, params: Mapping[str, Any], last: Position) -> str:
        """The token of the page after the item at ``last``."""
        token = self._serializer.dumps([_listing(account, action, params), *last])
        return token if isinstance(token, str) else token.decode("ascii")

    def position(self, *, account: str, action: str, params: Mapping[str, Any]) -> Position | None:
        """The position in the request's token; None when it has none.

        Raises Ec2Error InvalidNextToken for a token that is not ours, or belongs to another listing.
        """
        token = params.get("NextToken")
        if not token:
            return None
        try:
            listing, *last = self._serializer.loads(token)
        except (BadData, ValueError, TypeError) as broken:
            raise _invalid() from broken
        if listing != _listing(account, action, params):
            raise _invalid()
        return tuple(last)


class _Json:
    """The serialiser that itsdangerous asks for, on msgspec."""

    @staticmethod
    def dumps(value: Any) -> bytes:
        return msgspec.json.encode(value)

    @staticmethod
    def loads(value: str | bytes) -> Any:
        return msgspec.json.decode(value)


def _listing(account: str, action: str, params: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in params.items() if name not in _NOT_PART_OF_A_LISTING}
    text = msgspec.json.encode([account, action, kept], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:32]


def _invalid() -> Ec2Error:
    return Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
