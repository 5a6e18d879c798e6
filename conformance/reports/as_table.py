"""A report for people at a terminal: what failed and why, the requirements by level, the sums."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.checks import Level, Verdict
from conformance.reports.exchanges import transcript
from conformance.runner import Report, Result

_COLOURS = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "red",
    Verdict.BROKEN: "magenta",
    Verdict.UNKNOWN: "yellow",
    Verdict.ABSENT: "cyan",
}


class Live:
    """Progress: a line for each check, replaced where it passed and the terminal allows."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begins(self, number: int, total: int, title: str) -> None:
        """Show which check is under way."""
        if self._console.is_terminal:
            line = f"{number}/{total} {title}"[: self._console.width - 1]
            self._console.print(line, end="\r", markup=False, highlight=False)

    def ended(self, result: Result) -> None:
        """Show what was found, unless it is as it should be."""
        if self._console.is_terminal:
            self._console.print(" " * (self._console.width - 1), end="\r")
        if result.verdict is not Verdict.PASSED:
            self._console.print(_line(result))


def _line(result: Result) -> str:
    colour = _COLOURS[result.verdict]
    cited = ", ".join(result.cites)
    said = f": {escape(result.message)}" if result.message else ""
    return (
        f"[{colour}]{result.verdict.value:8}[/] {result.level.value:6} {cited}  "
        f"{escape(result.title)} [dim]({escape(result.id)})[/]{said}"
    )


def show(console: Console, report: Report, *, exchanges: bool = True) -> None:
    """Print the report."""
    for result in report.results:
        if exchanges and result.verdict in {Verdict.FAILED, Verdict.BROKEN}:
            console.rule(escape(f"{result.cites[0]} {result.id}"), align="left")
            console.print(escape(result.message))
            console.print(transcript(result), markup=False, highlight=False, soft_wrap=True)
    console.print(_sums(report))
    litter = [*report.litter, *(each for result in report.results for each in result.litter)]
    for each in litter:
        console.print(f"[yellow]not cleaned up[/] {escape(each)}")


def _sums(report: Report) -> Table:
    table = Table(title=f"{report.suite} at {report.endpoint}", caption=report.server or None)
    table.add_column("requirements")
    for verdict in reversed(Verdict):
        table.add_column(verdict.value, justify="right", style=_COLOURS[verdict])
    table.add_column("not judged", justify="right")
    matrix = report.matrix
    for level in Level:
        of_level = [judged for judged in matrix if judged.requirement.level is level]
        counts = Counter(judged.verdict for judged in of_level)
        numbers = [str(counts[verdict] or "") for verdict in reversed(Verdict)]
        table.add_row(level.value, *numbers, str(counts[None] or ""))
    return table
