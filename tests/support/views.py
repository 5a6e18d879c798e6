"""Both faces' views of one machine, and what OCCI clients send."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from live_cloud import LiveCloud, wait_for

from backend.model import uuid_of

REPOSITORY = Path(__file__).resolve().parents[2]
ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
BOOTED = 240.0  # seconds in which a guest boots under emulation on a busy machine

# What OCCI may say while EC2 says this (lifecycle §7.1, §8.1), for instances nobody has ended.
TOGETHER = {
    "pending": {"inactive", "suspended"},
    "running": {"active"},
    "stopping": {"active", "suspended"},
    "stopped": {"inactive", "suspended"},
}


class Machine:
    """One machine of a cloud through both faces."""

    def __init__(self, cloud: LiveCloud, instance_id: str) -> None:
        self.cloud = cloud
        self.id = instance_id
        self.path = f"/compute/{uuid_of(instance_id)}"
        self.ec2 = cloud.client()

    def described(self) -> dict[str, Any]:
        [reservation] = self.ec2.describe_instances(InstanceIds=[self.id])["Reservations"]
        [instance] = reservation["Instances"]
        return instance

    def state(self) -> str:
        return self.described()["State"]["Name"]

    def entity(self) -> dict[str, Any]:
        answer = self.cloud.occi("GET", self.path, headers={"Accept": "application/occi+json"})
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def occi_state(self) -> str:
        return self.entity()["attributes"]["occi.compute.state"]

    def offered(self) -> set[str]:
        return {action.removeprefix(ACTION) for action in self.entity().get("actions", [])}

    def act(self, term: str, method: str | None = None, status: int = 200) -> None:
        lines = [f'Category: {term}; scheme="{ACTION}"; class="action"']
        if method:
            lines.append(f'X-OCCI-Attribute: method="{method}"')
        answer = self.cloud.occi(
            "POST", f"{self.path}?action={term}", "\n".join(lines), {"Content-Type": "text/plain"}
        )
        assert answer.status == status, answer

    def both(self, ec2: str, occi: str) -> None:
        """Wait until both faces say so; at no time may they contradict each other."""

        def agreed() -> bool:
            before, shown, after = self.state(), self.occi_state(), self.state()
            if before == after:  # nothing moved between the two questions
                assert shown in TOGETHER[before], f"EC2 says {before}, OCCI {shown}"
            return (after, shown) == (ec2, occi)

        wait_for(agreed, f"{self.id}: EC2 {ec2}, OCCI {occi}", BOOTED)

    def console(self) -> str:
        return self.ec2.get_console_output(InstanceId=self.id).get("Output", "")

    def ready(self, times: int) -> list[dict[str, Any]]:
        """The guest's ready lines, as soon as there are so many."""
        mark = "isthmus-guest: ready "

        def lines() -> list[str]:
            found = [line.split(mark)[1] for line in self.console().splitlines() if mark in line]
            return found if len(found) >= times and found[-1].rstrip().endswith("}") else []

        return [json.loads(line) for line in wait_for(lines, f"{times} boots of {self.id}", BOOTED)]


def aws(cloud: LiveCloud, *words: str) -> Any:
    """The AWS command line client, as `script/setup` installs it."""
    cache = Path(os.environ.get("ISTHMUS_CACHE", REPOSITORY / ".cache"))
    done = subprocess.run(
        [str(cache / "awscli" / "bin" / "aws"), "--endpoint-url", cloud.endpoint, "ec2", *words],
        env={
            **os.environ, "AWS_ACCESS_KEY_ID": cloud.key.id, "AWS_SECRET_ACCESS_KEY": cloud.key.secret,
            "AWS_DEFAULT_REGION": cloud.facts["region"], "AWS_DEFAULT_OUTPUT": "json", "AWS_PAGER": "",
        },
        check=False, capture_output=True, text=True, timeout=BOOTED,
    )  # fmt: skip
    assert done.returncode == 0, f"aws ec2 {' '.join(words)}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def nothing_left(cloud: LiveCloud, instance_id: str) -> None:
    """No process, file, placement, reservation or open job of an instance that has ended."""
    from backend.store import Store

    assert not [path for path in (cloud.home / "hosts").rglob(f"*{instance_id}*")]
    assert not [pid for pid in cloud.guests() if instance_id in Path(f"/proc/{pid}/cmdline").read_text()]
    store = Store(f"sqlite:///{cloud.home / 'isthmus.db'}")
    try:
        with store.read() as tx:
            assert tx.placements.open_of(instance_id) == []
            assert tx.reservations.of(instance_id) == []
            assert [job for job in tx.jobs.of_instance(instance_id) if job.finished_at is None] == []
            assert [item for item in tx.debris.all() if item.instance_id == instance_id] == []
    finally:
        store.close()
