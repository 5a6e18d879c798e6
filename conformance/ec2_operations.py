"""Write the table of operations in ``docs/ec2.md``: all that AWS's model has, and what we do with each.

Run ``python -m conformance.ec2_operations`` after serving another operation or upgrading botocore;
``--check`` only tells whether the table is up to date (exit status 1 when it is not). What is said of an
operation stands in ``ec2_notes.toml`` beside this file; the tests that show it are found in ``tests``: those
that call it as a client would, by any client's spelling of its name.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import botocore.session
from botocore import xform_name

from ec2.actions import ACTIONS
from ec2.advice import instead_of
from ec2.service import LISTS, STS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "ec2.md"
NOTES = Path(__file__).parent / "ec2_notes.toml"
BEGIN = "<!-- operations: written by python -m conformance.ec2_operations -->"
END = "<!-- end of operations -->"

#: Where a test weighs most: real guests before a cloud in memory, before pure functions.
LAYERS = ("tests/e2e", "tests/contract", "tests/unit")
SHOWN = 2
EMPTY = "tests/contract/test_ec2_generated.py::test_made_up_requests_for_what_there_is_none_of"
REFUSED = "tests/unit/test_ec2_advice.py::test_every_refusal_says_what_to_use_or_why_there_is_nothing"


def spellings(operation: str) -> frozenset[str]:
    """What clients call an operation: its name, boto3's method, the CLI's command, JavaScript's class."""
    snake = xform_name(operation)
    return frozenset({operation, snake, snake.replace("_", "-"), f"{operation}Command"})


def notes() -> Mapping[str, str]:
    """What is said of operations, by name."""
    return {str(name): str(text) for name, text in tomllib.loads(NOTES.read_text()).items()}


# Tests --------------------------------------------------------------------------------------------------


def shown_by(operations: Iterable[str]) -> dict[str, list[str]]:
    """The tests that call each operation, those that weigh most first: ``file::test``."""
    names = {spelling: operation for operation in operations for spelling in spellings(operation)}
    found: dict[str, list[str]] = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("test_*.py")):
            for test, words in _tests(ast.parse(path.read_text())):
                for operation in sorted({names[word] for word in words & names.keys()}):
                    found.setdefault(operation, []).append(f"{path.relative_to(ROOT)}::{test}")
    return found


def _tests(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """The tests of a module, each with the words that it, and the functions of the module it calls, say."""
    functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}
    said = {name: set(_words(node)) for name, node in functions.items()}
    for name, node in functions.items():
        if name.startswith("test_"):
            words = set(said[name])
            words.update(*(said[other] for other in _called(node) & functions.keys()))
            yield name, words
    for block in tree.body:
        if isinstance(block, ast.ClassDef):
            for each in block.body:
                if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                    yield f"{block.name}::{each.name}", set(_words(each))


def _called(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _words(node: ast.AST) -> Iterator[str]:
    """Attributes, and whole words of texts: ``client.run_instances``, ``"run-instances"``, a command line."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            yield each.attr
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield from re.findall(r"[A-Za-z][A-Za-z0-9_-]+", each.value)


# The page -----------------------------------------------------------------------------------------------


def table(model: Sequence[str]) -> str:
    """The part of the page between its marks."""
    said = notes()
    served = sorted({*ACTIONS})
    empty = sorted(name for name in LISTS.endpoints if name not in ACTIONS)
    refused = [name for name in model if name not in ACTIONS and name not in LISTS.endpoints]
    tests = shown_by([*served, *empty])
    lines = [
        BEGIN,
        "",
        (
            f"AWS's model of today has {len(model)} operations: {len(set(served) & set(model))} are served, "
            f"{len(empty)} answer that there is nothing, {len(refused)} are refused. "
            f"Besides, {len(set(served) & STS.endpoints.keys())} of STS are served on the same endpoint."
        ),
        "",
        "### Served",
        "",
        "| Operation | Notes | Shown by |",
        "|---|---|---|",
        *(f"| `{name}` | {said.get(name, '')} | {_links(tests.get(name, []))} |" for name in served),
        "",
        "### Nothing to list",
        "",
        f"These answer the empty list, as in an account that has none of it (shown by {_link(EMPTY)}).",
        "",
        ", ".join(f"`{name}`" for name in empty),
        "",
        "### Refused",
        "",
        f"`UnsupportedOperation`, with a sentence that says what to use (shown by {_link(REFUSED)}).",
        "",
        "| What the refusal says | Operations |",
        "|---|---|",
        *(f"| {advice} | {names} |" for advice, names in _by_advice(refused)),
        "",
        END,
    ]
    return "\n".join(lines)


def _links(tests: Sequence[str]) -> str:
    return "<br>".join(_link(test) for test in tests[:SHOWN])


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name}](../{path})"


def _by_advice(refused: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What refusals say, each with the operations that it is said of, the longest lists first."""
    families: dict[str, list[str]] = {}
    for name in refused:
        families.setdefault(instead_of(name), []).append(f"`{name}`")
    for advice, names in sorted(families.items(), key=lambda each: (-len(each[1]), each[0])):
        yield advice, ", ".join(names)


def page(text: str) -> str:
    """The page with today's table.

    Raises:
        ValueError: its marks are gone.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has lost the marks around its table of operations")
    loader = botocore.session.get_session().get_component("data_loader")
    model = sorted(loader.load_service_model("ec2", "service-2")["operations"])
    return f"{head}{table(model)}{tail}"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether the page is up to date")
    check = parser.parse_args(arguments).check
    text = PAGE.read_text()
    wanted = page(text)
    if text == wanted:
        return 0
    if check:
        print(f"{PAGE.name} is out of date: run python -m conformance.ec2_operations")
        return 1
    PAGE.write_text(wanted)
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
