"""Mixins: the fixed ones as declarations, and those that images, sizes and clients' tags become."""

from __future__ import annotations

from functools import lru_cache

from backend.model import Flavor, Image, UserMixin
from occi.kinds import (
    COMPUTE,
    CORES,
    INFRASTRUCTURE,
    IPRESERVATION,
    MEMORY,
    NETWORK,
    NETWORKINTERFACE,
    STORAGE,
)
from occi.values import memory_gib
from rendering.occi_document import AttributeSpec, AttributeType, Category, CategoryClass

CREDENTIALS = "http://schemas.ogf.org/occi/infrastructure/credentials#"
CONTEXT = "http://schemas.ogf.org/occi/infrastructure/compute#"
OPENSTACK_CREDENTIALS = "http://schemas.openstack.org/instance/credentials#"
OPENSTACK_CONTEXT = "http://schemas.openstack.org/compute/instance#"
CRTP = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
CRTP_1_0 = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.0#"

IP_NETWORK = "http://schemas.ogf.org/occi/infrastructure/network#"
IP_INTERFACE = "http://schemas.ogf.org/occi/infrastructure/networkinterface#"
OPENSTACK_NETWORK = "http://schemas.openstack.org/network#"
FLOATING_POOLS = "http://schemas.openstack.org/network/floatingippool#"
FEDCLOUD_NETWORK = "http://schemas.fedcloud.egi.eu/occi/infrastructure/network#"
FEDCLOUD_COMPUTE = "http://schemas.fedcloud.egi.eu/occi/infrastructure/compute#"

NETWORK_ADDRESS = "occi.network.address"
NETWORK_GATEWAY = "occi.network.gateway"
NETWORK_ALLOCATION = "occi.network.allocation"
INTERFACE_ADDRESS = "occi.networkinterface.address"
INTERFACE_GATEWAY = "occi.networkinterface.gateway"
INTERFACE_ALLOCATION = "occi.networkinterface.allocation"
CONNECTIVITY = "eu.egi.fedcloud.compute.default_connectivity"

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
_FOR_NETWORKS = (NETWORK.id,)
_FOR_INTERFACES = (NETWORKINTERFACE.id,)
_PLACED = (COMPUTE.id, STORAGE.id, NETWORK.id)


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
REGION = _parent("region", "Region")
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
    AttributeSpec(name=OPENSTACK_KEY_NAME, description="Name of the key; only recorded"),
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
_ALLOCATIONS = ("dynamic", "static")
IPNETWORK = Category(
    scheme=IP_NETWORK,
    term="ipnetwork",
    class_=CategoryClass.MIXIN,
    title="IP Networking Mixin",
    applies=_FOR_NETWORKS,
    location="/ipnetwork/",
    attributes=(
        AttributeSpec(name=NETWORK_ADDRESS, description="Range of addresses in CIDR form, given at creation"),
        AttributeSpec(name=NETWORK_GATEWAY, description="The router: always the first address of the range"),
        AttributeSpec(
            name=NETWORK_ALLOCATION,
            choices=_ALLOCATIONS,
            description="How machines are to get addresses; DHCP gives each its own always, whatever this is",
        ),
    ),
)
IPNETWORKINTERFACE = Category(
    scheme=IP_INTERFACE,
    term="ipnetworkinterface",
    class_=CategoryClass.MIXIN,
    title="IP Network Interface Mixin",
    applies=_FOR_INTERFACES,
    location="/ipnetworkinterface/",
    attributes=(
        AttributeSpec(
            name=INTERFACE_ADDRESS,
            description="IP address, chosen here unless given; changes while the machine is off",
        ),
        AttributeSpec(name=INTERFACE_GATEWAY, description="The router: always that of the network"),
        AttributeSpec(
            name=INTERFACE_ALLOCATION,
            choices=_ALLOCATIONS,
            description="static where the client chose the address, unless it says else; DHCP tells either",
        ),
    ),
)
FLOATING_POOL = Category(
    scheme=OPENSTACK_NETWORK,
    term="floatingippool",
    class_=CategoryClass.MIXIN,
    title="Pool of floating addresses",
    location="/floatingippool/",
)


