"""Counts multiplied by a factor that changes slowly over a raster: given at nodes, in whole numbers between them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_REFLECTANCE, SATURATED_REFLECTANCE, ReflectanceCount
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array

NODE_STEP_PX = 32
"""Pixels between nodes: at 60 m a little under 2 km, where angles are known every 5 km."""

FRACTION_BITS = 20
"""Of a factor's fixed point: steps of a millionth, a thirtieth of a count at the brightest."""


def factor_nodes(factor: NDArray[np.float64]) -> NDArray[np.int32]:
    """Factors in fixed point, as `scaled_counts` takes them.

    Parameters
    ----------
    factor : float64 array
        Positive, below 2,048.
    """
    return np.rint(factor * (1 << FRACTION_BITS)).astype(np.int32)


def scaled_counts(counts: ReflectanceCount, nodes: NDArray[np.int32]) -> ReflectanceCount:
    """Counts times the factor at each pixel.

    Parameters
    ----------
    counts : (y, x) int16
        Reflectance x 10,000; nodata -32768.
    nodes : (n, m) int32
        Of `factor_nodes`; [i, j] lies on the centre of pixel (`NODE_STEP_PX` i, `NODE_STEP_PX` j), and they reach to
        the last pixel or beyond.

    Returns
    -------
    scaled : (y, x) int16
        Rounded half up, kept from -32767 to 32767; nodata exactly where `counts` has it.

    Raises
    ------
    GridMismatchError
        Another dtype, or too few nodes.

    Notes
    -----
    Bilinear between nodes. Sums and products of integers are exact, so a window on nodes of the whole raster gives
    what the whole gives.
    """
    expect_array("counts", counts, np.int16, (None, None))
    expect_array("nodes", nodes, np.int32, (None, None))
    needed = tuple(-(-(length - 1) // NODE_STEP_PX) + 1 for length in counts.shape)
    if nodes.shape[0] < needed[0] or nodes.shape[1] < needed[1]:
        raise GridMismatchError(
            f"Factors: found {nodes.shape} nodes for {counts.shape} pixels, expected at least {needed}. "
            "Cut them to the same window."
        )
    scaled = np.empty(counts.shape, np.int16)
    _fill_scaled(counts, nodes, scaled)
    return scaled


@njit(nogil=True, cache=True)
def _fill_scaled(counts: ReflectanceCount, nodes: NDArray[np.int32], scaled: ReflectanceCount) -> None:
    height, width = counts.shape
    last_row, last_col = nodes.shape[0] - 1, nodes.shape[1] - 1
    bits = FRACTION_BITS + 10  # NODE_STEP_PX squared is 1 << 10
    half = np.int64(1) << (bits - 1)
    for row in range(height):
        above, down = row // NODE_STEP_PX, np.int64(row % NODE_STEP_PX)
        below = min(above + 1, last_row)
        for node in range(-(-width // NODE_STEP_PX)):
            after = min(node + 1, last_col)
            left = nodes[above, node] * (NODE_STEP_PX - down) + nodes[below, node] * down
            right = nodes[above, after] * (NODE_STEP_PX - down) + nodes[below, after] * down
            first = node * NODE_STEP_PX
            for col in range(first, min(first + NODE_STEP_PX, width)):
                value = np.int64(counts[row, col])
                across = np.int64(col - first)
                factor = left * (NODE_STEP_PX - across) + right * across
                product = (value * factor + half) >> bits
                kept = min(max(product, -SATURATED_REFLECTANCE), SATURATED_REFLECTANCE)
                scaled[row, col] = NODATA_REFLECTANCE if value == NODATA_REFLECTANCE else kept
