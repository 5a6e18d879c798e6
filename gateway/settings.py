"""What an operator can set: ``isthmus.toml`` in the home directory, overridden by the environment.

A setting ``listen`` is the environment's ``ISTHMUS_LISTEN``; one in a table (``[deadlines] boot = 60``)
is ``ISTHMUS_DEADLINES__BOOT``. Unknown names in the file are refused, so that a typing error is found at
once. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from backend.engine import Deadlines, EngineSettings
from backend.engine.claims import addresses_of
from backend.engine.settings import NetworkSettings
from gateway.home import Home

CONFIG_FILE: Final = "isthmus.toml"
DEFAULT_REGION: Final = "us-east-1"
DEFAULT_LISTEN: Final = "127.0.0.1:8080"

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?")
_HIDDEN: Final = "***"
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]*):(?P<port>[0-9]{1,5})")


class NotConfigured(Exception):  # noqa: N818 - it says what is the case
    """The home directory has no usable configuration; the message says what to do."""


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; IPv6 addresses stand in brackets, an empty host means all.

    Raises:
        ValueError: it is something else.
    """
    match = _LISTEN.fullmatch(text)
    if match is None or not 0 <= int(match["port"]) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return match["host"].strip("[]"), int(match["port"])


def _checked_listen(text: str) -> str:
    listen_address(text)
    return text


def _checked_database(text: str) -> str:
    """The URL with psycopg 3 as PostgreSQL's driver; nothing of a wrong one is told, as it may be secret."""
    if not text:
        return text
    scheme, separator, rest = text.partition("://")
    known = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
    url = f"{known.get(scheme, scheme)}{separator}{rest}"
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        backend = ""
    if backend not in {"postgresql", "sqlite"}:
        raise ValueError("it is no URL of a database: postgresql://USER:PASSWORD@HOST/NAME")
    return url


def _masked(text: str) -> str:
    """A database's URL without its passwords, wherever in it they stand."""
    url = make_url(text)
    query = {name: _HIDDEN if "password" in name.lower() else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True).replace(quote(_HIDDEN, safe=""), _HIDDEN)


