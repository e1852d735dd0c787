"""Numbers out of a manifest's metrics, and what to say when they are not there."""

from collections.abc import Mapping

from pydantic import JsonValue

from geo_assets.io.manifest import Manifest
from geo_assets.orchestration.inspection import Verdict


def number(manifest: Manifest, name: str) -> float | None:
    """The metric `name`; None where the station wrote none, or no number."""
    return as_number(manifest.metrics.get(name))


def numbers(metric: JsonValue) -> dict[str, float]:
    """The numbers in a metric that maps names to them; empty for any other."""
    if not isinstance(metric, Mapping):
        return {}
    return {key: value for key, entry in metric.items() if (value := as_number(entry)) is not None}


def as_number(value: JsonValue) -> float | None:
    """`value` if it is a number (true and false are none), else None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def lacking(manifest: Manifest, name: str) -> Verdict:
    """The verdict on a manifest without the metric that an inspector needs."""
    return Verdict(
        False,
        f"{manifest.station}: its manifest has no metric {name}; raise the station's version to rebuild",
    )
