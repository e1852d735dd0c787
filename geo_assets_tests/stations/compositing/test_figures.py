"""What is measured of a composite, against the same in plain numpy over the whole raster."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.kernels.compositing.methods import composite
from geo_assets.kernels.compositing.observations import Observations
from geo_assets.stations.compositing.figures import BlockFigures, composite_metrics, has_values, quantile_of_counts
from geo_assets.stations.ground import units_of

NODATA, NONE = -32768, 255
HEIGHT, WIDTH = BLOCK_PX + 40, 2 * BLOCK_PX + 30
TARGET_DAY = 15


@dataclass(frozen=True)
class Pass:
    """As much of a scene as figures look at."""

    id: str
    acquired: datetime


SCENES = [Pass(f"scene {day}", datetime(2024, 6, day, tzinfo=UTC)) for day in (4, 14, 29)]
BLOCKS = tuple((row, col) for row in range(2) for col in range(3))


@pytest.fixture(scope="module")
def observations() -> Observations:
    random = np.random.default_rng(5)
    reflectance = random.integers(0, 4000, (3, 2, HEIGHT, WIDTH)).astype(np.int16)
    quality = random.choice(np.array([0, 0, 1, NONE], np.uint8), (3, HEIGHT, WIDTH))
    reflectance[:, :, :100, :60] = NODATA
    reflectance[1, 0, 300:340] = NODATA  # one band alone
    return Observations(reflectance, quality, np.arange(3))


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    rows, cols = np.ogrid[:HEIGHT, :WIDTH]
    return (rows + cols > 80) & (cols < WIDTH - 7)


def metrics_of(observations, inside, unit_blocks, spoil=None):
    units = units_of(BLOCKS, unit_blocks)
    counted, days = {}, np.full((HEIGHT, WIDTH), NONE, np.uint8)
    for key, blocks in units.items():
        figures = BlockFigures(SCENES, TARGET_DAY)
        for row, col in blocks:
            at = slice(row * BLOCK_PX, (row + 1) * BLOCK_PX), slice(col * BLOCK_PX, (col + 1) * BLOCK_PX)
            stack = observations.reflectance[:, :, *at], observations.quality[:, *at], observations.acquired
            part = Observations(np.ascontiguousarray(stack[0]), np.ascontiguousarray(stack[1]), stack[2])
            made = composite(part, "best_pixel")
            if spoil is not None:
                spoil(made)
            days[at] = figures.add(part, made, inside[at])
        counted[key] = figures.arrays()
    assert has_values(counted)
    return composite_metrics(units, counted, SCENES), days


@pytest.fixture(scope="module")
def found(observations, inside):
    return metrics_of(observations, inside, 1)


def test_shares_are_those_of_the_area(found, observations, inside):
    metrics, days = found
    known = (observations.reflectance != NODATA).all(axis=1)
    usable = (known & (observations.quality != NONE)).any(axis=0)
    assert metrics["area_px"] == inside.sum()
    assert metrics["valid_share"] == (usable & inside).sum() / inside.sum()
    assert metrics["nodata_share"] == (~usable & inside).sum() / inside.sum()
    assert metrics["seen_share"] == (known.any(axis=0) & inside).sum() / inside.sum()
    assert metrics["nodata_mismatch_px"] == 0
    shares = [((days == scene.acquired.day) & inside).sum() / inside.sum() for scene in SCENES]
    assert list(metrics["share_of_scene"].values()) == shares
    assert metrics["days"] == [4, 14, 29]


def test_days_from_the_target_are_exact_quantiles(found, inside):
    metrics, days = found
    away = np.abs(days[inside & (days != NONE)].astype(int) - TARGET_DAY)
    assert metrics["temporal_distance_days"] == {"median": np.median(away), "p95": np.percentile(away, 95)}


def test_neighbours_of_other_days_are_counted_over_the_whole_raster(found, inside):
    metrics, days = found
    day = np.where(inside, days, NONE).astype(int)
    pairs = differing = 0
    for one, other in ((day[:-1], day[1:]), (day[:, :-1], day[:, 1:])):
        both = (one != NONE) & (other != NONE)
        pairs, differing = pairs + both.sum(), differing + (both & (one != other)).sum()
    assert metrics["date_fragmentation"] == differing / pairs


def test_no_figure_depends_on_how_the_work_is_cut(found, observations, inside):
    for unit_blocks in (2, 3):
        assert metrics_of(observations, inside, unit_blocks)[0] == found[0]


@pytest.mark.parametrize("gap", ["value", "band", "source"])
def test_a_gap_or_a_value_out_of_nothing_is_a_mismatch(observations, inside, gap):
    def spoil(made):
        valid = np.argwhere(made.source != NONE)[0]
        if gap == "value":
            made.bands[:, *valid] = NODATA
        elif gap == "band":
            made.bands[0, *valid] = NODATA
        else:
            empty = np.argwhere(made.source == NONE)[0]
            made.bands[:, *empty] = 7

    assert metrics_of(observations, inside, 1, spoil)[0]["nodata_mismatch_px"] == len(BLOCKS)


@given(st.lists(st.integers(0, 31), min_size=1, max_size=40), st.sampled_from([0, 0.05, 0.5, 0.95, 1]))
def test_a_quantile_of_counts_is_numpys(values, share):
    assert_allclose(quantile_of_counts(np.bincount(values, minlength=32), share), np.quantile(values, share))


def test_nothing_has_no_quantile():
    assert quantile_of_counts(np.zeros(32, np.int64), 0.5) is None
