"""Tags: mixins that clients make, remove and associate (OCCI-HTTP-024 to 027, 050 to 053).

The OS templates that an owner's machines were saved as are removed in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from backend.commands import Command, CreateMixin, DeleteMixin, DeregisterImage
from occi.catalog import Catalog, is_described
from occi.errors import OcciError
from occi.scope import Scope
from rendering.occi_document import Category, CategoryClass, Request

_RESERVED_SCHEME = "http://schemas.ogf.org/occi/"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s#]{1,200}#")
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LOCATION = re.compile(r"(?:/(?!\.{1,2}/)[A-Za-z0-9_.~-]{1,100}){1,8}/")
_RESERVED_PATHS = ("/-/", "/.well-known/")
#: What paths may not begin with, as the standard's kinds, those of OCCI-EXT-004 to 006 and the mixins that
#: depend on them are to come there; and what the gateway answers itself.
RESERVED = frozenset(
    (
        *("compute", "network", "storage", "networkinterface", "storagelink", "entity", "resource", "link"),
        *("securitygroup", "securitygrouplink", "ipreservation", "mixin", "os_tpl", "resource_tpl"),
        *("ipnetwork", "ipnetworkinterface", "availability_zone", "region", "floatingippool"),
        *("services", "projects", "uploads", "livez", "readyz", "metrics"),
    )
)


def add(scope: Scope, request: Request) -> None:
    """Add the mixins of a request, all or none. One that is there already, at that location, stays.

    Raises:
        OcciError: 400 for what is incomplete or no mixin, 403 for a scheme of the standard's, 409 for an
            identifier or a location that is taken.
        BackendError: MIXIN_EXISTS.
    """
    wanted = [
        _command(scope.catalog, category) for category in _mixins(request) if not _known(scope, category)
    ]
    scope.engine.execute_all(scope.caller, wanted)


def remove(scope: Scope, request: Request) -> None:
    """Remove the mixins of a request with every association, all or none; 403 for those of the provider.

    An OS template that a machine of the caller's was saved as goes as a tag does; machines of it keep it.
    """
    wanted = {category.id: category for category in map(scope.known, _mixins(request))}
    scope.engine.execute_all(scope.caller, [_removal(scope, category) for category in wanted.values()])


def _removal(scope: Scope, category: Category) -> Command[Any]:
    if category.id in scope.catalog.tags:
        return DeleteMixin(scheme=category.scheme, term=category.term)
    image = scope.catalog.images.get(category.id)
    is_saved = image is not None and image.source_instance_id and image.tenant_id == scope.caller.tenant_id
    if image is None or not is_saved:
        raise OcciError(403, f"{category.id} is the provider's.")
    return DeregisterImage(image_id=image.id, snapshots=True)  # of which OCCI tells nothing


def _mixins(request: Request) -> Sequence[Category]:
    if not request.categories:
        raise OcciError(400, "Expected at least one mixin.")
    if request.attributes or request.links or request.locations or request.members:
        raise OcciError(400, "Expected categories only.")
    return request.categories


def _known(scope: Scope, category: Category) -> bool:
    tag = scope.catalog.tags.get(category.id)
    same = tag is not None and tag.location == _path(category.location)
    return same and category.class_ is CategoryClass.MIXIN


def _command(catalog: Catalog, category: Category) -> CreateMixin:
    if category.class_ is None:
        raise OcciError(400, f"{category.id[:200]} needs its class, as only mixins can be added.")
    if category.class_ is not CategoryClass.MIXIN:
        raise OcciError(400, f"Only mixins can be added, and {category.id[:200]} is none.")
    if is_described(category):
        raise OcciError(400, "Mixins of clients have neither attributes nor actions.")
    if not _SCHEME.fullmatch(category.scheme) or not _TERM.fullmatch(category.term):
        raise OcciError(400, "A mixin needs a term, and a scheme that is a URI and ends in #.")
    if category.scheme.startswith(_RESERVED_SCHEME):
        raise OcciError(403, f"Schemes under {_RESERVED_SCHEME} are the standard's.")
    if catalog.find(category.id) is not None:
        raise OcciError(409, f"The mixin {category.id} exists.")
    if category.scheme.startswith(catalog.own_schemes):
        raise OcciError(403, f"Schemes under {catalog.own_schemes} are the provider's.")
    return CreateMixin(
        scheme=category.scheme,
        term=category.term,
        title=category.title[:255],
        location=_location(catalog, category.location),
    )


def _location(catalog: Catalog, given: str) -> str:
    """The path for a new mixin; neither taken nor around or inside a location of the provider's."""
    path = _path(given)
    if not _LOCATION.fullmatch(path) or path.startswith(_RESERVED_PATHS):
        raise OcciError(400, "A mixin needs a location: a path of its own that ends in /.")
    if path.split("/")[1] in RESERVED:
        raise OcciError(409, f"The location {path} is reserved.")
    for known in catalog.categories:
        is_tag = known.id in catalog.tags
        inside = known.location and (path.startswith(known.location) or known.location.startswith(path))
        if path == known.location or (inside and not is_tag):
            raise OcciError(409, f"The location {path} is taken.")
    return path


def _path(given: str) -> str:
    try:
        return urlsplit(given).path.rstrip("/") + "/"
    except ValueError:
        return ""
