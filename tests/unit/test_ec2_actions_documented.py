"""The table of operations in the documentation is the table of operations."""

from __future__ import annotations

from conformance import ec2_operations
from ec2.actions import ACTIONS


def test_the_page_is_up_to_date():
    assert ec2_operations.main(["--check"]) == 0, "run python -m conformance.ec2_operations"


def test_notes_are_about_operations():
    assert set(ec2_operations.notes()) <= set(ACTIONS)


def test_every_operation_is_shown_by_a_test_of_the_whole_face():
    """A unit test alone shows no operation: somebody must call it through the face."""
    tests = ec2_operations.shown_by(ACTIONS)
    alone = {name for name in ACTIONS if all(test.startswith("tests/unit") for test in tests.get(name, []))}
    assert alone == set()
