"""Places where a test may kill the worker: before and after each act of each job.

Off unless the worker is started with a folder of failpoints. A file in it named like a place
(``boot.new:0:before``) ends the process there, once, as ``kill -9`` would.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path


def from_folder(folder: Path | None) -> Callable[[str], None]:
    """What the runner calls at each place; without a folder it does nothing."""
    if folder is None:
        return lambda _place: None

    def reach(place: str) -> None:
        armed = folder / place
        if armed.exists():
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    return reach
