"""One unit of engine work: a transaction with the caller, the time and the queue beside it.

Every state change of an instance goes through :meth:`Work.move` or :meth:`Work.begin`, so that each has its
event row with actor and reason (invariant 24).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from backend.engine.leaving import volumes_after_end
from backend.engine.nic_ends import nics_after_end, nics_after_move
from backend.engine.settings import EngineSettings
from backend.errors import BackendError, Code
from backend.lifecycle import SAME, Transition
from backend.model import Api, Caller, Desired, Event, Instance, Job, JobState, Reason
from backend.network_model import NetworkChange
from backend.ports import JobQueue, Vault
from backend.store import Tx

IN_PLACE = {
    "reboot": "runn.reboot",
    "reset": "runn.reset",
    "restart_cold": "runn.cold",
    "pause": "runn.pause",
}
"""Operations that work while the instance stays ``runn``: their single stage (lifecycle §2.2)."""

DESIRES = {
    "resume": Desired.RUN,
    "restart": Desired.RUN,
    "release": Desired.RUN,
    "reboot": Desired.RUN,
    "reset": Desired.RUN,
    "resubmit": Desired.RUN,
    "recover_retry": Desired.RUN,
    "recover_recreate": Desired.RUN,
    "poweroff": Desired.OFF,
    "poweroff_hard": Desired.OFF,
    "suspend": Desired.SUSP,
    "pause": Desired.SUSP,
    "terminate": Desired.GONE,
    "cancel": Desired.GONE,
    "delete": Desired.GONE,
}
"""What an accepted operation says about the owner's wish."""

_HOTPLUG = "hotp@"  # begins the details of a machine at whose devices is worked

ENGINE = Caller(tenant_id="", account_id="", user_id="", user_name="engine", api=Api.ENGINE)
"""The caller of what nobody asked for: monitoring, recovery, clean-up."""


class Work:
    """A transaction, who asked, when, and how to write what follows."""

    def __init__(
        self,
        *,
        tx: Tx,
        caller: Caller,
        settings: EngineSettings,
        now: float,
        queue: JobQueue,
        vault: Vault | None = None,
    ) -> None:
        self.tx = tx
        self.caller = caller
        self.settings = settings
        self.now = now
        self.queue = queue
        self.vault = vault
        self._noted = 0
        self._network_told = False

    @property
    def region(self) -> str:
        """The region of the caller, or the first one of a caller without."""
        return self.caller.region or self.settings.default_region

    @cached_property
    def encrypts_unasked(self) -> bool:
        """Whether the caller's new volumes are encrypted in its region, asked for or not."""
        tenant = self.tx.tenants.get(self.caller.tenant_id)
        return tenant is not None and self.region in tenant.encrypted_regions

    def move(
        self,
        instance: Instance,
        detail: str,
        *,
        op: str,
        why: str = "",
        job: Job | None = None,
        **changes: Any,
    ) -> Instance:
        """Change an instance's detail (and whatever else), with its event.

        Disks and cards that come and go do not begin a state anew: who was ready stays ready.
        """
        if detail.removeprefix(_HOTPLUG) != instance.detail.removeprefix(_HOTPLUG):
            changes["state_since"] = self.now
        if detail == "done":
            self.tx.forget([instance.id])
            volumes_after_end(self, instance, op=op, epilog=job is not None)
            nics_after_end(self, instance)
        if detail != instance.detail:
            nics_after_move(self, instance, detail)
        moved = self.tx.instances.update(instance, detail=detail, **changes)
        self.note(moved, op=op, old=instance.detail, why=why, job=job)
        if detail == "done" and job is None:  # a job knows what its epilog kept for them
            from backend.engine.tasks import abandon

            abandon(self, moved, {})
        return moved

    def note(self, instance: Instance, *, op: str, old: str, why: str = "", job: Job | None = None) -> None:
        """Write an event."""
        self.tx.events.insert(self._event(instance, op=op, old=old, why=why, job=job))

    def note_all(self, instances: Sequence[Instance], *, op: str) -> None:
        """Write the first event of new instances."""
        self.tx.events.insert_all(self._event(item, op=op, old="", why="", job=None) for item in instances)

    def _event(self, instance: Instance, *, op: str, old: str, why: str, job: Job | None) -> Event:
        """What a job does is its requester's doing, whoever runs it."""
        by_job = job is not None and self.caller is ENGINE
        self._noted += 1  # events of one transaction keep their order
        return Event(
            id=f"{int(self.now * 1e6):014x}{self._noted:04x}{secrets.token_hex(3)}",
            at=self.now,
            instance_id=instance.id,
            tenant_id=instance.tenant_id,
            op=op,
            old=old,
            new=instance.detail,
            actor=job.actor if job is not None and by_job else self.caller.actor,
            reason=why,
            request_id=job.request_id if job is not None and by_job else self.caller.request_id,
            job_id=job.id if job else "",
        )

    def begin(
        self,
        instance: Instance,
        edge: Transition,
        *,
        op: str,
        force: bool = False,
        why: str = "",
        **changes: Any,
    ) -> Instance:
        """Accept an operation on an instance: claim it with a job, or finish at once when nothing is to do.

        The compare-and-set of the instance's version makes this the one operation at a time.
        """
        wish = DESIRES.get(op)
        if wish is not None and (instance.desired is not Desired.GONE or op == "recover_recreate"):
            changes.setdefault("desired", wish)
        changes.setdefault("resched", False)
        stages = edge.via or ((IN_PLACE[op],) if op in IN_PLACE else ())
        if not stages:
            detail = instance.detail if edge.ok == SAME else edge.ok
            return self.move(instance, detail, op=op, why=why, **changes)
        if instance.job_id is not None:
            self._supersede(instance)
        job = self._job(instance, edge, stages, op=op, force=force)
        self.tx.jobs.insert(job)
        detail = instance.detail if stages[0].startswith("runn.") else stages[0]
        moved = self.move(instance, detail, op=op, why=why, job=job, job_id=job.id, **changes)
        self.queue.enqueue(self.tx.connection, "job", job.id, job.id)
        return moved

    def _supersede(self, instance: Instance) -> None:
        old = self.tx.jobs.get(str(instance.job_id))
        if old is not None and old.finished_at is None:
            self.tx.jobs.update(old, state=JobState.SUPERSEDED, finished_at=self.now)

    def _job(
        self, instance: Instance, edge: Transition, stages: tuple[str, ...], *, op: str, force: bool
    ) -> Job:
        in_place = not edge.via
        return Job(
            id=f"job-{secrets.token_hex(10)}",
            instance_id=instance.id,
            op=op,
            stages=stages,
            on_failed=(instance.detail,) if in_place else edge.failed,
            on_lost=("unkn",) if in_place else edge.lost,
            on_ok=instance.detail if edge.ok == SAME else edge.ok,
            origin=instance.detail,
            actor=self.caller.actor,
            api=self.caller.api,
            request_id=self.caller.request_id,
            created_at=self.now,
            deadline=self.now + self.settings.deadlines.of(stages[0]),
            stage_started=self.now,
            force=force,
        )

    def wake_scheduler(self) -> None:
        """Ask for a scheduler pass after this transaction."""
        self.queue.enqueue(self.tx.connection, "schedule", f"schedule-{secrets.token_hex(8)}", "")

    def network_changed(self, *scopes: str, urgent: bool = True) -> None:
        """Note ids of objects that the network has to follow, with the change that this transaction makes.

        A group for its rules, an interface for its addresses, groups and switches, a subnet for its DHCP
        options and network ACL, a VPC for everything about its router. What is not urgent is for the
        worker's next round: nobody sends packets there yet.
        """
        if not scopes:
            return
        fresh = dict.fromkeys(scopes)
        self.tx.network_changes.insert_all(
            NetworkChange(id=f"{int(self.now * 1e6):014x}{secrets.token_hex(6)}", scope=each, at=self.now)
            for each in fresh
        )
        if urgent and not self._network_told:
            self._network_told = True
            self.queue.enqueue(self.tx.connection, "job", f"net-{secrets.token_hex(8)}", "net-")

    def clear_reason(self) -> dict[str, Any]:
        """Changes that take the state reason off."""
        return {"reason": Reason.NONE, "reason_text": "", "by_user": False}


