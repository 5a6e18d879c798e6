"""TO BE WRITTEN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backend.engine.work import Work

HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {}
