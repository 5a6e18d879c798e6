"""The suite that OCCI's checks register themselves in."""

from __future__ import annotations

from conformance.checks import Suite, requirements
from conformance.occi.session import OcciSession

SUITE: Suite[OcciSession] = Suite(
    "occi",
    requirements(
        "conformance.occi.requirements",
        "core.toml",
        "infrastructure.toml",
        "text.toml",
        "json.toml",
        "http.toml",
        "statuses.toml",
        "templates.toml",
        "extensions.toml",
        "practice.toml",
    ),
)