OFF = frozenset({"pend", "hold", "poff"})
"""Where nothing of an instance runs, and nothing waits to run on as it was."""


def require_off(instance: Instance, what: str, op: str = "change") -> None:
    """Refuse a change that a guest would not take notice of while it runs, or sleeps with what it has."""
    if instance.job_id is not None or instance.detail == "unkn":
        raise wrong_state(instance, op)
    if instance.desired is Desired.GONE or instance.detail not in OFF:
        raise BackendError(
            Code.INSTANCE_WRONG_STATE,
            f"{what}: the instance '{instance.id}' must be switched off for that.",
            ids=(instance.id,),
            state=instance.detail,
            op=op,
        )


_DOING = (
    ("pend", "it is being launched"),
    ("hotp", "its devices are being worked on"),
    ("boot", "it is being started"),
    ("prol", "its disks are being made"),
    ("save", "it is being hibernated"),
    ("shut", "it is being shut down"),
    ("epil", "its disks are being put away"),
    ("migr", "it is being moved to another host"),
)


def _doing(instance: Instance) -> str:
    """What an instance is busy with, in its owner's words."""
    return next((words for prefix, words in _DOING if instance.detail.startswith(prefix)), "it is changing")


def wrong_state(instance: Instance, op: str) -> BackendError:
    """The refusal of an operation that the life-cycle does not allow now."""
    if instance.detail == "unkn" and instance.desired is not Desired.GONE:
        return BackendError(
            Code.INSTANCE_UNREACHABLE,
            f"The instance '{instance.id}' is unreachable: its host does not answer.",
            ids=(instance.id,),
            state=instance.detail,
            op=op,
        )
    if instance.job_id is not None and instance.desired is not Desired.GONE:
        return BackendError(
            Code.INSTANCE_BUSY,
            f"The instance '{instance.id}' is busy: {_doing(instance)}; try again in a moment.",
            ids=(instance.id,),
            state=instance.detail,
            op=op,
        )
    return BackendError(
        Code.INSTANCE_WRONG_STATE,
        f"The instance '{instance.id}' is not in a state from which it can be asked to {op}.",
        ids=(instance.id,),
        state=instance.detail,
        op=op,
    )
