"""The same facts in two words: what OCCI must show of a resource, derived from what EC2 tells of it.

Both faces read the same rows, so their views are alike at any moment, and not only in the end: whoever looks at both
while nothing moves must see one thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from live_cloud import Answer, LiveCloud, key_of, wait_for
from occi_client import INFRASTRUCTURE, JSON, OcciClient
from views import TOGETHER

from backend.model import id_of, uuid_of

CORE = "http://schemas.ogf.org/occi/core#"
OURS = "http://isthmus.local/occi/infrastructure/"
NETWORKS = "http://schemas.fedcloud.egi.eu/occi/infrastructure/network#"
POOLS = "http://schemas.openstack.org/network/floatingippool#"
SSH_KEY = "http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key"
PUBLIC_KEY = "occi.credentials.ssh.publickey"
USER_DATA = "http://schemas.ogf.org/occi/infrastructure/compute#user_data"
PREFIXES = {
    "compute": "i", "storage": "vol", "network": "subnet", "securitygroup": "sg", "ipreservation": "eipalloc",
    "networkinterface": "eni",
}  # fmt: skip
ENDED = {"shutting-down", "terminated"}
Told = Mapping[str, Any]


class OneOf:
    """Equal to each of some words: EC2's does not tell which."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)

    def __eq__(self, other: object) -> bool:
        return self.words == other.words if isinstance(other, OneOf) else other in self.words

    def __repr__(self) -> str:
        return f"one of {sorted(self.words)}"

    __hash__ = None  # type: ignore[assignment]


