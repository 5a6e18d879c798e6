"""One installation: its settings, keys and database put together, and the first things made in it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from backend import jobs
from backend.commands import (
    Command,
    CreateAccessKey,
    CreateTenant,
    CreateUser,
    PutFlavor,
    RegisterImage,
)
from backend.engine import Engine
from backend.errors import BackendError, Code, DryRunPassed
from backend.images import IN_PLACE, ImageStore, Sources
from backend.model import Api, Caller, Content, Image, Role, Tenant, User, Value
from backend.ports import Progress, no_progress
from backend.store import Store
from gateway import flavors
from gateway.crypto import KeyFiles, KeyVault, Passwords, SecretBox, new_key_id, new_password, new_secret
from gateway.home import Home, write_private
from gateway.scratch import scratch_name
from gateway.settings import NotConfigured, Settings, checked, load, written
from gateway.uploads import Uploads

FIRST_TENANT = "default"
SIMULATED_IMAGE = "simulated"
_CHUNK: Final = 1 << 20


class Credentials(Value, frozen=True, kw_only=True):
    """What a user needs to log in by both faces; secrets are told once and never again."""

    tenant: str
    account_id: str
    access_key: str
    secret_key: str
    occi_user: str
    occi_password: str


class Installation:
    """The parts of an installation in one process. Opens nothing before it is used, so it survives a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Home(path=settings.home)
        self.keys = KeyFiles(self.home)
        self.store = Store(settings.database_url)
        self.queue = jobs.Queue(self.store)
        self.engine = Engine(self.store, self.queue, settings.engine(), vault=KeyVault(self.keys))
        self.uploads = Uploads(
            self.home.uploads,
            most_bytes=settings.images.upload_bytes,
            tenant_bytes=settings.images.tenant_upload_bytes,
        )
        self.images = ImageStore(self.home.images, sources=self._tenants_sources())

    @classmethod
    def at(cls, home: Path, **overrides: object) -> Installation:
        """The installation of a home directory; raises NotConfigured when there is none, or it was moved."""
        settings = load(home, **overrides)
        _check_place(Home(path=settings.home))
        return cls(settings)

    def migrate(self) -> None:
        """Bring the database to the newest revision, the job library's tables too."""
        self.store.migrate()
        jobs.migrate(self.store)

    def _tenants_sources(self) -> Sources:
        """Where images of tenants may come from; the operator's at the command line come from anywhere."""
        images = self.settings.images
        uploads = self.home.uploads if images.uploads else None
        return Sources(directories=images.directories, urls=images.urls, uploads=uploads)

    def operators_images(self) -> ImageStore:
        """The image store as the operator fills it: from any file and any URL."""
        return ImageStore(self.home.images, sources=Sources(directories=None, urls=None))

    def box(self) -> SecretBox:
        """Opens and seals secret keys; raises KeyUnusable without its key."""
        return SecretBox(self.keys.at_rest)

    def close(self) -> None:
        """Close the database's connections."""
        self.store.close()


def _check_place(home: Home) -> None:
    made = home.moved_from()
    if made is None:
        return
    known = f"{home.path} was made as {made}: images, disks and guests are known by their paths there."
    if made.exists():
        raise NotConfigured(
            f"{known} If this is a copy, use {made}; two of them would fight over the guests."
        )
    raise NotConfigured(f"{known} Move it back, or let the old path lead here: ln -s {home.path} {made}")


def operator(name: str = "operator", *, request_id: str = "") -> Caller:
    """The administrator at the command line, who sees all tenants."""
    return Caller(
        tenant_id="",
        account_id="",
        user_id="",
        user_name=name,
        role=Role.ADMIN,
        api=Api.CLI,
        request_id=request_id,
    )


def acting_for(tenant: Tenant, region: str = "") -> Caller:
    """The administrator doing something in a tenant's name, in a region or the default one."""
    return Caller(
        tenant_id=tenant.id,
        account_id=tenant.account_id,
        user_id="",
        user_name="operator",
        role=Role.ADMIN,
        api=Api.CLI,
        region=region,
    )


def acting_as(user: User, tenant: Tenant, region: str = "") -> Caller:
    """A tenant's user at the command line, who can do and see what that user can, whatever its role."""
    return Caller(
        tenant_id=tenant.id,
        account_id=tenant.account_id,
        user_id=user.id,
        user_name=user.name,
        role=Role.MEMBER,
        api=Api.CLI,
        region=region,
    )