def _checked_zones(zones: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Names that can stand in a signature's scope and in a URL, each zone in one region only."""
    every = [zone for names in zones.values() for zone in names]
    if not zones or not all(zones.values()):
        raise ValueError("there must be a region, and each needs a zone")
    if bad := [name for name in (*zones, *every) if not _NAME.fullmatch(name)]:
        raise ValueError(f"{bad[0]!r}: names of regions and zones are lower-case letters, digits and dashes")
    if len(set(every)) != len(every):
        raise ValueError("a zone belongs to one region")
    return zones


def _checked_folder(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"{path} is no absolute path of a directory")
    return path


def _checked_prefix(text: str) -> str:
    """The beginning of a URL with a whole host name: ``https://example.org`` would allow example.org.evil."""
    if text in {"http://", "https://"}:  # every host with a public address
        return text
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{text!r} is no http(s) URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{text!r}: a user, a query or a fragment cannot stand in the beginning of a URL")
    if not parts.path.endswith("/"):
        raise ValueError(f"{text!r} must end with a slash: everything below it is allowed")
    return text


Seconds = Annotated[float, Field(ge=0)]
_ENGINE: Final = EngineSettings()
_DEADLINES: Final = Deadlines()


class DeadlineSettings(BaseModel):
    """How long each kind of stage may take; ``shutdown`` is the grace a guest has before the power goes.

    ``hotplug`` is how long a guest may keep a disk that is to be detached, ``transfer`` how long storage work
    that copies may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prolog: Seconds = _DEADLINES.prolog
    boot: Seconds = _DEADLINES.boot
    restore: Seconds = _DEADLINES.restore
    save: Seconds = _DEADLINES.save
    shutdown: Seconds = _DEADLINES.shutdown
    destroy: Seconds = _DEADLINES.destroy
    reboot: Seconds = _DEADLINES.reboot
    epilog: Seconds = _DEADLINES.epilog
    hotplug: Seconds = _DEADLINES.hotplug
    transfer: Seconds = _DEADLINES.transfer


class WebSettings(BaseModel):
    """The web processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: Annotated[int, Field(ge=1, le=256)] = 2
    threads: Annotated[int, Field(ge=1, le=256)] = 8
    timeout: Annotated[int, Field(ge=5)] = 60
    keepalive: Annotated[int, Field(ge=0)] = 75
    max_requests: Annotated[int, Field(ge=0)] = 100_000


class Ec2FaceSettings(BaseModel):
    """The EC2 face. ``version_2`` admits signature version 2 (HMAC-SHA1 too), which old clients know only.

    ``any_service`` accepts any region and service in a signature's scope, for clients that derive them from
    the host name (boto 2's ``connect_euca``). ``skew`` is how far a client's clock may be off for version 4.
    ``lenient`` ignores parameters that the service model does not know. ``public_domain`` is a domain in
    which somebody serves names of public addresses (``ec2-203-0-113-10.<domain>``): none without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version_2: bool = False
    any_service: bool = False
    skew: Seconds = 300.0
    skew_version_2: Seconds = 900.0
    max_body: Annotated[int, Field(ge=4096)] = 1 << 20
    lenient: bool = False
    endpoint: str = ""
    public_domain: str = ""


class LimitSettings(BaseModel):
    """How often an account may call the EC2 face, in each web process: calls a second, 0 for no limit.

    ``reading`` are the operations that only tell of things, ``changing`` all others; the bursts are how many
    calls may come at once after a pause.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reading: Annotated[float, Field(ge=0)] = 0.0
    reading_burst: Annotated[int, Field(ge=1)] = 200
    changing: Annotated[float, Field(ge=0)] = 0.0
    changing_burst: Annotated[int, Field(ge=1)] = 100


class OcciFaceSettings(BaseModel):
    """The OCCI face.

    ``domain`` stands in the schemes of this cloud's templates; keep it once clients have it.
    ``public_url`` is the origin that clients use when a proxy hides it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: str = "isthmus.local"
    public_url: str = ""
    realm: str = "isthmus"


def is_secure(url: str) -> bool:
    """Whether what a URL leads to can be believed: it is an https one, or leads to this machine."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether a host's name, or its address, means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked_issuer(text: str) -> str:
    if not is_secure(text) or "?" in text or "#" in text:
        raise ValueError(f"{text!r} is no https URL of an issuer")
    return text


def _several(given: object) -> object:
    """One text will do for a list of one."""
    return (given,) if isinstance(given, str) else given


Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""How tokens may be signed: never with a secret that both sides know (HS…), never not at all (none)."""
Named = Annotated[str, Field(min_length=1)]


class OidcTable(BaseModel):
    """An OpenID Connect issuer whose tokens open the OCCI face. One table for each.

    ``issuer`` is its URL, to the letter as its tokens say it. ``audience`` is one or several names that this
    cloud has there: a token must be for one of them. ``leeway`` is how far clocks may be off. ``scope`` is
    what a token must be allowed to do, if anything is set.

    ``claim`` and ``projects`` let in whom no one has entered here: ``projects`` leads from a value of that
    claim, as the name of a group, to the tenant in which whoever has it may work.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[str, AfterValidator(_checked_issuer)]
    audience: Annotated[tuple[Named, ...], BeforeValidator(_several), Field(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256", "PS256", "EdDSA")
    leeway: Annotated[int, Field(ge=0, le=300)] = 30
    scope: Annotated[str, Field(pattern=r"^\S*$")] = ""
    claim: str = ""
    projects: dict[Named, Named] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.claim) != bool(self.projects):
            raise ValueError("claim and projects go together: which claim, and where its values lead")
        return self


def _each_once(tables: tuple[OidcTable, ...]) -> tuple[OidcTable, ...]:
    issuers = [table.issuer for table in tables]
    if len(set(issuers)) != len(issuers):
        raise ValueError("an issuer has one table")
    return tables


def _checked_proxy(text: str) -> str:
    """An address, or a range in CIDR form; everybody is no proxy."""
    network = ipaddress.ip_network(text)
    if network.prefixlen == 0:
        raise ValueError(f"{text}: anybody could say then who he is")
    return str(network)


_HEADER = r"^([A-Za-z0-9-]+)?$"


class X509Table(BaseModel):
    """Certificates that a proxy in front has verified; no ``header``, no such door.

    ``header`` is where the proxy says the subject. ``verified`` is a second header that must then say
    ``SUCCESS``, for proxies that hand on whatever they are given. Both count only from ``proxies``: addresses
    and CIDRs. The proxy must replace these headers in requests, and leave them out when it verified nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: Annotated[str, Field(pattern=_HEADER)] = ""
    verified: Annotated[str, Field(pattern=_HEADER)] = ""
    proxies: tuple[Annotated[str, AfterValidator(_checked_proxy)], ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.header and not self.proxies:
            raise ValueError("proxies must name those whose header is believed")
        if not self.header and (self.proxies or self.verified):
            raise ValueError("header must name where the proxy says the subject")
        if self.header and self.header.lower() == self.verified.lower():
            raise ValueError("header and verified are two headers")
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that a proxy sets."""
        return tuple(filter(None, (self.header, self.verified)))


class ImageSettings(BaseModel):
    """Where tenants may take disk images from, and put them.

    ``directories`` are places on this machine, ``urls`` beginnings of http(s) URLs; each is empty for none.
    ``https://`` alone is every host with a public address; one inside must be named.
    ``uploads`` lets tenants send files to ``/uploads/``: at most ``upload_bytes`` each, and
    ``tenant_upload_bytes`` of a tenant's at a time. ``export_directory`` is where exported images are
    written; without it tenants export none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directories: tuple[Annotated[Path, AfterValidator(_checked_folder)], ...] = ()
    urls: tuple[Annotated[str, AfterValidator(_checked_prefix)], ...] = ()
    uploads: bool = True
    upload_bytes: Annotated[int, Field(ge=1)] = 64 << 30
    tenant_upload_bytes: Annotated[int, Field(ge=1)] = 256 << 30
    export_directory: Annotated[Path, AfterValidator(_checked_folder)] | None = None


def _checked_range(text: str) -> str:
    """A CIDR of IPv4 addresses."""
    return str(ipaddress.IPv4Network(text))


def _checked_pools(pools: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """CIDRs or ranges, of which no address is in two."""
    every = [each for texts in pools.values() for each in addresses_of(texts)]
    for number, one in enumerate(every):
        for other in every[number + 1 :]:
            if one.start < other.stop and other.start < one.stop:
                raise ValueError("an address is in two pools")
    if bad := [name for name in pools if not _NAME.fullmatch(name)]:
        raise ValueError(f"{bad[0]!r}: names of pools are lower-case letters, digits and dashes")
    return pools


Range = Annotated[str, AfterValidator(_checked_range)]


class NetworkTable(BaseModel):
    """Networks. ``driver`` is what makes packets obey: ``user`` needs no root, ``ovn`` Open Virtual Network.

    ``default_vpc`` is the range of the VPC that each tenant begins with. ``pools`` are public addresses by
    pool, as CIDRs or ranges; the first one is lent from. ``domain`` and ``dns`` are what guests are told.

    Of ``user``: ``outbound`` lets guests out through this machine; they reach all that it reaches then, its
    loopback interface too.

    Of ``ovn``: ``northbound`` (and ``southbound``, to see which hosts follow) are OVN's databases,
    ``tcp:HOST:6641``; with ``ssl:``, ``private_key``, ``certificate`` and ``ca_certificate`` are PEM files.
    ``provider`` is the name of the outside network in the hosts' bridge mappings, ``next_hop`` the router
    there. ``infra`` is a range on that network between routers and the metadata service, ``metadata`` where
    the latter listens in it, ``link`` a range as large for the outer sides of routers. ``gateways`` are the
    chassis that carry what leaves through NAT gateways; without any all hosts. ``mtu`` is the guests'.
    ``offload`` False is for the userspace datapath.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver: Literal["user", "ovn"] = "user"
    default_vpc: Range = _ENGINE.network.default_vpc
    pools: Annotated[dict[str, tuple[str, ...]], AfterValidator(_checked_pools)] = {}
    domain: str = ""
    dns: tuple[str, ...] = ()
    outbound: bool = False
    northbound: str = ""
    southbound: str = ""
    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    provider: str = "public"
    next_hop: str = ""
    infra: Range = "100.64.0.0/16"
    link: Range = "100.65.0.0/16"
    metadata: Annotated[str, AfterValidator(_checked_listen)] = "100.64.0.1:8775"
    gateways: tuple[str, ...] = ()
    mtu: Annotated[int, Field(ge=576, le=9000)] = 1400
    offload: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.driver != "ovn":
            return self
        if not self.northbound:
            raise ValueError("network.northbound must name OVN's northbound database: tcp:HOST:6641")
        infra = ipaddress.IPv4Network(self.infra)
        if ipaddress.IPv4Address(listen_address(self.metadata)[0]) not in infra:
            raise ValueError(f"network.metadata must lie in network.infra, {infra}")
        return self

    @property
    def public(self) -> dict[str, tuple[str, ...]]:
        """The pools; on user networks loopback addresses unless others are set."""
        return self.pools or ({"loopback": ("127.100.0.0/16",)} if self.driver == "user" else {})

    def _foreign(self) -> tuple[str, ...]:
        """Ranges of the outside network, by which routers there tell what is theirs."""
        pools = [each for texts in self.public.values() for each in addresses_of(texts)]
        public = [
            str(network)
            for each in pools
            for network in ipaddress.summarize_address_range(
                ipaddress.IPv4Address(each.start), ipaddress.IPv4Address(each.stop - 1)
            )
        ]
        return (self.infra, self.link, *public)

    def engine(self) -> NetworkSettings:
        """The engine's part."""
        from backend.drivers.ovn.capabilities import CAPABILITIES as OVN
        from backend.drivers.user_network import capabilities as user

        return NetworkSettings(
            default_vpc=self.default_vpc,
            pools=self.public,
            infra=self.infra if self.driver == "ovn" else "",
            foreign=self._foreign() if self.driver == "ovn" else (),
            capabilities=OVN if self.driver == "ovn" else user(outbound=self.outbound),
        )


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="ISTHMUS_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path
    database: Annotated[str, AfterValidator(_checked_database)] = ""
    listen: Annotated[str, AfterValidator(_checked_listen)] = DEFAULT_LISTEN
    regions: Annotated[dict[str, tuple[str, ...]], AfterValidator(_checked_zones)] = {
        DEFAULT_REGION: (f"{DEFAULT_REGION}a",)
    }
    default_flavor: str = _ENGINE.default_flavor
    done_visible: Seconds = _ENGINE.done_visible
    history: Seconds = _ENGINE.history
    pending_timeout: Seconds | None = _ENGINE.pending_timeout
    refuse_when_full: bool = True
    poll_interval: Annotated[float, Field(gt=0)] = _ENGINE.poll_interval
    keep_failed_launches: bool = _ENGINE.keep_failed_launches
    executor: str = ""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 256
    credential_memory: Seconds = 300.0
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, Field(pattern="^(json|text)$")] = "json"
    deadlines: DeadlineSettings = DeadlineSettings()
    web: WebSettings = WebSettings()
    ec2: Ec2FaceSettings = Ec2FaceSettings()
    limits: LimitSettings = LimitSettings()
    occi: OcciFaceSettings = OcciFaceSettings()
    oidc: Annotated[tuple[OidcTable, ...], AfterValidator(_each_once)] = ()
    x509: X509Table = X509Table()
    images: ImageSettings = ImageSettings()
    network: NetworkTable = NetworkTable()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line first, then the environment, then the file in the home directory."""
        home = Path(init_settings()["home"])
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / CONFIG_FILE)

    @model_validator(mode="after")
    def _known_flavor(self) -> Self:
        if not self.default_flavor:
            raise ValueError("default_flavor must name a flavor")
        return self

    @model_validator(mode="after")
    def _no_guest_is_a_proxy(self) -> Self:
        """With ``outbound`` guests reach the loopback interface, and would be taken for a proxy there."""
        local = [each for each in self.x509.proxies if ipaddress.ip_network(each).is_loopback]
        if local and self.network.driver == "user" and self.network.outbound:
            raise ValueError(
                f"x509.proxies has {local[0]}, which guests can speak from while network.outbound is true: "
                "let the proxy come from another address, or keep guests inside"
            )
        return self

    @model_validator(mode="after")
    def _outside_the_home(self) -> Self:
        """Keys, the database and other tenants' images lie in the home: none may be taken for an image."""
        home = Path(os.path.realpath(self.home))
        for folder in self.images.directories:
            place = Path(os.path.realpath(folder))
            if home.is_relative_to(place) or place.is_relative_to(home):
                raise ValueError(f"images.directories: {folder} and the home directory lie in one another")
        return self

    @property
    def database_url(self) -> str:
        """The database: SQLite in the home directory unless another is set."""
        if self.database:
            return self.database
        path = str(Home(path=self.home).database)  # whatever signs it has: they are quoted
        return URL.create("sqlite", database=path).render_as_string(hide_password=False)

    def shown(self) -> dict[str, Any]:
        """All settings by their names in the file, tables with dots, without the database's passwords."""
        found: dict[str, Any] = {}
        for name, value in self.model_dump(mode="json").items():
            if isinstance(value, dict) and name != "regions":
                found |= {f"{name}.{inner}": item for inner, item in value.items()}
            else:
                found[name] = value
        return found | {"database": _masked(self.database_url)}

    @property
    def default_region(self) -> str:
        """The first region."""
        return next(iter(self.regions))

    @property
    def executor_id(self) -> str:
        """The worker's name, the same at every start: it takes up again what it had begun."""
        return self.executor or f"worker-{os.uname().nodename}"

    def engine(self) -> EngineSettings:
        """The engine's part."""
        return EngineSettings(
            zones=dict(self.regions),
            network=self.network.engine(),
            default_flavor=self.default_flavor,
            done_visible=self.done_visible,
            history=self.history,
            pending_timeout=self.pending_timeout,
            refuse_when_full=self.refuse_when_full,
            poll_interval=self.poll_interval,
            keep_failed_launches=self.keep_failed_launches,
            deadlines=msgspec.convert(self.deadlines.model_dump(), Deadlines),
        )

    def skews(self) -> tuple[timedelta, timedelta]:
        """How far clocks may be off, for signature versions 4 and 2."""
        return timedelta(seconds=self.ec2.skew), timedelta(seconds=self.ec2.skew_version_2)


def load(home: Path, **overrides: object) -> Settings:
    """The settings of a home directory.

    Raises:
        NotConfigured: there is no configuration file, or it (or the environment) is wrong.
    """
    home = home.expanduser().absolute()
    if not (home / CONFIG_FILE).is_file():
        raise NotConfigured(f"{home} is no Isthmus home. Make one: isthmus init --home {home}")
    return checked(home, **overrides)


def checked(home: Path, **overrides: object) -> Settings:
    """Settings for a home directory that need not exist yet; raises NotConfigured for wrong ones."""
    try:
        return Settings(home=home, **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise NotConfigured(f"{home / CONFIG_FILE} (or the environment): {where}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{home / CONFIG_FILE}: {error}") from error


def written(listen: str, regions: dict[str, tuple[str, ...]], database: str) -> str:
    """The text of a first ``isthmus.toml``."""
    lines = [
        "# Settings of this Isthmus installation. All of them, with their values: isthmus settings",
        f"listen = {json.dumps(listen)}",
    ]
    if database:
        lines.append(f"database = {json.dumps(database)}")
    lines += ["", "# Regions and their zones. The first region is the default.", "[regions]"]
    lines += [f"{region} = {json.dumps(zones)}" for region, zones in regions.items()]
    return "\n".join(lines) + "\n"
