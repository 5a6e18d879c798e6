"""Every operation, fault and crash in any order, and what must hold whatever happens (lifecycle §18).

The engine, the worker and the store are the real ones; hosts live in memory. Rules are operations by arbitrary
callers, the worker's own work in small pieces, hosts that fail, fall silent, reboot or are edited by a
stranger, deaths of the worker before and after any commit and any act, and things that happen in the middle of a
host's call. After every rule the ALWAYS list is checked, and after time has healed everything the QUIET list.
At the end the cloud is drained and must be as it was in the beginning.

``ISTHMUS_DEEP=N`` runs N long random examples instead of the fixed ones.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from simulation import ADMIN, NETWORK, Cloud, Op, SimulatedHost, WorkerKilled
from sqlalchemy import select

from backend.commands import (
    AttachVolume,
    CreateSnapshot,
    CreateTags,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DeregisterImage,
    DetachVolume,
    Launch,
    ModifyInstance,
    ModifyVolume,
    NicRequest,
    Operate,
    PurgeTenant,
    SetQuota,
)
from backend.drivers.memory import Fault, Guest
from backend.engine import EngineSettings
from backend.engine.capacity import candidates
from backend.engine.disks import disk_spec
from backend.engine.groups import Party, parties
from backend.engine.work import IN_PLACE
from backend.errors import BackendError, Code
from backend.launch_commands import CreatePlacementGroup, PlaceInstance
from backend.launch_model import PlacementGroup, Strategy
from backend.lifecycle import SAME, STAY, TRANSITIONS, VIEWS, WORKING, ec2_state
from backend.model import (
    Api,
    AttachState,
    Caller,
    Capacity,
    Content,
    Desired,
    Event,
    GuestShutdown,
    Host,
    HostState,
    Image,
    ImageState,
    Instance,
    Job,
    JobState,
    Placement,
    QuotaName,
    Reservation,
    Snapshot,
    SnapshotState,
    State,
    Stay,
    Task,
    Volume,
    VolumeState,
)
from backend.network_commands import (
    AllocateAddress,
    AssociateAddress,
    AttachNic,
    AuthorizeRules,
    CreateNic,
    DeleteNic,
    DetachNic,
    DisassociateAddress,
    ModifyNic,
    ReleaseAddress,
    RevokeRules,
    RuleSpec,
)
from backend.network_model import Lease, Nic, PublicAddress, SecurityRule
from backend.ports import DomainReason, DomainStatus
from backend.store.tables import metadata

HOSTS = 3
LIMIT = 7
PROOFS = {"host_answered", "fenced", "administrator", "never_booted"}
ENDINGS = {Op.TERMINATE, Op.CANCEL, Op.DELETE}
HOST = st.integers(0, HOSTS - 1)
PICK = st.integers(0, 9)
AHEAD = st.integers(0, 6)
OWNERS = st.sampled_from([0, 0, 0, 1])
GROUP = st.sampled_from(["", "", "", *Strategy])
DEED = st.sampled_from(
    [
        *("create", "create of snapshot", "delete", "delete snapshot", "grow", "detach", "detach by force"),
        *("snapshot", "snapshot", "attach", "attach", "attach", "attach to any"),
    ]
)
DRAWING = st.sampled_from(
    [
        *("create", "create", "attach", "attach", "detach", "detach and delete", "delete", "groups"),
        *("allocate", "associate", "associate", "disassociate", "release", "authorize", "revoke", "down"),
    ]
)
SMALL = msgspec.structs.replace(NETWORK, default_vpc="172.31.0.0/26", pools={"public": ("203.0.113.0/29",)})
STEPS = st.sampled_from([0, 1, 2, 3, 5, 8, 60, 60])
USUAL = (Op.TERMINATE, Op.POWEROFF, Op.START, Op.SUSPEND, Op.PAUSE, Op.REBOOT, Op.RESUBMIT, Op.POWEROFF_HARD)
TROUBLE = (*(fault for fault in Fault if fault is not Fault.NONE), "die before", "die after")


def _moves() -> dict[str, set[tuple[str, str]]]:
    """Every change of detail that the table allows, by operation (invariant 24)."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for edge in TRANSITIONS:
        ok = edge.origin if edge.ok == SAME else edge.ok
        pairs = found["create" if edge.op == "create_held" else edge.op]
        pairs.add((edge.origin, edge.via[0] if edge.via else ok))
        for at, stage in enumerate(edge.via):
            after = edge.after(at)
            pairs.add((stage, edge.via[after] if after < len(edge.via) else ok))
            pairs |= {(stage, target) for target in (edge.failed[at], edge.lost[at]) if target != STAY}
        if edge.op in IN_PLACE:
            pairs |= {("runn", "unkn")}
    found["restart_cold"] = {("runn", "unkn")}
    found["hotplug"] |= found["disk_copy_or_snapshot"]
    return found


