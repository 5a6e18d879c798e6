"""An instance out of thin air, for tests of pure functions."""

from __future__ import annotations

import msgspec

from backend.model import Instance

AT = 1_767_323_045.0  # 2026-01-02 03:04:05 UTC


def an_instance(**changes) -> Instance:
    row = Instance(
        id="i-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        owner="u-1",
        launch_id="r-1",
        launch_index=0,
        region="eu-central-1",
        zone="eu-central-1b",
        flavor="t2.nano",
        vcpus=2,
        memory_mib=512,
        root_gib=1,
        ephemeral_gib=0,
        architecture="x86_64",
        image_id="ami-1",
        address="10.1.2.3",
        mac="52:54:0a:01:02:03",
        detail="runn",
        created_at=AT,
        state_since=AT,
    )
    return msgspec.structs.replace(row, **changes)
