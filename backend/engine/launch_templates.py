"""Launch templates: launches that are written down, in numbered versions, and never resolved before use.

A template's row is locked by whatever changes its versions, so numbers are given one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from backend import launch_commands as commands
from backend.engine.access import scope
from backend.engine.network_access import own
from backend.engine.network_reads import may_see
from backend.engine.registry import lock_tenant
from backend.engine.replays import id_for, replayed
from backend.engine.settings import EngineSettings
from backend.engine.tagging import give_tags
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate, LaunchTemplateVersion, TemplateAndVersion
from backend.model import Caller
from backend.store import Store

LATEST, DEFAULT = "$Latest", "$Default"
"""The versions that a template points to."""

MOST_TEMPLATES = 5_000
"""In one region (EC2 user guide, "Restrictions" of launch templates), as the two below."""
MOST_VERSIONS = 10_000
MOST_DELETED = 200
LONGEST_DESCRIPTION = 255
_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


# Names and versions -------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    """Refuse what is no template's name: 3 to 128 letters, digits and ``- ( ) . / _``."""
    if not _NAME.fullmatch(name):
        raise BackendError(
            Code.LAUNCH_TEMPLATE_NAME_INVALID, f"'{name[:128]}' is no name of a launch template.", name=name
        )


def number_of(template: LaunchTemplate, version: str) -> int:
    """The number that a version is named by: a number, or what the template points to.

    Raises:
        BackendError: PARAMETER_INVALID for what is neither.
    """
    pointed = {LATEST: template.latest_version, DEFAULT: template.default_version}
    if version in pointed:
        return pointed[version]
    if not _NUMBER.fullmatch(version):
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A version is a number, {LATEST} or {DEFAULT}.",
            parameter="launchTemplateVersion",
            value=version,
        )
    return int(version)


def _name_unknown(name: str) -> BackendError:
    return BackendError(
        Code.LAUNCH_TEMPLATE_NOT_FOUND,
        f"The specified launch template, with template name {name}, does not exist.",
        name=name,
    )


def _version_unknown(template: LaunchTemplate, number: int) -> BackendError:
    return BackendError(
        Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND,
        f"Could not find the specified version {number} for the launch template with ID {template.id}.",
        ids=(template.id,),
        number=number,
    )


def _own_template(work: Work, command: commands.OfTemplate) -> LaunchTemplate:
    """The template that a command is about, locked."""
    identity = command.template_id
    if not identity:
        found = work.tx.launch_templates.named(work.caller.tenant_id, work.region, command.name)
        if found is None:
            raise _name_unknown(command.name)
        identity = found.id
    return own(work, LaunchTemplate, identity, lock=True)


def _version(work: Work, template: LaunchTemplate, named: str) -> LaunchTemplateVersion:
    number = number_of(template, named)
    found = work.tx.launch_template_versions.get(template.id, number)
    if found is None:
        raise _version_unknown(template, number)
    return found


# Making -------------------------------------------------------------------------------------------------


def create_template(work: Work, command: commands.CreateLaunchTemplate) -> LaunchTemplate:
    """Write a launch down under a name of the tenant's in the region (CreateLaunchTemplate)."""
    check_name(command.name)
    _check_description(command.description)
    lock_tenant(work, work.caller.tenant_id)
    identity = id_for(work, "lt", command.client_token)
    before = replayed(work, LaunchTemplate, identity, token_digest=command.token_digest)
    if before is not None:
        return before
    rows, tenant_id = work.tx.launch_templates, work.caller.tenant_id
    if rows.named(tenant_id, work.region, command.name) is not None:
        raise BackendError(
            Code.LAUNCH_TEMPLATE_EXISTS, f"The name '{command.name}' is in use.", name=command.name
        )
    if rows.count(tenant_id, work.region) >= MOST_TEMPLATES:
        raise _limit(f"There are {MOST_TEMPLATES} launch templates in this region, which is the limit.")
    template = LaunchTemplate(
        id=identity,
        tenant_id=tenant_id,
        account_id=work.caller.account_id,
        region=work.region,
        created_at=work.now,
        name=command.name,
        created_by=command.created_by,
        token_digest=command.token_digest,
    )
    rows.insert(template)
    work.tx.launch_template_versions.insert(
        LaunchTemplateVersion(
            template_id=template.id,
            number=1,
            created_at=work.now,
            created_by=command.created_by,
            description=command.description,
            data=command.data,
        )
    )
    give_tags(work, [template.id], "launch-template", command.tags)
    return template


