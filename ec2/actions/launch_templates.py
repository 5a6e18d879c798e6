"""Launch templates: create, add versions, describe, modify, delete; and an instance as a template's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from backend import launch_commands as commands
from backend.engine.launch_templates import DEFAULT, LATEST, number_of
from backend.engine.tagging import check_tags
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate, LaunchTemplateVersion
from backend.network_model import SecurityGroup, Subnet
from ec2 import launch_template_mapping, mapping, sts
from ec2.actions.common import missing, refuse_all, specified_tags, unsupported_value, well_formed_ids
from ec2.actions.network_listing import Told, at
from ec2.actions.run import checked_user_data, client_token, launch_command, request_digest
from ec2.actions.template_reference import Reference, optional_reference, reference, template_of
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.ids import IdKind
from ec2.interfaces import interfaces_by_instance
from ec2.launch_data import NOT_INHERITED, overlaid
from ec2.listing import Column, Listing
from ec2.pages import PageLimits, page_size
from ec2.refusals import from_backend
from rendering.query_params import QueryError

LIMITS = PageLimits(minimum=1, maximum=200, default=200)
_LONGEST_TOKEN = 128
_TAGGED = frozenset({"instance", "volume", "network-interface", "spot-instances-request"})
"""What the tags in a template's data may be for."""

_WHICH_VERSIONS = (
    "Without a launch template, Versions names $Latest, $Default or both, and nothing else is given. For "
    "other versions name their template with LaunchTemplateId or LaunchTemplateName."
)


# Making -------------------------------------------------------------------------------------------------


def create_launch_template(context: Ec2Context, params: Params) -> Document:
    """A template with its first version (CreateLaunchTemplate). Nothing in it is looked up, only told of."""
    refuse_all(params, ("Operator",))
    data = _checked(params["LaunchTemplateData"])
    token = client_token(params, longest=_LONGEST_TOKEN)
    command = commands.CreateLaunchTemplate(
        name=params["LaunchTemplateName"],
        data=data,
        description=params.get("VersionDescription", ""),
        created_by=sts.arn_of(context.caller),
        tags=specified_tags(params, "launch-template"),
        client_token=token,
        token_digest=request_digest(params) if token else "",
    )
    template = context.engine.execute(context.caller, command)
    return {"LaunchTemplate": _document(context, template), "Warning": _warning(context, data)}


def create_launch_template_version(context: Ec2Context, params: Params) -> Document:
    """The next version of a template, of another one or of nothing (CreateLaunchTemplateVersion)."""
    named = reference(params, "create a new version of")
    data = _checked(params["LaunchTemplateData"])
    token = client_token(params, longest=_LONGEST_TOKEN)
    command = commands.CreateLaunchTemplateVersion(
        template_id=named.template_id,
        name=named.name,
        data=data,
        source=params.get("SourceVersion", ""),
        not_inherited=NOT_INHERITED,
        description=params.get("VersionDescription", ""),
        created_by=sts.arn_of(context.caller),
        client_token=token,
        token_digest=request_digest(params) if token else "",
    )
    made = context.engine.execute(context.caller, command)
    _refuse_alias(params, [made.version])
    return {
        "LaunchTemplateVersion": launch_template_mapping.version_document(made.template, made.version),
        "Warning": _warning(context, made.version.data),
    }


def _document(context: Ec2Context, template: LaunchTemplate) -> Document:
    tags = context.engine.tags_of([template.id]).get(template.id, {})
    return launch_template_mapping.template_document(template, tags)


def _checked(data: Mapping[str, Any]) -> dict[str, Any]:
    """A version's data; refuses what no launch could ever take.

    Raises Ec2Error: MissingParameter for no data, InvalidUserData.Malformed, InvalidParameterValue for user
    data that is too long and for tags.
    """
    if not data:
        raise missing("LaunchTemplateData")
    refuse_all(data, ("Operator",))
    checked_user_data(data.get("UserData", ""))
    for kind in sorted(_TAGGED):
        check_tags(specified_tags(data, kind, also=_TAGGED))
    kept: dict[str, Any] = msgspec.to_builtins(data)
    return kept


