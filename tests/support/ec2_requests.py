"""Requests made up from the input shape of an operation: what clients send, and what nobody should.

A request is a list of names and values as they are on the wire. Its values are of the right kind as a rule:
ids of things that are there, words of the model's enumerations, numbers in reach. One value in some is not:
ids of others' things, of another kind or of no shape, wrong types, unknown names, empty and odd texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ec2_population import BUCKET, KEY, SOURCE, ZONES
from hypothesis import strategies as st

from rendering.query_shapes import Kind, ListOf, Member, Scalar, Shape, Structure

Pair = tuple[str, str]
Ids = Mapping[str, Sequence[str]]

_ZEROS = "0" * 17
MALFORMED = ("i-xyz", "vol-123", "-", "0123456789abcdef0", "sg-0123456789ABCDEF0", "ami_12345678", "*")
ODD = (
    "", " ", "é", "日本語", "😀", "\u202eabc", "a\u0301", "\x7f", "null", "None", "../../etc/passwd", "%s%n",
    "'; DROP TABLE instance; --", "<a>&amp;</a>", "]]>", "\t", "a\r\nb", "x" * 300, "𝒳", "\\", "*", "?", "[", "${x}",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "2", "5", "8", "10", "22", "100", "1000", "3000", "65535", "65536", "2147483647", "-2147483648",
    "2147483648", "9223372036854775807", "99999999999999999999", "1.5", "1e3", "", "abc", "٣", "0x10", "+7", " 1",
)  # fmt: skip

#: What an id must begin with, by how its parameter's name ends; the longest ending wins.
PREFIXES: Mapping[str, str] = {
    "AllocationId": "eipalloc",
    "AssociationId": "eipassoc rtbassoc aclassoc vpc-cidr-assoc subnet-cidr-assoc",
    "AttachmentId": "eni-attach",
    "CancelImportTaskRequest.ImportTaskId": "import-ami import-snap",
    "DhcpOptionsId": "dopt",
    "ExportImageTaskId": "export-ami",
    "GatewayId": "igw nat",
    "GroupId": "sg pg",
    "Groups": "sg",
    "ImageId": "ami",
    "ImportTaskId": "import-ami import-snap",
    "InstanceId": "i",
    "InternetGatewayId": "igw",
    "KeyPairId": "key",
    "LaunchTemplateId": "lt",
    "NatGatewayId": "nat",
    "NetworkAclId": "acl",
    "NetworkInterfaceId": "eni",
    "ReservationId": "r",
    "Resource": "i vol snap ami sg vpc subnet eni igw rtb key eipalloc",
    "ResourceId": "i vol snap ami sg sgr vpc subnet eni igw rtb acl dopt nat key eipalloc import-ami lt pg",
    "RouteTableId": "rtb",
    "SecurityGroup": "sg",
    "SecurityGroupId": "sg",
    "SecurityGroupRuleId": "sgr",
    "SnapshotId": "snap",
    "SubnetId": "subnet",
    "VolumeId": "vol",
    "VpcId": "vpc",
}
_CIDRS = (
    "10.8.3.0/24", "10.8.1.0/24", "10.0.0.0/16", "172.31.0.0/20", "0.0.0.0/0", "10.8.1.1/24", "10.8.0.0/8",
    "10.8.1.0/33", "::/0", "2001:db8::/64", "10.8.1", "not a range", "10.9.0.0/24", "192.168.0.0/28",
)  # fmt: skip
_ADDRESSES = (
    "10.8.1.9",
    "10.8.1.1",
    "172.31.0.9",
    "203.0.113.1",
    "256.1.1.1",
    "::1",
    "10.8.1.255",
    "1.2.3.4",
)

#: Texts with a meaning, by how the parameter's name ends.
WORDS: Mapping[str, Sequence[str]] = {
    "Attribute": ("description", "launchPermission", "userData", "attachment", "groupSet", "nonsense"),
    "AvailabilityZone": (*ZONES, "us-east-1z", "eu-west-1a"),
    "AvailabilityZoneId": ("use1-az1", "use1-az2", "use1-az9"),
    "Cidr": _CIDRS,
    "CidrBlock": _CIDRS,
    "CidrIp": _CIDRS,
    "CidrIpv4": _CIDRS,
    "CidrIpv6": ("::/0", "2001:db8::/64", "2001:db8::1/64", "0.0.0.0/0"),
    "DestinationRegion": ("us-east-1", "eu-west-1"),
    "DeviceName": ("/dev/sdf", "/dev/sdg", "/dev/vda", "/dev/xvda", "sdh", "/dev/sda1"),
    "Device": ("/dev/sdf", "/dev/sdg", "/dev/vda", "sdh", "/dev/sdzz"),
    "Domain": ("vpc", "standard", "nothing"),
    "Encrypted": ("true", "false"),
    "ExecutableBy": ("self", "all", "111122223333", "nobody"),
    "Format": ("RAW", "qcow2", "VMDK", "iso"),
    "GroupName": ("web", "plain", "default", "apart", "new", "sg-x"),
    "ImageLocation": (SOURCE, "bucket/image.manifest.xml", "file:///etc/passwd"),
    "InstanceType": ("t2.nano", "t2.large", "t2.nothing", "*"),
    "IpProtocol": ("tcp", "udp", "icmp", "icmpv6", "-1", "6", "17", "50", "256", "TCP", "nothing"),
    "Key": ("Name", "Stage", "aws:x", "k" * 129, "domain-name", "domain-name-servers", "ntp-servers"),
    "KeyName": ("ours", "plain", "new", "nobody's"),
    "LaunchTemplateName": ("template", "nothing", "new-one"),
    "Name": ("new", "saved", "a/b", "no", "n" * 129),
    "Owner": ("self", "amazon", "111122223333", "444455556666"),
    "Ip": _ADDRESSES,
    "IpAddress": _ADDRESSES,
    "PrivateIpAddress": _ADDRESSES,
    "Protocol": ("6", "17", "1", "-1", "tcp", "50", "256"),
    "PublicIp": _ADDRESSES,
    "PublicKeyMaterial": (KEY, "not a key", "ssh-rsa AAAA"),
    "RegionName": ("us-east-1", "eu-west-1"),
    "ResourceType": ("instance", "volume", "vpc", "subnet", "image", "snapshot", "network-interface", "nothing"),
    "S3Bucket": (BUCKET, "nowhere", "../x"),
    "SourceRegion": ("us-east-1", "eu-west-1"),
    "Url": (SOURCE, "http://nowhere.example/x", "file:///etc/passwd"),
    "UserData": ("eA==", "not base64!", "eA", ""),
    "UserId": ("111122223333", "444455556666", "1", "self"),
    "UserGroup": ("all", "none"),
    "Version": ("1", "$Latest", "$Default", "7"),
    "ZoneName": ZONES,
}  # fmt: skip

Draw = st.DrawFn


def prefixes_of(name: str) -> tuple[str, ...]:
    """The prefixes of ids that a parameter takes; none for a parameter that takes no id."""
    word = name.rstrip("0123456789.")
    best = max((ending for ending in PREFIXES if word.endswith(ending)), key=len, default="")
    return tuple(PREFIXES[best].split()) if best else ()


class Generator:
    """Makes requests of operations, out of ids that the caller and another tenant have."""

    def __init__(
        self,
        mine: Ids,
        theirs: Ids,
        filters: Mapping[str, Sequence[str]],
        seeds: Mapping[str, Sequence[Sequence[Pair]]],
    ) -> None:
        self._mine, self._theirs, self._filters, self._seeds = mine, theirs, filters, seeds

    def requests(self, name: str, shape: Structure) -> st.SearchStrategy[list[Pair]]:
        """The strategy of requests of an operation with this input shape."""

        @st.composite
        def made(draw: Draw) -> list[Pair]:
            pairs = self._structure(draw, shape, "", name, 0)
            seeds = self._seeds.get(name)
            if seeds and draw(st.integers(0, 3)):  # most begin with what is right, and go astray somewhere
                strays = pairs[: draw(st.integers(0, 2))] if draw(st.booleans()) else pairs[-2:]
                pairs = [*draw(st.sampled_from(seeds)), *strays]
                if pairs and draw(_chance(3)):
                    del pairs[draw(st.integers(0, len(pairs) - 1))]
            if draw(_chance(20)):
                pairs.append(
                    (draw(st.sampled_from(["Nonsense", "InstanceId.x", "a.b.c", "Filter.1.x"])), "1")
                )
            if draw(_chance(20)):
                pairs.append(("DryRun", draw(st.sampled_from(["true", "false", "maybe"]))))
            return list(dict(pairs).items())

        return made()

    def _structure(self, draw: Draw, shape: Structure, prefix: str, name: str, depth: int) -> list[Pair]:
        found: list[Pair] = []
        for member in shape.members:
            if member.name == "DryRun" or not draw(self._wanted(member, len(shape.members), depth)):
                continue
            found += self._value(draw, member.shape, prefix + member.request_name, name, depth)
        return found

    def _wanted(self, member: Member, among: int, depth: int) -> st.SearchStrategy[bool]:
        if member.required:
            return st.integers(0, 29).map(lambda drawn: drawn < 29)
        if member.name == "NextToken":
            return _chance(25)
        return _chance(3 if depth or among < 6 else min(among // 2, 12))

    def _value(self, draw: Draw, shape: Shape, path: str, name: str, depth: int) -> list[Pair]:
        match shape:
            case Structure() if path.startswith("Filter.") and depth < 2:
                return self._filter(draw, path, name)
            case Structure():
                return self._structure(draw, shape, path + ".", name, depth + 1)
            case ListOf():
                size = draw(st.sampled_from([1, 1, 1, 2, 2, 3, 0]))
                if not size:
                    return [(path, "")]
                return [
                    pair
                    for number in range(1, size + 1)
                    for pair in self._value(draw, shape.item, f"{path}.{number}", name, depth + 1)
                ]
            case Scalar():
                return [(path, self._scalar(draw, shape, path))]

    def _filter(self, draw: Draw, path: str, name: str) -> list[Pair]:
        names = [*self._filters.get(name, ()), "tag:Name", "nonsense"]
        values = ["*", "", "true", "web", "available", "1", *(each[0] for each in self._mine.values())]
        chosen = draw(st.sampled_from(names))
        drawn = draw(st.lists(st.sampled_from(values), max_size=3))
        return [(f"{path}.Name", chosen)] + [
            (f"{path}.Value.{number}", value) for number, value in enumerate(drawn, 1)
        ]

    def _scalar(self, draw: Draw, shape: Scalar, path: str) -> str:
        wrong = draw(_chance(25))
        prefixes = prefixes_of(path)
        if wrong:
            return draw(st.sampled_from([*ODD, *MALFORMED, *NUMBERS]))
        if shape.choices:
            return draw(st.sampled_from(sorted(shape.choices)))
        if prefixes and shape.kind is Kind.STRING:
            return self._id(draw, prefixes)
        match shape.kind:
            case Kind.BOOLEAN:
                return draw(st.sampled_from(["true", "false"]))
            case Kind.TIMESTAMP:
                return draw(
                    st.sampled_from(["2027-01-01T00:00:00Z", "2040-02-03", "1970-01-01T00:00:00.000Z"])
                )
            case Kind.BLOB:
                return "c3NoLWVkMjU1MTkgQUFBQQ=="
            case Kind.STRING:
                return self._text(draw, path)
            case _:
                return draw(st.one_of(st.integers(0, 12).map(str), st.sampled_from(NUMBERS)))

    def _text(self, draw: Draw, path: str) -> str:
        word = path.rstrip("0123456789.")
        best = max((ending for ending in WORDS if word.endswith(ending)), key=len, default="")
        if best:
            return draw(st.sampled_from(WORDS[best]))
        return draw(st.one_of(st.sampled_from(["default", "a", "1", "x y"]), st.sampled_from(ODD)))

    def _id(self, draw: Draw, prefixes: Sequence[str]) -> str:
        prefix = draw(st.sampled_from(prefixes))
        kind = draw(st.sampled_from(["mine"] * 14 + ["theirs", "theirs", "unknown", "other", "malformed"]))
        if kind == "mine" and self._mine.get(prefix):
            return draw(st.sampled_from(self._mine[prefix]))
        if kind == "theirs" and self._theirs.get(prefix):
            return draw(st.sampled_from(self._theirs[prefix]))
        if kind == "malformed":
            return draw(st.sampled_from(MALFORMED))
        if kind == "other":
            return draw(st.sampled_from(self._mine["i" if prefix != "i" else "vol"]))
        return f"{prefix}-{_ZEROS}"


def _chance(one_in: int) -> st.SearchStrategy[bool]:
    return st.integers(1, max(one_in, 1)).map(lambda drawn: drawn == max(one_in, 1))
