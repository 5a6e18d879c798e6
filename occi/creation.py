"""Creating machines: what a client asks for → one Launch command."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import Launch
from occi import kinds
from occi.context import public_keys, user_data
from occi.errors import OcciError
from occi.mixins import CONTEXT_IDS
from occi.scope import Scope
from occi.values import LONGEST_HOSTNAME, LONGEST_TITLE, check_required, checked_all, memory_mib
from rendering.occi_document import SUMMARY, TITLE, AttributeSpec, Category, CategoryClass, Request

_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_LONGEST_SUMMARY = 1024


def launch_command(scope: Scope, request: Request) -> Launch:
    """The command for the machine that a request describes.

    What only the server sets is ignored (OCCI-AMB-08, OCCI-REAL-07); a resource template's sizes win over
    those of the request (OCCI-INFRA-076). Clock speed and share are read, and as nothing here can set them,
    never rendered.

    Raises:
        OcciError: 400, 403 or 404.
    """
    kind = scope.kind_of(request)
    if kind is None:
        raise OcciError(400, "A request names exactly one kind.")
    if request.of(CategoryClass.ACTION) or request.locations:
        raise OcciError(400, "A new machine is described by a kind, mixins, attributes and links.")
    refuse_links(scope, request)
    associated = scope.mixins_for(kind, request)
    known = scope.catalog.attributes([kind, *associated])
    given = checked_all(_settable(request.attributes, known), known, whose="A new machine")
    check_required(given, known)
    return _command(scope, associated, given)


def _settable(given: Mapping[str, Any], known: Mapping[str, AttributeSpec]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in known or known[name].mutable}


def refuse_links(scope: Scope, request: Request) -> None:
    """Refuse inline links: 404 when their kind is unknown, 400 when they have none or an impossible one."""
    for link in request.links:
        if link.kind is None:
            raise OcciError(400, f"The link to {link.target[:200]} needs a category.")
        scope.known(link.kind)
        raise OcciError(400, f"The kind {link.kind.id} has no instances of its own.")


def _command(scope: Scope, associated: Sequence[Category], given: Mapping[str, Any]) -> Launch:
    catalog = scope.catalog
    image = one_template(associated, catalog.images)
    flavor = one_template(associated, catalog.flavors)
    sizes = {} if flavor else given
    title = checked_title(given.get(TITLE, ""))
    return Launch(
        image_id=image.id if image else None,
        flavor=flavor.name if flavor else None,
        public_keys=public_keys(given),
        user_data=user_data(given),
        tags=(("Name", title),) if title else (),
        hostname=checked_hostname(given.get(kinds.HOSTNAME, "")),
        summary=checked_summary(given.get(SUMMARY, "")),
        vcpus=sizes.get(kinds.CORES),
        memory_mib=memory_mib(sizes[kinds.MEMORY]) if kinds.MEMORY in sizes else None,
        mixins=tuple((m.scheme, m.term) for m in associated if m.id in catalog.tags.keys() | CONTEXT_IDS),
    )


def one_template(associated: Sequence[Category], templates: Mapping[str, Any]) -> Any:
    """What the one template among the mixins stands for, or None; 400 for two (OCCI-CRTP-001)."""
    found = [templates[mixin.id] for mixin in associated if mixin.id in templates]
    if len(found) > 1:
        raise OcciError(400, "A machine has at most one OS template and one resource template.")
    return found[0] if found else None


def checked_title(title: str) -> str:
    """A title, which is also the machine's ``Name`` tag; 400 when it is longer than a tag."""
    if len(title) > LONGEST_TITLE:
        raise OcciError(400, f"{TITLE} has at most {LONGEST_TITLE} characters.")
    return title


def checked_summary(summary: str) -> str:
    """A summary; 400 when it is too long."""
    if len(summary) > _LONGEST_SUMMARY:
        raise OcciError(400, f"{SUMMARY} has at most {_LONGEST_SUMMARY} characters.")
    return summary


def checked_hostname(name: str) -> str:
    """A host name, plain or fully qualified; 400 when it is none. Nothing is a wish for the default."""
    if name and (len(name) > LONGEST_HOSTNAME or not all(map(_LABEL.fullmatch, name.split(".")))):
        raise OcciError(400, f"{kinds.HOSTNAME} must be a host name.")
    return name