def _refuse_alias(params: Params, versions: Sequence[LaunchTemplateVersion]) -> None:
    """Parameters of a parameter store, which images can be named by, are looked up nowhere here."""
    for version in versions if params.get("ResolveAlias") else ():
        image = str(version.data.get("ImageId", ""))
        if image.startswith("resolve:"):
            raise unsupported_value(image, "LaunchTemplateData.ImageId")


# Warnings -----------------------------------------------------------------------------------------------

_TOGETHER = frozenset({"NetworkInterfaces", "SecurityGroupIds", "SecurityGroups"})
"""Members that are good or bad together."""

_LEAST: Params = {"ImageId": "ami-00000000", "MinCount": 1, "MaxCount": 1}


def _warning(context: Ec2Context, data: Mapping[str, Any]) -> Document | None:
    """``ValidationWarning``: what a launch with the data would be refused for, as far as is known now."""
    issues = [issue for check in _checks(context, data) if (issue := _issue(check)) is not None]
    unique = {(each["Code"], each["Message"]): each for each in issues}
    return {"Errors": list(unique.values())} if unique else None


def _issue(check: Callable[[], object]) -> Document | None:
    try:
        check()
    except BackendError as refused:
        error: QueryError = from_backend(refused)
    except QueryError as refused:
        error = refused
    else:
        return None
    return {"Code": error.code, "Message": error.message}


def _checks(context: Ec2Context, data: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Each member of the data as a launch reads it, for itself, and whether what it names is there."""
    parts = [{name: value} for name, value in data.items() if name not in _TOGETHER]
    parts.append({name: value for name, value in data.items() if name in _TOGETHER})
    for part in parts:
        yield partial(launch_command, context, overlaid(_LEAST, overlaid(part, {})))
    engine, caller = context.engine, context.caller
    if image_id := data.get("ImageId"):
        yield partial(engine.image, caller, image_id)
    if flavor := data.get("InstanceType"):
        types = {each.name for each in engine.flavors()}
        yield partial(_require, flavor in types, Code.FLAVOR_NOT_FOUND, flavor)
    if key := data.get("KeyName"):
        keys = {each.name for each in engine.key_pairs(caller)}
        yield partial(_require, key in keys, Code.KEY_PAIR_NOT_FOUND, key)
    nics = data.get("NetworkInterfaces", ())
    for subnet in [nic["SubnetId"] for nic in nics if nic.get("SubnetId")]:
        yield partial(engine.networks.one, caller, Subnet, subnet)
    groups = [*data.get("SecurityGroupIds", ()), *(each for nic in nics for each in nic.get("Groups", ()))]
    for group in groups:
        yield partial(engine.networks.one, caller, SecurityGroup, group)


def _require(there: bool, code: Code, name: str) -> None:
    if not there:
        raise BackendError(code, name, name=name)


# Describing ---------------------------------------------------------------------------------------------


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its tags."""

    template: LaunchTemplate
    tags: Mapping[str, str]


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "create-time": lambda row: mapping.moment(row.template.created_at),
        "launch-template-name": lambda row: row.template.name,
    },
    tags=lambda row: row.tags,
)


def _with_tags(context: Ec2Context, templates: Sequence[LaunchTemplate]) -> list[Listed]:
    tags = context.engine.tags_of([each.id for each in templates])
    return [Listed(template=each, tags=tags.get(each.id, {})) for each in templates]


LISTING: Listing[LaunchTemplate, Listed] = Listing(
    kind=LaunchTemplate,
    dress=_with_tags,
    filters=FILTERS,
    columns={"launch-template-name": Column("name")},
    limits=LIMITS,
)


def describe_launch_templates(context: Ec2Context, params: Params) -> Document:
    """Templates by id, by name or all, oldest first (DescribeLaunchTemplates)."""
    rows, token = LISTING.page(context, params, named=_named(context, params))
    documents = [launch_template_mapping.template_document(row.template, row.tags) for row in rows]
    return {"LaunchTemplates": documents, "NextToken": token}


