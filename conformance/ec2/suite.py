"""The suite that EC2's checks register themselves in."""

from __future__ import annotations

from conformance.checks import Level, Requirement, Suite, requirements
from conformance.ec2.session import Ec2Session
from conformance.ec2.tables import OPERATIONS


def _operations() -> list[Requirement]:
    return [
        Requirement(
            id=f"EC2-OP-{name}",
            level=Level.MUST if each.required else Level.SHOULD,
            clause=f"API Reference, {name}",
            text=f"{name} answers with what is always told, and refuses with the documented codes.",
        )
        for name, each in OPERATIONS.items()
    ]


SUITE: Suite[Ec2Session] = Suite(
    "ec2", [*requirements("conformance.ec2", "requirements.toml"), *_operations()]
)
