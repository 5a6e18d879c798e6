"""Key pairs: create, import, describe, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from backend import commands
from backend.engine import RowQuery
from backend.model import KeyPair
from ec2 import mapping
from ec2.actions.common import missing, specified_tags, well_formed_ids
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.ids import IdKind, not_found
from ec2.keys import NewKey, make_ed25519, make_rsa, read_public_key
from ec2.listing import Column, Listing

_NAME = re.compile("[ -~]{1,255}")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair with its tags."""

    pair: KeyPair
    tags: Mapping[str, str]


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "fingerprint": lambda row: row.pair.fingerprint,
        "key-name": lambda row: row.pair.name,
        "key-pair-id": lambda row: row.pair.id,
    },
    tags=lambda row: row.tags,
)


def _with_tags(context: Ec2Context, pairs: Sequence[KeyPair]) -> list[Listed]:
    tags = context.engine.tags_of([pair.id for pair in pairs])
    return [Listed(pair=pair, tags=tags.get(pair.id, {})) for pair in pairs]


LISTING = Listing(
    kind=KeyPair,
    dress=_with_tags,
    filters=FILTERS,
    columns={
        "fingerprint": Column("fingerprint"),
        "key-name": Column("name"),
        "key-pair-id": Column("id"),
    },
    order=("name", "region", "id"),
)


def create_key_pair(context: Ec2Context, params: Params) -> Document:
    """Make a key pair; its private part is in this answer and nowhere else (CreateKeyPair)."""
    name = _name(params)
    tags = specified_tags(params, "key-pair")
    _refuse_taken(context, name)
    make = make_ed25519 if params.get("KeyType") == "ed25519" else make_rsa
    made = make(name, putty=params.get("KeyFormat") == "ppk")
    return _kept(context, name, made, tags) | {"KeyMaterial": made.private_key}


def import_key_pair(context: Ec2Context, params: Params) -> Document:
    """Keep a public key that the caller brings (ImportKeyPair)."""
    name = _name(params)
    tags = specified_tags(params, "key-pair")
    return _kept(context, name, read_public_key(params["PublicKeyMaterial"], name), tags)


def _name(params: Params) -> str:
    name: str = params["KeyName"]
    if not _NAME.fullmatch(name) or name != name.strip():
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({name[:120]}) for parameter keyName is invalid. "
            "It must have 1 to 255 ASCII characters, without spaces at its ends.",
        )
    return name


def _refuse_taken(context: Ec2Context, name: str) -> None:
    """Spare the work of making a key whose name is taken; the engine has the last word."""
    if _those(context, "name", [name]):
        raise Ec2Error("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")


def _kept(context: Ec2Context, name: str, key: NewKey, tags: tuple[tuple[str, str], ...]) -> Document:
    pair = context.engine.execute(
        context.caller,
        commands.ImportKeyPair(
            name=name,
            key_type=key.key_type,
            fingerprint=key.fingerprint,
            public_key=key.public_key,
            tags=tags,
        ),
    )
    return {
        "KeyName": pair.name,
        "KeyPairId": pair.id,
        "KeyFingerprint": pair.fingerprint,
        "Tags": mapping.tag_list(dict(tags)),
    }


def describe_key_pairs(context: Ec2Context, params: Params) -> Document:
    """The tenant's key pairs by name (DescribeKeyPairs); names and ids that are given must all exist."""
    page, _ = LISTING.page(context, params, named=_named(context, params))
    with_key = params.get("IncludePublicKey", False)
    return {"KeyPairs": [mapping.key_pair_document(row.pair, row.tags, with_key=with_key) for row in page]}


def _named(context: Ec2Context, params: Params) -> list[KeyPair] | None:
    """The key pairs that a call names by name and by id, all of which must exist; None for none named."""
    names = list(dict.fromkeys(params.get("KeyNames") or ()))
    ids = well_formed_ids(IdKind.KEY_PAIR, params.get("KeyPairIds") or ())
    if not names and not ids:
        return None
    by_name = {pair.name: pair for pair in _those(context, "name", names)}
    by_id = {pair.id: pair for pair in _those(context, "id", ids)}
    unknown = [name for name in names if name not in by_name]
    unknown += [item for item in ids if item not in by_id]
    if unknown:
        raise not_found(IdKind.KEY_PAIR, unknown)
    return list({pair.id: pair for pair in (*by_name.values(), *by_id.values())}.values())


def _those(context: Ec2Context, column: str, values: Sequence[str]) -> list[KeyPair]:
    """The caller's key pairs with some values in a column."""
    return context.engine.listing(context.caller, KeyPair, RowQuery(equal={column: tuple(values)}))


def delete_key_pair(context: Ec2Context, params: Params) -> Document:
    """Forget a key pair by name or id; one that is not there is success (DeleteKeyPair)."""
    name, key_pair_id = params.get("KeyName"), params.get("KeyPairId")
    if not name and not key_pair_id:
        raise missing("KeyName")
    if name and key_pair_id:
        raise Ec2Error(
            "InvalidParameterCombination", "The parameters KeyName and KeyPairId cannot be used together."
        )
    if key_pair_id:
        well_formed_ids(IdKind.KEY_PAIR, [key_pair_id])
    pair = context.engine.execute(
        context.caller, commands.DeleteKeyPair(name=name, key_pair_id=key_pair_id or None)
    )
    return {"Return": True, "KeyPairId": pair.id if pair is not None else None}
