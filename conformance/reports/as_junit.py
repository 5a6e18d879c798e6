"""A report as JUnit XML, which continuous integration services read."""

from __future__ import annotations

from lxml import etree
from lxml.builder import E

from conformance.checks import Verdict
from conformance.reports.exchanges import transcript
from conformance.runner import Report, Result

_UNWANTED = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535), "�")


def rendered(report: Report) -> bytes:
    """One test case for each check: failures are failures, what could not be carried out is skipped."""
    counts = dict.fromkeys(Verdict, 0)
    for result in report.results:
        counts[result.verdict] += 1
    suite = E.testsuite(
        *map(_case, report.results),
        name=f"conformance.{report.suite}",
        tests=str(len(report.results)),
        failures=str(counts[Verdict.FAILED]),
        errors=str(counts[Verdict.BROKEN]),
        skipped=str(counts[Verdict.UNKNOWN] + counts[Verdict.ABSENT]),
        time=f"{report.seconds:.3f}",
    )
    document: bytes = etree.tostring(
        E.testsuites(suite), xml_declaration=True, encoding="UTF-8", pretty_print=True
    )
    return document


def _case(result: Result) -> etree._Element:
    case = E.testcase(
        name=f"{result.id} ({', '.join(result.cites)})",
        classname=f"{result.cites[0]}.{result.level.value}",
        time=f"{result.seconds:.3f}",
    )
    told = {"message": _clean(result.message)}
    match result.verdict:
        case Verdict.FAILED:
            case.append(E.failure(_clean(transcript(result)), type=result.level.value, **told))
        case Verdict.BROKEN:
            case.append(E.error(_clean(transcript(result)), type="conformance", **told))
        case Verdict.UNKNOWN | Verdict.ABSENT:
            case.append(E.skipped(**told))
        case Verdict.PASSED:
            pass
    return case


def _clean(text: str) -> str:
    """Text that XML can carry."""
    return text.translate(_UNWANTED)