def _named(context: Ec2Context, params: Params) -> list[LaunchTemplate] | None:
    """The templates that a call names, which must all be there; None when it names none."""
    ids, names = params.get("LaunchTemplateIds") or (), params.get("LaunchTemplateNames") or ()
    if ids and names:
        raise Ec2Error(
            "InvalidParameterCombination", "Either provide launch template IDs or launch template names."
        )
    if ids:
        wanted = well_formed_ids(IdKind.LAUNCH_TEMPLATE, ids)
        return context.engine.networks.some(context.caller, LaunchTemplate, wanted)
    if not names:
        return None
    for name in names:
        optional_reference({"LaunchTemplateName": name}, "describe")
    try:
        return context.engine.launch_templates.named(context.caller, names)
    except BackendError as refused:
        if refused.code is not Code.LAUNCH_TEMPLATE_NOT_FOUND:
            raise
        raise Ec2Error(
            "InvalidLaunchTemplateName.NotFoundException",
            "At least one of the launch templates specified in the request does not exist.",
        ) from None


VERSION_FILTERS: FilterTable[Told] = FilterTable(
    {
        "create-time": at("CreateTime"),
        "ebs-optimized": at("LaunchTemplateData", "EbsOptimized"),
        "host-resource-group-arn": at("LaunchTemplateData", "Placement", "HostResourceGroupArn"),
        "http-endpoint": at("LaunchTemplateData", "MetadataOptions", "HttpEndpoint"),
        "http-protocol-ipv4": at("LaunchTemplateData", "MetadataOptions", "HttpEndpoint"),
        "http-tokens": at("LaunchTemplateData", "MetadataOptions", "HttpTokens"),
        "iam-instance-profile": at("LaunchTemplateData", "IamInstanceProfile", "Arn"),
        "image-id": at("LaunchTemplateData", "ImageId"),
        "instance-type": at("LaunchTemplateData", "InstanceType"),
        "is-default-version": at("DefaultVersion"),
        "kernel-id": at("LaunchTemplateData", "KernelId"),
        "license-configuration-arn": at(
            "LaunchTemplateData", "LicenseSpecifications", "LicenseConfigurationArn"
        ),
        "network-card-index": at("LaunchTemplateData", "NetworkInterfaces", "NetworkCardIndex"),
        "ram-disk-id": at("LaunchTemplateData", "RamDiskId"),
    }
)


def describe_launch_template_versions(context: Ec2Context, params: Params) -> Document:
    """Versions of one template, or those that all templates point to (DescribeLaunchTemplateVersions)."""
    matches = VERSION_FILTERS.compile(params.get("Filters", ()))
    named = optional_reference(params, "describe the versions of")
    pairs = _pointed(context, params) if named is None else _of_one(context, params, named)
    _refuse_alias(params, [version for _, version in pairs])
    rows = [_told(template, version) for template, version in pairs]
    found = sorted(((row.position, row) for row in rows if matches(row)), key=lambda row: row[0])
    shown, token = page_of(context, params, found, LIMITS)
    return {"LaunchTemplateVersions": [row.document for row in shown], "NextToken": token}


Pairs = list[tuple[LaunchTemplate, LaunchTemplateVersion]]


def _told(template: LaunchTemplate, version: LaunchTemplateVersion) -> Told:
    """A version, the newest first among those of its template."""
    return Told(
        position=(round(template.created_at * 1e6), template.id, -version.number),
        tags={},
        document=launch_template_mapping.version_document(template, version),
    )


def _pointed(context: Ec2Context, params: Params) -> Pairs:
    """The latest and default versions of all templates: without a template, nothing else can be named."""
    wanted = set(params.get("Versions") or ())
    if not wanted or params.get("MinVersion") or params.get("MaxVersion"):
        raise Ec2Error("MissingParameter", _WHICH_VERSIONS)
    if not wanted <= {LATEST, DEFAULT}:
        raise Ec2Error("InvalidParameterValue", _WHICH_VERSIONS)
    engine, caller = context.engine, context.caller
    templates = {each.id: each for each in engine.networks.all(caller, LaunchTemplate)}
    versions = engine.launch_templates.pointed(caller, latest=LATEST in wanted, default=DEFAULT in wanted)
    # A template that came between the two questions is shown the next time.
    return [(templates[each.template_id], each) for each in versions if each.template_id in templates]


def _of_one(context: Ec2Context, params: Params, named: Reference) -> Pairs:
    """Versions of one template: those named, or a range, no more of it than the page can show."""
    lowest, highest = _bound(params, "MinVersion"), _bound(params, "MaxVersion")
    template = template_of(context, named)
    reads, wanted = context.engine.launch_templates, params.get("Versions")
    if wanted:
        found = reads.versions(template, numbers=[number_of(template, each) for each in wanted])
        return [
            (template, each)
            for each in found
            if (lowest is None or each.number >= lowest) and (highest is None or each.number <= highest)
        ]
    after, size = context.after(params), page_size(params, LIMITS)
    if after is not None:
        below = -int(after[-1]) - 1
        highest = below if highest is None else min(highest, below)
    limit = size + 1 if size is not None and not params.get("Filters") else None
    return [
        (template, each) for each in reads.versions(template, lowest=lowest, highest=highest, limit=limit)
    ]


