"""The engine: accepts commands in one transaction each, and answers reads from the database alone.

Nothing here touches a host. What a command needs done there is enqueued with it, in the same transaction,
and carried out by :mod:`backend.engine.runner` in the worker process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from backend import commands
from backend.engine import (
    admin,
    displays,
    identity,
    images,
    launch,
    modify,
    notes,
    operate,
    placement_groups,
    registry,
    snapshots,
    tagging,
    volumes,
)
from backend.engine.access import (
    authorise,
    instances_not_found,
    scope,
    seen_image,
    seen_snapshots,
    seen_volumes,
    usable_image,
    visible,
)
from backend.engine.launch_templates import HANDLERS as LAUNCH_TEMPLATE_HANDLERS
from backend.engine.launch_templates import LaunchTemplateReads
from backend.engine.listings import LISTED
from backend.engine.network_handlers import NETWORK_HANDLERS
from backend.engine.network_reads import NetworkReads
from backend.engine.requests import HANDLERS as REQUEST_HANDLERS
from backend.engine.settings import Deadlines, EngineSettings
from backend.engine.work import Work
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import (
    AccessKey,
    BearerToken,
    Caller,
    ChosenPath,
    Content,
    Event,
    Flavor,
    Host,
    Identity,
    Image,
    ImageState,
    Instance,
    Job,
    KeyPair,
    Membership,
    Picture,
    Snapshot,
    Stay,
    Task,
    TaskKind,
    Tenant,
    TenantRole,
    User,
    UserMixin,
    Value,
    Volume,
)
from backend.ports import JobQueue, Vault
from backend.store import (
    Conflict,
    InstanceKey,
    InstanceQuery,
    Joined,
    RowQuery,
    SessionOwner,
    Store,
    Tx,
    View,
)

__all__ = ["Deadlines", "Do", "Engine", "EngineSettings", "InstanceKey", "InstanceQuery", "RowQuery"]

R = TypeVar("R")
T = TypeVar("T")
V = TypeVar("V", bound=Value)
Do = Callable[[commands.Command[Any]], Any]
"""Carries out one command inside a transaction, and answers what it answers."""
_TRIES = 4

HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.Launch: launch.launch,
    commands.Operate: operate.operate,
    commands.ModifyInstance: modify.modify_instance,
    commands.AskPicture: displays.ask_picture,
    commands.CreateTags: tagging.create_tags,
    commands.DeleteTags: tagging.delete_tags,
    commands.ImportKeyPair: registry.import_key_pair,
    commands.DeleteKeyPair: registry.delete_key_pair,
    commands.RegisterImage: images.register_image,
    commands.ModifyImage: images.modify_image,
    commands.DeregisterImage: images.deregister_image,
    commands.CreateImage: images.create_image,
    commands.CopyImage: images.copy_image,
    commands.PublishImage: images.publish_image,
    commands.ImportImage: images.import_image,
    commands.ImportSnapshot: images.import_snapshot,
    commands.ExportImage: images.export_image,
    commands.TestImage: images.test_image,
    **NETWORK_HANDLERS,
    **placement_groups.HANDLERS,
    **LAUNCH_TEMPLATE_HANDLERS,
    commands.CreateVolume: volumes.create_volume,
    commands.DeleteVolume: volumes.delete_volume,
    commands.ModifyVolume: volumes.modify_volume,
    commands.SetVolume: volumes.set_volume,
    commands.AttachVolume: volumes.attach_volume,
    commands.DetachVolume: volumes.detach_volume,
    commands.RevertVolume: volumes.revert_volume,
    commands.CreateSnapshot: snapshots.create_snapshot,
    commands.CreateSnapshots: snapshots.create_snapshots,
    commands.CopySnapshot: snapshots.copy_snapshot,
    commands.ModifySnapshot: snapshots.modify_snapshot,
    commands.DeleteSnapshot: snapshots.delete_snapshot,
    commands.Check: admin.check,
    commands.CreateMixin: registry.create_mixin,
    commands.DeleteMixin: registry.delete_mixin,
    commands.Associate: registry.associate,
    commands.SetNotes: notes.set_notes,
    commands.AddHost: admin.add_host,
    commands.SetHostState: admin.set_host_state,
    commands.DeleteHost: admin.delete_host,
    commands.PutFlavor: admin.put_flavor,
    commands.DeleteFlavor: admin.delete_flavor,
    commands.CreateTenant: admin.create_tenant,
    commands.SetQuota: admin.set_quota,
    commands.EncryptByDefault: volumes.encrypt_by_default,
    commands.PurgeTenant: admin.purge_tenant,
    commands.CreateUser: admin.create_user,
    commands.DeleteUser: admin.delete_user,
    commands.SetPassword: admin.set_password,
    commands.CreateAccessKey: admin.create_access_key,
    commands.SetAccessKeyActive: admin.set_access_key_active,
    commands.DeleteAccessKey: admin.delete_access_key,
    commands.CreateToken: admin.create_token,
    commands.DeleteToken: admin.delete_token,
    **identity.HANDLERS,
    **REQUEST_HANDLERS,
}
"""One handler for each command of the vocabulary (a test asserts that it is complete)."""


class Engine:
    """Commands and reads. Safe to use from several threads and processes at once."""

    def __init__(
        self,
        store: Store,
        queue: JobQueue,
        settings: EngineSettings | None = None,
        clock: Callable[[], float] = time.time,
        vault: Vault | None = None,
    ) -> None:
        self.store = store
        self.queue = queue
        self.vault = vault
        self.settings = settings or EngineSettings()
        self.clock = clock
        self._tries = _TRIES
        self.networks = NetworkReads(store, self.settings)
        self.launch_templates = LaunchTemplateReads(store, self.settings)

    def execute(self, caller: Caller, command: commands.Command[R], *, dry_run: bool = False) -> R:
        """Authorise, check, claim, record and enqueue in one transaction, and answer.

        Raises:
            BackendError: the command was refused; nothing has changed.
            DryRunPassed: it would have been accepted, and ``dry_run`` was asked for.
        """
        answer: R = self.execute_all(caller, (command,), dry_run=dry_run)[0]
        return answer

    def execute_all(
        self, caller: Caller, sequence: Sequence[commands.Command[Any]], *, dry_run: bool = False
    ) -> list[Any]:
        """Carry out several commands in one transaction, all or none; answers what each of them answers.

        Raises:
            BackendError: one of them was refused; nothing has changed.
            DryRunPassed: they would have been accepted, and ``dry_run`` was asked for.
        """
        for command in sequence:
            authorise(caller, command)
        if not sequence:
            return []
        return self.together(caller, lambda do: [do(command) for command in sequence], dry_run=dry_run)

    def together(self, caller: Caller, deed: Callable[[Do], T], *, dry_run: bool = False) -> T:
        """Let a function carry out commands in one transaction, all or none: it knows each answer at once.

        The function may run several times, and so changes nothing by itself.

        Raises:
            BackendError: one of them was refused; nothing has changed.
            DryRunPassed: they would have been accepted, and ``dry_run`` was asked for.
        """
        return self._tried(lambda: self._once(caller, deed, dry_run=dry_run))

    def atomically(self, deed: Callable[[Engine], T]) -> T:
        """Let a function read and carry out commands in one transaction, all or none.

        It gets an engine to do so: what that reads is what its commands find and leave. Whoever must not come
        between the two is kept out by :class:`~backend.request_commands.Hold`. The function may run several
        times, and so changes nothing by itself.

        Raises:
            BackendError: something was refused; nothing has changed.
        """

        def once() -> T:
            with self.store.begin() as tx:
                return deed(self._joined(tx))

        return self._tried(once)

    def _joined(self, tx: Tx) -> Engine:
        """The engine inside a transaction: it tries nothing again, as only the whole can be."""
        joined = Engine(Joined(self.store, tx), self.queue, self.settings, self.clock, self.vault)
        joined._tries = 1
        return joined

    def _tried(self, once: Callable[[], T]) -> T:
        """Do something, a few times if somebody else was quicker."""
        for attempt in range(1, self._tries + 1):
            try:
                return once()
            except Conflict:  # somebody else was quicker: look again
                if attempt == self._tries:
                    raise BackendError(Code.STALE, "Too many changes at once; try again.") from None
            except BackendError as error:
                if error.code is not Code.STALE or error.context.get("final") or attempt == self._tries:
                    raise
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _once(self, caller: Caller, deed: Callable[[Do], T], *, dry_run: bool) -> T:
        with self.store.begin() as tx:
            work = self.work(tx, caller)

            def do(command: commands.Command[Any]) -> Any:
                authorise(caller, command)
                return HANDLERS[type(command)](work, command)

            answer = deed(do)
            if dry_run:
                raise DryRunPassed
            return answer

    def work(self, tx: Tx, caller: Caller) -> Work:
        """A unit of work in a transaction."""
        return Work(
            tx=tx,
            caller=caller,
            settings=self.settings,
            now=self.clock(),
            queue=self.queue,
            vault=self.vault,
        )

    # Instances ------------------------------------------------------------------------------------------

    def instance_keys(self, caller: Caller, query: InstanceQuery) -> list[InstanceKey]:
        """Ids and versions of a listing: enough to serve it from renderings cached by version."""
        with self.store.read() as tx:
            return tx.instances.keys(self._scoped(caller, query))

    def instances(self, caller: Caller, query: InstanceQuery | None = None) -> list[Instance]:
        """A listing of instances, oldest first; ended ones for as long as they are shown."""
        with self.store.read() as tx:
            return tx.instances.find(self._scoped(caller, query or InstanceQuery()))

    def instances_by_id(self, caller: Caller, ids: Sequence[str]) -> list[Instance]:
        """Instances in the order asked.

        Raises:
            BackendError: INSTANCE_NOT_FOUND with all missing ``ids``.
        """
        now = self.clock()
        with self.store.read() as tx:
            found = tx.instances.some(list(dict.fromkeys(ids)))
        missing = [
            item
            for item in dict.fromkeys(ids)
            if not visible(caller, found.get(item), now, self.settings.done_visible)
        ]
        if missing:
            raise instances_not_found(missing)
        return [found[item] for item in dict.fromkeys(ids)]

    def instance(self, caller: Caller, instance_id: str) -> Instance:
        """One instance; raises INSTANCE_NOT_FOUND."""
        return self.instances_by_id(caller, [instance_id])[0]

    def group_names(self, instances: Iterable[Instance]) -> dict[str, str]:
        """The names of the placement groups of instances that the caller was already shown, by id."""
        ids = {instance.group_id for instance in instances if instance.group_id}
        if not ids:
            return {}
        with self.store.read() as tx:
            return {group.id: group.name for group in tx.placement_groups.some(ids).values()}

    def launched(self, caller: Caller, token: str, digest: str) -> commands.Launched | None:
        """What a launch with a client token made before; None when it is to be made.

        Raises:
            BackendError: TOKEN_MISMATCH for another launch's digest, TOKEN_TERMINATED.
        """
        with self.store.read() as tx:
            return launch.replayed(self.work(tx, caller), token, digest)

    def user_data(self, caller: Caller, instance_id: str) -> bytes:
        """The user data of an instance, raw; empty when there is none."""
        self.instance(caller, instance_id)
        with self.store.read() as tx:
            return tx.blobs.user_data(instance_id)

    def console(self, caller: Caller, instance_id: str) -> tuple[bytes, float] | None:
        """The last 64 KiB of the serial console as the worker last read them, and when."""
        self.instance(caller, instance_id)
        with self.store.read() as tx:
            return tx.blobs.console(instance_id)

    def picture(self, caller: Caller, instance_id: str) -> Picture | None:
        """The picture of an instance's display that was asked for last, taken or not yet."""
        self.instance(caller, instance_id)
        with self.store.read() as tx:
            return tx.pictures.get(instance_id)

    def _scoped(self, caller: Caller, query: InstanceQuery) -> InstanceQuery:
        """A query confined to what the caller may see."""
        tenant_id = scope(caller)
        changes: dict[str, Any] = {"done_since": self.clock() - self.settings.done_visible}
        if tenant_id is not None:
            changes["tenant_id"] = tenant_id
            changes["region"] = self._region(caller)
        return msgspec.structs.replace(query, **changes)

    def _region(self, caller: Caller) -> str:
        return caller.region or self.settings.default_region

    # Listings -------------------------------------------------------------------------------------------

    def listing(self, caller: Caller, kind: type[V], query: RowQuery) -> list[V]:
        """The rows of a kind that the caller may see and asks for, in the order of the kind's listing.

        Most are a tenant's own in the caller's region, oldest first; an administrator at the command line
        sees everybody's. Lent public addresses are left out; key pairs come by name, tags by resource.
        """
        tenant_id = scope(caller)
        view = View(
            tenant_id=tenant_id,
            account_id=caller.account_id,
            region=None if tenant_id is None else self._region(caller),
            done_since=self.clock() - self.settings.done_visible,
        )
        with self.store.read() as tx:
            found: list[V] = LISTED[kind](tx, view, query)
        return found

    # What clients say of resources ----------------------------------------------------------------------

    def chosen_paths(self, caller: Caller) -> list[ChosenPath]:
        """The paths that the tenant's clients chose for what they made."""
        with self.store.read() as tx:
            return tx.chosen_paths.of_tenant(caller.tenant_id)

    # Tags and mixins ------------------------------------------------------------------------------------

    def tags_of(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Tags of resources the caller was already shown: id → key → value."""
        with self.store.read() as tx:
            return tx.tags.of(ids)

    def mixins(self, caller: Caller) -> list[UserMixin]:
        """The tenant's tag mixins."""
        with self.store.read() as tx:
            return tx.mixins.of(caller.tenant_id)

    def mixin_members(self, caller: Caller, scheme: str, term: str) -> list[str]:
        """Ids associated with a tag mixin."""
        with self.store.read() as tx:
            return tx.mixins.members(caller.tenant_id, scheme, term)

    def mixins_of(self, caller: Caller, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Tag mixins (scheme, term) of resources."""
        with self.store.read() as tx:
            return tx.mixins.of_resources(caller.tenant_id, ids)

    def notes_of(self, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Notes on resources and links that the caller was already shown: id → name → text."""
        with self.store.read() as tx:
            return tx.notes.of(ids)

    # Images, key pairs, flavors -------------------------------------------------------------------------

    def images(self, caller: Caller) -> list[Image]:
        """Every image the caller may see, oldest first."""
        return self.listing(caller, Image, RowQuery())

    def images_known(self, caller: Caller, ids: Sequence[str]) -> dict[str, Image]:
        """Images by id that the caller may see, and those of its own that are deregistered."""
        with self.store.read() as tx:
            found = tx.images.some(ids)
        return {
            each.id: each
            for each in found.values()
            if usable_image(caller, each)
            or (each.state is ImageState.GONE and each.tenant_id == caller.tenant_id)
        }

    def image(self, caller: Caller, image_id: str) -> Image:
        """One image; raises IMAGE_NOT_FOUND, to its owner IMAGE_UNAVAILABLE when it is deregistered."""
        with self.store.read() as tx:
            return seen_image(caller, image_id, tx.images.get(image_id))

    # Volumes, snapshots, tasks --------------------------------------------------------------------------

    def volumes(self, caller: Caller) -> list[Volume]:
        """Every volume of the caller's tenant in its region, oldest first; an administrator's: all."""
        return self.listing(caller, Volume, RowQuery())

    def volumes_by_id(self, caller: Caller, ids: Sequence[str]) -> list[Volume]:
        """Volumes in the order asked; raises VOLUME_NOT_FOUND with all missing ``ids``."""
        with self.store.read() as tx:
            return seen_volumes(caller, ids, tx.volumes.some(list(dict.fromkeys(ids))))

    def volume(self, caller: Caller, volume_id: str) -> Volume:
        """One volume; raises VOLUME_NOT_FOUND."""
        return self.volumes_by_id(caller, [volume_id])[0]

    def disks_of(self, ids: Sequence[str]) -> dict[str, list[Volume]]:
        """The volumes of instances that the caller was already shown, the root first."""
        with self.store.read() as tx:
            return tx.volumes.of_instances(ids)

    def snapshots(self, caller: Caller) -> list[Snapshot]:
        """Snapshots that the caller owns or may make volumes of, oldest first; an administrator's: all."""
        return self.listing(caller, Snapshot, RowQuery())

    def snapshots_by_id(self, caller: Caller, ids: Sequence[str]) -> list[Snapshot]:
        """Snapshots in the order asked; raises SNAPSHOT_NOT_FOUND with all missing ``ids``."""
        with self.store.read() as tx:
            return seen_snapshots(caller, ids, tx.snapshots.some(list(dict.fromkeys(ids))))

    def snapshot(self, caller: Caller, snapshot_id: str) -> Snapshot:
        """One snapshot; raises SNAPSHOT_NOT_FOUND."""
        return self.snapshots_by_id(caller, [snapshot_id])[0]

    def tasks(self, caller: Caller, kinds: Sequence[TaskKind] = (), limit: int = 1000) -> list[Task]:
        """The newest storage work of the caller's tenant (an administrator's: of all), newest first."""
        with self.store.read() as tx:
            return tx.tasks.of(scope(caller), kinds, limit)

    def task(self, caller: Caller, task_id: str) -> Task:
        """One piece of storage work; raises TASK_NOT_FOUND."""
        with self.store.read() as tx:
            found = tx.tasks.get(task_id)
        if found is None or scope(caller) not in {None, found.tenant_id}:
            raise BackendError(Code.TASK_NOT_FOUND, f"No such task: {task_id}", ids=(task_id,))
        return found

    def contents(self) -> list[Content]:
        """Every content of the image store."""
        with self.store.read() as tx:
            return tx.contents.all()

    def key_pairs(self, caller: Caller) -> list[KeyPair]:
        """The tenant's key pairs in the caller's region, by name."""
        return self.listing(caller, KeyPair, RowQuery())

    def flavors(self) -> list[Flavor]:
        """All flavors by name."""
        with self.store.read() as tx:
            return tx.flavors.all()

    def usage(self, tenant_id: str) -> tuple[int, int, int]:
        """Instances, cores and MiB that a tenant uses."""
        with self.store.read() as tx:
            return tx.instances.usage(tenant_id)

    # Administration -------------------------------------------------------------------------------------

    def hosts(self) -> list[Host]:
        """All hosts."""
        with self.store.read() as tx:
            return tx.hosts.all()

    def tenants(self) -> list[Tenant]:
        """All tenants."""
        with self.store.read() as tx:
            return tx.tenants.all()

    def tenant(self, tenant_id: str) -> Tenant | None:
        """One tenant by id or name."""
        with self.store.read() as tx:
            return tx.tenants.get(tenant_id) or tx.tenants.named(tenant_id)

    def users(self) -> list[User]:
        """All users."""
        with self.store.read() as tx:
            return tx.users.all()

    def memberships(self) -> list[Membership]:
        """Who works in which tenants besides the own."""
        with self.store.read() as tx:
            return tx.memberships.all()

    def memberships_of(self, user_id: str) -> list[Membership]:
        """The tenants that a user works in besides the own."""
        with self.store.read() as tx:
            return tx.memberships.of_user(user_id)

    def identities(self) -> list[Identity]:
        """Who users are to others."""
        with self.store.read() as tx:
            return tx.identities.all()

    def access_keys(self, user_id: str) -> list[AccessKey]:
        """A user's access keys."""
        with self.store.read() as tx:
            return tx.access_keys.of_user(user_id)

    def tokens(self, user_id: str) -> list[BearerToken]:
        """A user's bearer tokens."""
        with self.store.read() as tx:
            return tx.tokens.of_user(user_id)

    def roles(self) -> list[TenantRole]:
        """All roles that may be taken on."""
        with self.store.read() as tx:
            return tx.roles.all()

    def jobs(self, caller: Caller, *, instance_id: str | None = None, limit: int = 100) -> list[Job]:
        """Jobs of one instance in order, or the newest of all the caller may see."""
        if instance_id is not None:
            self.instance(caller, instance_id)
        with self.store.read() as tx:
            if instance_id is not None:
                return tx.jobs.of_instance(instance_id)
            return tx.jobs.recent(scope(caller), limit)

    def events(self, caller: Caller, *, instance_id: str | None = None, limit: int = 100) -> list[Event]:
        """Events of one instance in order, or the newest of all the caller may see."""
        if instance_id is not None:
            self.instance(caller, instance_id)
        with self.store.read() as tx:
            if instance_id is not None:
                return tx.events.of(instance_id)
            return tx.events.recent(scope(caller), limit)

    def stays(self, caller: Caller, instance_id: str) -> list[Stay]:
        """Accounting records of an instance."""
        self.instance(caller, instance_id)
        with self.store.read() as tx:
            return tx.stays.of(instance_id)

    # Authentication look-ups ----------------------------------------------------------------------------

    def by_access_key(self, key_id: str) -> tuple[AccessKey, User, Tenant] | None:
        """The owner of an active access key."""
        with self.store.read() as tx:
            found = tx.access_keys.with_owner(key_id)
        return found if found is not None and found[0].active else None

    def by_session_key(self, key_id: str) -> SessionOwner | None:
        """A session by its temporary key, also one that has expired, whose access key is active: with who
        began it, whose things it is about, and the name of its role.
        """
        with self.store.read() as tx:
            return tx.sessions.with_owner(key_id)

    def by_name(self, name: str) -> tuple[User, Tenant] | None:
        """A user by name, with the tenant."""
        with self.store.read() as tx:
            return _owner(tx, tx.users.named(name))

    def by_token(self, digest: str) -> tuple[User, Tenant] | None:
        """The owner of a bearer token that has not expired, by the token's SHA-256."""
        with self.store.read() as tx:
            token = tx.tokens.get(digest)
            if token is None or (token.expires_at is not None and token.expires_at <= self.clock()):
                return None
            return _owner(tx, tx.users.get(token.user_id))

    def by_identity(self, issuer: str, subject: str) -> tuple[User, Tenant, Identity] | None:
        """The user whom an issuer calls by a subject, with the tenant that the user is of."""
        with self.store.read() as tx:
            known = tx.identities.get(issuer, subject)
            owner = _owner(tx, tx.users.get(known.user_id)) if known is not None else None
            return (*owner, known) if owner is not None and known is not None else None

    def project(self, user: User, name: str) -> tuple[Tenant, Membership | None] | None:
        """A tenant by id, name or account id, and the user's work in it; None when there is no such tenant.

        It is not for a user to know of who has no business there: that is for the caller to see to. For one
        that is not there the same is looked up, so that the time taken does not tell.
        """
        with self.store.read() as tx:
            found = tx.tenants.called(name)
            membership = tx.memberships.get(user.id, found.id if found is not None else name)
            return (found, membership) if found is not None else None


def _owner(tx: Tx, user: User | None) -> tuple[User, Tenant] | None:
    tenant = tx.tenants.get(user.tenant_id) if user else None
    return (user, tenant) if user and tenant else None
