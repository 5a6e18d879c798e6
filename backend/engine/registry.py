"""Key pairs, images and OCCI tag mixins: records without a life of their own on a host."""

from __future__ import annotations

from backend import commands
from backend.engine.access import own_image, own_instances, own_key_pair
from backend.engine.tagging import check_tags
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import (
    QUOTA_DEFAULTS,
    UNLIMITED,
    Image,
    ImageState,
    Instance,
    KeyPair,
    QuotaName,
    Tag,
    UserMixin,
    new_id,
)


def _check_quota(work: Work, name: QuotaName, used: int, code: Code) -> None:
    tenant = work.tx.tenants.lock(work.caller.tenant_id)
    if tenant is None:
        raise BackendError(Code.TENANT_NOT_FOUND, "The tenant does not exist.")
    limit = tenant.quotas.get(name.value, QUOTA_DEFAULTS[name.value])
    if limit != UNLIMITED and used >= limit:
        raise BackendError(
            code, f"Your limit of {limit} {name.value} has been reached.", limit=limit, quota=name.value
        )


def _put_tags(work: Work, resource_id: str, kind: str, tags: tuple[tuple[str, str], ...]) -> None:
    check_tags(tags)
    work.tx.tags.put(
        Tag(
            resource_id=resource_id,
            resource_type=kind,
            tenant_id=work.caller.tenant_id,
            key=key,
            value=value,
        )
        for key, value in dict(tags).items()
    )


# Key pairs ----------------------------------------------------------------------------------------------


def import_key_pair(work: Work, command: commands.ImportKeyPair) -> KeyPair:
    """Keep a public key under a new name in the caller's region (ImportKeyPair, CreateKeyPair)."""
    tenant_id = work.caller.tenant_id
    if not 1 <= len(command.name) <= 255:
        raise BackendError(
            Code.PARAMETER_INVALID, "A key pair's name has 1 to 255 characters.", parameter="KeyName"
        )
    if work.tx.key_pairs.named(tenant_id, work.region, command.name) is not None:
        raise BackendError(
            Code.KEY_PAIR_EXISTS, f"The keypair '{command.name}' already exists.", name=command.name
        )
    _check_quota(work, QuotaName.KEY_PAIRS, work.tx.key_pairs.count(tenant_id), Code.QUOTA_KEY_PAIRS)
    pair = KeyPair(
        id=new_id("key"),
        tenant_id=tenant_id,
        region=work.region,
        name=command.name,
        key_type=command.key_type,
        fingerprint=command.fingerprint,
        public_key=command.public_key,
        created_at=work.now,
    )
    work.tx.key_pairs.insert(pair)
    _put_tags(work, pair.id, "key-pair", command.tags)
    return pair


def delete_key_pair(work: Work, command: commands.DeleteKeyPair) -> KeyPair | None:
    """Forget a key pair; machines that have it keep it (DeleteKeyPair)."""
    if command.key_pair_id is not None:
        pair = own_key_pair(work, command.key_pair_id)
    else:
        pair = work.tx.key_pairs.named(work.caller.tenant_id, work.region, command.name or "")
    if pair is None:
        return None
    work.tx.tags.drop([pair.id])
    work.tx.key_pairs.delete(pair.id)
    return pair


# Images -------------------------------------------------------------------------------------------------


