"""How far the observations of a pixel spread: the one product for which those that did not win are read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE, Flag, ReflectanceCount
from geo_assets.kernels.compositing.uncertainty import add_observations, uncertainty_counts
from geo_assets.kernels.picking.winners import CHUNK_PX, View
from geo_assets.stations.bbox.bands import Source, Wanted, WinnerReader
from geo_assets.stations.bbox.files import Losses


def spread_of(
    reader: WinnerReader,
    sources: Sequence[Source],
    views: Sequence[View],
    acquisitions: Sequence[int],
    reflectance: Mapping[str, ReflectanceCount],
) -> tuple[dict[str, ReflectanceCount], Losses]:
    """The uncertainty of every band.

    Parameters
    ----------
    reader
        Reads bands.
    sources, views, acquisitions
        What the composite was chosen from, as for `kernels.picking.winners.consider`.
    reflectance
        The composite's bands.

    Returns
    -------
    uncertainty
        Band -> (y, x) int16: see `kernels.compositing.uncertainty`.
    losses
        Items that could not be read here: their observations are left out.
    """
    losses: Losses = {}
    uncertainty: dict[str, ReflectanceCount] = {}
    for band, values in reflectance.items():
        count = np.zeros(values.shape, np.uint16)
        mean, squares = np.zeros(values.shape, np.float32), np.zeros(values.shape, np.float32)
        counted = np.zeros(values.shape, np.bool_)
        for number, view in enumerate(views):
            if number and acquisitions[number] != acquisitions[number - 1]:
                counted[:] = False
            usable = _usable(view, values.shape) & ~counted
            counted |= usable
            observed = np.full(values.shape, NODATA_REFLECTANCE, np.int16)
            wanted = np.where(usable, np.int16(number), np.int16(-1))
            losses.update(reader.read(Wanted(sources, wanted), {band: observed}))
            add_observations(observed, count, mean, squares)
        uncertainty[band] = uncertainty_counts(values, count, squares)
    return uncertainty, losses


def _usable(view: View, shape: tuple[int, ...]) -> Flag:
    """(y, x) bool: where a source is usable on the output."""
    usable = np.zeros(shape, np.bool_)
    rows, cols = slice(view.rows.begin, view.rows.end), slice(view.cols.begin, view.cols.end)
    usable[rows, cols] = view.quality[np.ix_(view.rows.first[rows], view.cols.first[cols])] != NODATA_CLASS
    if view.serves is not None:
        usable &= _by_pixel(view.serves, shape)
    return usable


def _by_pixel(chunks: Flag, shape: tuple[int, ...]) -> NDArray[Any]:
    row_chunks, col_chunks = (np.arange(length) // CHUNK_PX for length in shape)
    return chunks[np.ix_(row_chunks, col_chunks)]