MOVES = _moves()


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The database, read at once."""

    instances: dict[str, Instance]
    jobs: list[Job]
    failed: list[Job]
    placements: list[Placement]
    reservations: list[Reservation]
    hosts: dict[str, Host]
    images: dict[str, Image]
    stays: list[Stay]
    events: list[Event]
    debris: set[tuple[str, str]]
    volumes: dict[str, Volume]
    snapshots: dict[str, Snapshot]
    tasks: list[Task]
    contents: dict[str, Content]
    used: dict[str, Capacity]
    nics: dict[str, Nic]
    leases: list[Lease]
    public: list[PublicAddress]


class Lifecycle(RuleBasedStateMachine):
    """A cloud of three small hosts and two tenants, and everybody who may disturb it."""

    @initialize()
    def begin(self) -> None:
        self.cloud = Cloud(hosts=0, settings=EngineSettings(network=SMALL))
        for _ in range(HOSTS):
            self.cloud.add_host(Capacity(cpu=100, memory_mib=1600, disk_gib=50))
        self.cloud.poll()
        cloud = self.cloud
        cloud.engine.execute(
            ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={QuotaName.INSTANCES.value: LIMIT})
        )
        self.occi = cloud.login("olga", cloud.tenant, Api.OCCI)
        self.image_ids = [cloud.image.id]
        self.ids: list[str] = []
        self.first: dict[str, Instance] = {}
        self.ended: dict[str, Instance] = {}
        self.shown: dict[str, str] = {}
        self.recovered: set[str] = set()
        self.meddled: set[str] = set()
        self.unheard: set[str] = set()
        self.events_seen = 0
        self.detail_of: dict[str, str] = {}
        self.placed: set[tuple[str, int]] = set()
        self.host_states: dict[str, HostState] = {}
        self.healed = False
        self.bytes: dict[str, bytes] = {}
        self.may_hold: dict[str, set[bytes]] = {}
        self.writes = 0
        self.nics: dict[str, Nic] = {}
        self.groups: dict[str, PlacementGroup] = {}
        for strategy in Strategy:
            made = self._try(cloud.caller, CreatePlacementGroup(name=strategy.value, strategy=strategy))
            self.groups[made.id] = made
        self.cloud.host(1).tracks_changes = True
        self.sound = True
        for who, count in ((0, 2), (1, 1), (2, 1)):
            self.launch(who, (count, 0), {}, 0, "")
        for _ in range(3):
            self._try(cloud.caller, CreateVolume(size_gib=1))
        self._known()
        self.cloud.settle()
        self._storage(0, "attach", 0, 0)
        self.cloud.settle()

    # People ---------------------------------------------------------------------------------------------

    def _callers(self) -> list[Caller]:
        return [self.cloud.caller, self.cloud.other, self.occi, ADMIN]

    def _pick(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    def _try(self, caller: Caller, command: Any) -> Any:
        """A command: its answer, or the refusal, which has changed nothing (27); None when killed in it."""
        before = self._dump()
        try:
            return self.cloud.engine.execute(caller, command)
        except BackendError as error:
            refusal = error
        except WorkerKilled:
            self.cloud.restart_worker()
            return None
        assert self._dump() == before, refusal
        return refusal

    def _dump(self) -> list[Any]:
        with self.cloud.store.read() as tx:
            return [tx.connection.execute(select(table)).all() for table in metadata.sorted_tables]

    @rule(
        who=st.integers(0, 2),
        count=st.tuples(st.integers(1, 2), st.integers(0, 2)),
        flags=st.fixed_dictionaries(
            {
                "held": st.sampled_from([False, False, False, True]),
                "locked_terminate": st.sampled_from([False, False, False, True]),
                "on_guest_shutdown": st.sampled_from(GuestShutdown),
                "flavor": st.sampled_from(["t2.nano", "t2.nano", "t2.large"]),
                "group": GROUP,
            }
        ),
        image=PICK,
        token=st.sampled_from(["", "", "again"]),
    )
    def launch(self, who: int, count: tuple[int, int], flags: dict[str, Any], image: int, token: str) -> None:
        caller = self._callers()[who]
        tenant = caller.tenant_id
        had = {row.id for row in self._instances()}
        command = Launch(
            image_id=self.image_ids[image % len(self.image_ids)],
            minimum=count[0],
            maximum=sum(count),
            client_token=token,
            token_digest="same",
            **flags,
        )
        answer = self._try(caller, command)
        made = [row for row in self._instances() if row.id not in had]
        for row in made:
            self.ids.append(row.id)
            self.first[row.id] = row
            assert row.tenant_id == tenant
        if isinstance(answer, BackendError):
            assert answer.code in {
                Code.QUOTA_INSTANCES,
                Code.ADDRESSES_EXHAUSTED,
                Code.IMAGE_UNAVAILABLE,
                Code.IMAGE_NOT_FOUND,
                Code.TOKEN_TERMINATED,
                *([Code.PLACEMENT_GROUP_NOT_FOUND] if who == 1 and flags.get("group") else []),
            }
        elif answer is not None:
            assert not (answer.replayed and made)  # 28
            assert answer.replayed or command.minimum <= len(made) <= command.maximum
            if tenant == self.cloud.tenant.id and made:  # 34
                assert self.cloud.engine.usage(tenant)[0] <= LIMIT

    @rule(who=st.integers(0, 2), pick=PICK, group=GROUP, partition=st.integers(0, 2))
    def place(self, who: int, pick: int, group: str, partition: int) -> None:
        """A stopped instance goes to another placement group, or leaves all."""
        command = PlaceInstance(instance_id=self._pick(pick), group=group, partition=partition)
        answer = self._try(self._callers()[who], command)
        if isinstance(answer, Instance):
            assert ec2_state(answer.detail, gone=False) == "stopped"

    def _instances(self) -> list[Instance]:
        with self.cloud.store.read() as tx:
            return tx.instances.all()

    @rule(
        who=st.integers(0, 3),
        op=st.sampled_from(Op),
        pick=PICK,
        force=st.booleans(),
        strict=st.booleans(),
        steps=STEPS,
    )
    def operate(self, who: int, op: Op, pick: int, force: bool, strict: bool, steps: int) -> None:
        """Anybody asks for anything, and the worker gets some way with it."""
        self._operate(who, op, self._pick(pick), force=force, strict=strict)
        self._work(steps)

    @rule(op=st.sampled_from(USUAL), pick=PICK, force=st.booleans(), steps=STEPS)
    def owner_operates(self, op: Op, pick: int, force: bool, steps: int) -> None:
        """The usual things, so that they are done often."""
        owner = self.first[self._pick(pick)].tenant_id
        self._operate(0 if owner == self.cloud.tenant.id else 1, op, self._pick(pick), force=force)
        self._work(steps)

    @rule(op=st.sampled_from(USUAL), pick=PICK, steps=STEPS)
    def administrator_operates(self, op: Op, pick: int, steps: int) -> None:
        self._operate(3, op, self._pick(pick))
        self._work(steps)

    def _work(self, steps: int) -> None:
        for _ in range(steps):
            if not self.cloud.step():
                break

    def _operate(
        self, who: int, op: Op, instance_id: str, *, force: bool = False, strict: bool = False
    ) -> None:
        caller = self._callers()[who]
        before = self.cloud.get(instance_id)
        command = Operate(op=op, ids=(instance_id,), force_at_timeout=force, strict=strict)
        answer = self._try(caller, command)
        foreign = not caller.is_admin and caller.tenant_id != before.tenant_id
        gone = before.desired is Desired.GONE
        ended_long_ago = before.ended_at is not None and self.cloud.clock.now - before.ended_at > 3600
        if isinstance(answer, BackendError):
            if (foreign or ended_long_ago) and answer.code is not Code.DENIED:
                assert answer.code is Code.INSTANCE_NOT_FOUND  # 35
            elif op is Op.TERMINATE and not strict:
                assert answer.code is Code.INSTANCE_LOCKED, answer
        elif answer is not None:
            assert not foreign
            assert not ended_long_ago
            (change,) = answer
            assert change.before == before  # 41
            if change.after.version != before.version:
                assert before.detail != "done"
                if before.locked_terminate and op in ENDINGS | {Op.SHUTDOWN}:
                    assert gone  # 32
                if op is Op.RECOVER_RECREATE:
                    self.recovered.add(instance_id)
                assert not gone or op in ENDINGS | {Op.RECOVER_RECREATE}  # 25

    @rule(
        who=st.integers(0, 3),
        pick=PICK,
        change=st.sampled_from(
            [
                {"flavor": "t2.large"},
                {"flavor": "t2.nano"},
                {"memory_mib": 700},
                {"locked_terminate": True},
                {"locked_terminate": False},
                {"user_data": b"#!/bin/sh\n"},
                {"on_guest_shutdown": GuestShutdown.TERMINATE},
                {"summary": "x", "expected_version": 1},
            ]
        ),
    )
    def modify(self, who: int, pick: int, change: dict[str, Any]) -> None:
        before = self.cloud.get(self._pick(pick))
        answer = self._try(self._callers()[who], ModifyInstance(instance_id=before.id, **change))
        if isinstance(answer, Instance):
            assert answer.version in {before.version, before.version + 1}  # 26
            assert change.get("expected_version") in {None, before.version}

    @rule(who=st.integers(0, 3), pick=PICK)
    def tag(self, who: int, pick: int) -> None:
        self._try(self._callers()[who], CreateTags(ids=(self._pick(pick),), tags=(("k", "v"),)))

    @precondition(lambda self: len(self.image_ids) < 4)
    @rule()
    def another_image(self) -> None:
        name = f"image{len(self.image_ids)}"
        self.cloud.store.death = None
        self.image_ids.append(self.cloud.register(name, self.cloud.other, public=False).id)

    @precondition(lambda self: len(self.image_ids) > 1)
    @rule(number=PICK)
    def withdraw_image(self, number: int) -> None:
        image_id = self.image_ids[1 + number % (len(self.image_ids) - 1)]
        self._try(self.cloud.other, DeregisterImage(image_id=image_id))

    # Volumes --------------------------------------------------------------------------------------------

    def _volume(self, number: int, *states: VolumeState) -> str:
        """One of the volumes that are there, if possible of those in some states."""
        with self.cloud.store.read() as tx:
            found = [each for each in tx.volumes.all() if each.id in self.bytes]
        fitting = [each for each in found if each.state in states] or found
        return fitting[number % len(fitting)].id if fitting else "vol-none"

    def _pluggable(self, number: int) -> str:
        """One of the first tenant's instances, if possible one whose disks can be changed."""
        mine = [row for row in self._instances() if row.tenant_id == self.cloud.tenant.id]
        fitting = [row for row in mine if row.detail in {"runn", "poff"}] or mine
        return fitting[number % len(fitting)].id

    def _snapshot(self, number: int) -> str:
        with self.cloud.store.read() as tx:
            found = tx.snapshots.all()
        return found[number % len(found)].id if found else "snap-none"

    def _known(self) -> None:
        """Take note of volumes and snapshots that a command made, also one that the gateway died of."""
        with self.cloud.store.read() as tx:
            volumes, snapshots = tx.volumes.all(), tx.snapshots.all()
        for volume in volumes:
            if volume.boot or volume.id in self.bytes or volume.tenant_id != self.cloud.tenant.id:
                continue
            if volume.snapshot_id:
                self.bytes[volume.id] = self._stored(volume.content)
            else:
                self.bytes[volume.id] = b""
        for snapshot in snapshots:
            if snapshot.id not in self.may_hold:
                self.may_hold[snapshot.id] = {self.bytes[snapshot.volume_id]}

    def _stored(self, checksum: str) -> bytes:
        with self.cloud.store.read() as tx:
            content = tx.contents.get(checksum)
        assert content is not None, "15"
        data = Path(content.path).read_bytes()
        return data.partition(b"\n")[2] if data.startswith(b"since ") else data

    @rule(deeds=st.lists(st.tuples(DEED, PICK, PICK, STEPS), min_size=1, max_size=4), who=OWNERS)
    def storage(self, deeds: list[tuple[str, int, int, int]], who: int) -> None:
        """Things that are done to volumes, each when the worker has got some way with the one before."""
        for deed, volume, pick, steps in deeds:
            self._storage(who, deed, volume, pick)
            self._work(steps)

    @rule(host=HOST, ahead=AHEAD, deed=DEED, volume=PICK, pick=PICK, who=OWNERS, steps=STEPS)
    def meanwhile_storage(
        self, host: int, ahead: int, deed: str, volume: int, pick: int, who: int, steps: int
    ) -> None:
        """While a host is at work on something, somebody asks for something to be done to a volume."""
        self.cloud.host(host).plan.append((ahead, lambda: self._storage(who, deed, volume, pick)))
        self._work(steps)

    def _storage(self, who: int, deed: str, volume: int, pick: int) -> None:
        free, used = VolumeState.AVAILABLE, VolumeState.IN_USE
        match deed:
            case "create":
                self._try(self.cloud.caller, CreateVolume(size_gib=1 + pick % 2))
            case "create of snapshot":
                self._try(self.cloud.caller, CreateVolume(snapshot_id=self._snapshot(pick)))
            case "delete snapshot":
                self._try(self.cloud.caller, DeleteSnapshot(snapshot_id=self._snapshot(pick)))
            case "delete":
                self._on_volume(who, DeleteVolume(volume_id=self._volume(volume, free)))
            case "grow":
                self._on_volume(who, ModifyVolume(volume_id=self._volume(volume, free, used), size_gib=pick))
            case "attach":
                name, target = self._volume(volume, free), self._pluggable(pick)
                command = AttachVolume(
                    volume_id=name, instance_id=target, delete_on_termination=pick % 3 == 0
                )
                self._on_volume(who, command)
            case "attach to any":
                command = AttachVolume(volume_id=self._volume(volume), instance_id=self._pick(pick))
                answer = self._on_volume(who, command)
                if isinstance(answer, Volume):
                    assert self.first[command.instance_id].tenant_id == answer.tenant_id, "35"
            case "detach" | "detach by force":
                command = DetachVolume(volume_id=self._volume(volume, used), force=deed != "detach")
                self._on_volume(who, command)
            case _:
                self._on_volume(who, CreateSnapshot(volume_id=self._volume(volume, used, free)))
        self._known()

    def _on_volume(self, who: int, command: Any) -> Any:
        answer = self._try(self._callers()[who], command)
        if who == 1:  # whose volume it is not
            assert answer is None or answer.code is Code.VOLUME_NOT_FOUND, "35"
        return answer

    # Networks -------------------------------------------------------------------------------------------

    @rule(deeds=st.lists(st.tuples(DRAWING, PICK, PICK, STEPS), min_size=1, max_size=4), who=OWNERS)
    def drawing(self, deeds: list[tuple[str, int, int, int]], who: int) -> None:
        """Things that are done to interfaces, addresses and groups."""
        for deed, number, pick, steps in deeds:
            self._draw(who, deed, number, pick)
            self._work(steps)

    @rule(host=HOST, ahead=AHEAD, deed=DRAWING, number=PICK, pick=PICK, who=OWNERS, steps=STEPS)
    def meanwhile_drawing(
        self, host: int, ahead: int, deed: str, number: int, pick: int, who: int, steps: int
    ) -> None:
        """While a host is at work on something, somebody asks for something else of the network."""
        self.cloud.host(host).plan.append((ahead, lambda: self._draw(who, deed, number, pick)))
        self._work(steps)

    @rule(fault=st.sampled_from([*Fault, Fault.NONE, Fault.NONE]), times=st.integers(1, 3), steps=STEPS)
    def network_trouble(self, fault: Fault, times: int, steps: int) -> None:
        """The network refuses, or does not answer, the next few times."""
        left = [times]

        def planned(_call: str) -> Fault:
            left[0] -= 1
            return fault if left[0] >= 0 else Fault.NONE

        self.cloud.network.fault = planned
        self._work(steps)

    def _draw(self, who: int, deed: str, number: int, pick: int) -> None:
        nics, addresses, rules = self._drawn()
        nic = nics[number % len(nics)].id if nics else "eni-none"
        spare = [each.id for each in nics if each.instance_id is None] or [nic]
        plugged = [each.id for each in nics if each.index] or [nic]
        address = addresses[number % len(addresses)] if addresses else None
        group = self._group()
        match deed:
            case "create":
                command = CreateNic(nic=NicRequest(subnet_id=self._subnet(), secondary_count=pick % 3))
            case "attach":
                command = AttachNic(nic_id=spare[number % len(spare)], instance_id=self._pluggable(pick))
            case "detach" | "detach and delete":
                command = DetachNic(nic_id=plugged[number % len(plugged)], then_delete=deed != "detach")
            case "delete":
                command = DeleteNic(nic_id=spare[number % len(spare)])
            case "groups":
                command = ModifyNic(nic_id=nic, groups=(group,), source_dest_check=pick % 2 == 0)
            case "down":
                command = ModifyNic(nic_id=nic, up=pick % 2 == 0)
            case "allocate":
                command = AllocateAddress()
            case "associate":
                known = address.id if address is not None else "eipalloc-none"
                command = AssociateAddress(allocation_id=known, nic_id=nic, move=pick % 2 == 0)
            case "disassociate":
                command = DisassociateAddress(association_id=address.association_id if address else "")
            case "release":
                command = ReleaseAddress(allocation_id=address.id if address else "eipalloc-none")
            case "authorize":
                rule_ = RuleSpec(egress=False, protocol="tcp", from_port=pick, to_port=pick, cidr="0.0.0.0/0")
                command = AuthorizeRules(group_id=group, rules=(rule_,))
            case _:
                chosen = (rules[number % len(rules)].id,) if rules else ("sgr-none",)
                command = RevokeRules(group_id=group, egress=False, rule_ids=chosen)
        answer = self._try(self._callers()[who], command)
        if who == 1 and deed != "allocate":  # whose things they are not
            assert answer is None or isinstance(answer, BackendError), "35"

    def _drawn(self) -> tuple[list[Nic], list[PublicAddress], list[SecurityRule]]:
        mine = self.cloud.tenant.id
        with self.cloud.store.read() as tx:
            addresses = [each for each in tx.public_addresses.of_tenant(mine, None) if not each.auto]
            rules = [each for each in tx.security_rules.all() if each.tenant_id == mine and not each.egress]
            return tx.nics.of_tenant(mine, None), addresses, rules

    def _subnet(self) -> str:
        with self.cloud.store.read() as tx:
            return tx.subnets.of_tenant(self.cloud.tenant.id, None)[0].id

    def _group(self) -> str:
        with self.cloud.store.read() as tx:
            return tx.security_groups.of_tenant(self.cloud.tenant.id, None)[0].id

    @rule(host=HOST)
    def guests_write(self, host: int) -> None:
        """Every guest of a host writes to its data disks."""
        driver = self.cloud.host(host)
        for instance_id in driver.running():
            for disk in driver.open_disks(instance_id).values():
                if disk.name in self.bytes:
                    self.writes += 1
                    self._written(disk.name, f"write {self.writes}".encode())
                    driver.write(disk.name, self.bytes[disk.name])

    def _written(self, volume_id: str, data: bytes) -> None:
        self.bytes[volume_id] = data
        with self.cloud.store.read() as tx:
            pending = [each.id for each in tx.snapshots.of_volume(volume_id)]
        for snapshot_id in pending:
            if snapshot_id in self.may_hold:
                self.may_hold[snapshot_id].add(data)

    @rule(host=HOST, lets_go=st.booleans())
    def guests_keep_disks(self, host: int, lets_go: bool) -> None:
        driver = self.cloud.host(host)
        driver.guest = Guest(lets_go=lets_go)
        for instance_id in list(driver.running()) if lets_go else []:
            driver.release(instance_id)

    # The worker -----------------------------------------------------------------------------------------

    @rule(steps=STEPS)
    def work(self, steps: int) -> None:
        self._work(steps)

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0]))
    def cycle(self, seconds: float) -> None:
        """What a worker does all the time."""
        self._work(60)
        self.cloud.clock.advance(seconds)
        for host_id in self.cloud.host_ids:
            self._poll(host_id)
        self.cloud.sweep()
        self._work(60)

    @rule(host=HOST)
    def poll(self, host: int) -> None:
        self._poll(self.cloud.host_ids[host])

    def _poll(self, host_id: str) -> None:
        self.cloud.poll(host_id)
        with self.cloud.store.read() as tx:
            found = tx.hosts.get(host_id)
        if found is not None and found.state is HostState.ON and found.failures == 0:
            self.unheard.discard(host_id)

    @rule(sweep=st.booleans())
    def look_after(self, sweep: bool) -> None:
        if sweep:
            self.cloud.sweep()
        else:
            self.cloud.hear()

    @rule(seconds=st.sampled_from([0.5, 6.0, 31.0, 70.0, 130.0, 700.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.cloud.clock.advance(seconds)

    # Trouble --------------------------------------------------------------------------------------------

    @rule(host=HOST, ahead=AHEAD, what=st.sampled_from(TROUBLE), steps=STEPS)
    def trouble_ahead(self, host: int, ahead: int, what: Fault | str, steps: int) -> None:
        """At some call from now on, a host fails or the worker dies in it."""
        self.cloud.host(host).plan.append((ahead, what))
        self._work(steps)

    @rule(
        ahead=st.integers(0, 8), place=st.sampled_from(["before commit", "after commit", "act"]), steps=STEPS
    )
    def death_ahead(self, ahead: int, place: str, steps: int) -> None:
        """At some commit or act from now on, the worker (or the gateway) dies."""
        left = [ahead]

        def reach(_place: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                self.cloud.failpoint = lambda _name: None
                raise WorkerKilled

        if place == "act":
            self.cloud.failpoint = reach
        else:
            self.cloud.store.death = (ahead, place == "after commit")
        self._work(steps)

    @rule(
        host=HOST, ahead=AHEAD, who=st.sampled_from([0, 1, 3]), op=st.sampled_from(Op), pick=PICK, steps=STEPS
    )
    def meanwhile_operate(self, host: int, ahead: int, who: int, op: Op, pick: int, steps: int) -> None:
        """While a host is at work on something, somebody asks for something else."""
        instance_id = self._pick(pick)
        self.cloud.host(host).plan.append((ahead, lambda: self._operate(who, op, instance_id)))
        self._work(steps)

    @rule(host=HOST, ahead=AHEAD, polled=st.none() | HOST, steps=STEPS)
    def meanwhile_look(self, host: int, ahead: int, polled: int | None, steps: int) -> None:
        """While a host is at work on something, a monitor asks a host, or the sweep goes round."""

        def look() -> None:
            if polled is None:
                self.cloud.worker.sweep()
                return
            monitor = self.cloud.monitors[self.cloud.host_ids[polled]]
            monitor.hint()
            monitor._round()

        self.cloud.host(host).plan.append((ahead, look))
        self._work(steps)

    @rule(host=HOST, who=st.sampled_from([0, 1, 3]), op=st.sampled_from(USUAL), pick=PICK, steps=STEPS)
    def slow_report(self, host: int, who: int, op: Op, pick: int, steps: int) -> None:
        """A monitor asks, and is slow to report: the answer is old by then (29)."""
        driver = self.cloud.host(host)
        if driver.silent or self._state(host) is HostState.OFFLINE:
            return
        monitor = self.cloud.monitors[self.cloud.host_ids[host]]
        placed = monitor.testimony.placed()
        domains = dict(driver.domains)
        self._operate(who, op, self._pick(pick))
        self._work(steps)
        for instance in placed:
            facts = domains.get(instance.id)
            now = self.cloud.get(instance.id)
            self.cloud.alive(
                lambda item=instance, facts=facts: monitor.testimony.instance(driver, item, facts)
            )
            assert now.version == instance.version or self.cloud.get(instance.id) == now, "29"

    @rule(host=HOST, silent=st.booleans())
    def fall_silent(self, host: int, silent: bool) -> None:
        if self._state(host) is not HostState.OFFLINE:
            self.cloud.host(host).silent = silent

    @rule(
        host=HOST,
        what=st.sampled_from(
            [
                "reboot",
                "stubborn guests",
                *("clone", "start", "destroy", "delete_files", "save"),
                *("attach", "detach", "cpds", "put", "backup", "mkimage"),
            ]
        ),
    )
    def goes_wrong(self, host: int, what: str) -> None:
        """A host reboots, has guests that obey nothing, or cannot do one thing until it is repaired."""
        driver = self.cloud.host(host)
        if what == "reboot":
            self.meddled |= set(driver.domains)
            driver.power_cycle()
        elif what == "stubborn guests":
            driver.guest = Guest(obeys_power_button=False, obeys_reboot=False)
        else:
            driver.broken.add(what)

    @rule(host=HOST)
    def repair(self, host: int) -> None:
        driver = self.cloud.host(host)
        driver.broken.clear()
        driver.plan.clear()
        driver.guest = Guest()

    def _state(self, host: int) -> HostState:
        with self.cloud.store.read() as tx:
            found = tx.hosts.get(self.cloud.host_ids[host])
        assert found is not None
        return found.state

    @rule(host=HOST, state=st.sampled_from([HostState.INIT, HostState.DISABLED, HostState.MAINTENANCE]))
    def set_host(self, host: int, state: HostState) -> None:
        """An administrator takes a host in or out. One that was declared dead comes back powered off."""
        if self._state(host) is HostState.OFFLINE:
            self.cloud.host(host).silent = False
            self.unheard.add(self.cloud.host_ids[host])
            state = HostState.INIT
        if self.cloud.store.death is None:
            self.cloud.set_host(host, state)

    @rule(host=HOST)
    def declare_dead(self, host: int) -> None:
        """A host burns, and the administrator, who has seen it, says so."""
        driver = self.cloud.host(host)
        self.cloud.store.death = None
        driver.silent = True
        self.meddled |= set(driver.domains)
        driver.power_cycle()
        self.cloud.set_host(host, HostState.OFFLINE)

    # A stranger -----------------------------------------------------------------------------------------

    @rule(
        pick=PICK,
        deed=st.sampled_from(
            "start destroy shutdown crash preserve pause unpause save undefine wipe".split()
        ),
    )
    def stranger(self, pick: int, deed: str) -> None:
        """Somebody with a shell on the host does things to a domain."""
        instance = self.cloud.get(self._pick(pick))
        if instance.host_id is None:
            return
        host = self.cloud.host_of(instance)
        facts = host.domains.get(instance.id)
        if facts is None or facts.epoch != instance.epoch or self._declared_dead(instance.host_id):
            return
        if _meddle(host, instance, deed, self.cloud.disks(instance)):
            self.meddled.add(instance.id)

    def _declared_dead(self, host_id: str) -> bool:
        return self._state(self.cloud.host_ids.index(host_id)) is HostState.OFFLINE

    # Time heals -----------------------------------------------------------------------------------------

    @rule()
    def quiesce(self) -> None:
        self._heal()
        self.cloud.quiesce()
        self.healed = True

    def _heal(self) -> None:
        cloud = self.cloud
        cloud.store.death = None
        cloud.failpoint = lambda _place: None
        for index in range(HOSTS):
            host = cloud.host(index)
            host.silent, host.plan, host.guest = False, [], Guest()
            for instance_id in list(host.running()):
                host.release(instance_id)
            host.broken.clear()
            cloud.network.fault = lambda _call: Fault.NONE
            if self._state(index) not in {HostState.ON, HostState.ERR, HostState.INIT}:
                cloud.set_host(index, HostState.INIT)
        self.unheard.clear()

    def teardown(self) -> None:
        """Drain the cloud: everything returns to what it was in the beginning (50)."""
        if not getattr(self, "sound", False):
            return
        self._heal()
        for _ in range(3):  # what survives its instance is removed by the next
            for tenant in (self.cloud.tenant, self.cloud.other_tenant):
                self.cloud.engine.execute(ADMIN, PurgeTenant(tenant_id=tenant.id))
            self.cloud.quiesce()
        self.always()
        rows = self._rows()
        assert {row.detail for row in rows.instances.values()} <= {"done"}
        assert not rows.reservations
        assert not rows.debris
        assert not [item for item in rows.placements if item.closed_at is None]
        assert not rows.volumes
        assert not rows.snapshots
        assert not rows.contents
        for index in range(HOSTS):
            host = self.cloud.host(index)
            assert (host.domains, host.volumes, host.own, host.images) == ({}, {}, {}, set())
        assert self.cloud.contents.files() == set()
        for tenant in (self.cloud.tenant, self.cloud.other_tenant):
            assert self.cloud.engine.usage(tenant.id) == (0, 0, 0)
        self.cloud.store.close()

    # What holds ALWAYS ----------------------------------------------------------------------------------

    def _rows(self) -> Rows:
        with self.cloud.store.read() as tx:
            return Rows(
                instances={row.id: row for row in tx.instances.all()},
                jobs=tx.jobs.open(),
                failed=[job for job in tx.jobs.all() if job.state is JobState.FAILED],
                placements=tx.placements.all(),
                reservations=tx.reservations.all(),
                hosts={row.id: row for row in tx.hosts.all()},
                images={row.id: row for row in tx.images.all()},
                stays=tx.stays.all(),
                events=tx.events.all(),
                debris={(row.instance_id, row.host_id) for row in tx.debris.all()},
                volumes={row.id: row for row in tx.volumes.all()},
                snapshots={row.id: row for row in tx.snapshots.all()},
                tasks=tx.tasks.open(),
                contents={row.checksum: row for row in tx.contents.all()},
                used=tx.reservations.used(),
                nics={row.id: row for row in tx.nics.all()},
                leases=tx.leases.all(),
                public=tx.public_addresses.all(),
            )

    @invariant()
    def always(self) -> None:
        if not hasattr(self, "cloud"):
            return
        self.sound = False
        rows = self._rows()
        for check in (
            self._domains,
            self._placements,
            self._capacity,
            self._groups,
            self._addresses,
            self._files,
            self._volumes,
            self._snapshots,
            self._jobs,
            self._history,
            self._views,
            self._quotas,
            self._accounting,
        ):
            check(rows)
        if self.healed:
            self.healed = False
            self._quiet(rows)
        self.sound = True

    def _answers(self, rows: Rows, host_id: str) -> bool:
        """Whether a host would answer, and is asked."""
        off = rows.hosts[host_id].state is HostState.OFFLINE or host_id in self.unheard
        return not self._driver(host_id).silent and not off

    def _driver(self, host_id: str) -> SimulatedHost:
        found = self.cloud.hosts.driver(host_id, "")
        assert isinstance(found, SimulatedHost)
        return found

    def _groups(self, rows: Rows) -> None:
        """What placement groups promise of their instances holds wherever these are."""
        by_group: dict[str, list[Instance]] = defaultdict(list)
        for row in rows.instances.values():
            if row.group_id and row.host_id is not None and row.detail != "done":
                by_group[row.group_id].append(row)
        for group_id, placed in by_group.items():
            hosts = Counter(row.host_id for row in placed)
            match self.groups[group_id].strategy:
                case Strategy.CLUSTER:
                    assert len(hosts) == 1, "cluster"
                case Strategy.SPREAD:
                    assert max(hosts.values()) == 1, "spread"
                case Strategy.PARTITION:
                    assert all(1 <= row.partition <= 2 for row in placed), "partition"
                    assert len({(row.host_id, row.partition) for row in placed}) == len(hosts), "partition"

    def _domains(self, rows: Rows) -> None:
        running: Counter[str] = Counter()
        open_ = {
            (item.instance_id, item.host_id, item.epoch) for item in rows.placements if not item.closed_at
        }
        for host_id in rows.hosts:
            host = self._driver(host_id)
            running.update(host.running())
            for name in host.running():
                epoch = host.domains[name].epoch
                if self._answers(rows, host_id):
                    assert (name, host_id, epoch) in open_, "2"
                    assert rows.instances[name].detail != "done", "3"
        assert all(count == 1 for count in running.values()), "1"

    def _placements(self, rows: Rows) -> None:
        by_instance: dict[str, list[Placement]] = defaultdict(list)
        for item in rows.placements:
            by_instance[item.instance_id].append(item)
            assert item.host_id in rows.hosts, "10"
            assert item.closed_at is None or item.closed_by in PROOFS, "4"
            assert item.closed_by != "never_booted" or item.booted_at is None, "4"
            if (item.instance_id, item.epoch) not in self.placed:
                self.placed.add((item.instance_id, item.epoch))
                known = {rows.hosts[item.host_id].state, self.host_states.get(item.host_id)}
                assert HostState.ON in known, "31"
        for instance in rows.instances.values():
            mine = by_instance[instance.id]
            open_ = [item for item in mine if item.closed_at is None]
            opened = [item.opened_at for item in mine]
            assert opened == sorted(opened), "5"
            assert len(open_) <= 1, "6, 7"
            if instance.state in {State.PEND, State.HOLD, State.DONE}:
                assert not open_, "3"
                assert instance.host_id is None
            else:
                assert [(item.host_id, item.epoch) for item in open_] == [(instance.host_id, instance.epoch)]
        self.host_states = {host.id: host.state for host in rows.hosts.values()}

    def _capacity(self, rows: Rows) -> None:
        used: dict[str, Capacity] = defaultdict(Capacity)
        held: Counter[str] = Counter()
        for item in rows.reservations:
            instance = rows.instances[item.instance_id]
            need = Capacity(cpu=item.cpu, memory_mib=item.memory_mib, disk_gib=item.disk_gib)
            used[item.host_id] = used[item.host_id].plus(need)
            held[item.instance_id] += 1
            assert item.host_id == instance.host_id, "9"
            assert need == instance.need, "48"
        for host in rows.hosts.values():
            fits = used[host.id].plus(host.foreign).fits(host.limit)
            assert fits or host.overcommitted, "8"
        for instance in rows.instances.values():
            assert held[instance.id] == VIEWS[instance.detail].reserved, ("9", instance.detail)

    def _addresses(self, rows: Rows) -> None:
        living = [row for row in rows.instances.values() if row.detail != "done"]
        assert len({(row.subnet_id, row.address) for row in living}) == len(living), "11"
        assert len({(row.subnet_id, row.mac) for row in living}) == len(living), "13"
        for row in rows.instances.values():
            nics = [nic for nic in rows.nics.values() if nic.instance_id == row.id]
            if row.detail == "done":
                assert not nics, "11"
                continue
            primary = min(nics, key=lambda nic: nic.index)
            assert (primary.index, primary.address, primary.mac) == (0, row.address, row.mac), "12"
        held = {(lease.subnet_id, lease.address): lease.nic_id for lease in rows.leases}
        assert len(held) == len(rows.leases), "11"
        for nic in rows.nics.values():
            assert held[nic.subnet_id, nic.address] == nic.id, "11"
            first = self.nics.setdefault(nic.id, nic)
            assert (nic.address, nic.mac, nic.subnet_id) == (first.address, first.mac, first.subnet_id), "12"
        assert set(held.values()) == set(rows.nics), "11"
        for address in rows.public:
            assert (address.nic_id is None) is (address.association_id == ""), "13"
            assert address.nic_id is None or address.nic_id in rows.nics, "13"
        for row in rows.instances.values():
            first = self.first[row.id]
            assert (row.address, row.mac) == (first.address, first.mac), "12"
            assert (row.tenant_id, row.image_id, row.launch_id) == (
                first.tenant_id,
                first.image_id,
                first.launch_id,
            )

    def _files(self, rows: Rows) -> None:
        for host_id in rows.hosts:
            for name in self._driver(host_id).own:
                belongs = rows.instances[name].host_id == host_id or (name, host_id) in rows.debris
                assert belongs or host_id in self.unheard, "22"
        for row in rows.instances.values():
            image = rows.images[row.image_id]
            assert row.detail == "done" or rows.contents[image.checksum].path, "15"
            assert image.state in {ImageState.READY, ImageState.GONE}
            if row.detail == "susp.disk" and row.id not in self.meddled:
                assert self._driver(str(row.host_id)).domains[row.id].has_checkpoint, "19"

    def _volumes(self, rows: Rows) -> None:
        """Invariants 15 to 18, and 20: nobody's bytes change by themselves, and nobody has another's."""
        for volume in rows.volumes.values():
            attached = volume.instance_id is not None
            assert attached == (volume.attach is not AttachState.NONE), "16"
            assert attached == bool(volume.target), "16"
            if volume.state in {VolumeState.AVAILABLE, VolumeState.CREATING, VolumeState.DELETING}:
                assert not attached, "16"
            if attached:
                instance = rows.instances[str(volume.instance_id)]
                assert instance.detail != "done", "16"
                assert instance.tenant_id == volume.tenant_id, "35"
            if volume.id in self.bytes and volume.made and volume.state is not VolumeState.DELETING:
                there = self._driver(str(volume.host_id)).volumes.get(volume.id)
                assert there is not None, ("17", volume)
                assert there.content == self.bytes[volume.id], ("17", volume)
                changing = volume.modification is not None and volume.modification.state == "modifying"
                assert changing or there.virtual_bytes >= volume.size_bytes, "17"
            if not volume.made and volume.content:
                assert rows.contents[volume.content].path, "15"
        plugged: Counter[str] = Counter()
        for host_id in rows.hosts:
            driver = self._driver(host_id)
            for instance_id in driver.running():
                for disk in driver.open_disks(instance_id).values():
                    plugged[disk.name] += 1
                    row = rows.volumes.get(disk.name)
                    if row is not None and self._answers(rows, host_id):
                        assert row.instance_id == instance_id, ("16", row)
                        assert row.host_id == host_id, ("18", row)
        assert all(count == 1 for count in plugged.values()), "16"

    def _snapshots(self, rows: Rows) -> None:
        """A completed snapshot has the bytes of one moment, and all that it tells the difference to."""
        for snapshot in rows.snapshots.values():
            if snapshot.state is not SnapshotState.COMPLETED:
                continue
            assert self._stored(snapshot.content) in self.may_hold[snapshot.id], "20"
            checksum = snapshot.content
            while checksum:
                assert Path(rows.contents[checksum].path).is_file(), "20"
                checksum = rows.contents[checksum].parent

    def _jobs(self, rows: Rows) -> None:
        open_: dict[str, list[Job]] = defaultdict(list)
        for job in rows.jobs:
            open_[job.instance_id].append(job)
        for row in rows.instances.values():
            mine = open_[row.id]
            assert [job.id for job in mine] == ([row.job_id] if row.job_id else []), "23"
            if row.state in WORKING:
                assert mine, "23"
                assert mine[0].stages[mine[0].stage] == row.detail
            elif mine:
                assert row.detail == "runn", "23"
                assert mine[0].stages[0] in IN_PLACE.values(), "23"
        for job in rows.failed:  # what silence says is never a verified failure
            assert "does not answer" not in job.message, "30"
            assert "timed out" not in job.message, "30"

    def _history(self, rows: Rows) -> None:
        for event in rows.events[self.events_seen :]:
            assert event.actor, "24"
            assert event.tenant_id == rows.instances[event.instance_id].tenant_id
            if event.old != event.new:
                assert event.old == self.detail_of.get(event.instance_id, ""), ("24", event)
                assert (event.old, event.new) in MOVES[event.op], ("24", event)
                assert event.op != "deploy" or event.old != "hold", "31"
                assert event.op != "host_silent" or event.new == "unkn", "30"
                self.detail_of[event.instance_id] = event.new
        self.events_seen = len(rows.events)
        assert self.detail_of == {row.id: row.detail for row in rows.instances.values()}, "24"

    def _views(self, rows: Rows) -> None:
        for row in rows.instances.values():
            shown = ec2_state(row.detail, gone=row.desired is Desired.GONE)
            was = self.shown.get(row.id, shown)
            if was == "shutting-down" and row.id not in self.recovered:
                assert shown in {"shutting-down", "terminated"}, "41"
            self.recovered.discard(row.id)
            self.shown[row.id] = shown
            if row.detail == "done":
                last = msgspec.structs.replace(row, version=0)  # a late tag raises the version, for caches
                assert self.ended.setdefault(row.id, last) == last, "25"
                assert row.ended_at is not None
            else:
                assert row.id not in self.ended, "25"

    def _quotas(self, rows: Rows) -> None:
        for tenant in (self.cloud.tenant, self.cloud.other_tenant):
            mine = [r for r in rows.instances.values() if r.tenant_id == tenant.id and r.detail != "done"]
            total = (len(mine), sum(r.vcpus for r in mine), sum(r.memory_mib for r in mine))
            assert self.cloud.engine.usage(tenant.id) == total, "33"

    def _accounting(self, rows: Rows) -> None:
        by_instance: dict[str, list[Stay]] = defaultdict(list)
        for stay in rows.stays:
            by_instance[stay.instance_id].append(stay)
        for row in rows.instances.values():
            mine = by_instance[row.id]
            assert [stay.seq for stay in mine] == list(range(1, len(mine) + 1)), "37"
            last = 0.0
            for stay in mine:
                times = [stay.started_at, stay.running_at, stay.running_until, stay.ended_at]
                known = [at for at in times if at is not None]
                assert known == sorted(known), "37"
                assert stay.started_at >= last, "37"
                last = known[-1]
            open_ = [stay for stay in mine if stay.ended_at is None]
            assert len(open_) <= 1, "37"
            if row.detail == "runn":
                assert open_, "38"
                assert open_[0].running_at is not None, "38"
                assert open_[0].running_until is None, "38"
            if row.state in {State.PEND, State.HOLD, State.DONE}:
                assert not open_, "38"

    def _parties(self) -> dict[str, Party]:
        with self.cloud.store.read() as tx:
            return parties(tx, self.groups)

    # What holds when it is QUIET ------------------------------------------------------------------------

    def _quiet(self, rows: Rows) -> None:
        assert not rows.debris, "47"
        assert not rows.jobs, "44"
        for host in rows.hosts.values():
            assert host.state is HostState.ON
        for row in rows.instances.values():
            assert row.state is not State.UNKN, "45"
            assert row.desired is not Desired.GONE or row.detail == "done", "45"
            if row.host_id is not None and not row.detail.startswith("fail."):
                self._agrees(row)
            if row.detail == "pend":
                party = self._parties().get(row.group_id)
                fitting, why = candidates(row, list(rows.hosts.values()), rows.used, party=party)
                assert not fitting, "49"
                assert row.reason_text == why, "49"
        here = {(row.id, row.host_id) for row in rows.instances.values() if row.host_id}
        for host_id in rows.hosts:
            driver = self._driver(host_id)
            assert {(name, host_id) for name in driver.domains} <= here, "45"
            assert {(name, host_id) for name in driver.own} <= here, "22"
        wiped = {f"missing {row.id}" for row in rows.volumes.values() if row.instance_id in self.meddled}
        assert self.cloud.wrong_files() <= wiped, "22"
        assert not self.cloud.worker.network.differences(), "48"
        with self.cloud.store.read() as tx:
            assert not tx.network_changes.all(), "48"
        for task in rows.tasks:  # only what a saved memory image does not bear waits
            instance = rows.instances[task.instance_id]
            assert instance.detail not in {"runn", "poff"}, ("44", task)
        busy = {task.resource_id for task in rows.tasks}
        for volume in rows.volumes.values():
            resting = {VolumeState.AVAILABLE, VolumeState.IN_USE, VolumeState.ERROR}
            assert volume.state in resting, ("44", volume)
            settled = volume.attach in {AttachState.NONE, AttachState.ATTACHED}
            instance = rows.instances.get(volume.instance_id or "")
            waits = volume.id in busy or (instance is not None and instance.launched_at is None)
            assert settled or waits, ("44", volume)

    def _agrees(self, row: Instance) -> None:
        facts = self._driver(str(row.host_id)).domains.get(row.id)
        status = facts.status if facts is not None else DomainStatus.OFF
        assert facts is None or facts.epoch == row.epoch, "46"
        if row.health == "impaired":
            assert (row.detail, status) == ("runn", DomainStatus.CRASHED), "46"
            return
        wanted = {
            "runn": DomainStatus.RUNNING,
            "susp.ram": DomainStatus.PAUSED,
            "susp.disk": DomainStatus.OFF,
            "poff": DomainStatus.OFF,
        }
        assert status is wanted[row.detail], ("46", row.detail, facts)
        if row.detail == "susp.disk":
            assert facts is not None, "19"
            assert facts.has_checkpoint, "19"


DEEDS: dict[str, tuple[DomainStatus, DomainReason]] = {
    "destroy": (DomainStatus.OFF, DomainReason.DESTROYED),
    "shutdown": (DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN),
    "crash": (DomainStatus.OFF, DomainReason.CRASHED),
    "preserve": (DomainStatus.CRASHED, DomainReason.CRASHED),
    "pause": (DomainStatus.PAUSED, DomainReason.USER),
    "unpause": (DomainStatus.RUNNING, DomainReason.UNKNOWN),
    "save": (DomainStatus.OFF, DomainReason.SAVED),
    "start": (DomainStatus.RUNNING, DomainReason.UNKNOWN),
}


def _meddle(host: SimulatedHost, instance: Instance, deed: str, disks: list[Volume]) -> bool:
    """Do something to a domain that can be done to it in its status; whether it was done."""
    status = host.domains[instance.id].status
    root_ids = {volume.id for volume in disks if volume.boot}
    if deed == "undefine":
        done = status is DomainStatus.OFF
        if done:
            del host.domains[instance.id]
        return done
    roots = [name for name in host.volumes if name in root_ids]
    if deed == "wipe":
        done = status is DomainStatus.OFF and bool(roots)
        if done:
            host.own.pop(instance.id, None)
            del host.volumes[roots[0]]
        return done
    allowed = {
        "start": {DomainStatus.OFF},
        "unpause": {DomainStatus.PAUSED},
        "pause": {DomainStatus.RUNNING},
        "preserve": {DomainStatus.RUNNING},
        "save": {DomainStatus.RUNNING, DomainStatus.PAUSED},
    }.get(deed, {DomainStatus.RUNNING, DomainStatus.PAUSED, DomainStatus.CRASHED})
    if status not in allowed or (deed == "start" and not roots):
        return False
    if deed == "start":  # with the disks of its definition
        plugged = [each for each in disks if each.id in host.volumes]
        plugged = [each for each in plugged if each.attach is not AttachState.ATTACHING]
        host.plugged[instance.id] = {each.target: disk_spec(each, b"") for each in plugged}
    host.change(instance.id, *DEEDS[deed])
    return True


DEEP = int(os.environ.get("ISTHMUS_DEEP", "0"))

Lifecycle.TestCase.settings = settings(
    max_examples=DEEP or 60,
    stateful_step_count=80 if DEEP else 40,
    derandomize=not DEEP,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate],  # shrinking takes minutes; the report names every rule that was run
    suppress_health_check=list(HealthCheck),
)

TestLifecycle = Lifecycle.TestCase
