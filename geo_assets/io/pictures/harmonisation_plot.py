"""The picture of a harmonisation: what every tile was given, and how far overlaps were apart before and after."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from geo_assets.io.pictures.legend import CLASS_COLOURS, HAIRLINE
from geo_assets.kernels.mosaicking.harmonisation import GAIN_BOUND, OFFSET_BOUND, Harmonisation

_PANEL_INCHES = (6.4, 3.4)
_DOTS_PER_INCH = 110
_MOST_LABELS = 40


def harmonisation_plot(solved: Mapping[str, Harmonisation], *, title: str, unit_dn: float) -> bytes:
    """A PNG of gains, offsets, and the differences of overlaps before and after; the same figures, the same bytes.

    Parameters
    ----------
    solved
        By band, at least one.
    title
        Line above the panels.
    unit_dn
        Counts of reflectance 1.
    """
    # Takes half a second to load, which nobody else should pay. Without pyplot, which wants a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2 * _PANEL_INCHES[0], 2 * _PANEL_INCHES[1] + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    panels = figure.subplots(2, 2)
    tiles = list(next(iter(solved.values())).corrections)
    corrections = {band: list(found.corrections.values()) for band, found in solved.items()}
    gains = {band: [correction.gain for correction in given] for band, given in corrections.items()}
    offsets = {band: [correction.offset / unit_dn for correction in given] for band, given in corrections.items()}
    _by_tile(panels[0, 0], tiles, gains, "Gains", 1 - GAIN_BOUND, 1 + GAIN_BOUND)
    _by_tile(panels[0, 1], tiles, offsets, "Offsets, reflectance", -OFFSET_BOUND, OFFSET_BOUND)
    _before_and_after(panels[1, 0], solved, "bias", "Mean difference of each overlap, reflectance")
    _before_and_after(panels[1, 1], solved, "rmse", "RMS difference of each overlap, reflectance")
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def _by_tile(
    axes: Any, tiles: Sequence[str], values: Mapping[str, Sequence[float]], name: str, low: float, high: float
) -> None:
    _prepare(axes, name)
    for number, (band, given) in enumerate(values.items()):
        axes.plot(range(len(tiles)), given, marker="o", markersize=3, linewidth=0, color=_nth(number), label=band)
    for bound in (low, high):
        axes.axhline(bound, color="0.5", linewidth=0.8, linestyle="--")
    if len(tiles) <= _MOST_LABELS:
        axes.set_xticks(range(len(tiles)), tiles, rotation=60 if len(tiles) > 8 else 0, fontsize=7)
    else:
        axes.set_xlabel(f"{len(tiles)} tiles by id", fontsize=8)
    axes.legend(fontsize=7, ncols=min(len(values), 6), loc="best")


def _before_and_after(axes: Any, solved: Mapping[str, Harmonisation], figure: str, name: str) -> None:
    """One point for each overlap and band: below the diagonal it agrees better than before."""
    _prepare(axes, name)
    most = 0.0
    for number, (band, found) in enumerate(solved.items()):
        before, after = (
            [abs(getattr(fit, f"{figure}_{when}")) for fit in found.pairs.values()] for when in ("before", "after")
        )
        axes.plot(before, after, marker="o", markersize=3, linewidth=0, color=_nth(number), label=band)
        most = max([most, *before, *after])
    most = 1.05 * most or 1.0
    axes.plot([0, most], [0, most], color="0.5", linewidth=0.8, linestyle="--")
    axes.set(xlabel="before", ylabel="after", xlim=(0, most), ylim=(0, most))


def _prepare(axes: Any, name: str) -> None:
    axes.set_title(name, fontsize=10)
    axes.grid(color=_colour(HAIRLINE), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def _nth(number: int) -> tuple[float, float, float]:
    return _colour(CLASS_COLOURS[number % len(CLASS_COLOURS)])


def _colour(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
