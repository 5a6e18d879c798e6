"""A report as JSON: everything that the other forms are made of."""

from __future__ import annotations

import msgspec

from conformance.runner import Report


def rendered(report: Report) -> bytes:
    """The report, with the verdict on each requirement beside what the checks found."""
    document = msgspec.to_builtins(report)
    document["matrix"] = [
        {
            "id": judged.requirement.id,
            "verdict": judged.verdict.value if judged.verdict else None,
            "checks": [result.id for result in judged.results],
        }
        for judged in report.matrix
    ]
    return msgspec.json.format(msgspec.json.encode(document), indent=1)
