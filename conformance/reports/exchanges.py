"""Exchanges as people read them: the request, the answer, nothing endless."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.runner import Result
from conformance.wire import Exchange, Headers

_LONGEST = 4000
_MOST = 12


def transcript(result: Result) -> str:
    """The conversation of a check, its last exchanges; ``>`` marks what was sent, ``<`` what came."""
    left_out = len(result.exchanges) - _MOST
    parts = [f"({left_out} earlier exchanges are left out)"] if left_out > 0 else []
    parts += ["\n".join(_lines(each)) for each in result.exchanges[-_MOST:]]
    return "\n\n".join(parts)


def _lines(exchange: Exchange) -> Iterator[str]:
    yield f"> {exchange.method} {exchange.url}"
    yield from _marked(">", exchange.sent, exchange.body)
    if exchange.trouble:
        yield f"! {exchange.trouble}"
        return
    yield f"< {exchange.status} {exchange.reason}   ({exchange.seconds * 1000:.0f} ms)"
    yield from _marked("<", exchange.received, exchange.answer)


def _marked(mark: str, headers: Headers, body: str) -> Iterator[str]:
    for name, value in headers:
        yield f"{mark} {name}: {_short(value)}"
    if body:
        yield mark
        for line in _short(body).split("\n"):
            yield f"{mark} {line}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
