"""Mixins: the fixed ones as declarations, and those that images, sizes and clients' tags become."""

from __future__ import annotations

from functools import lru_cache

from backend.model import Flavor, Image, UserMixin
from occi.kinds import COMPUTE, CORES, INFRASTRUCTURE, MEMORY, STORAGE
from occi.values import memory_gib
from rendering.occi_document import AttributeSpec, AttributeType, Category, CategoryClass

CREDENTIALS = "http://schemas.ogf.org/occi/infrastructure/credentials#"
CONTEXT = "http://schemas.ogf.org/occi/infrastructure/compute#"
OPENSTACK_CREDENTIALS = "http://schemas.openstack.org/instance/credentials#"
OPENSTACK_CONTEXT = "http://schemas.openstack.org/compute/instance#"
CRTP = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
CRTP_1_0 = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.0#"

PUBLIC_KEY = "occi.credentials.ssh.publickey"
USER_DATA = "occi.compute.userdata"
OPENSTACK_KEY_NAME = "org.openstack.credentials.publickey.name"
OPENSTACK_KEY_DATA = "org.openstack.credentials.publickey.data"
OPENSTACK_USER_DATA = "org.openstack.compute.user_data"
EPHEMERAL_SIZE = "occi.compute.ephemeral_storage.size"
EPHEMERAL_DEVICE = "occi.compute.ephemeral_storage.deviceid"
#: Where the engine puts an instance's scratch disk.
EPHEMERAL_TARGET = "vdb"

#: The profile's templates with the titles it prescribes (OCCI-CRTP-003); the first three are its base.
CRTP_TITLES = {
    "small": "A small Compute instance",
    "medium": "A medium Compute instance",
    "large": "A large Compute instance",
    "mem_small": "A small Compute instance for memory-intensive applications",
    "mem_medium": "A medium Compute instance for memory-intensive applications",
    "mem_large": "A large Compute instance for memory-intensive applications",
}

_FOR_COMPUTE = (COMPUTE.id,)
_FOR_RESOURCES = (COMPUTE.id, STORAGE.id)


def _context(scheme: str, term: str, title: str, *attributes: AttributeSpec) -> Category:
    return Category(
        scheme=scheme,
        term=term,
        class_=CategoryClass.MIXIN,
        title=title,
        applies=_FOR_COMPUTE,
        location=f"/mixin/{term}/" if "openstack" not in scheme else f"/mixin/openstack/{term}/",
        attributes=attributes,
    )


def _parent(term: str, title: str) -> Category:
    return Category(
        scheme=INFRASTRUCTURE, term=term, class_=CategoryClass.MIXIN, title=title, location=f"/{term}/"
    )


OS_TPL = _parent("os_tpl", "Operating System Template")
RESOURCE_TPL = _parent("resource_tpl", "Resource Template")
AVAILABILITY_ZONE = _parent("availability_zone", "Availability Zone")
SSH_KEY = _context(
    CREDENTIALS,
    "ssh_key",
    "SSH public key",
    AttributeSpec(name=PUBLIC_KEY, required=True, description="Public key in OpenSSH's form"),
)
USER_DATA_MIXIN = _context(
    CONTEXT,
    "user_data",
    "User data",
    AttributeSpec(
        name=USER_DATA, required=True, description="Data for cloud-init in Base64, given at creation only"
    ),
)
OPENSTACK_PUBLIC_KEY = _context(
    OPENSTACK_CREDENTIALS,
    "public_key",
    "SSH public key, as OpenStack spells it",
    AttributeSpec(name=OPENSTACK_KEY_NAME, description="Name of the key; not kept"),
    AttributeSpec(name=OPENSTACK_KEY_DATA, required=True, description="Public key in OpenSSH's form"),
)
OPENSTACK_USER_DATA_MIXIN = _context(
    OPENSTACK_CONTEXT,
    "user_data",
    "User data, as OpenStack spells it",
    AttributeSpec(
        name=OPENSTACK_USER_DATA,
        required=True,
        description="Data for cloud-init in Base64, given at creation only",
    ),
)

