"""Disk images on their way into the cloud and out of it: tasks that import, export, describe and cancel."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend import commands
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import Task, TaskKind
from ec2 import image_mapping, mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags, well_formed_ids
from ec2.actions.images import allowed_location
from ec2.actions.run import client_token, request_digest
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.ids import IdKind, kind_of, not_found
from ec2.pages import PageLimits

LIMITS = PageLimits(minimum=1, maximum=1000, default=1000)
FILTERS: FilterTable[Task] = FilterTable({"task-state": image_mapping.task_state})
_KINDS: Mapping[TaskKind, IdKind] = {
    TaskKind.IMAGE_IMPORT: IdKind.IMAGE_IMPORT,
    TaskKind.SNAPSHOT_IMPORT: IdKind.SNAPSHOT_IMPORT,
    TaskKind.IMAGE_EXPORT: IdKind.IMAGE_EXPORT,
}

# Import -------------------------------------------------------------------------------------------------

_FORMATS: Mapping[str, str] = {word: form for form, word in image_mapping.FORMATS.items()}
_NOT_OFFERED = ("KmsKeyId", "LicenseSpecifications", "LicenseType")
_AS_IT_IS: Mapping[str, Any] = {
    "Architecture": "x86_64",
    "BootMode": mapping.BOOT_MODES,
    "Encrypted": False,
    "Hypervisor": mapping.HYPERVISOR,
    "Platform": "Linux",
    "UsageOperation": mapping.USAGE_OPERATION,
}


def import_image(context: Ec2Context, params: Params) -> Document:
    """Bring a disk image in and make an image of it, in its own time (ImportImage).

    A role is needed for nothing here, and what clients tell of their upload is not kept.
    """
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, _AS_IT_IS)
    containers = params.get("DiskContainers", ())
    if not containers:
        raise missing("DiskContainer")
    if len(containers) > 1:
        raise Ec2Error("UnsupportedOperation", "Images of several disks are not imported by this cloud.")
    refuse_all(containers[0], ("SnapshotId",))
    location, form = _source(context, containers[0])
    task = context.engine.execute(
        context.caller,
        commands.ImportImage(
            location=location,
            form=form,
            description=params.get("Description") or containers[0].get("Description", ""),
            tags=specified_tags(params, "import-image-task"),
            client_token=client_token(params),
            token_digest=request_digest(params),
        ),
    )
    return _images(context, [task])[0]


def import_snapshot(context: Ec2Context, params: Params) -> Document:
    """Bring a disk image in as a snapshot, in its own time (ImportSnapshot)."""
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, {"Encrypted": False})
    container = params.get("DiskContainer")
    if not container:
        raise missing("DiskContainer")
    location, form = _source(context, container)
    task = context.engine.execute(
        context.caller,
        commands.ImportSnapshot(
            location=location,
            form=form,
            description=params.get("Description") or container.get("Description", ""),
            tags=specified_tags(params, "import-snapshot-task"),
            client_token=client_token(params),
            token_digest=request_digest(params),
        ),
    )
    return _snapshots(context, [task])[0]


def _source(context: Ec2Context, container: Mapping[str, Any]) -> tuple[str, str]:
    """Where a disk image is, as the image store takes it, and its format; empty when it is not told."""
    if container.get("UserBucket"):
        raise Ec2Error(
            "UnsupportedOperation", "This cloud has no object storage: give the disk image's Url instead."
        )
    url = container.get("Url")
    if not url:
        raise missing("DiskContainer.Url")
    word = container.get("Format") or ""
    if word and word.upper() not in _FORMATS:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({word[:120]}) for parameter format is invalid. Valid formats are "
            f"{', '.join(sorted(_FORMATS))}.",
        )
    return allowed_location(context, url, "url")[1], _FORMATS.get(word.upper(), "")


def describe_import_image_tasks(context: Ec2Context, params: Params) -> Document:
    """Imports of images, newest first (DescribeImportImageTasks)."""
    page, token = _page(context, params, "ImportTaskIds", TaskKind.IMAGE_IMPORT)
    return {"ImportImageTasks": _images(context, page), "NextToken": token}


def describe_import_snapshot_tasks(context: Ec2Context, params: Params) -> Document:
    """Imports of snapshots, newest first (DescribeImportSnapshotTasks)."""
    page, token = _page(context, params, "ImportTaskIds", TaskKind.SNAPSHOT_IMPORT)
    return {"ImportSnapshotTasks": _snapshots(context, page), "NextToken": token}


def _images(context: Ec2Context, tasks: list[Task]) -> list[Document]:
    images = {image.id: image for image in context.engine.images(context.caller)} if tasks else {}
    return _documents(
        context,
        tasks,
        lambda task, snapshot, tags: image_mapping.import_image_document(
            task, images.get(task.resource_id), snapshot, tags
        ),
    )


def _snapshots(context: Ec2Context, tasks: list[Task]) -> list[Document]:
    return _documents(context, tasks, image_mapping.import_snapshot_document)


def _documents(context: Ec2Context, tasks: list[Task], document: Callable[..., Document]) -> list[Document]:
    snapshots = {each.id: each for each in context.engine.snapshots(context.caller)} if tasks else {}
    tags = context.engine.tags_of([task.id for task in tasks])
    return [
        document(task, snapshots.get(task.arguments.get("snapshot", "")), tags.get(task.id, {}))
        for task in tasks
    ]


def cancel_import_task(context: Ec2Context, params: Params) -> Document:
    """Call an import off that is not finished; what it has brought goes with it (CancelImportTask)."""
    task_id = params.get("ImportTaskId")
    if not task_id:
        raise missing("ImportTaskId")
    snapshot = kind_of(task_id) is IdKind.SNAPSHOT_IMPORT
    (task,) = _named(context, [task_id], TaskKind.SNAPSHOT_IMPORT if snapshot else TaskKind.IMAGE_IMPORT)
    before = image_mapping.task_state(task)
    if before != "active":
        raise _not_cancelled(task, before)
    command: commands.Command[Any] = (
        commands.DeleteSnapshot(snapshot_id=task.resource_id)
        if snapshot
        else commands.DeregisterImage(image_id=task.resource_id)
    )
    try:
        context.engine.execute(context.caller, command)
    except BackendError as error:
        if error.code not in {Code.IMAGE_UNAVAILABLE, Code.SNAPSHOT_NOT_FOUND}:
            raise
        raise _not_cancelled(task, "deleting") from error  # somebody else was quicker
    return {"ImportTaskId": task.id, "PreviousState": before, "State": "deleting"}


def _not_cancelled(task: Task, state: str) -> Ec2Error:
    return Ec2Error("IncorrectState", f"The import task {task.id} is {state}: it cannot be cancelled.")


# Export -------------------------------------------------------------------------------------------------

_EXTENSIONS: Mapping[str, str] = {"VMDK": "vmdk", "RAW": "raw", "VHD": "vhd"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*(?:[A-Za-z0-9_-][A-Za-z0-9._-]*)?")


def export_image(context: Ec2Context, params: Params) -> Document:
    """Write an own image to a file of the operator's (ExportImage): buckets are directories there.

    The file is called by the prefix, the task's id and the format, as clients expect of the real service.
    """
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    word = params["DiskImageFormat"]
    path = _export_path(context, params["S3ExportLocation"], _EXTENSIONS[word])
    command = commands.ExportImage(
        image_id=image_id,
        form=_FORMATS[word],
        path=str(path),
        description=params.get("Description", ""),
        tags=specified_tags(params, "export-image-task"),
        client_token=client_token(params),
        token_digest=request_digest(params),
    )
    with suppress(DryRunPassed):  # what is refused makes no folders
        context.engine.execute(context.caller, command, dry_run=True)
    _make_folder(path.parent, params["S3ExportLocation"])
    task = context.engine.execute(context.caller, command)
    (document,) = _exports(context, [task])
    return document | {"DiskImageFormat": word, "RoleName": params.get("RoleName")}


def _export_path(context: Ec2Context, location: Mapping[str, str], extension: str) -> Path:
    """Where the file is to be; ``{task}`` in its name stands for the task's id.

    The bucket is a folder that the operator has made; those that a prefix names need not be there.
    """
    root = context.settings.export_directory
    if root is None:
        raise Ec2Error("UnsupportedOperation", "The operator of this cloud has set no place for exports.")
    bucket, prefix = location["S3Bucket"], location.get("S3Prefix") or ""
    top = (root / bucket).resolve() if _BUCKET.fullmatch(bucket) else None
    if top is None or not top.is_dir() or not top.is_relative_to(root.resolve()):
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({bucket[:120]}) for parameter s3Bucket is invalid. There is no such place for exports.",
        )
    folder, _, name = prefix.rpartition("/")
    place = (top / folder).resolve() if _PREFIX.fullmatch(prefix) else None
    if place is None or not place.is_relative_to(top):
        raise _bad_prefix(prefix, "It is a relative path of plain names.")
    return place / f"{name}{{task}}.{extension}"


def _make_folder(folder: Path, location: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a file is there, or the name is too long
        raise _bad_prefix(location.get("S3Prefix", ""), "There cannot be a folder of that name.") from None


def _bad_prefix(prefix: str, why: str) -> Ec2Error:
    sentence = f"Value ({prefix[:120]}) for parameter s3Prefix is invalid. {why}"
    return Ec2Error("InvalidParameterValue", sentence)


def describe_export_image_tasks(context: Ec2Context, params: Params) -> Document:
    """Exports of images, newest first (DescribeExportImageTasks)."""
    page, token = _page(context, params, "ExportImageTaskIds", TaskKind.IMAGE_EXPORT)
    return {"ExportImageTasks": _exports(context, page), "NextToken": token}


def _exports(context: Ec2Context, tasks: list[Task]) -> list[Document]:
    tags = context.engine.tags_of([task.id for task in tasks])
    return [
        image_mapping.export_image_document(task, _place(context, task), tags.get(task.id, {}))
        for task in tasks
    ]


def _place(context: Ec2Context, task: Task) -> tuple[str, str]:
    """The bucket that a task writes to, and what stands before its id in the file's name there."""
    path, root = Path(task.arguments["path"]), context.settings.export_directory
    if root is None or not path.is_relative_to(root.resolve()):  # an operator's own export
        return str(path.parent), ""
    bucket, *rest = path.relative_to(root.resolve()).parts
    return bucket, "/".join(rest).partition(task.id)[0]


