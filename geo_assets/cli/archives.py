"""Commands about archives: what there is to read from, and whether it works from here."""

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click
import shapely
from shapely.geometry.base import BaseGeometry

from geo_assets.cli.surroundings import environment, surroundings
from geo_assets.cli.telling import interruptible, tells_errors
from geo_assets.domain.errors import GeoAssetsError, RegionError
from geo_assets.domain.region_archive import is_local
from geo_assets.io.archives.credentials import Credentials
from geo_assets.io.archives.facts import Collection, Credential, Facts
from geo_assets.io.archives.health import PLACE, Finding, examined
from geo_assets.io.archives.known import KNOWN, Opening, facts_of, open_known
from geo_assets.stations.opening import open_named_archive

_OTHERS = {
    "auto": "the first of planetary-computer, earth-search, cdse and hls that answers and has the bands and months",
    "demo": "the bundled archive: made-up Sentinel-2, no network",
    "local:PATH": "a STAC item collection or catalogue of your own",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")
@tells_errors
def archives(as_json: bool) -> None:
    """List the archives: collections, bands, resolutions, periods, and credentials with whether they are set."""
    credentials = Credentials.from_environment(environment())
    if as_json:
        click.echo(json.dumps([_document(facts, credentials) for facts in KNOWN.values()], indent=2))
        return
    for facts in KNOWN.values():
        click.echo(f"{click.style(facts.name, bold=True)}: {facts.title}")
        for collection in facts.collections:
            _tell("collection", _described(collection))
            _tell("", f"{_by_resolution(collection)}; layers {', '.join(collection.layers) or 'none'}")
            if collection.note:
                _tell("", collection.note)
        for credential in facts.credentials:
            told, colour = _standing(credential, credentials)
            click.echo(
                f"  {'credentials':<12}{_named(credential)}, {credential.purpose}: {click.style(told, fg=colour)}"
            )
        if not facts.credentials:
            _tell("credentials", "none needed")
    for name, told in _OTHERS.items():
        click.echo(f"{click.style(name, bold=True)}: {told}")
    click.echo("`geo-assets doctor NAME` tries one of them.")


@click.command()
@click.argument("archive", required=False)
@click.option("--catalog-url", metavar="URL", help="Another address of its catalogue, such as a mirror")
@click.option("--bbox", nargs=4, type=float, metavar="W S E N", help="Where to look for a scene [Ljubljana]")
@tells_errors
def doctor(archive: str | None, catalog_url: str | None, bbox: tuple[float, float, float, float] | None) -> None:
    """Try an archive, or all of them: reach it, log in, search, read a block. Says what to do about what fails.

    \b
    geo-assets doctor                   every archive that is asked over the network
    geo-assets doctor planetary-computer
    geo-assets doctor earth-search --catalog-url https://stac.example.org/v1

    Exits with 1 when something fails. Archives whose credentials are not set are passed over, unless named.
    """  # noqa: D301
    if archive is None and catalog_url is not None:
        raise RegionError("doctor: found --catalog-url without an archive, expected the name of the one it belongs to.")
    area = PLACE if bbox is None else _area(bbox)
    credentials = Credentials.from_environment(environment())
    is_well = True
    with interruptible("nothing was written"):
        for name in [archive] if archive is not None else list(KNOWN):
            click.secho(name, bold=True)
            if archive is None and not _is_open(facts_of(name), credentials):
                needed = ", or ".join(_named(one) for one in facts_of(name).credentials if one.needed)
                click.secho(f"  passed over  no credentials are set: {needed}", fg="yellow")
                continue
            for finding in _findings(name, credentials, catalog_url, area):
                is_well &= finding.ok is True
                _tell_finding(finding)
    sys.exit(0 if is_well else 1)


def _area(bbox: tuple[float, float, float, float]) -> BaseGeometry:
    west, south, east, north = bbox
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise RegionError(
            f"--bbox: found {west:g} {south:g} {east:g} {north:g}, expected west < east and south < north."
        )
    return shapely.box(west, south, east, north)


def _findings(name: str, credentials: Credentials, catalog_url: str | None, area: BaseGeometry) -> Iterator[Finding]:
    if name == "auto":
        raise RegionError("doctor: found 'auto', which chooses among others; name one of those, or none for all.")
    if name == "demo" or is_local(name):
        if catalog_url is not None:
            raise RegionError(f"doctor: found --catalog-url, and archive {name} is read from files. Leave it out.")
        yield _read_from_files(name)
        return
    opening = Opening(credentials=credentials, catalog_url=catalog_url)
    with closing(open_known(facts_of(name), opening)) as opened:
        yield from examined(opened, area=area)


def _read_from_files(name: str) -> Finding:
    """Whether the catalogue of a local archive is one."""
    try:
        offers = open_named_archive(name, home=surroundings(None, None).home).offers()
    except GeoAssetsError as error:
        return Finding("reach", False, str(error), 0.0)
    told = "; ".join(f"{level}: {', '.join(sorted(names))}" for level, names in sorted(offers.items()))
    return Finding("reach", bool(offers), f"the catalogue offers {told}" if offers else "it has no usable item", 0.0)


def _tell_finding(finding: Finding) -> None:
    word, colour = {True: ("ok", "green"), False: ("failed", "red"), None: ("not tried", "yellow")}[finding.ok]
    told = finding.said if finding.ok is not None else "an earlier step failed"
    seconds = f" ({finding.seconds:.1f} s)" if finding.ok is not None else ""
    click.echo(f"  {finding.check:<12} {click.style(f'{word:<10}', fg=colour)}{told}{seconds}")


def _is_open(facts: Facts, credentials: Credentials) -> bool:
    """Whether credentials are set where there have to be some."""
    needed = [credential for credential in facts.credentials if credential.needed]
    return not needed or any(credentials.has(credential) for credential in needed)


def _tell(label: str, text: str) -> None:
    click.echo(f"  {label:<12}{text}")


def _described(collection: Collection) -> str:
    chosen = ", only when named" if collection.asked_for else ""
    return f"{collection.id} ({collection.level}, {collection.files}), since {collection.begins}{chosen}"


def _by_resolution(collection: Collection) -> str:
    """Bands under their pixel size: `10 m: blue, green; 20 m: rededge1`."""
    sizes = sorted(set(collection.bands.values()))
    groups = (
        f"{size} m: {', '.join(name for name, pixel_m in collection.bands.items() if pixel_m == size)}"
        for size in sizes
    )
    return "; ".join(groups)


def _named(credential: Credential) -> str:
    return " + ".join(credential.variables) or "AWS credentials"


def _standing(credential: Credential, credentials: Credentials) -> tuple[str, str | None]:
    if credentials.has(credential):
        return "set", "green"
    return ("not set", "yellow") if credential.needed else ("not set, not needed", None)


def _document(facts: Facts, credentials: Credentials) -> dict[str, Any]:
    """An archive as JSON; of credentials their names and whether they are set, never what they hold."""
    return {
        "name": facts.name,
        "title": facts.title,
        "catalog_url": facts.catalog_url,
        "collections": [
            {
                "id": collection.id,
                "level": collection.level,
                "bands": dict(collection.bands),
                "layers": list(collection.layers),
                "files": collection.files,
                "begins": str(collection.begins),
                "only_when_named": collection.asked_for,
                "note": collection.note,
            }
            for collection in facts.collections
        ],
        "credentials": [
            {
                "variables": list(credential.variables),
                "purpose": credential.purpose,
                "needed": credential.needed,
                "set": credentials.has(credential),
            }
            for credential in facts.credentials
        ],
    }