#: The two spellings of a machine's key and of its user data, 1.2's first, each with its attribute.
KEY_SPELLINGS = ((SSH_KEY, PUBLIC_KEY), (OPENSTACK_PUBLIC_KEY, OPENSTACK_KEY_DATA))
USER_DATA_SPELLINGS = ((USER_DATA_MIXIN, USER_DATA), (OPENSTACK_USER_DATA_MIXIN, OPENSTACK_USER_DATA))
#: Mixins that are associated at creation only.
CONTEXT_IDS = frozenset(mixin.id for mixin, _ in (*KEY_SPELLINGS, *USER_DATA_SPELLINGS))

MIXINS: tuple[Category, ...] = (
    OS_TPL,
    RESOURCE_TPL,
    AVAILABILITY_ZONE,
    SSH_KEY,
    USER_DATA_MIXIN,
    OPENSTACK_PUBLIC_KEY,
    OPENSTACK_USER_DATA_MIXIN,
)


def own_schemes(domain: str) -> str:
    """How the schemes of the provider's own templates begin."""
    return f"http://{domain}/occi/infrastructure/"


@lru_cache(maxsize=4096)
def os_template(domain: str, image_id: str, name: str) -> Category:
    """The OS template that an image is: its id is the term, its name the title (OCCI-INFRA-072)."""
    return Category(
        scheme=f"{own_schemes(domain)}os_tpl#",
        term=image_id,
        class_=CategoryClass.MIXIN,
        title=name,
        depends=(OS_TPL.id,),
        applies=_FOR_COMPUTE,
        location=f"/os_tpl/{image_id}/",
    )


def template_of_image(domain: str, image: Image) -> Category:
    """The OS template of an image."""
    return os_template(domain, image.id, image.name)


@lru_cache(maxsize=1024)
def zone_of(domain: str, zone: str) -> Category:
    """The mixin that an availability zone is (OCCI-EXT-007)."""
    return Category(
        scheme=f"{own_schemes(domain)}availability_zone#",
        term=zone,
        class_=CategoryClass.MIXIN,
        title=zone,
        depends=(AVAILABILITY_ZONE.id,),
        applies=_FOR_RESOURCES,
        location=f"/availability_zone/{zone}/",
    )


@lru_cache(maxsize=1024)
def template_of_flavor(domain: str, flavor: Flavor) -> Category:
    """The resource template that a flavor is: the profile's own if it is one of them (CRTP)."""
    profile = flavor.crtp if flavor.crtp in CRTP_TITLES else ""
    term = flavor.term
    return Category(
        scheme=CRTP if profile else f"{own_schemes(domain)}resource_tpl#",
        term=term,
        class_=CategoryClass.MIXIN,
        title=CRTP_TITLES.get(profile, flavor.name),
        depends=(RESOURCE_TPL.id,),
        applies=_FOR_COMPUTE,
        location=f"/resource_tpl/{term}/",
        attributes=_sizes(flavor, profile=bool(profile)),
    )


def _sizes(flavor: Flavor, *, profile: bool) -> tuple[AttributeSpec, ...]:
    number = AttributeType.NUMBER
    sizes = [
        AttributeSpec(name=CORES, type=AttributeType.INTEGER, mutable=False, default=flavor.vcpus),
        AttributeSpec(name=MEMORY, type=number, mutable=False, default=memory_gib(flavor.memory_mib)),
    ]
    if flavor.ephemeral_gib or profile:
        sizes += [
            AttributeSpec(
                name=EPHEMERAL_SIZE,
                type=number,
                mutable=False,
                default=float(flavor.ephemeral_gib),
                description="Scratch space in GiB",
            ),
            AttributeSpec(  # mutable, says OCCI-CRTP-005; there is one value
                name=EPHEMERAL_DEVICE,
                choices=(EPHEMERAL_TARGET,),
                default=EPHEMERAL_TARGET,
                description="Device of the scratch space",
            ),
        ]
    return tuple(sizes)


def tag_of(mixin: UserMixin) -> Category:
    """The mixin that a client made: a tag without capabilities (OCCI-CORE-028). Links have none."""
    return Category(
        scheme=mixin.scheme,
        term=mixin.term,
        class_=CategoryClass.MIXIN,
        title=mixin.title,
        applies=_FOR_RESOURCES,
        location=mixin.location,
    )
