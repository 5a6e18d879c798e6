"""``isthmus init``, ``settings`` and ``migrate``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import typer

from backend.commands import AddHost
from gateway import installation as installations
from gateway.context import HomeOption, JsonOption, Refused, command, home_of
from gateway.home import Home
from gateway.installation import FIRST_TENANT, Installation, operator
from gateway.output import Output
from gateway.settings import DEFAULT_LISTEN, DEFAULT_REGION, Settings


def regions_of(regions: list[str], zones: list[str]) -> dict[str, tuple[str, ...]]:
    """Regions with their zones: a zone belongs to the longest region that its name begins with.

    A region without any gets one, named like Amazon's: the region and an ``a``.

    Raises:
        Refused: a zone belongs to no region.
    """
    found: dict[str, list[str]] = {region: [] for region in regions or [DEFAULT_REGION]}
    for zone in zones:
        owners = [region for region in found if zone.startswith(region) and zone != region]
        if not owners and len(found) > 1:
            raise Refused(f"The zone {zone} begins with none of the regions: {', '.join(found)}.")
        found[max(owners, key=len) if owners else next(iter(found))].append(zone)
    return {region: tuple(names) or (f"{region}a",) for region, names in found.items()}


@command
def init(
    home: HomeOption = None,
    account_id: Annotated[
        str | None, typer.Option(help="The first tenant's account id, 12 digits; random without.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="A region; may be repeated, the first is the default.")
    ] = None,
    zone: Annotated[
        list[str] | None, typer.Option(help="A zone; its name begins with its region's. May be repeated.")
    ] = None,
    listen: Annotated[str, typer.Option(help="Where `isthmus serve` listens: HOST:PORT.")] = DEFAULT_LISTEN,
    database: Annotated[
        str,
        typer.Option(
            envvar="ISTHMUS_DATABASE",
            help="Database URL, for example postgresql://USER@HOST/NAME. With a password in it, give it by "
            "the environment: others can see command lines.",
        ),
    ] = "",
    host: Annotated[
        bool, typer.Option("--host/--no-host", help="Add this machine's QEMU as a host (no daemon needed).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a home directory: settings, keys, database, and a first tenant with its credentials."""
    output = Output(as_json=as_json)
    where = home_of(home)
    if Home(path=where).config.exists():
        _known(output, Installation.at(where), wanted=account_id)
        return
    made, credentials = installations.make(
        where,
        listen=listen,
        regions=regions_of(region or [], zone or []),
        database=database,
        account_id=account_id,
    )
    settings = made.settings
    if host:
        _add_this_machine(made)
    facts = _facts(settings) | msgspec.to_builtins(credentials)
    output.one(facts)
    output.say("")
    output.say("Keep the secret key and the password: they are not shown again.")
    if not host:
        output.say(f"Add a host:  isthmus host add '{made.home.embedded_host}' --home {where}")
    output.say(f"Start it:    isthmus serve --home {where}")


def _facts(settings: Settings) -> dict[str, Any]:
    region = settings.default_region
    host, _, port = settings.listen.rpartition(":")
    reachable = "127.0.0.1" if host in {"", "0.0.0.0", "[::]"} else host  # noqa: S104 - compared only
    return {
        "home": str(settings.home),
        "endpoint": f"http://{reachable}:{port}",
        "region": region,
        "zone": settings.regions[region][0],
        "regions": {name: list(zones) for name, zones in settings.regions.items()},
    }


def _known(output: Output, installation: Installation, *, wanted: str | None) -> None:
    """A second init changes nothing: programs get what is known, without the secrets."""
    where = installation.settings.home
    tenant = installation.engine.tenant(FIRST_TENANT)
    if not output.as_json or (tenant and wanted not in {None, tenant.account_id}):
        raise Refused(
            f"{where} is an Isthmus home already; nothing was changed. "
            f"For another access key: isthmus key create --home {where}. "
            f"For another password: isthmus user passwd {FIRST_TENANT} --home {where}"
        )
    keys = [
        key.id
        for user in installation.engine.users()
        if tenant and user.tenant_id == tenant.id
        for key in installation.engine.access_keys(user.id)
        if key.active
    ]
    output.document(
        _facts(installation.settings)
        | {
            "tenant": tenant.name if tenant else None,
            "account_id": tenant.account_id if tenant else None,
            "access_key": keys[0] if keys else None,
            "occi_user": tenant.name if tenant else None,
            "existing": True,
        }
    )


def _add_this_machine(made: Installation) -> None:
    region = made.settings.default_region
    made.engine.execute(
        operator(),
        AddHost(uri=made.home.embedded_host, region=region, zone=made.settings.regions[region][0]),
    )


@command
def migrate(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Bring the database to this program's revision. `serve` does it by itself."""
    installation = Installation.at(home_of(home))
    pending = installation.store.pending_revision()
    installation.migrate()
    output = Output(as_json=as_json)
    output.one({"revision": pending or "newest", "changed": pending is not None})


@command
def settings_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All settings of an installation, with the values in force."""
    found = Installation.at(home_of(home)).settings.shown()
    output = Output(as_json=as_json)
    if as_json:
        output.document(found)
    for name, value in found.items():
        output.say(f"{name} = {json.dumps(value)}")
