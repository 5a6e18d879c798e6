"""The table of operations in the documentation is the table of operations."""

from __future__ import annotations

import re
from pathlib import Path

from ec2.actions import ACTIONS


def test_every_operation_is_documented_once():
    text = (Path(__file__).parents[2] / "docs" / "ec2.md").read_text()
    table = text.partition("## Operations")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(ACTIONS)
