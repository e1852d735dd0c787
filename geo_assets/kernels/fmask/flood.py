"""Grey-scale hole filling: how high water would stand if it could only leave over the edge of the image.

A cloud's shadow is a dark basin in brighter ground; filled, it rises to its rim, and the rise is what tells it from
ground that is dark over long distances (Zhu & Woodcock 2012, section 3.1.3).
"""

from typing import Literal, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import RegionError
from geo_assets.kernels.expectations import expect_array

Connectivity: TypeAlias = Literal[4, 8]
"""Over how many neighbours of a pixel water flows: those at its sides, or those at its corners as well."""

_LEVELS = 65_536
_NOBODY = -1


def filled_basins(
    height: NDArray[np.uint16], valid: Flag, *, outlet: int, connectivity: Connectivity = 4
) -> NDArray[np.uint16]:
    """Heights with every basin filled to its lowest rim: morphological reconstruction by erosion.

    Parameters
    ----------
    height : (y, x) uint16
        Such as reflectance counts.
    valid : (y, x) bool
        Water neither stands on nor crosses other pixels; they keep their height.
    outlet : int
        Level of the outside, 0 to 65,535. Pixels at the edge of the image or beside an invalid pixel are filled to
        it, and drain no lower. With 4 neighbours, an invalid pixel at a corner does not make an edge.
    connectivity : 4 or 8
        4, as in the fill of Fmask's own implementations, keeps water behind a rim one pixel wide that runs diagonally.

    Returns
    -------
    filled : (y, x) uint16
        At least `height`. For each pixel the smallest, over all paths from it to the edge, of the largest height on
        the path, `outlet` included.

    Raises
    ------
    GridMismatchError
        Arrays that are not as above.
    RegionError
        An `outlet` that is no uint16, or another connectivity.

    Notes
    -----
    Equals scikit-image's ``reconstruction(seed, height, method="erosion")``, with the seed at the largest value
    except at the edge. Priority flood (Barnes, Lehman & Mulla 2014): water is let in from the edge, lowest first, so
    that every pixel is final when it is first reached. The queue is a list for each of the 65,536 levels.
    """
    expect_array("height", height, np.uint16, (None, None))
    expect_array("valid", valid, np.bool_, height.shape)
    if not 0 <= outlet < _LEVELS:
        raise RegionError(f"Flood, outlet: found {outlet}, expected 0 to {_LEVELS - 1}. Scale it as the heights are.")
    if connectivity not in (4, 8):
        raise RegionError(f"Flood, connectivity: found {connectivity}, expected 4 or 8. Choose one of them.")
    rows, cols = height.shape
    wide = cols + 2  # a dry frame, so that no neighbour needs a bounds check
    steps = [-wide, -1, 1, wide]
    if connectivity == 8:
        steps += [-wide - 1, -wide + 1, wide - 1, wide + 1]
    filled = np.zeros((rows + 2, wide), np.uint16)
    filled[1:-1, 1:-1] = height
    dry = np.zeros((rows + 2, wide), np.bool_)
    dry[1:-1, 1:-1] = valid
    _flood(filled.reshape(-1), dry.reshape(-1), np.int64(wide), np.array(steps, np.int64), np.int64(outlet))
    return np.ascontiguousarray(filled[1:-1, 1:-1])


@njit(nogil=True, cache=True)
def _flood(filled: NDArray[np.uint16], dry: Flag, wide: np.int64, steps: NDArray[np.int64], outlet: np.int64) -> None:
    """Raise `filled` in place; `dry` is True where water may still come, and False everywhere in the end."""
    first = np.full(_LEVELS, _NOBODY, np.int32)  # of the pixels that wait at a level
    following = np.empty(filled.size, np.int32)
    _let_in(filled, dry, wide, steps, outlet, first, following)
    # Pixels that lie no higher than the water are reached at once: they need not wait their turn.
    same_level = np.empty(filled.size, np.int32)
    for level in range(outlet, _LEVELS):
        pixel = np.int64(first[level])
        while pixel >= 0:
            count = 1
            same_level[0] = pixel
            pixel = np.int64(following[pixel])
            while count > 0:
                count -= 1
                here = np.int64(same_level[count])
                for index in range(steps.size):
                    beside = here + steps[index]
                    if not dry[beside]:
                        continue
                    dry[beside] = False
                    own = np.int64(filled[beside])
                    if own <= level:
                        filled[beside] = level
                        same_level[count] = beside
                        count += 1
                    else:
                        following[beside] = first[own]
                        first[own] = beside


@njit(nogil=True, cache=True)
def _let_in(
    filled: NDArray[np.uint16],
    dry: Flag,
    wide: np.int64,
    steps: NDArray[np.int64],
    outlet: np.int64,
    first: NDArray[np.int32],
    following: NDArray[np.int32],
) -> None:
    """Queue the pixels at the edge, at their own height or the outlet's."""
    edge = np.empty(filled.size, np.int32)
    count = 0
    for pixel in range(wide, filled.size - wide):
        if not dry[pixel]:
            continue
        for index in range(steps.size):
            if not dry[pixel + steps[index]]:
                edge[count] = pixel
                count += 1
                break
    for index in range(count):
        here = np.int64(edge[index])
        level = max(np.int64(filled[here]), outlet)
        filled[here] = level
        dry[here] = False
        following[here] = first[level]
        first[level] = here