# Tasks --------------------------------------------------------------------------------------------------


def _page(context: Ec2Context, params: Params, ids: str, kind: TaskKind) -> tuple[list[Task], str | None]:
    matches = FILTERS.compile(params.get("Filters", ()))
    if params.get(ids):
        tasks = _named(context, params[ids], kind)
    else:
        tasks = context.engine.tasks(context.caller, (kind,))
    rows = [((-round(task.created_at * 1e6), task.id), task) for task in tasks if matches(task)]
    return page_of(context, params, sorted(rows, key=lambda row: row[0]), LIMITS)


def _named(context: Ec2Context, ids: Sequence[str], kind: TaskKind) -> list[Task]:
    """The caller's tasks by id, each once; raises the Malformed or NotFound error of their kind."""
    wanted = well_formed_ids(_KINDS[kind], ids)
    found = [task for task in (_task(context, task_id) for task_id in wanted) if task is not None]
    unknown = set(wanted) - {task.id for task in found if task.kind is kind}
    if unknown:
        raise not_found(_KINDS[kind], [item for item in wanted if item in unknown])
    return found


def _task(context: Ec2Context, task_id: str) -> Task | None:
    try:
        return context.engine.task(context.caller, task_id)
    except BackendError as error:
        if error.code is not Code.TASK_NOT_FOUND:
            raise
        return None