def _bound(params: Params, name: str) -> int | None:
    text: str = params.get(name) or ""
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        word = name[:1].lower() + name[1:]
        raise Ec2Error("InvalidParameterValue", f"Value ({text[:120]}) for parameter {word} is invalid.")
    return int(text) if text else None


# Changing and deleting ----------------------------------------------------------------------------------


def modify_launch_template(context: Ec2Context, params: Params) -> Document:
    """Set the version that launches use when they name none (ModifyLaunchTemplate)."""
    named = reference(params, "modify")
    version = params.get("DefaultVersion")
    if not version:
        raise missing("SetDefaultVersion")
    command = commands.SetDefaultVersion(template_id=named.template_id, name=named.name, version=version)
    return {"LaunchTemplate": _document(context, context.engine.execute(context.caller, command))}


def delete_launch_template(context: Ec2Context, params: Params) -> Document:
    """Forget a template with all its versions (DeleteLaunchTemplate)."""
    named = reference(params, "delete")
    command = commands.DeleteLaunchTemplate(template_id=named.template_id, name=named.name)
    gone = context.engine.execute(context.caller, command)
    return {"LaunchTemplate": launch_template_mapping.template_document(gone, {})}


_WHY = {
    Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND: (
        "launchTemplateVersionDoesNotExist",
        "The launch template version does not exist.",
    ),
    Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT: (
        "unexpectedError",
        "The default version of a launch template cannot be deleted. Make another version the default one.",
    ),
}
"""``ResponseError``: why a version stays."""


def delete_launch_template_versions(context: Ec2Context, params: Params) -> Document:
    """Forget versions, each that can go, and tell of each (DeleteLaunchTemplateVersions)."""
    named = reference(params, "delete versions of")
    command = commands.DeleteLaunchTemplateVersions(
        template_id=named.template_id, name=named.name, versions=_numbers(params["Versions"])
    )
    done = context.engine.execute(context.caller, command)
    head = {"LaunchTemplateId": done.template.id, "LaunchTemplateName": done.template.name}
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": [
            {**head, "VersionNumber": each.number} for each in done.versions if each.refusal is None
        ],
        "UnsuccessfullyDeletedLaunchTemplateVersions": [
            {**head, "VersionNumber": each.number, "ResponseError": _response_error(each.refusal)}
            for each in done.versions
            if each.refusal is not None
        ],
    }


def _response_error(refusal: Code) -> Document:
    code, message = _WHY[refusal]
    return {"Code": code, "Message": message}


def _numbers(versions: Sequence[str]) -> tuple[int, ...]:
    """The numbers of versions to be deleted; what a template points to is not named so here."""
    if not versions:
        raise missing("LaunchTemplateVersion")
    for text in versions:
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Ec2Error(
                "InvalidParameterValue",
                f"Value ({text[:120]}) for parameter launchTemplateVersion is invalid. "
                "Expecting a version number.",
            )
    return tuple(map(int, versions))


# An instance as a template ------------------------------------------------------------------------------


def get_launch_template_data(context: Ec2Context, params: Params) -> Document:
    """What a template would have to say to launch an instance again (GetLaunchTemplateData)."""
    engine, caller = context.engine, context.caller
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    instance = engine.instance(caller, instance_id)
    volumes = engine.disks_of([instance_id]).get(instance_id, [])
    interfaces = interfaces_by_instance(engine, caller, [instance_id]).get(instance_id, [])
    ids = [instance_id, *(each.id for each in volumes), *(each.nic.id for each in interfaces)]
    data = launch_template_mapping.data_of_instance(
        instance,
        volumes=volumes,
        interfaces=interfaces,
        tags=engine.tags_of(ids),
        user_data=engine.user_data(caller, instance_id),
        group_name=engine.group_names([instance]).get(instance.group_id, ""),
    )
    return {"LaunchTemplateData": data}
