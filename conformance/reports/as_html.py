"""A report as one HTML page that needs nothing else: the matrix, and what led to each failure."""

from __future__ import annotations

import time
from collections import Counter

from lxml import etree
from lxml.html import builder as E  # noqa: N812 - the builder's own convention
from lxml.html import tostring

from conformance.checks import Level, Verdict
from conformance.reports.exchanges import transcript
from conformance.runner import Judged, Report, Result

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1b1b }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .5rem; text-align: left; vertical-align: top }
td.id { white-space: nowrap; font-family: ui-monospace, monospace; font-size: .85rem }
td.clause { white-space: nowrap; color: #555; font-size: .85rem }
.passed { background: #d9f2dd } .failed { background: #ffd6d6 } .broken { background: #f3d6ff }
.unknown { background: #fff1c9 } .absent { background: #dbeefa } .none { background: #eee; color: #555 }
td.verdict { text-align: center; font-weight: 600; white-space: nowrap }
pre { background: #f6f6f6; padding: .7rem; overflow-x: auto; font-size: .8rem; white-space: pre-wrap }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem }
dt { color: #555 } dd { margin: 0 }
summary { cursor: pointer }
"""


def rendered(report: Report) -> bytes:
    """The page."""
    page = E.HTML(
        E.HEAD(
            E.META(charset="utf-8"),
            E.META(name="viewport", content="width=device-width, initial-scale=1"),
            E.TITLE(f"{report.suite} conformance of {report.endpoint}"),
            E.STYLE(_STYLE),
        ),
        E.BODY(
            E.H1(f"{report.suite.upper()} conformance"),
            _about(report),
            E.H2("Sums"),
            _sums(report),
            E.H2("Requirements"),
            _matrix(report),
            *_failures(report),
        ),
        lang="en",
    )
    document: bytes = tostring(page, doctype="<!DOCTYPE html>", encoding="utf-8", pretty_print=True)
    return document


def _about(report: Report) -> etree._Element:
    facts = {
        "endpoint": report.endpoint,
        "server": _printable(report.server) or "does not say",
        "judged": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.began)),
        "took": f"{report.seconds:.0f} s",
        "checks": f"{len(report.results)}{', read-only' if report.read_only else ''}",
    }
    rows = [(E.DT(name), E.DD(value)) for name, value in facts.items()]
    return E.DL(*(cell for row in rows for cell in row))


def _sums(report: Report) -> etree._Element:
    shown = tuple(reversed(Verdict))
    head = E.TR(E.TH("level"), *(E.TH(verdict.value) for verdict in shown), E.TH("not judged"))
    rows = []
    for level in Level:
        counts = Counter(judged.verdict for judged in report.matrix if judged.requirement.level is level)
        rows.append(
            E.TR(
                E.TH(level.value),
                *(E.TD(str(counts[verdict] or "")) for verdict in shown),
                E.TD(str(counts[None] or "")),
            )
        )
    return E.TABLE(E.THEAD(head), E.TBODY(*rows))


def _matrix(report: Report) -> etree._Element:
    head = E.TR(*map(E.TH, ("id", "level", "clause", "requirement", "verdict")))
    return E.TABLE(E.THEAD(head), E.TBODY(*map(_row, report.matrix)))


def _row(judged: Judged) -> etree._Element:
    requirement = judged.requirement
    versions = f" ({', '.join(requirement.versions)})" if requirement.versions else ""
    verdict = judged.verdict
    cell = E.TD(verdict.value if verdict else "not judged", E.CLASS(f"verdict {verdict or 'none'}"))
    return E.TR(
        E.TD(requirement.id, E.CLASS("id")),
        E.TD(requirement.level.value),
        E.TD(requirement.clause + versions, E.CLASS("clause")),
        E.TD(requirement.text, *_checks(judged)),
        cell,
        id=requirement.id,
    )


def _checks(judged: Judged) -> list[etree._Element]:
    """Which checks judged the requirement, or why none can."""
    if not judged.results:
        return [E.DIV(E.SMALL(judged.requirement.unjudged))] if judged.requirement.unjudged else []
    items = [
        E.LI(f"{result.verdict.value}: {result.title} ({result.id})", *_said(result))
        for result in judged.results
    ]
    return [E.DETAILS(E.SUMMARY(E.SMALL(f"{len(items)} check{'s' if len(items) > 1 else ''}")), E.UL(*items))]


def _said(result: Result) -> list[etree._Element]:
    return [E.DIV(E.SMALL(_printable(result.message)))] if result.message else []


def _failures(report: Report) -> list[etree._Element]:
    bad = [result for result in report.results if result.verdict in {Verdict.FAILED, Verdict.BROKEN}]
    if not bad:
        return []
    return [E.H2("Failures"), *(_failure(result) for result in bad)]


def _failure(result: Result) -> etree._Element:
    return E.DETAILS(
        E.SUMMARY(f"{', '.join(result.cites)}: {result.title} ({result.id})"),
        E.P(_printable(result.message)),
        E.PRE(_printable(transcript(result))),
    )


def _printable(text: str) -> str:
    return "".join(sign if sign == "\n" or sign.isprintable() else "\ufffd" for sign in text)