class Begins:
    """Equal to what begins so: OCCI's messages say more."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __eq__(self, other: object) -> bool:
        return self.word == other.word if isinstance(other, Begins) else str(other).startswith(self.word)

    def __repr__(self) -> str:
        return f"{self.word}…"

    __hash__ = None  # type: ignore[assignment]


UNSAID = object()
"""EC2 does not tell, and OCCI may."""


class View(NamedTuple):
    """A kind: how EC2 describes one of it, and each of OCCI's words for that. None: OCCI says nothing then.

    ``alone`` are the attributes that EC2 has no word for.
    """

    described: Callable[[Faces, str], Told]
    attributes: Mapping[str, Callable[[Faces, Told], Any]]
    mixins: Callable[[Faces, Told], set[str]] = lambda _, __: set()
    links: Callable[[Faces, Told], set[tuple[str, str]]] | None = None
    alone: frozenset[str] = frozenset()


class Faces:
    """One tenant's clients of both faces."""

    def __init__(self, cloud: LiveCloud, tenant: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.ec2 = cloud.client(key=key_of(dict(tenant)))
        self.occi = OcciClient(cloud, JSON, (tenant["occi_user"], tenant["occi_password"]))
        self.zone = self.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]

    # OCCI -----------------------------------------------------------------------------------------------

    def said(self, method: str, path: str, document: Any = None, status: int = 200) -> Answer:
        """One request of OCCI's, which must be answered so."""
        body = {} if document is None else {"body": json.dumps(document), "headers": {"Content-Type": JSON}}
        answer = self.occi.send(method, path, body)
        assert answer.status == status, answer
        return answer

    def shown(self, path: str) -> dict[str, Any]:
        """What OCCI shows there."""
        found: dict[str, Any] = json.loads(self.said("GET", path).body)
        return found

    def made(
        self,
        kind: str,
        attributes: Mapping[str, Any],
        mixins: Sequence[str] = (),
        links: Sequence[Any] = (),
    ) -> str:
        """Make something by OCCI; answers its path."""
        document = {"kind": INFRASTRUCTURE + kind, "mixins": list(mixins), "attributes": dict(attributes)}
        answer = self.said(
            "POST", f"/{kind}/", {**document, **({"links": list(links)} if links else {})}, 201
        )
        return answer.headers["Location"].removeprefix(self.cloud.endpoint)

    def act(self, kind: str, entity_id: str, term: str, **attributes: Any) -> Answer:
        action = f"{INFRASTRUCTURE[:-1]}/{kind}/action#{term}"
        path = f"{path_of(kind, entity_id)}?action={term}"
        return self.said("POST", path, {"action": action, "attributes": attributes})

    def listed(self, kind: str) -> set[str]:
        """The paths in a collection."""
        return {uri.removeprefix(self.cloud.endpoint) for uri in self.occi.locations(f"/{kind}/")}

    def link(self, kind: str, source: str, target: str) -> str:
        """The path of the one link between two paths."""
        found = [
            path
            for path in self.listed(kind)
            if (ends := self.shown(path))
            and (ends["source"]["location"], ends["target"]["location"]) == (source, target)
        ]
        assert len(found) == 1, (kind, source, target, found)
        return found[0]

    # Both -----------------------------------------------------------------------------------------------

    def agree(self, kind: str, entity_id: str, path: str = "", **expected: Any) -> dict[str, Any]:
        """What OCCI shows of something that EC2 knows by an id, once it has the attributes expected.

        Names are those of OCCI with ``_`` for dots, and without ``occi.`` and the kind. Until then, and in the end, no
        look at both faces may find them different while nothing moves.
        """
        view, path = VIEWS[kind], path or path_of(kind, entity_id)
        wanted = {_attribute(kind, name): value for name, value in expected.items()}

        def both() -> dict[str, Any] | None:
            before = _derived(self, view, view.described(self, entity_id))
            shown = self.shown(path)
            after = _derived(self, view, view.described(self, entity_id))
            if before != after:
                return None
            attributes = _attributes(shown)
            unknown = attributes.keys() - view.attributes.keys() - view.alone - {"occi.core.id"}
            assert not unknown, f"{kind}: nobody compares {unknown}"
            seen = _seen(shown, view, before)
            assert before == seen, f"{kind} {entity_id}: EC2 means {before}, OCCI shows {seen}"
            is_so = all(attributes.get(name) == value for name, value in wanted.items())
            return shown if is_so else None

        try:
            found: dict[str, Any] = wait_for(both, f"{kind} {entity_id}: {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}; OCCI shows {self.shown(path)}") from error
        return found

    def gone(self, kind: str, entity_id: str, path: str = "") -> None:
        """Both faces say that it is not there: OCCI at once, EC2 when its end has come."""
        path = path or path_of(kind, entity_id)
        self.said("GET", path, status=404)
        assert path not in self.listed(kind)
        wait_for(lambda: not self._is_told(kind, entity_id), f"{kind} {entity_id} gone")

    def _is_told(self, kind: str, entity_id: str) -> bool:
        try:
            told = VIEWS[kind].described(self, entity_id)
        except LookupError:
            return False
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise
            return False
        return kind != "compute" or told["State"]["Name"] not in ENDED

    @contextmanager
    def refused(self, code: str) -> Iterator[None]:
        """What EC2 refuses with a code."""
        with pytest.raises(ClientError) as caught:
            yield
        assert caught.value.response["Error"]["Code"] == code, caught.value


def path_of(kind: str, entity_id: str) -> str:
    """Where OCCI has what EC2 knows by an id."""
    return f"/{kind}/{uuid_of(entity_id)}"


def ec2_id(path: str) -> str:
    """By what id EC2 knows what OCCI has at a path."""
    _, kind, own = path.split("/")
    return str(id_of(PREFIXES[kind], own))


def _attribute(kind: str, name: str) -> str:
    """``core_title`` and ``size`` are ``occi.core.title`` and ``occi.storage.size``."""
    first, _, rest = name.partition("_")
    if first in {"core", "network", "compute"} and rest:
        return f"occi.{first}.{rest.replace('_', '.')}"
    return f"occi.{kind}.{name.replace('_', '.')}"


