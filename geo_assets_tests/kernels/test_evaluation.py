"""Counts of agreement: sweeps in one pass against every setting on its own."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.kernels.evaluation import Agreement, agreement, buffer_sweep, confusion, threshold_sweep
from geo_assets.kernels.quality import buffer

SHAPE = (7, 9)
flags = arrays(np.bool_, SHAPE)
strata = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 3, 255]))
probabilities = arrays(np.float32, SHAPE, elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 1, np.nan]))
THRESHOLDS = (0.1, 0.25, 0.5, 0.9)
RADII = (0.0, 1.0, 1.5, 4.2)


def slow(true, found, labelled):
    """One agreement, pixel by pixel."""
    pairs = [(bool(t), bool(f)) for t, f in zip(true[labelled], found[labelled], strict=True)]
    return Agreement(
        pairs.count((True, True)), pairs.count((False, True)), pairs.count((True, False)), pairs.count((False, False))
    )


def parts(land, labelled):
    """Stratum -> its labelled pixels."""
    return {None: labelled} | {int(value): labelled & (land == value) for value in np.unique(land[labelled])}


@given(flags, flags, flags, strata)
def test_agreement_counts_labelled_pixels_of_each_land_cover(true, found, labelled, land):
    expected = {stratum: slow(true, found, here) for stratum, here in parts(land, labelled).items()}
    assert agreement(true, found, labelled, land) == expected


@given(flags, probabilities, flags, strata, st.none() | flags)
def test_a_threshold_sweep_is_every_threshold_on_its_own(true, probability, labelled, land, anyhow):
    swept = threshold_sweep(true, probability, THRESHOLDS, labelled, land, anyhow=anyhow)
    for stratum, here in parts(land, labelled).items():
        for threshold, found in zip(THRESHOLDS, swept[stratum], strict=True):
            flag = probability > np.float32(threshold)
            assert found == slow(true, flag if anyhow is None else flag | anyhow, here)


@given(flags, flags, flags, strata, st.none() | flags)
def test_a_buffer_sweep_is_every_buffer_on_its_own(true, found, labelled, land, never):
    swept = buffer_sweep(true, found, RADII, labelled, land, never=never)
    for stratum, here in parts(land, labelled).items():
        for radius, figures in zip(RADII, swept[stratum], strict=True):
            grown = buffer(found, radius_px=radius)
            if never is not None:
                grown &= found | ~never
            assert figures == slow(true, grown, here)


classes = arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 4, 255]))


@given(classes, classes, strata)
def test_confusion_pairs_every_labelled_pixel_once(truth, found, land):
    tables = confusion(truth, found, classes=5, strata=land)
    known = (truth != 255) & (found != 255)
    for stratum, here in parts(land, known).items():
        expected = np.zeros((5, 5), np.int64)
        np.add.at(expected, (truth[here], found[here]), 1)
        assert_array_equal(tables[stratum], expected)
    assert set(tables) == set(parts(land, known))


def test_precision_recall_f1_and_iou_are_what_they_are_called():
    found = Agreement(hits=6, false_alarms=2, misses=4, rejections=8)
    assert (found.precision, found.recall, found.pixels) == (0.75, 0.6, 20)
    assert found.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert found.iou == 0.5
    nothing = Agreement(0, 0, 0, 5)
    assert all(math.isnan(share) for share in (nothing.precision, nothing.recall, nothing.f1, nothing.iou))


PLANE = np.zeros(SHAPE, np.bool_)


@pytest.mark.parametrize("thresholds", [(), (0.5, 0.4), (0.5, 0.5), (0.5, math.nan)])
def test_thresholds_that_do_not_rise_are_refused(thresholds):
    with pytest.raises(RegionError, match="rise"):
        threshold_sweep(PLANE, PLANE.astype(np.float32), thresholds, PLANE)


def test_negative_buffers_other_shapes_and_unknown_classes_are_refused():
    with pytest.raises(RegionError, match="at least 0"):
        buffer_sweep(PLANE, PLANE, (-1.0, 2.0), PLANE)
    with pytest.raises(GridMismatchError, match="labelled"):
        agreement(PLANE, PLANE, PLANE[:2])
    with pytest.raises(GridMismatchError, match="probability"):
        threshold_sweep(PLANE, np.zeros((2, 2), np.float32), THRESHOLDS, PLANE)
    with pytest.raises(DetectorError, match="class 9 in the truth"):
        confusion(np.full(SHAPE, 9, np.uint8), np.zeros(SHAPE, np.uint8), classes=5)
