"""Which launch template a request names, and what a launch of it asks for."""

from __future__ import annotations

import msgspec

from backend.engine.launch_templates import DEFAULT, check_name
from backend.launch_model import LaunchTemplate
from ec2 import launch_data
from ec2.context import Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind, require_well_formed

ID_TAG, VERSION_TAG = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"
"""Where instances tell which template they were launched from."""

_BOTH = "Either provide launch template ID or launch template name to {verb} the template."
_NEITHER = "The request must contain the parameter launch template ID or launch template name"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A template by its id, or without one by its name."""

    template_id: str = ""
    name: str = ""


def reference(params: Params, verb: str) -> Reference:
    """The template that parameters name.

    Raises Ec2Error: InvalidParameterCombination for both id and name, MissingParameter for neither,
    InvalidLaunchTemplateId.Malformed; BackendError LAUNCH_TEMPLATE_NAME_INVALID.
    """
    found = optional_reference(params, verb)
    if found is None:
        raise Ec2Error("MissingParameter", _NEITHER)
    return found


def optional_reference(params: Params, verb: str) -> Reference | None:
    """The template that parameters name; None when they name none."""
    identity, name = params.get("LaunchTemplateId") or "", params.get("LaunchTemplateName") or ""
    if identity and name:
        raise Ec2Error("InvalidParameterCombination", _BOTH.format(verb=verb))
    if identity:
        require_well_formed(IdKind.LAUNCH_TEMPLATE, [identity])
    elif name:
        check_name(name)
    else:
        return None
    return Reference(template_id=identity, name=name)


def template_of(context: Ec2Context, named: Reference) -> LaunchTemplate:
    """The template; raises the error for one that is not there."""
    if named.template_id:
        return context.engine.networks.one(context.caller, LaunchTemplate, named.template_id)
    return context.engine.launch_templates.named(context.caller, [named.name])[0]


class TemplateLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch asks for, its template's parameters included, and the tags that tell where from."""

    params: Params
    origin: tuple[tuple[str, str], ...] = ()


def resolved(context: Ec2Context, params: Params) -> TemplateLaunch:
    """A launch's parameters with those of the template that it names, if any, behind its own."""
    if "LaunchTemplate" not in params:
        return TemplateLaunch(params=params)
    asked = params["LaunchTemplate"]
    own = {name: value for name, value in params.items() if name != "LaunchTemplate"}
    template = template_of(context, reference(asked, "launch instances from"))
    version = context.engine.launch_templates.version(template, asked.get("Version") or DEFAULT)
    return TemplateLaunch(
        params=launch_data.overlaid(version.data, own),
        origin=((ID_TAG, template.id), (VERSION_TAG, str(version.number))),
    )