def _attributes(shown: Mapping[str, Any]) -> dict[str, Any]:
    """All attributes; JSON has a link's ends, and what all entities have, beside the others."""
    found = {"occi.core.title": shown["title"]} if "title" in shown else {}
    for end in ("source", "target"):
        if end in shown:
            found[f"occi.core.{end}"] = shown[end]["location"]
            found[f"occi.core.{end}.kind"] = shown[end]["kind"]
    return {**found, **shown["attributes"]}


def _derived(faces: Faces, view: View, told: Told) -> dict[str, Any]:
    """What OCCI must show, as far as EC2 tells."""
    found: dict[str, Any] = {name: word(faces, told) for name, word in view.attributes.items()}
    found = {name: value for name, value in found.items() if value is not None}
    links = {} if view.links is None else {"links": view.links(faces, told)}
    return {**found, "mixins": view.mixins(faces, told), **links}


def _seen(shown: Mapping[str, Any], view: View, derived: Mapping[str, Any]) -> dict[str, Any]:
    """The same out of what OCCI shows: mixins that clients made are no matter of EC2's."""
    passed = {"occi.core.id", *view.alone, *(name for name, word in derived.items() if word is UNSAID)}
    attributes = {name: value for name, value in _attributes(shown).items() if name not in passed}
    mixins = {each for each in shown.get("mixins", []) if not each.startswith("http://example.org/")}
    if derived.get(PUBLIC_KEY) is UNSAID:
        mixins.discard(SSH_KEY)
    links = {
        (each["kind"].removeprefix(INFRASTRUCTURE), each["target"]["location"])
        for each in shown.get("links", [])
    }
    attributes |= {name: UNSAID for name, word in derived.items() if word is UNSAID}
    return {**attributes, "mixins": mixins, **({"links": links} if "links" in derived else {})}


# EC2's descriptions -------------------------------------------------------------------------------------


def _instance(faces: Faces, instance_id: str) -> Told:
    [reservation] = faces.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return _one(reservation["Instances"])


