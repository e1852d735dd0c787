"""The picture of an evaluation: precision against recall, F1 over thresholds and buffers, bars by detector and land."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from geo_assets.io.pictures.legend import CLASS_COLOURS, HAIRLINE
from geo_assets.kernels.evaluation import Agreement

Curves: TypeAlias = Mapping[str, tuple[Sequence[float], Sequence[Agreement]]]
"""Label -> settings and the agreement at each."""

_PANEL_INCHES = (5.4, 3.9)
_DOTS_PER_INCH = 110
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class TuningPlot:
    """What is drawn; a panel without data is left out."""

    over_threshold: Curves = field(default_factory=dict)
    """Over cloud probabilities."""
    over_buffer: Curves = field(default_factory=dict)
    """Over metres."""
    by_detector: Mapping[str, Mapping[str, Agreement]] = field(default_factory=dict)
    """Source -> class -> agreement."""
    by_land_cover: Mapping[int, Mapping[str, Agreement]] = field(default_factory=dict)
    """Land cover -> class -> agreement."""


def tuning_plot(plot: TuningPlot, *, title: str = "Mask against labels") -> bytes:
    """A PNG of up to five panels; the same figures give the same bytes.

    Parameters
    ----------
    plot
        At least one of its fields with data; without any the picture says so.
    title
        Line above the panels.
    """
    # Takes half a second to load, which nobody else should pay. Without pyplot, which wants a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: list[tuple[str, Callable[[Any], None]]] = []
    if plot.over_threshold:
        panels.append(
            ("Precision and recall, over thresholds", lambda axes: _precision_recall(axes, plot.over_threshold))
        )
        panels.append(("F1 over the threshold", lambda axes: _f1(axes, plot.over_threshold, "probability")))
    if plot.over_buffer:
        panels.append(("F1 over the buffer", lambda axes: _f1(axes, plot.over_buffer, "metres")))
    if plot.by_detector:
        panels.append(("F1 by detector", lambda axes: _bars(axes, plot.by_detector)))
    by_land = {str(cover): found for cover, found in plot.by_land_cover.items() if found}
    if by_land:
        panels.append(("F1 by land cover", lambda axes: _bars(axes, by_land)))
    panels = panels or [("nothing to draw", lambda axes: axes.set_axis_off())]
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    for number, (name, draw) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.set_title(name, fontsize=10)
        axes.grid(color=_colour(HAIRLINE), linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        draw(axes)
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def _precision_recall(axes: Any, curves: Curves) -> None:
    for number, (label, (_, found)) in enumerate(curves.items()):
        recall, precision = [one.recall for one in found], [one.precision for one in found]
        axes.plot(recall, precision, marker="o", markersize=2.5, linewidth=1.4, color=_nth(number), label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(fontsize=7, loc="lower left")


def _f1(axes: Any, curves: Curves, unit: str) -> None:
    for number, (label, (settings, found)) in enumerate(curves.items()):
        f1 = [one.f1 for one in found]
        axes.plot(settings, f1, marker="o", markersize=2.5, linewidth=1.4, color=_nth(number), label=label)
    axes.set(xlabel=unit, ylabel="F1", ylim=(0, 1.02))
    axes.legend(fontsize=7, loc="lower center")


def _bars(axes: Any, groups: Mapping[str, Mapping[str, Agreement]]) -> None:
    """F1 of each class, side by side for every group."""
    classes = list(dict.fromkeys(name for found in groups.values() for name in found))
    width = 0.8 / max(len(classes), 1)
    for number, name in enumerate(classes):
        at = [place + (number - (len(classes) - 1) / 2) * width for place in range(len(groups))]
        heights = [found[name].f1 if name in found else float("nan") for found in groups.values()]
        axes.bar(at, heights, width=width, color=_nth(number), label=name)
    axes.set_xticks(range(len(groups)), list(groups), rotation=20 if len(groups) > 4 else 0, fontsize=8)
    axes.set(ylabel="F1", ylim=(0, 1.15))  # the legend lies above the bars
    axes.legend(fontsize=7, loc="upper center", ncols=max(len(classes), 1))


def _nth(number: int) -> tuple[float, float, float]:
    return _colour(CLASS_COLOURS[number % len(CLASS_COLOURS)])


def _colour(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
