"""An inspector's verdict on every product of a run, reported to Dagster partition by partition."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import dagster as dg
from pydantic import JsonValue

from geo_assets.domain.errors import GeoAssetsError
from geo_assets.domain.region import Region
from geo_assets.io.manifest import Manifest
from geo_assets.io.products import Place
from geo_assets.orchestration.materialization import opened_line, partition_keys_of, place_of
from geo_assets.orchestration.resources import LineResource
from geo_assets.stations.line import Line, Station


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an inspector found in one manifest."""

    passed: bool
    description: str
    """What was found, and what was expected; with units."""
    figures: Mapping[str, JsonValue] = field(default_factory=dict)
    grave: bool = False
    """True where a failure means wrong pixels: an error to Dagster, else a warning."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an inspector may look at."""

    region: Region
    manifest: Manifest
    """Of a product that is not empty, except for inspectors that judge empty ones too."""
    upstream: Callable[[], Mapping[Place, Manifest]]
    """The manifests of what it was made from, read when asked for."""


Inspector: TypeAlias = Callable[[Evidence], Verdict]


def inspect_each(
    context: dg.AssetCheckExecutionContext,
    line: LineResource,
    station: Station,
    inspector: Inspector,
    *,
    empty_too: bool = False,
) -> dg.AssetCheckResult:
    """Show `inspector` the manifest of every partition of the run, and sum up.

    It reports and stops nothing: gates raise inside the stations, for a failed check does not hold up a backfill.
    A run over a range has one result for Dagster, so that each partition's own is reported beside it. An empty product
    passes, and is shown to the inspector with `empty_too` only.
    """
    opened = opened_line(line)
    keys = partition_keys_of(context, station)
    verdicts = {key: _verdict(opened, station, key, inspector, empty_too=empty_too) for key in keys}
    if len(keys) > 1:
        for key, verdict in verdicts.items():
            context.instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(station.name),
                    check_name=context.check_specs[0].name,
                    passed=verdict.passed,
                    metadata=_metadata(verdict),
                    severity=_severity([verdict]),
                    description=verdict.description,
                    partition=key,
                )
            )
    return _summary(verdicts)


def _verdict(line: Line, station: Station, key: str | None, inspector: Inspector, *, empty_too: bool) -> Verdict:
    place = place_of(station, key)

    def upstream() -> Mapping[Place, Manifest]:
        return {source: line.products.need(source).manifest for source in station.upstream(line, place)}

    try:
        manifest = line.products.need(place).manifest
        if manifest.status == "empty" and not empty_too:
            return Verdict(True, f"empty: {manifest.reason}")
        return inspector(Evidence(line.region, manifest, upstream))
    except GeoAssetsError as error:
        return Verdict(False, str(error))


def _severity(verdicts: Iterable[Verdict]) -> dg.AssetCheckSeverity:
    """The gravest of the failed verdicts'."""
    grave = any(verdict.grave and not verdict.passed for verdict in verdicts)
    return dg.AssetCheckSeverity.ERROR if grave else dg.AssetCheckSeverity.WARN


def _metadata(verdict: Verdict) -> dict[str, JsonValue]:
    return {name: figure for name, figure in verdict.figures.items() if figure is not None}


def _summary(verdicts: Mapping[str | None, Verdict]) -> dg.AssetCheckResult:
    if len(verdicts) == 1:
        (only,) = verdicts.values()
        return dg.AssetCheckResult(
            passed=only.passed,
            metadata=_metadata(only),
            severity=_severity([only]),
            description=only.description,
        )
    bad = [f"{key}: {verdict.description}" for key, verdict in verdicts.items() if not verdict.passed]
    return dg.AssetCheckResult(
        passed=not bad,
        metadata={"inspected": len(verdicts), "failed": len(bad)},
        severity=_severity(verdicts.values()),
        description="\n".join(bad[:20]) or f"all {len(verdicts)} partitions",
    )
