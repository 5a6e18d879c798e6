"""What is logged of an unexpected failure."""

from __future__ import annotations

import logging

import pytest
import structlog

from gateway import logs


@pytest.fixture
def restored():
    root = logging.getLogger()
    handlers, level, kept = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**kept)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_failure_is_logged_with_its_place_and_without_local_variables(form, capsys):
    logs.configure(form=form)
    secret = "".join(reversed("terces"))  # not in the source as it is in memory
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger("isthmus.ec2").exception("ec2.internal_error", request_id="r-1")
    said = capsys.readouterr().err
    assert "ec2.internal_error" in said
    assert "ValueError: 6" in said
    assert "test_gateway_logs.py" in said
    assert "secret'" not in said