def register_image(work: Work, command: commands.RegisterImage) -> Image:
    """Register a disk image whose bytes are in the image store (RegisterImage)."""
    caller = work.caller
    if not 3 <= len(command.name) <= 128:
        raise BackendError(
            Code.PARAMETER_INVALID, "An image's name has 3 to 128 characters.", parameter="Name"
        )
    mine = work.tx.images.visible(caller.tenant_id, caller.account_id)
    own = [image for image in mine if image.tenant_id == caller.tenant_id]
    if any(image.name == command.name for image in own):
        raise BackendError(
            Code.IMAGE_NAME_EXISTS,
            f"AMI name {command.name} is already in use by another image",
            name=command.name,
        )
    if command.image_id is not None and work.tx.images.get(command.image_id) is not None:
        raise BackendError(Code.IMAGE_EXISTS, f"The id {command.image_id} is taken.", ids=(command.image_id,))
    _check_quota(work, QuotaName.IMAGES, len(own), Code.QUOTA_IMAGES)
    image = Image(
        id=command.image_id or new_id("ami"),
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        name=command.name,
        state=ImageState.READY,
        format=command.format,
        path=command.path,
        checksum=command.checksum,
        size_bytes=command.size_bytes,
        virtual_bytes=command.virtual_bytes,
        created_at=work.now,
        architecture=command.architecture,
        description=command.description,
        location=command.location,
        public=command.public,
    )
    work.tx.images.insert(image)
    _put_tags(work, image.id, "image", command.tags)
    return image


def modify_image(work: Work, command: commands.ModifyImage) -> Image:
    """Change description, permissions or availability of an own image (ModifyImageAttribute)."""
    image = own_image(work, command.image_id)
    accounts = set() if command.reset_permissions else set(image.launch_accounts)
    accounts = (accounts | set(command.add_accounts)) - set(command.remove_accounts)
    public = False if command.reset_permissions else image.public
    state = image.state
    if command.enabled is not None:
        state = ImageState.READY if command.enabled else ImageState.DISABLED
    return work.tx.images.update(
        image,
        description=image.description if command.description is None else command.description,
        launch_accounts=tuple(sorted(accounts)),
        public=public if command.public is None else command.public,
        state=state,
    )


def deregister_image(work: Work, command: commands.DeregisterImage) -> Image:
    """Withdraw an own image; the reaper removes its bytes when no instance refers to them."""
    image = own_image(work, command.image_id)
    work.tx.tags.drop([image.id])
    return work.tx.images.update(image, state=ImageState.GONE, deregistered_at=work.now)


# Tag mixins ---------------------------------------------------------------------------------------------


def create_mixin(work: Work, command: commands.CreateMixin) -> UserMixin:
    """Add a tag mixin of the tenant's."""
    mine = work.tx.mixins.of(work.caller.tenant_id)
    if any(
        (known.scheme, known.term) == (command.scheme, command.term) or known.location == command.location
        for known in mine
    ):
        raise BackendError(
            Code.MIXIN_EXISTS, f"The mixin {command.scheme}{command.term} or its location is taken."
        )
    mixin = UserMixin(
        tenant_id=work.caller.tenant_id,
        scheme=command.scheme,
        term=command.term,
        title=command.title,
        location=command.location,
        created_at=work.now,
    )
    work.tx.mixins.insert(mixin)
    return mixin


def _mixin(work: Work, scheme: str, term: str) -> UserMixin:
    mixin = work.tx.mixins.get(work.caller.tenant_id, scheme, term)
    if mixin is None:
        raise BackendError(Code.MIXIN_NOT_FOUND, f"No such mixin: {scheme}{term}")
    return mixin


def delete_mixin(work: Work, command: commands.DeleteMixin) -> None:
    """Remove a tag mixin and its associations; the resources live on."""
    mixin = _mixin(work, command.scheme, command.term)
    work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term)
    work.tx.mixins.delete(mixin.tenant_id, mixin.scheme, mixin.term)


def associate(work: Work, command: commands.Associate) -> None:
    """Change the members of a tag mixin, all or none."""
    mixin = _mixin(work, command.scheme, command.term)
    members: list[Instance] = own_instances(work, (*command.add, *command.remove))
    if command.replace:
        work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term)
    work.tx.mixins.dissociate(mixin.tenant_id, mixin.scheme, mixin.term, command.remove)
    for instance_id in dict.fromkeys(command.add):
        work.tx.mixins.associate(mixin.tenant_id, mixin.scheme, mixin.term, instance_id)
    work.tx.instances.touch([member.id for member in members])
