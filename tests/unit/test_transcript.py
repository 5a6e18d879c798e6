"""Documents that are run: what is expected of an answer is what is compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import transcript

WALKS = Path(__file__).resolve().parents[2] / "docs" / "walks"
NAMES = {"PATH": "/usr/bin:/bin", "known": "a.b"}


def play(folder: Path, *lines: str) -> dict[str, str]:
    page = folder / "page.md"
    page.write_text("\n".join(("# A page", "", "```console", *lines, "```", "")))
    found = transcript.play(page, folder, NAMES, patience=10)
    return {name: value for name, value in found.items() if name not in NAMES}


@pytest.mark.parametrize(
    "lines",
    [
        ("$ echo one; echo two", "one", "two"),
        ("$ echo one; echo two", "...", "two"),
        ("$ echo one; echo two", "one", "two", "..."),
        ("$ echo one two three", "one ... three"),
        ("$ printf 'no end of line'", "no end of line"),
        ("$ printf 'a: 1\\r\\n\\r\\n'", "a: 1", ""),
        ("$ echo 'Header: a, b'", "Header: a,", "    b"),
        ("$ echo $known", "$known"),
        ("$ cat <<END | tr o 0", "$ one", "END", "...0ne"),
        ("$ echo one \\", "    two", "one two"),
        ("$ true",),
    ],
)
def test_an_answer_as_expected(tmp_path, lines):
    assert play(tmp_path, *lines) == {}


@pytest.mark.parametrize(
    "lines",
    [
        ("$ echo one; echo two", "one"),
        ("$ echo one", "one", "two"),
        ("$ echo one",),
        ("$ echo axb", "$known"),
        ("$ echo one; echo two", "one ... two"),
        ("$ echo 'id=a id=b'", "id=$id id=$id"),
        ("$ echo one >&2",),
        ("$ false",),
    ],
)
def test_another_answer_fails(tmp_path, lines):
    with pytest.raises(AssertionError, match=r"page\.md:4: "):
        play(tmp_path, *lines)


def test_a_name_means_what_it_first_meant(tmp_path):
    lines = ("$ echo http://host/compute/1-2", "http://host/compute/$machine", "$ echo $machine", "$machine")
    assert play(tmp_path, *lines) == {"machine": "1-2"}
    with pytest.raises(AssertionError):
        play(tmp_path, *lines[:2], "$ echo 1-3", "$machine")


def test_all_walks_have_the_same_parts():
    parts = {
        page.name: [line for line in page.read_text().splitlines() if line.startswith("## ")]
        for page in WALKS.glob("*.md")
    }
    assert set(parts) == {"text-plain.md", "text-occi.md", "occi-json.md"}
    assert parts["text-occi.md"] == parts["text-plain.md"] == parts["occi-json.md"]