def _reach(term: str, title: str) -> Category:
    return Category(
        scheme=FEDCLOUD_NETWORK,
        term=term,
        class_=CategoryClass.MIXIN,
        title=title,
        applies=_FOR_NETWORKS,
        location=f"/mixin/fedcloud/{term}/",
    )


PUBLIC_NET = _reach("public_net", "Network with a way to and from outside")
PRIVATE_NET = _reach("private_net", "Network without a way outside")
NAT_NET = _reach("nat_net", "Network with a way outside, by address translation")
#: What the routes of a network let it reach (OCCI-EXT-009), by the value of the attribute that asks for it.
REACHES = {"public": PUBLIC_NET, "private": PRIVATE_NET, "nat": NAT_NET}
DEFAULT_CONNECTIVITY = Category(
    scheme=FEDCLOUD_COMPUTE,
    term="default_connectivity",
    class_=CategoryClass.MIXIN,
    title="Connectivity of a machine without links to networks",
    applies=_FOR_COMPUTE,
    location="/mixin/fedcloud/default_connectivity/",
    attributes=(
        AttributeSpec(
            name=CONNECTIVITY,
            required=True,
            choices=tuple(REACHES),
            description="One of public, private, nat; at creation only",
        ),
    ),
)

#: The two spellings of a machine's key and of its user data, 1.2's first, each with its attribute.
KEY_SPELLINGS = ((SSH_KEY, PUBLIC_KEY), (OPENSTACK_PUBLIC_KEY, OPENSTACK_KEY_DATA))
USER_DATA_SPELLINGS = ((USER_DATA_MIXIN, USER_DATA), (OPENSTACK_USER_DATA_MIXIN, OPENSTACK_USER_DATA))
#: Mixins that are associated at creation only.
CONTEXT_IDS = frozenset(
    (*(mixin.id for mixin, _ in (*KEY_SPELLINGS, *USER_DATA_SPELLINGS)), DEFAULT_CONNECTIVITY.id)
)

MIXINS: tuple[Category, ...] = (
    OS_TPL,
    RESOURCE_TPL,
    AVAILABILITY_ZONE,
    REGION,
    SSH_KEY,
    USER_DATA_MIXIN,
    OPENSTACK_PUBLIC_KEY,
    OPENSTACK_USER_DATA_MIXIN,
    DEFAULT_CONNECTIVITY,
    IPNETWORK,
    PUBLIC_NET,
    PRIVATE_NET,
    NAT_NET,
    IPNETWORKINTERFACE,
    FLOATING_POOL,
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
        applies=_PLACED,
        location=f"/availability_zone/{zone}/",
    )


@lru_cache(maxsize=64)
def region_of(domain: str, region: str) -> Category:
    """The mixin that the region is (OCCI-EXT-007)."""
    return Category(
        scheme=f"{own_schemes(domain)}region#",
        term=region,
        class_=CategoryClass.MIXIN,
        title=region,
        depends=(REGION.id,),
        applies=_PLACED,
        location=f"/region/{region}/",
    )


@lru_cache(maxsize=64)
def pool_of(pool: str) -> Category:
    """The mixin that a pool of public addresses is (OCCI-EXT-008)."""
    return Category(
        scheme=FLOATING_POOLS,
        term=pool,
        class_=CategoryClass.MIXIN,
        title=pool,
        depends=(FLOATING_POOL.id,),
        applies=(NETWORKINTERFACE.id, IPRESERVATION.id),
        location=f"/floatingippool/{pool}/",
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
    """The mixin that a client made: a tag without capabilities (OCCI-CORE-028)."""
    return Category(
        scheme=mixin.scheme,
        term=mixin.term,
        class_=CategoryClass.MIXIN,
        title=mixin.title,
        location=mixin.location,
    )
