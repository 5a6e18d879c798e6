"""What all tests share: the helpers of ``tests/support`` and ``tests/fuzz`` can be imported by name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("support", "fuzz")]
