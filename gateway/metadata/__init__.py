"""The instance metadata service: what a guest is told about itself at 169.254.169.254.

``documents`` says what there is, ``tokens`` and ``service`` who may read it, ``server`` speaks HTTP.
"""

from gateway.settings import Settings


def address(settings: Settings) -> str | None:
    """HOST:PORT where the service has a process of its own; None when guests are not led to any port."""
    return settings.network.metadata if settings.engine().network.capabilities.needs_infra else None
