"""The plots of a month's report: steps across seams, histograms of bands. SVG, the same bytes for the same figures."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.io.pictures.legend import (
    BLUE,
    CLASS_COLOURS,
    GREEN,
    HAIRLINE,
    INK,
    PURPLE,
    QUIET_INK,
    VERMILION,
    YELLOW,
    Colour,
)

_INCHES = (7.2, 3.2)

_BAND_COLOURS: Mapping[str, Colour] = {"blue": BLUE, "green": GREEN, "red": VERMILION, "nir": PURPLE}
"""Of bands whose name is a colour, or nearly; others take what is left in turn, dashed."""
_OTHERS = tuple(colour for colour in CLASS_COLOURS if colour not in (*_BAND_COLOURS.values(), YELLOW))
_STYLES = ("--", "-.", ":")


def seam_profile_plot(
    offsets_px: Sequence[float], mosaic_dn: Sequence[float | None], naive_dn: Sequence[float | None]
) -> bytes:
    """SVG of the mean absolute step of a seam's segments, at and beside the line where contributors change.

    Parameters
    ----------
    offsets_px
        Distance of parallel lines from the seam, across it.
    mosaic_dn, naive_dn
        Step in counts there, of the mosaic and of tiles laid over each other; None where nothing was measured.
    """

    def draw(axes: Any) -> None:
        """Both curves, and the line where the seam is."""
        for steps, colour, label in (
            (naive_dn, VERMILION, "tiles laid over each other"),
            (mosaic_dn, BLUE, "the mosaic"),
        ):
            values = np.array([np.nan if step is None else step for step in steps], float)
            axes.plot(offsets_px, values, color=_share(colour), label=label, linewidth=1.6, marker="o", markersize=3)
        axes.axvline(0, color=_share(QUIET_INK), linewidth=0.8, linestyle=":")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("pixels from the line where the contributors change")
        axes.set_ylabel("mean step, counts")
        axes.legend(frameon=False, fontsize=8)

    return _svg(draw)


def histogram_plot(counts: Mapping[str, NDArray[np.int64]], *, first_value: int, scale: float) -> bytes:
    """SVG of the shares of pixels over reflectance, one curve a band.

    Parameters
    ----------
    counts
        Band -> (value,) pixels of each stored count, the first bin that of `first_value`.
    scale
        Reflectance of one count.
    """

    def draw(axes: Any) -> None:
        """One curve for each band that has pixels."""
        others = 0
        for band, pixels in counts.items():
            reached = np.cumsum(pixels)
            if not reached.size or reached[-1] == 0:
                continue
            low, high = np.searchsorted(reached, [0.001 * reached[-1], 0.999 * reached[-1]])
            width = max(1, int(high - low + 1) // 160)
            edges = np.arange(low, high + width, width)
            shares = np.add.reduceat(pixels[: edges[-1]], edges[:-1]) / reached[-1] if len(edges) > 1 else np.ones(1)
            centres = (
                (edges[:-1] + width / 2 + first_value) * scale if len(edges) > 1 else [(low + first_value) * scale]
            )
            colour, style = _BAND_COLOURS.get(band), "-"
            if colour is None:
                colour, style = _OTHERS[others % len(_OTHERS)], _STYLES[others // len(_OTHERS) % len(_STYLES)]
                others += 1
            density = 100 * shares / (width * scale) * 0.01
            axes.plot(centres, density, color=_share(colour), label=band, linewidth=1.3, ls=style)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("reflectance")
        axes.set_ylabel("per cent of pixels in 0.01")
        if axes.lines:
            axes.legend(frameon=False, fontsize=8, ncols=2)

    return _svg(draw)


def _share(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in colour)
    return red, green, blue


def _svg(draw: Callable[[Any], None]) -> bytes:
    # Takes half a second to load, which nobody else should pay. Without pyplot, which wants a screen.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "report", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.grid(color=_share(HAIRLINE), linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, colors=_share(INK))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
