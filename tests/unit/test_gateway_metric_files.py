"""Counters of the web processes: each master has a private directory, and dead masters' go."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

from gateway.metric_files import MetricFiles

KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.metric_files import MetricFiles
files = MetricFiles(Path(sys.argv[1]), memory=Path(sys.argv[1]))
(files.path / "counter_1.db").write_bytes(b"1")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_they_lie_in_memory_closed_to_others_and_are_removed(tmp_path):
    files = MetricFiles(tmp_path / "run", memory=tmp_path)
    assert files.path.parent == tmp_path
    assert stat.S_IMODE(files.path.stat().st_mode) == 0o700
    (files.path / "counter_1.db").write_bytes(b"1")
    files.remove()
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_such_place_they_lie_in_the_home(tmp_path):
    files = MetricFiles(tmp_path / "run", memory=tmp_path / "absent")
    assert files.path.parent == tmp_path / "run"
    files.remove()


def test_masters_leave_each_others_alone_and_clear_up_after_killed_ones(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "isthmus-metrics-is-no-folder").write_text("")
    first, second = MetricFiles(tmp_path, memory=tmp_path), MetricFiles(tmp_path, memory=tmp_path)
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {first.path, second.path}
    for each in (first, second):
        each.remove()


def test_a_forked_child_removes_nothing(tmp_path):
    files = MetricFiles(tmp_path, memory=tmp_path)
    child = os.fork()
    if child == 0:
        files.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert files.path.is_dir()
    files.remove()