def _volume(faces: Faces, volume_id: str) -> Told:
    return _one(faces.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"])


def _attachment(faces: Faces, volume_id: str) -> Told:
    return _one(_volume(faces, volume_id)["Attachments"])


def _subnet(faces: Faces, subnet_id: str) -> Told:
    return _one(faces.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"])


def _nic(faces: Faces, nic_id: str) -> Told:
    found = _one(faces.ec2.describe_network_interfaces(NetworkInterfaceIds=[nic_id])["NetworkInterfaces"])
    found["Attachment"]  # noqa: B018 - what is attached to nothing is no link
    return found


def _group(faces: Faces, group_id: str) -> Told:
    return _one(faces.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"])


def _membership(faces: Faces, both: str) -> Told:
    instance_id, group_id = both.split()
    instance = _instance(faces, instance_id)
    _one([each for each in instance["SecurityGroups"] if each["GroupId"] == group_id])
    return {"InstanceId": instance_id, "GroupId": group_id, "State": instance["State"]["Name"]}


def _address(faces: Faces, allocation_id: str) -> Told:
    return _one(faces.ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"])


def _association(faces: Faces, allocation_id: str) -> Told:
    found = _address(faces, allocation_id)
    found["AssociationId"]  # noqa: B018 - a link begins at a machine
    return found


def _one(found: Sequence[Any]) -> Any:
    if not found:
        raise LookupError
    [one] = found
    return one


# Words --------------------------------------------------------------------------------------------------


def _name(_: Faces, told: Told) -> str | None:
    return next(
        (tag["Value"] for tag in told.get("Tags", told.get("TagSet", [])) if tag["Key"] == "Name"), None
    )


def _type(faces: Faces, told: Told) -> Told:
    return _one(faces.ec2.describe_instance_types(InstanceTypes=[told["InstanceType"]])["InstanceTypes"])


def _key(faces: Faces, told: Told) -> Any:
    """The key pair's; of a key that came by OCCI, without a name, EC2 tells nothing."""
    if "KeyName" not in told:
        return UNSAID
    pair = _one(faces.ec2.describe_key_pairs(KeyNames=[told["KeyName"]], IncludePublicKey=True)["KeyPairs"])
    return pair["PublicKey"].strip()


def _user_data(faces: Faces, told: Told) -> str | None:
    asked = faces.ec2.describe_instance_attribute(InstanceId=told["InstanceId"], Attribute="userData")
    found: str | None = asked["UserData"].get("Value")
    return found


def _places(zone: str) -> set[str]:
    return {f"{OURS}availability_zone#{zone}", f"{OURS}region#{zone[:-1]}"}


def _compute_mixins(faces: Faces, told: Told) -> set[str]:
    templates = faces.occi.model()
    size = [each["scheme"] + each["term"] for each in templates if each.get("title") == told["InstanceType"]]
    context = {SSH_KEY: _key(faces, told), USER_DATA: _user_data(faces, told)}
    given = {mixin for mixin, value in context.items() if value not in {None, UNSAID}}
    return {f"{OURS}os_tpl#{told['ImageId']}", *size, *given, *_places(told["Placement"]["AvailabilityZone"])}


def _compute_links(faces: Faces, told: Told) -> set[tuple[str, str]]:
    nics = told["NetworkInterfaces"]
    held = faces.ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [told["InstanceId"]]}])[
        "Addresses"
    ]
    reserved = {each["PublicIp"]: path_of("ipreservation", each["AllocationId"]) for each in held}
    public = [nic["Association"]["PublicIp"] for nic in nics if "Association" in nic]
    return {
        *(
            ("storagelink", path_of("storage", each["Ebs"]["VolumeId"]))
            for each in told["BlockDeviceMappings"]
        ),
        *(("networkinterface", path_of("network", each["SubnetId"])) for each in nics),
        *(("networkinterface", reserved.get(each, _outside(faces))) for each in public),
        *(
            ("securitygrouplink", path_of("securitygroup", each["GroupId"]))
            for each in told["SecurityGroups"]
        ),
    }


def _outside(faces: Faces) -> str:
    """The network outside, which lends addresses: EC2 knows it as no subnet of anybody's."""
    subnets = {path_of("network", each["SubnetId"]) for each in faces.ec2.describe_subnets()["Subnets"]}
    return str(_one(sorted(faces.listed("network") - subnets)))


def _network_mixins(faces: Faces, told: Told) -> set[str]:
    """What the routes lead to (OCCI-EXT-009)."""
    tables = faces.ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [told["VpcId"]]}])[
        "RouteTables"
    ]
    own = [
        each for each in tables if any(a.get("SubnetId") == told["SubnetId"] for a in each["Associations"])
    ]
    main = [each for each in tables if any(a["Main"] for a in each["Associations"])]
    ways = [each for each in (own or main)[0]["Routes"] if each["DestinationCidrBlock"] == "0.0.0.0/0"]
    way = ways[0] if ways else {}
    reach = (
        "public"
        if way.get("GatewayId", "").startswith("igw-")
        else "nat"
        if "NatGatewayId" in way
        else "private"
    )
    ours = f"{INFRASTRUCTURE[:-1]}/network#ipnetwork"
    return {ours, f"{NETWORKS}{reach}_net", *_places(told["AvailabilityZone"])}


def _gateway(cidr: str) -> str:
    return str(ip_network(cidr)[1])


def _running(state: str, *, active: bool = True) -> Any:
    """The state of a machine's link."""
    if state == "stopping":
        return OneOf({"active", "inactive"})
    return "active" if state == "running" and active else "inactive"


def _state_of(faces: Faces, instance_id: str) -> str:
    return str(_instance(faces, instance_id)["State"]["Name"])


def _rules(_: Faces, told: Told) -> list[dict[str, str]]:
    """The rules as OCCI writes them, in its order: what may come in first."""
    rules = _one_way(told["IpPermissions"], "inbound") + _one_way(told["IpPermissionsEgress"], "outbound")
    return _Unordered(rules)


