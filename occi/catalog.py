"""The categories that one caller sees: kinds, mixins and actions, found by identifier or by location."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backend.model import Flavor, Image, ImageState, UserMixin
from occi import kinds, mixins
from rendering.occi_document import AttributeSpec, Category

_OFFERED = frozenset({ImageState.READY, ImageState.LOCKED})


def _is_pending(image: Image) -> bool:
    return image.state is ImageState.LOCKED


class Catalog:
    """All categories of a caller, in the order of the query interface. Never changed after it is made.

    ``images``, ``flavors``, ``zones``, ``regions``, ``pools`` and ``tags`` map type identifiers to what the
    mixins stand for. Images that are being written are among them, for a machine may wait for one; they come
    after the others.
    """

    def __init__(
        self,
        domain: str,
        images: Iterable[Image] = (),
        flavors: Iterable[Flavor] = (),
        tags: Iterable[UserMixin] = (),
        zones: Iterable[str] = (),
        region: str = "",
        pools: Iterable[str] = (),
    ) -> None:
        offered = sorted((image for image in images if image.state in _OFFERED), key=_is_pending)
        self.images = {mixins.template_of_image(domain, image).id: image for image in offered}
        self.zones = {mixins.zone_of(domain, zone).id: zone for zone in zones}
        self.regions = {mixins.region_of(domain, region).id: region} if region else {}
        self.pools = {mixins.pool_of(pool).id: pool for pool in pools}
        self.flavors = {mixins.template_of_flavor(domain, flavor).id: flavor for flavor in flavors}
        provided: tuple[Category, ...] = (
            *kinds.KINDS,
            *mixins.MIXINS,
            *(mixins.template_of_image(domain, image) for image in self.images.values()),
            *(mixins.template_of_flavor(domain, flavor) for flavor in self.flavors.values()),
            *(mixins.zone_of(domain, zone) for zone in self.zones.values()),
            *(mixins.region_of(domain, each) for each in self.regions.values()),
            *(mixins.pool_of(pool) for pool in self.pools.values()),
        )
        # A size or an image may be offered later than a tag was made: what the provider offers wins.
        taken = {category.id for category in provided}
        self.tags = {tag.scheme + tag.term: tag for tag in tags if tag.scheme + tag.term not in taken}
        self.categories = (*provided, *map(mixins.tag_of, self.tags.values()), *kinds.ACTIONS)
        self._by_id: dict[str, Category] = {category.id: category for category in self.categories}
        self._by_location: dict[str, Category] = {}
        for category in self.categories:
            if category.location:
                self._by_location.setdefault(category.location, category)
        self._templates = {
            **{image.id: self._by_id[type_id] for type_id, image in self.images.items()},
            **{flavor.name: self._by_id[type_id] for type_id, flavor in self.flavors.items()},
        }
        self._by_id |= self._aliases(domain)
        self._domain = domain
        self.own_schemes = mixins.own_schemes(domain)

    def _aliases(self, domain: str) -> dict[str, Category]:
        """Other identifiers that clients use: the profile's 1.0 scheme, and a flavor by its own name."""
        found: dict[str, Category] = {}
        for type_id, flavor in self.flavors.items():
            category = self._by_id[type_id]
            found[f"{mixins.own_schemes(domain)}resource_tpl#{flavor.name}"] = category
            if category.scheme == mixins.CRTP:
                found[mixins.CRTP_1_0 + category.term] = category
        return {type_id: category for type_id, category in found.items() if type_id not in self._by_id}

    def find(self, type_id: str) -> Category | None:
        """A category by its type identifier."""
        return self._by_id.get(type_id)

    def at(self, location: str) -> Category | None:
        """The kind or mixin at a location such as ``/compute/``."""
        return self._by_location.get(location)

    def below(self, path: str) -> list[Category]:
        """The kinds and mixins whose locations lie below a path (OCCI-HTTP-004)."""
        return [category for location, category in self._by_location.items() if location.startswith(path)]

    def template(self, name: str) -> Category | None:
        """The template on offer that is an image (by id) or a flavor (by name)."""
        return self._templates.get(name)

    def os_template(self, image_id: str) -> Category:
        """The template of an image, also if the caller may no longer use it: a machine keeps its own."""
        return self._templates.get(image_id) or mixins.os_template(self._domain, image_id, "")

    def places(self, zone: str, region: str) -> list[Category]:
        """The mixins of an availability zone and of a region, as far as they are on offer."""
        wanted = (mixins.zone_of(self._domain, zone), mixins.region_of(self._domain, region))
        return [each for each in wanted if each.id in self._by_id]

    def own_tags(self, associated: Iterable[tuple[str, str]]) -> list[Category]:
        """The clients' mixins among those on record of an entity, given as scheme and term."""
        on_record = {scheme + term for scheme, term in associated}
        return [self._by_id[type_id] for type_id in sorted(on_record & self.tags.keys())]

    def ancestry(self, category: Category) -> set[str]:
        """Type identifiers of a category and of everything it is a kind of or depends on, transitively."""
        found: set[str] = set()
        waiting: list[Category | None] = [category]
        while waiting:
            known = waiting.pop()
            if known is None or known.id in found:
                continue
            found.add(known.id)
            waiting += map(self.find, (known.parent, *known.depends))
        return found

    def ancestry_of(self, type_id: str) -> set[str]:
        """The ancestry of a category by its type identifier; empty when there is none."""
        category = self.find(type_id)
        return self.ancestry(category) if category is not None else set()

    def attributes(self, categories: Iterable[Category]) -> Mapping[str, AttributeSpec]:
        """The attributes that an entity of these categories has; the last declaration of a name counts."""
        return {spec.name: spec for category in categories for spec in category.attributes}

    @property
    def profile(self) -> str:
        """The claim for the Server header that the sizes on offer justify (OCCI-CRTP-006), or nothing."""
        offered = {category.term for category in self.categories if category.scheme == mixins.CRTP}
        terms = list(mixins.CRTP_TITLES)
        if offered >= set(terms):
            return "OCCI-CRTP-EP/1.1"
        return "OCCI-CRTP/1.1" if offered >= set(terms[:3]) else ""


def is_described(category: Category) -> bool:
    """Whether a category is more than named: such mixins are refused, tags carry nothing (OCCI-HTTP-024)."""
    return bool(category.attributes or category.actions)