def create_version(work: Work, command: commands.CreateLaunchTemplateVersion) -> TemplateAndVersion:
    """Write the next version of a template (CreateLaunchTemplateVersion)."""
    _check_description(command.description)
    if command.client_token:
        before = _replayed_version(work, command)
        if before is not None:
            return before
    template = _own_template(work, command)
    versions = work.tx.launch_template_versions
    data = command.data
    if command.source:
        source = _version(work, template, command.source)
        data = inherited(source.data, data, command.not_inherited)
    if versions.count(template.id) >= MOST_VERSIONS:
        raise _limit(f"The launch template {template.id} has {MOST_VERSIONS} versions, which is the limit.")
    number = template.last_version + 1
    version = LaunchTemplateVersion(
        template_id=template.id,
        number=number,
        created_at=work.now,
        created_by=command.created_by,
        description=command.description,
        data=data,
        client_token=command.client_token,
        token_digest=command.token_digest,
    )
    versions.insert(version)
    changed = work.tx.launch_templates.update(template, latest_version=number, last_version=number)
    return TemplateAndVersion(template=changed, version=version)


def _replayed_version(work: Work, command: commands.CreateLaunchTemplateVersion) -> TemplateAndVersion | None:
    """What was made with a client token before. The tenant's row is locked: requests come one by one."""
    lock_tenant(work, work.caller.tenant_id)
    found = work.tx.launch_template_versions.with_token(
        work.caller.tenant_id, work.region, command.client_token
    )
    if found is None:
        return None
    if found.token_digest != command.token_digest:
        raise BackendError(Code.TOKEN_MISMATCH, "The client token was used with other parameters.")
    template = own(work, LaunchTemplate, found.template_id)
    return TemplateAndVersion(template=template, version=found)


def inherited(
    source: Mapping[str, Any], data: Mapping[str, Any], without: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """The data of a version with the members of another in place of its own, some paths left out of it."""
    kept: dict[str, Any] = _pruned(dict(source), without)
    return kept | dict(data)


def _left(value: Any, name: str, without: Sequence[Sequence[str]]) -> Any:
    """What is left of a member without the paths that lead into it; lists are passed through."""
    below = [path[1:] for path in without if len(path) > 1 and path[0] == name]
    return _pruned(value, below) if below else value


def _pruned(value: Any, without: Sequence[Sequence[str]]) -> Any:
    if isinstance(value, list):
        return [_pruned(item, without) for item in value]
    if not isinstance(value, dict):
        return value
    gone = {path[0] for path in without if len(path) == 1}
    return {name: _left(inner, name, without) for name, inner in value.items() if name not in gone}


def _check_description(text: str) -> None:
    if len(text) > LONGEST_DESCRIPTION:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A description has at most {LONGEST_DESCRIPTION} characters.",
            parameter="versionDescription",
            value=text,
        )


def _limit(sentence: str) -> BackendError:
    return BackendError(Code.LAUNCH_TEMPLATE_LIMIT, sentence)


# Changing and deleting ----------------------------------------------------------------------------------


def set_default(work: Work, command: commands.SetDefaultVersion) -> LaunchTemplate:
    """Let launches that name no version use another one (ModifyLaunchTemplate)."""
    template = _own_template(work, command)
    number = number_of(template, command.version)
    if work.tx.launch_template_versions.get(template.id, number) is None:
        raise BackendError(
            Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND,
            f"The launch template version {number} is not found for the specified launch template.",
            ids=(template.id,),
        )
    return work.tx.launch_templates.update(template, default_version=number)


def delete_template(work: Work, command: commands.DeleteLaunchTemplate) -> LaunchTemplate:
    """Forget a template with all its versions; what was launched from it stays (DeleteLaunchTemplate)."""
    template = _own_template(work, command)
    forget_template(work, template)
    return template


