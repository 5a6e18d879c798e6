"""``isthmus role``: what users may act as for a while, in their own tenant or another (STS AssumeRole)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.engine.identity import LONGEST_ROLE, SHORTEST_ROLE
from backend.identity_commands import CreateRole, DeleteRole
from backend.model import Tenant, TenantRole
from gateway.context import HomeOption, JsonOption, command, installation_of, tenant_named
from gateway.installation import operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Roles that users may take on for a while (STS AssumeRole).")
COLUMNS = ("name", "tenant", "trusted", "longest", "arn", "created_at")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The role's name.")]
TenantOption = Annotated[str | None, typer.Option(help="Its tenant; the first one without.")]


def _row(role: TenantRole, owner: Tenant) -> dict[str, Any]:
    return {
        "name": role.name,
        "id": role.id,
        "tenant": owner.name,
        "trusted": list(role.trusted),
        "longest": role.longest,
        "arn": f"arn:aws:iam::{owner.account_id}:role/{role.name}",
        "created_at": role.created_at,
    }


@app.command("create")
@command
def create(
    name: NameArgument,
    tenant: TenantOption = None,
    trust: Annotated[
        list[str] | None, typer.Option(help="Another tenant whose users may take it on; repeat for more.")
    ] = None,
    longest: Annotated[
        int, typer.Option(min=SHORTEST_ROLE, max=LONGEST_ROLE, help="Seconds that one session may last.")
    ] = SHORTEST_ROLE,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a role: who takes it on may do all that a user of its tenant may do."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant)
    trusted = tuple(tenant_named(installation, each).account_id for each in trust or ())
    role = installation.engine.execute(
        operator(), CreateRole(tenant_id=owner.id, name=name, trusted=trusted, longest=longest)
    )
    Output(as_json=as_json).one(_row(role, owner))


@app.command("list")
@command
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All roles and the accounts that they trust besides their own."""
    engine = installation_of(home).engine
    owners = {tenant.id: tenant for tenant in engine.tenants()}
    rows = [_row(role, owners[role.tenant_id]) for role in engine.roles()]
    Output(as_json=as_json).rows(rows, COLUMNS, empty="No role.")


@app.command("delete")
@command
def delete(
    name: NameArgument,
    tenant: TenantOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a role; its sessions end at once."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant)
    installation.engine.execute(operator(), DeleteRole(tenant_id=owner.id, name=name))
    Output(as_json=as_json).one({"name": name, "tenant": owner.name, "deleted": True})
