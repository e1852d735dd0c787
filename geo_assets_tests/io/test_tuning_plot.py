"""The picture of an evaluation: its panels, and that the same figures give the same bytes."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from geo_assets.io.pictures.tuning_plot import TuningPlot, tuning_plot
from geo_assets.kernels.evaluation import Agreement

FOUND = [Agreement(90, 40, 10, 400), Agreement(80, 10, 20, 430), Agreement(0, 0, 100, 440)]
CURVES = {"cloud: probability": ((0.2, 0.4, 0.9), FOUND)}
BARS = {"all detectors": {"cloud": FOUND[0], "shadow": FOUND[1]}, "fmask": {"cloud": FOUND[2]}}


def size_of(plot: TuningPlot) -> tuple[int, int]:
    with Image.open(io.BytesIO(tuning_plot(plot))) as picture:
        return picture.size


def test_only_panels_with_data_are_drawn():
    one, two = size_of(TuningPlot(over_buffer=CURVES)), size_of(TuningPlot(over_threshold=CURVES))
    full = size_of(TuningPlot(CURVES, CURVES, BARS, {3: BARS["all detectors"], 7: BARS["fmask"]}))
    assert two[0] > one[0], "precision against recall beside F1 over thresholds"
    assert full[1] > 2 * one[1]
    assert min(size_of(TuningPlot())) > 100


def test_the_same_figures_give_the_same_bytes():
    plot = TuningPlot(CURVES, CURVES, BARS)
    assert tuning_plot(plot) == tuning_plot(plot)


@pytest.mark.parametrize("module", ["geo_assets.io.pictures.tuning_plot", "geo_assets.cli.masks"])
def test_nobody_who_draws_nothing_waits_for_matplotlib(module):
    program = f"import sys, {module}; print('matplotlib' in sys.modules, 'lightgbm' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["False", "False"]
