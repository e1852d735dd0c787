"""Compiled kernels, loaded before they are timed or before threads would wait for each other to load them."""

import numpy as np

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.kernels.offsets import decided_offset
from geo_assets.kernels.picking.bands import holds_wanted, pick_reflectance, wanted_sources
from geo_assets.kernels.picking.classes import sample_classes
from geo_assets.kernels.picking.stored_blocks import edges_of, whole_block
from geo_assets.kernels.picking.taps import bilinear_taps, run_taps
from geo_assets.kernels.picking.winners import View, consider, empty_winners, unfilled
from geo_assets.stations.bbox.winners import quality_rule

_EDGE = 32
"""Pixels: enough for the offset test to look at them."""


def load_kernels() -> None:
    """Compile what a composite of Sentinel-2 scenes needs, or load it from the cache of an earlier process.

    The first composite of a process does so by itself, and takes up to a second longer.
    """
    shape = (_EDGE, _EDGE)
    wanted, counts = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    rows = run_taps(0, 0, _EDGE, _EDGE)
    everywhere = (0, _EDGE, 0, _EDGE)
    places = np.arange(_EDGE, dtype=np.float64)
    for cols in (rows, bilinear_taps(0.9 * places + 0.5, _EDGE), bilinear_taps(2.0 * places + 0.5, _EDGE)):
        for predicted in (True, False):
            block = whole_block(np.ones(shape, np.uint16), 0, 0, predicted=predicted)
            span = cols.within(0, _EDGE)
            pick_reflectance(
                block, rows, cols, (0, _EDGE, *span),
                wanted=wanted, source=0, offset_dn=0, nodata=0, reflectance=counts,
            )  # fmt: skip
            edges_of(block)
    classes = np.full(shape, NODATA_CLASS, np.uint8)
    table = quality_rule("scl").table
    assert table is not None
    sample_classes(whole_block(np.zeros(shape, np.uint8), 0, 0, predicted=True), rows, rows, table, classes)
    winners = empty_winners(*shape)
    consider([View(classes, rows, rows)], [0], winners, begin=0, end=_EDGE)
    unfilled(winners, [counts], begin=0, end=_EDGE)
    wanted_sources(wanted, 0, 1)
    holds_wanted(wanted, 0, everywhere)
    decided_offset({"red": counts, "blue": counts}, nodata=NODATA_REFLECTANCE)
