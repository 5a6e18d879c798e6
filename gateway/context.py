"""What all commands share: ``--home`` and ``--json``, the installation behind them, how refusals end them."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from backend.errors import BackendError, Code
from backend.jobs import ExecutorTaken
from backend.model import Tenant, User
from gateway.crypto import KeyUnusable
from gateway.installation import FIRST_TENANT, Installation
from gateway.output import Output
from gateway.settings import NotConfigured

P = ParamSpec("P")
R = TypeVar("R")

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", envvar="ISTHMUS_HOME", help="The home directory.", show_default=False, file_okay=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_NEXT_STEPS = {
    Code.HOST_IN_USE: "Disable it and terminate what runs there: isthmus vm list",
    Code.TENANT_NOT_FOUND: "See: isthmus tenant list",
    Code.USER_NOT_FOUND: "See: isthmus user list",
    Code.ROLE_NOT_FOUND: "See: isthmus role list",
    Code.MEMBERSHIP_NOT_FOUND: "See: isthmus user show USER",
    Code.IDENTITY_NOT_FOUND: "See: isthmus identity list",
    Code.IDENTITY_EXISTS: "To give it to another user, remove it first: isthmus identity remove",
    Code.HOST_NOT_FOUND: "See: isthmus host list",
    Code.INSTANCE_NOT_FOUND: "See: isthmus vm list",
    Code.IMAGE_NOT_FOUND: "See: isthmus image list",
    Code.FLAVOR_NOT_FOUND: "See: isthmus flavor list",
    Code.VOLUME_NOT_FOUND: "See: isthmus volume list",
    Code.SNAPSHOT_NOT_FOUND: "See: isthmus snapshot list",
    Code.TASK_NOT_FOUND: "See: isthmus task list",
    Code.RESOURCE_NOT_FOUND: "See: isthmus net list, subnet list, nic list, address list, secgroup list",
    Code.GROUP_NOT_FOUND: "See: isthmus secgroup list",
    Code.RULE_NOT_FOUND: "See: isthmus secgroup show GROUP",
    Code.VOLUME_IN_USE: "Detach it first: isthmus volume detach VOLUME",
    Code.SNAPSHOT_IN_USE: "Deregister the image that is made of it first: isthmus image list",
    Code.ZONE_NOT_FOUND: "Zones are set in isthmus.toml, [regions].",
}
_OWNER = "Run isthmus as the owner of the home directory."
_CURES = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.EROFS: "The file system is mounted read-only.",
    errno.ENOSPC: "Make room on that disk.",
    errno.EDQUOT: "Make room on that disk.",
}
_REFUSALS = (NotConfigured, KeyUnusable, ExecutorTaken)


class Refused(Exception):  # noqa: N818 - it says what happened
    """A command cannot be done as asked; the message says why and what to do."""


def home_of(home: Path | None) -> Path:
    """The home directory meant; raises Refused when none is."""
    if home is None:
        raise Refused("Which home directory? Give --home DIR or set ISTHMUS_HOME.")
    return home.expanduser().absolute()


def installation_of(home: Path | None) -> Installation:
    """The installation meant, its database at the newest revision."""
    installation = Installation.at(home_of(home))
    if installation.store.pending_revision() is not None:
        raise Refused(
            "The database is older than this program. Start `isthmus serve`, which upgrades it, "
            "or run: isthmus migrate"
        )
    return installation


def tenant_named(installation: Installation, name: str | None) -> Tenant:
    """A tenant by name, id or account id; the first tenant without a name."""
    wanted = name or FIRST_TENANT
    tenant = installation.engine.tenant(wanted) or next(
        (each for each in installation.engine.tenants() if each.account_id == wanted), None
    )
    if tenant is None:
        raise Refused(f"There is no tenant {wanted}. See: isthmus tenant list")
    return tenant


def user_named(installation: Installation, user: str | None, tenant: str | None) -> User:
    """A user by name; without one the tenant's user of the same name, or its first.

    Raises:
        Refused: there is none.
    """
    every = installation.engine.users()
    if user is not None:
        found = next((each for each in every if user in {each.name, each.id}), None)
        if found is None:
            raise Refused(f"There is no user {user}. See: isthmus user list")
        return found
    owner = tenant_named(installation, tenant)
    mine = sorted(
        (each for each in every if each.tenant_id == owner.id),
        key=lambda each: (each.name != owner.name, each.created_at),
    )
    if not mine:
        raise Refused(
            f"The tenant {owner.name} has no user. Add one: isthmus user create NAME --tenant {owner.name}"
        )
    return mine[0]


def region_of(installation: Installation, zone: str) -> str:
    """The region of a zone; raises Refused when there is no such zone."""
    regions = installation.settings.regions
    for region, zones in regions.items():
        if zone in zones:
            return region
    every = ", ".join(name for zones in regions.values() for name in zones)
    raise Refused(f"There is no zone {zone}; zones are: {every}.")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn refusals, and what machine and database refuse, into a sentence and exit status 1.

    A bug keeps its traceback.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        output = Output(as_json=bool(kwargs.get("as_json")))
        try:
            return function(*args, **kwargs)
        except BackendError as error:
            hint = _NEXT_STEPS.get(error.code)
            said = f"{error.message.rstrip('.')}. {hint}" if hint else error.message
            _end(output, said, error.code.value)
        except Refused as error:
            _end(output, str(error), "refused")
        except _REFUSALS as error:
            _end(output, str(error), "not_configured")
        except BrokenPipeError:
            os._exit(0)  # the reader of our list has seen enough
        except OSError as error:
            _end(output, _machine_says(error), "machine")
        except SQLAlchemyError as error:
            _end(output, _database_says(error), "database")

    return guarded


def _machine_says(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    cure = _CURES.get(error.errno or 0, "See what is wrong: isthmus doctor")
    return f"{what}{error.strerror or error}. {cure}"


def _database_says(error: SQLAlchemyError) -> str:
    """The driver's own first line; the rest is SQL, which helps no operator."""
    told = error.orig if isinstance(error, DBAPIError) else error
    line = next(iter(str(told).splitlines()), type(told).__name__).rstrip(".: ")
    return (
        f"The database cannot be used: {line}. Check the setting `database` (isthmus settings), and that its "
        "server runs or its file is whole and yours."
    )


def _end(output: Output, message: str, code: str) -> NoReturn:
    output.fail(message, code)
    raise typer.Exit(1)