def make(
    home: Path,
    *,
    listen: str,
    regions: dict[str, tuple[str, ...]],
    database: str = "",
    account_id: str | None = None,
) -> tuple[Installation, Credentials]:
    """Make a home directory with settings, keys, database, flavors and a first tenant.

    Raises:
        NotConfigured: the directory is an installation already, or a setting is wrong. Nothing was changed.
    """
    home = home.expanduser().absolute()
    place = Home(path=home)
    if place.config.exists():
        raise NotConfigured(f"{home} is an Isthmus home already; nothing was changed.")
    if not place.is_vacant():
        raise NotConfigured(
            f"{home} has other things in it and is no Isthmus home; nothing was changed. "
            f"Choose a new or an empty directory, for example: --home {home / 'isthmus'}"
        )
    checked(home, listen=listen, regions=regions, database=database)
    place.make()
    KeyFiles(place).make()
    write_private(place.config, written(listen, regions, database).encode(), exclusive=True)
    try:
        installation = Installation.at(home)
        installation.migrate()
        _check_unused(installation)
        put_flavors(installation)
        return installation, create_tenant(installation, FIRST_TENANT, account_id)
    except BaseException:
        place.config.unlink()  # so that the command can be repeated
        raise


def _check_unused(installation: Installation) -> None:
    if installation.engine.tenants():
        raise NotConfigured(
            "The database belongs to an installation already. To run this machine as a part of it, copy "
            "isthmus.toml and keys/ from the home directory there."
        )


def put_flavors(installation: Installation) -> None:
    """Offer the default sizes."""
    for flavor in flavors.DEFAULTS:
        installation.engine.execute(operator(), PutFlavor(flavor=flavor))


def create_tenant(installation: Installation, name: str, account_id: str | None = None) -> Credentials:
    """Add a tenant with a user of the same name, who can use both faces."""
    if installation.engine.by_name(name) is not None:  # asked before anything is made
        raise BackendError(Code.USER_EXISTS, f"There is a user {name} already.", name=name)
    tenant = installation.engine.execute(operator(), CreateTenant(name=name, account_id=account_id))
    _, password = create_user(installation, tenant, name)
    key_id, secret = create_key(installation, name)
    return Credentials(
        tenant=tenant.name,
        account_id=tenant.account_id,
        access_key=key_id,
        secret_key=secret,
        occi_user=name,
        occi_password=password,
    )


def create_user(
    installation: Installation,
    tenant: Tenant,
    name: str,
    *,
    password: str | None = None,
    role: Role = Role.MEMBER,
) -> tuple[User, str]:
    """Add a user; answers it with its password, a random one unless given."""
    password = password or new_password()
    user = installation.engine.execute(
        operator(),
        CreateUser(tenant_id=tenant.id, name=name, password_hash=Passwords().hash(password), role=role),
    )
    return user, password


def create_key(installation: Installation, user_name: str) -> tuple[str, str]:
    """Add an access key for a user; answers its id and secret."""
    key_id, secret = new_key_id(), new_secret()
    sealed = installation.box().seal(key_id, secret)
    installation.engine.execute(
        operator(), CreateAccessKey(key_id=key_id, user_name=user_name, secret=sealed)
    )
    return key_id, secret


_YET_TO_COME: Final = Content(checksum="0" * 64, path="", format="raw", size_bytes=0, virtual_bytes=0)


def import_image(
    installation: Installation,
    caller: Caller,
    source: str | BinaryIO,
    wanted: RegisterImage,
    *,
    form: str = "",
    digest: str = "",
    then: Sequence[Command[Any]] = (),
    progress: Progress = no_progress,
) -> tuple[Image, list[Any]]:
    """Register a disk image that is yet to be brought in: from a path, a URL, or an open file.

    ``form`` is its format and ``digest`` (``sha256:…``) what its bytes hash to, when they are known.
    ``then`` is done in the same transaction, all or nothing; answers the image, and what that answers.

    Raises:
        BackendError: it was refused. Whether it would be is asked before the copy, and nothing stays of one.
    """
    with suppress(DryRunPassed):
        installation.engine.execute(
            caller, msgspec.structs.replace(wanted, content=_YET_TO_COME), dry_run=True
        )
    store = installation.operators_images()
    with scratch_name(store, installation.home.run) as name:
        if isinstance(source, str):
            location = source
        else:
            location = IN_PLACE
            with Path(store.scratch(name)).open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
        content = store.bring(name, location, form, progress, digest=digest)
    try:
        image, *others = installation.engine.execute_all(
            caller, [msgspec.structs.replace(wanted, content=content), *then]
        )
    except BaseException:
        discard(installation, content)
        raise
    return image, others


def discard(installation: Installation, content: Content) -> None:
    """Remove what was brought in, unless something refers to the same bytes."""
    with installation.store.read() as tx:
        known = tx.contents.get(content.checksum)
    if known is None:
        installation.images.remove(content)


def simulated_image(installation: Installation) -> Image | None:
    """A public image for simulated hosts, so that instances can be launched there without any disk image.

    None when the installation has images, or lost its first tenant.
    """
    engine = installation.engine
    tenant = engine.tenant(FIRST_TENANT)
    if tenant is None or engine.images(operator()):
        return None
    return engine.execute(
        acting_for(tenant),
        RegisterImage(
            name=SIMULATED_IMAGE,
            description="An empty disk, for simulated hosts",
            content=installation.images.empty(),
            public=True,
        ),
    )
