"""Documents whose ``console`` blocks are run: what a person types, and what is answered.

A line that begins with ``$ `` is a command of the shell; it goes on after a backslash and until the end of a here-document.
The lines below it are its answer:

- ``...`` alone stands for any lines, inside a line for any text.
- ``$name`` stands for a word: the first time for any, and from then on for that one. Commands find it as a variable
  of their environment.
- A line that begins with blanks goes on the header line above it: headers are long, and folded in documents only.

A command must succeed. Its standard error belongs to its answer.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ "
_HERE = re.compile(r"<<'?(\w+)'?")
_HEADER = re.compile(r"[A-Za-z-]+: ")
_SPECIAL = re.compile(r"\.\.\.|\$([A-Za-z_]\w*)")
_WORD = r"[A-Za-z0-9._:-]*[A-Za-z0-9]"


class Step(NamedTuple):
    """A command, and the lines of its answer."""

    command: str
    expected: tuple[str, ...]
    line: int


def steps(path: Path) -> Iterator[Step]:
    """The commands of a document, in their order."""
    text = path.read_text()
    for block in _BLOCK.finditer(text):
        yield from _steps(block[1].splitlines(), text.count("\n", 0, block.start()) + 2)


def _steps(lines: list[str], first: int) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        begin = at
        assert lines[at].startswith(_PROMPT), f"line {first + at}: a block begins with a command"
        command = [lines[at].removeprefix(_PROMPT)]
        at += 1
        here = _HERE.search(command[0])
        while command[-1] != here[1] if here else command[-1].endswith("\\"):
            command.append(lines[at])
            at += 1
        expected = []
        while at < len(lines) and not lines[at].startswith(_PROMPT):
            expected.append(lines[at])
            at += 1
        yield Step("\n".join(command), tuple(expected), first + begin)


def play(path: Path, folder: Path, environment: Mapping[str, str], *, patience: float) -> dict[str, str]:
    """Type all commands of a document in a folder; answers what its names came to mean.

    ``environment`` is all that the commands have; its names are bound from the beginning. ``patience`` is how many
    seconds a command may take.
    """
    bound = dict(environment)
    for step in steps(path):
        where = f"{path.name}:{step.line}: {step.command}"
        try:
            done = subprocess.run(
                ["bash", "-c", step.command],
                cwd=folder, env=bound, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, check=False, timeout=patience,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{where}\nnot within {patience:.0f} s") from error
        assert done.returncode == 0, f"{where}\nexit status {done.returncode}: {done.stdout}"
        found = _match(step.expected, done.stdout, bound)
        expected = "\n".join(step.expected)
        assert found is not None, f"{where}\nexpected:\n{expected}\nanswered:\n{done.stdout}"
        bound |= found
    return bound


def _match(expected: tuple[str, ...], answered: str, bound: Mapping[str, str]) -> dict[str, str] | None:
    """What the new names of an answer stand for, None when it is not the one expected."""
    new: set[str] = set()
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else _line(line, bound, new) + r"[ \t]*\n"
        for line in _unfolded(expected)
    )
    text = answered.replace("\r\n", "\n")
    found = re.fullmatch(pattern, text if not text or text.endswith("\n") else f"{text}\n")
    return found.groupdict() if found else None


def _unfolded(lines: tuple[str, ...]) -> list[str]:
    whole: list[str] = []
    for line in lines:
        if line.startswith(" ") and whole and _HEADER.match(whole[-1]):
            whole[-1] += f" {line.lstrip()}"
        else:
            whole.append(line.rstrip())
    return whole


def _line(line: str, bound: Mapping[str, str], new: set[str]) -> str:
    parts, at = [], 0
    for special in _SPECIAL.finditer(line):
        parts += [re.escape(line[at : special.start()]), _special(special, bound, new)]
        at = special.end()
    return "".join((*parts, re.escape(line[at:])))


def _special(found: re.Match[str], bound: Mapping[str, str], new: set[str]) -> str:
    name = found[1]
    if name is None:
        return ".*?"
    if name in bound:
        return re.escape(bound[name])
    if name in new:
        return f"(?P={name})"
    new.add(name)
    return f"(?P<{name}>{_WORD})"