class _Unordered(list[Any]):
    """Equal whatever the order of the members."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and sorted(self, key=repr) == sorted(
            (dict(sorted(e.items())) for e in other), key=repr
        )

    __hash__ = None  # type: ignore[assignment]


def _one_way(permissions: Sequence[Told], direction: str) -> list[dict[str, str]]:
    found = []
    for each in permissions:
        first, last = str(each.get("FromPort", "")), str(each.get("ToPort", ""))
        rule = {
            "type": direction,
            "protocol": "all" if each["IpProtocol"] == "-1" else each["IpProtocol"],
            "port": first if last in {first, "-1"} else f"{first}-{last}",
        }
        sources = [
            *(
                {"range": one["CidrIp"], "ipversion": "ipv4", "description": one.get("Description", "")}
                for one in each["IpRanges"]
            ),
            *(
                {"group": path_of("securitygroup", one["GroupId"]), "description": one.get("Description", "")}
                for one in each["UserIdGroupPairs"]
            ),
        ]
        found += [{**rule, **source} for source in sources]
    return [{name: rule[name] for name in sorted(rule) if rule[name]} for rule in found]


def _ends(
    kind: str, source: Callable[[Told], str], target: Callable[[Told], str]
) -> dict[str, Callable[[Faces, Told], Any]]:
    return {
        "occi.core.source": lambda _, told: path_of("compute", source(told)),
        "occi.core.source.kind": lambda _, __: f"{INFRASTRUCTURE}compute",
        "occi.core.target": lambda _, told: path_of(kind, target(told)),
        "occi.core.target.kind": lambda _, __: INFRASTRUCTURE + kind,
    }


def _volume_state(_: Faces, told: Told) -> Any:
    """Its owner may have taken it offline by OCCI, of which EC2 knows nothing."""
    return OneOf({"online", "offline"}) if told["State"] in {"available", "in-use"} else "offline"


_INTERFACE = f"{INFRASTRUCTURE[:-1]}/networkinterface#ipnetworkinterface"

VIEWS: Mapping[str, View] = {
    "compute": View(
        _instance,
        {
            "occi.core.title": _name,
            "occi.compute.architecture": lambda _, told: {"x86_64": "x64", "i386": "x86"}[
                told["Architecture"]
            ],
            "occi.compute.cores": lambda faces, told: _type(faces, told)["VCpuInfo"]["DefaultVCpus"],
            "occi.compute.memory": lambda faces, told: _type(faces, told)["MemoryInfo"]["SizeInMiB"] / 1024,
            "occi.compute.state": lambda _, told: OneOf(TOGETHER[told["State"]["Name"]]),
            PUBLIC_KEY: _key,
            "occi.compute.userdata": _user_data,
        },
        _compute_mixins,
        _compute_links,
        frozenset(
            {"occi.core.summary", "occi.compute.hostname", "occi.compute.state.message", "occi.compute.share"}
        ),
    ),
    "storage": View(
        _volume,
        {
            "occi.core.title": _name,
            "occi.storage.size": lambda _, told: float(told["Size"]),
            "occi.storage.state": _volume_state,
            "occi.storage.state.message": lambda _, told: Begins(told["State"]),
        },
        lambda _, told: _places(told["AvailabilityZone"]),
        alone=frozenset({"occi.core.summary"}),
    ),
    "storagelink": View(
        _attachment,
        {
            **_ends("storage", lambda told: told["InstanceId"], lambda told: told["VolumeId"]),
            "occi.storagelink.deviceid": lambda _, told: told["Device"],
            "occi.storagelink.state": lambda faces, told: _running(
                _state_of(faces, told["InstanceId"]), active=told["State"] == "attached"
            ),
            "occi.storagelink.state.message": lambda _, told: Begins(told["State"]),
        },
        alone=frozenset({"occi.core.title", "occi.storagelink.mountpoint"}),
    ),
    "network": View(
        _subnet,
        {
            "occi.core.title": _name,
            "occi.network.address": lambda _, told: told["CidrBlock"],
            "occi.network.gateway": lambda _, told: _gateway(told["CidrBlock"]),
            "occi.network.allocation": lambda _, __: "dynamic",
        },
        _network_mixins,
        alone=frozenset(
            {
                "occi.core.summary",
                "occi.network.vlan",
                "occi.network.label",
                "occi.network.state",
                "occi.network.state.message",
            }
        ),
    ),
    "networkinterface": View(
        _nic,
        {
            **_ends("network", lambda told: told["Attachment"]["InstanceId"], lambda told: told["SubnetId"]),
            "occi.core.title": _name,
            "occi.networkinterface.interface": lambda _, told: f"eth{told['Attachment']['DeviceIndex']}",
            "occi.networkinterface.mac": lambda _, told: told["MacAddress"],
            "occi.networkinterface.state": lambda faces, told: _running(
                _state_of(faces, told["Attachment"]["InstanceId"]),
                active=told["Attachment"]["Status"] == "attached",
            ),
            "occi.networkinterface.state.message": lambda _, told: Begins(told["Attachment"]["Status"]),
            "occi.networkinterface.address": lambda _, told: told["PrivateIpAddress"],
            "occi.networkinterface.gateway": lambda faces, told: _gateway(
                _subnet(faces, told["SubnetId"])["CidrBlock"]
            ),
        },
        lambda _, __: {_INTERFACE},
        alone=frozenset({"occi.networkinterface.allocation"}),
    ),
    "securitygroup": View(
        _group,
        {
            "occi.core.title": lambda faces, told: _name(faces, told) or told["GroupName"],
            "occi.core.summary": lambda _, told: told["Description"] or None,
            "occi.securitygroup.rules": _rules,
            "occi.securitygroup.state": lambda _, __: "active",
            "occi.securitygroup.state.message": lambda _, told: Begins(f"in {told['VpcId']}"),
        },
    ),
    "securitygrouplink": View(
        _membership,
        {
            **_ends("securitygroup", lambda told: told["InstanceId"], lambda told: told["GroupId"]),
            "occi.securitygrouplink.state": lambda _, told: _running(told["State"]),
        },
        alone=frozenset({"occi.core.title"}),
    ),
    "ipreservation": View(
        _address,
        {
            "occi.core.title": _name,
            "occi.ipreservation.address": lambda _, told: told["PublicIp"],
            "occi.ipreservation.used": lambda _, told: "AssociationId" in told,
            "occi.ipreservation.state.message": lambda _, told: (
                f"leads to {told['PrivateIpAddress']}" if "AssociationId" in told else "leads nowhere"
            ),
        },
        lambda _, told: {POOLS + told["PublicIpv4Pool"]},
        alone=frozenset(
            {
                "occi.core.summary",
                "occi.network.state",
                "occi.network.state.message",
                "occi.ipreservation.state",
            }
        ),
    ),
    "floating": View(
        _association,
        {
            **_ends("ipreservation", lambda told: told["InstanceId"], lambda told: told["AllocationId"]),
            "occi.networkinterface.address": lambda _, told: told["PublicIp"],
            "occi.networkinterface.mac": lambda faces, told: _nic(faces, told["NetworkInterfaceId"])[
                "MacAddress"
            ],
            "occi.networkinterface.interface": lambda faces, told: (
                f"eth{_nic(faces, told['NetworkInterfaceId'])['Attachment']['DeviceIndex']}"
            ),
            "occi.networkinterface.state": lambda faces, told: _running(_state_of(faces, told["InstanceId"])),
            "occi.networkinterface.state.message": lambda _, told: (
                f"associated: leads to {told['PrivateIpAddress']}"
            ),
            "occi.networkinterface.allocation": lambda _, __: "dynamic",
        },
        lambda _, told: {_INTERFACE, POOLS + told["PublicIpv4Pool"]},
        alone=frozenset({"occi.core.title"}),
    ),
}
"""What each of OCCI's attributes is in EC2's description, by kind."""
