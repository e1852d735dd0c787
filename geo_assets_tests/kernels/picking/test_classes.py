import math

import numpy as np
from hypothesis import given

from geo_assets.kernels.picking.classes import sample_classes, sample_validity
from geo_assets.kernels.picking.stored_blocks import whole_block
from geo_assets.kernels.picking.taps import nearest_taps, run_taps
from geo_assets_tests.kernels.picking.pictures import differences, pictures


@given(pictures())
def test_classes_are_those_of_the_stored_pixel_that_holds_the_centre(picture):
    stored, _, row_centres, col_centres = picture
    classes = (stored % 12).astype(np.uint8)
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    rows, cols = nearest_taps(row_centres, stored.shape[0]), nearest_taps(col_centres, stored.shape[1])
    found = np.full((len(row_centres), len(col_centres)), 77, np.uint8)
    sample_classes(whole_block(differences(classes), 0, 0, predicted=True), rows, cols, table, found)
    for (row, col), value in np.ndenumerate(found):
        down, across = math.floor(row_centres[row] + 1e-6), math.floor(col_centres[col] + 1e-6)
        inside = -1e-6 <= row_centres[row] <= stored.shape[0] and -1e-6 <= col_centres[col] <= stored.shape[1]
        down, across = min(down, stored.shape[0] - 1), min(across, stored.shape[1] - 1)
        assert value == (table[classes[max(down, 0), max(across, 0)]] if inside else 77)


def test_a_band_counts_as_seen_where_it_is_not_nodata():
    stored = np.array([[0, 5], [7, 0]], np.uint16)
    rows = run_taps(0, 0, 2, 2)
    seen = np.zeros((2, 2), np.uint8)
    sample_validity(whole_block(stored, 0, 0), rows, rows, 0, seen)
    assert seen.tolist() == [[255, 0], [0, 255]]
