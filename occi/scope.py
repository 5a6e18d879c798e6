"""What one request works with: the engine, who asks, and the categories that caller sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TypeVar

import msgspec

from backend.engine import Engine
from backend.engine.images import may_launch
from backend.model import Caller, Image, ImageState
from occi.catalog import Catalog
from occi.errors import OcciError
from occi.kinds import ENTITY, LINK, RESOURCE
from rendering.occi_document import Category, CategoryClass, Request

T = TypeVar("T")


class Scope:
    """The engine, a caller, and that caller's catalog, read once per request and only if needed.

    ``domain`` names the provider in the schemes of templates.
    """

    def __init__(self, engine: Engine, caller: Caller, domain: str) -> None:
        self.engine = engine
        self.caller = caller
        self.domain = domain

    def atomically(self, deed: Callable[[Scope], T]) -> T:
        """Let a function read and change things in one transaction, all or none, in a scope of its own.

        It may run several times.
        """

        def once(engine: Engine) -> tuple[T, Scope]:
            inside = Scope(engine, self.caller, self.domain)
            return deed(inside), inside

        answer, inside = self.engine.atomically(once)
        if "catalog" in vars(inside):  # what was read last
            self.catalog = inside.catalog
        return answer

    @cached_property
    def catalog(self) -> Catalog:
        """The caller's categories."""
        return Catalog(
            self.domain,
            images=self._images(),
            flavors=self.engine.flavors(),
            tags=self.engine.mixins(self.caller),
            zones=self.engine.settings.zones.get(self.region, ()),
            region=self.region,
            pools=self.engine.settings.network.pools,
        )

    @property
    def region(self) -> str:
        """The region in which the caller works."""
        return self.caller.region or self.engine.settings.default_region

    def _images(self) -> list[Image]:
        """What the caller may make machines of: now, or, of its own, once the image is written."""
        return [
            image
            for image in self.engine.images(self.caller)
            if may_launch(self.caller, image)
            and (image.state is not ImageState.LOCKED or image.tenant_id == self.caller.tenant_id)
        ]

    def known(self, given: Category) -> Category:
        """The described category that a client named, with or without its class; 404 when there is none."""
        found = self.catalog.find(given.id)
        if found is None or given.class_ not in {found.class_, None}:
            raise OcciError(404, f"There is no {given.class_ or 'category'} {given.id[:200]}.")
        return found

    def classified(self, request: Request) -> Request:
        """A request all of whose categories have their class; 404 for one that only the class would tell."""
        if all(category.class_ is not None for category in request.categories):
            return request
        found = (each if each.class_ is not None else self.known(each) for each in request.categories)
        return msgspec.structs.replace(request, categories=tuple(found))

    def kind_of(self, request: Request) -> Category | None:
        """The kind that a request names, or None; 400 for several or one that has no instances."""
        given = {kind.id: kind for kind in request.of(CategoryClass.KIND)}
        if len(given) > 1:
            raise OcciError(400, "A request names exactly one kind.")
        for kind in given.values():
            known = self.known(kind)
            if known.id in {ENTITY.id, RESOURCE.id, LINK.id}:
                raise OcciError(400, f"The kind {known.id} has no instances of its own.")
            return known
        return None

    def mixins_for(self, kind: Category, request: Request, has: Iterable[Category] = ()) -> list[Category]:
        """The mixins that a request names, each once; an entity ``has`` some, on offer or not.

        Raises:
            OcciError: 404 for an unknown one, 403 for one that does not apply to the kind (OCCI-HTTP-055).
        """
        own = {mixin.id: mixin for mixin in has}
        named = (own.get(mixin.id) or self.known(mixin) for mixin in request.of(CategoryClass.MIXIN))
        found = {mixin.id: mixin for mixin in named}
        for mixin in found.values():
            if mixin.applies and kind.id not in mixin.applies:
                raise OcciError(403, f"The mixin {mixin.id} does not apply to {kind.id}.")
        return list(found.values())