def forget_template(work: Work, template: LaunchTemplate) -> None:
    """Remove a template, its versions and its tags."""
    work.tx.launch_template_versions.forget(template.id)
    work.tx.launch_templates.delete(template.id)
    work.tx.tags.drop([template.id])


def delete_versions(work: Work, command: commands.DeleteLaunchTemplateVersions) -> commands.VersionDeletions:
    """Forget versions, each that can go; numbers are never given again (DeleteLaunchTemplateVersions)."""
    if not 1 <= len(command.versions) <= MOST_DELETED:
        raise BackendError(
            Code.PARAMETER_INVALID, f"Between 1 and {MOST_DELETED} versions can be deleted at once."
        )
    template = _own_template(work, command)
    wanted = list(dict.fromkeys(command.versions))
    found = work.tx.launch_template_versions.of_template(template.id, numbers=wanted)
    there = {version.number for version in found}
    results = tuple(
        commands.VersionDeletion(number=number, refusal=_refusal(template, number, there))
        for number in wanted
    )
    gone = [each.number for each in results if each.refusal is None]
    if gone:
        work.tx.launch_template_versions.forget(template.id, gone)
        latest = work.tx.launch_template_versions.latest(template.id)
        template = work.tx.launch_templates.update(template, latest_version=latest)
    return commands.VersionDeletions(template=template, versions=results)


def _refusal(template: LaunchTemplate, number: int, there: Collection[int]) -> Code | None:
    if number not in there:
        return Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND
    return Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT if number == template.default_version else None


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateLaunchTemplate: create_template,
    commands.CreateLaunchTemplateVersion: create_version,
    commands.SetDefaultVersion: set_default,
    commands.DeleteLaunchTemplate: delete_template,
    commands.DeleteLaunchTemplateVersions: delete_versions,
}
"""One handler for each command about launch templates."""


# Reading ------------------------------------------------------------------------------------------------


class LaunchTemplateReads:
    """Reads of launch templates by name, and of their versions; by id see ``Engine.networks``."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._settings = settings

    def named(self, caller: Caller, names: Sequence[str]) -> list[LaunchTemplate]:
        """The caller's templates of some names, each once, in the order asked.

        Raises:
            BackendError: LAUNCH_TEMPLATE_NOT_FOUND with the first missing ``name``.
        """
        region = caller.region or self._settings.default_region
        found = []
        with self._store.read() as tx:
            for name in dict.fromkeys(names):
                template = tx.launch_templates.named(caller.tenant_id, region, name)
                if template is None or not may_see(caller, template):
                    raise _name_unknown(name)
                found.append(template)
        return found

    def version(self, template: LaunchTemplate, named: str) -> LaunchTemplateVersion:
        """One version of a template that the caller was shown.

        Raises:
            BackendError: LAUNCH_TEMPLATE_VERSION_NOT_FOUND, PARAMETER_INVALID for what names none.
        """
        return self.versions(template, numbers=[number_of(template, named)])[0]

    def versions(
        self,
        template: LaunchTemplate,
        *,
        numbers: Sequence[int] | None = None,
        lowest: int | None = None,
        highest: int | None = None,
        limit: int | None = None,
    ) -> list[LaunchTemplateVersion]:
        """Versions of a template that the caller was shown, the newest first.

        Raises:
            BackendError: LAUNCH_TEMPLATE_VERSION_NOT_FOUND for the first of some numbers that is not there.
        """
        with self._store.read() as tx:
            found = tx.launch_template_versions.of_template(
                template.id, numbers=numbers, lowest=lowest, highest=highest, limit=limit
            )
        there = {version.number for version in found}
        for number in numbers or ():
            if number not in there:
                raise _version_unknown(template, number)
        return found

    def pointed(self, caller: Caller, *, latest: bool, default: bool) -> list[LaunchTemplateVersion]:
        """The latest and the default versions of all the caller's templates in its region."""
        tenant_id = scope(caller)
        region = None if tenant_id is None else caller.region or self._settings.default_region
        with self._store.read() as tx:
            return tx.launch_template_versions.pointed(tenant_id, region, latest=latest, default=default)
