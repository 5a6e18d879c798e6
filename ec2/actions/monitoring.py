"""MonitorInstances and UnmonitorInstances: whether detailed monitoring is asked for, which is recorded."""

from __future__ import annotations

from backend.commands import ModifyInstance
from backend.model import Instance
from ec2.actions.common import refuse_all
from ec2.actions.instances import still_there, wanted
from ec2.context import Document, Ec2Context, Params

NOT_OFFERED = ("MetricCategoryIds",)
"""Categories of measurements to choose among: there are none."""


def monitor_instances(context: Ec2Context, params: Params) -> Document:
    """Ask for detailed monitoring of instances, all or none (MonitorInstances)."""
    instances = _set(context, params, enabled=True)
    # What is on already stays on; another is told to be on its way, and is there at the next look.
    return _answer(instances, {False: "pending", True: "enabled"})


def unmonitor_instances(context: Ec2Context, params: Params) -> Document:
    """Ask for it no more (UnmonitorInstances)."""
    instances = _set(context, params, enabled=False)
    return _answer(instances, {False: "disabled", True: "disabling"})


def _set(context: Ec2Context, params: Params, *, enabled: bool) -> list[Instance]:
    """Record it; answers the instances as they were."""
    refuse_all(params, NOT_OFFERED)
    instances = context.engine.instances_by_id(context.caller, wanted(params))
    for instance in instances:
        still_there(instance)
    context.engine.execute_all(
        context.caller,
        [
            ModifyInstance(instance_id=instance.id, monitoring=enabled)
            for instance in instances
            if instance.monitoring is not enabled
        ],
    )
    return instances


def _answer(instances: list[Instance], words: dict[bool, str]) -> Document:
    return {
        "InstanceMonitorings": [
            {"InstanceId": instance.id, "Monitoring": {"State": words[instance.monitoring]}}
            for instance in instances
        ]
    }
