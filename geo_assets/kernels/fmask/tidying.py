"""What a cloud's shape says: specks are dropped, ragged edges smoothed, bright ground taken out.

Z&W12 = Zhu & Woodcock (2012), 10.1016/j.rse.2011.10.028; Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import label

from geo_assets.domain.arrays import Flag
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look

_SEEN, _SNOW, _WATER, _BUILT = (np.uint8(flag) for flag in (Look.SEEN, Look.SNOW, Look.WATER, Look.BUILT))
_EIGHT_NEIGHBOURS = np.ones((3, 3), np.bool_)


def smoothed_cloud(cloud: Flag, seen: Flag) -> Flag:
    """Cloud where most of the 3 x 3 pixels are: five of nine.

    Parameters
    ----------
    cloud, seen : (y, x) bool
        Pixels that are not seen, and what lies beyond the edge, have no vote; nor are they ever cloud.

    Returns
    -------
    cloud : (y, x) bool

    Notes
    -----
    Z&W12, section 3.1.2: "sets a pixel to cloud if five or more pixels in its 3 by 3 neighborhood are cloud pixels;
    otherwise, the pixel is set to clear".
    """
    smoothed = np.empty(cloud.shape, np.bool_)
    _vote(cloud, seen, smoothed)
    return smoothed


def cloud_objects(cloud: Flag) -> tuple[NDArray[np.int32], int]:
    """8-connected objects: (y, x) int32 numbers from 1, 0 where there is no cloud; and how many there are."""
    numbers = np.empty(cloud.shape, np.int32)
    count = label(cloud, structure=_EIGHT_NEIGHBOURS, output=numbers)
    return numbers, int(count)


def cloud_without_specks(cloud: Flag, objects: NDArray[np.int32], count: int, *, smallest_px: int) -> Flag:
    """Cloud less the objects of fewer than `smallest_px` pixels (Q19, section 3.3)."""
    size = np.zeros(count + 1, np.int64)
    _count_objects(objects, size)
    kept: Flag = size >= smallest_px
    return _kept_cloud(cloud, objects, kept)


def bright_surface(
    look: NDArray[np.uint8], cdi: NDArray[np.float32] | None, *, resolution_m: float, settings: FmaskSettings
) -> Flag:
    """Ground that may pass for cloud: around built-up or bare ground, and snow.

    Parameters
    ----------
    look : (y, x) uint8
        `Look` flags.
    cdi : (y, x) float32, optional
        Of `displacement_index`: what surely shifts is no ground.
    resolution_m
        Edge of a pixel.
    settings
        `bright_surface_cdi`, `bright_surface_reach_m`.

    Returns
    -------
    candidate : (y, x) bool

    Notes
    -----
    Q19, section 3.3 (potential false positive cloud), without its elevation model: snow counts on any slope.
    """
    built: Flag = (look & _BUILT) != 0
    if cdi is not None:
        built &= ~(cdi < settings.bright_surface_cdi)
    reach_px = int(settings.bright_surface_reach_m / resolution_m)
    near = wider(built, reach_px)
    near |= (look & _SNOW) != 0
    near &= (look & _SEEN) != 0
    return near


def cloud_without_bright_surfaces(
    cloud: Flag,
    objects: NDArray[np.int32],
    count: int,
    candidate: Flag,
    look: NDArray[np.uint8],
    *,
    resolution_m: float,
    settings: FmaskSettings,
) -> tuple[Flag, int]:
    """Cloud less the objects that are bright ground, and how many these are.

    Parameters
    ----------
    cloud : (y, x) bool
    objects, count
        Of `cloud_objects`.
    candidate : (y, x) bool
        Of `bright_surface`.
    look : (y, x) uint8
        `Look` flags.
    resolution_m
        Edge of a pixel.
    settings
        `bright_surface_erosion_m`.

    Notes
    -----
    Q19, section 3.3: an object goes if all of it is candidate, none of it is over water, and nothing is left of it when
    it is eroded. What is not seen, and what lies beyond the edge, may be cloud as well: it erodes nothing.
    """
    erosion_px = max(1, round(settings.bright_surface_erosion_m / resolution_m))
    bare = (look & _SEEN) != 0
    bare &= ~cloud
    outer = wider(bare, erosion_px)
    kept = np.zeros(count + 1, np.bool_)
    _keep_clouds(objects, candidate, look, outer, kept)
    return _kept_cloud(cloud, objects, kept), count - int(np.count_nonzero(kept))


def wider(flag: Flag, radius_px: int) -> Flag:
    """True within a square of ``2 * radius_px + 1`` pixels around each True."""
    if radius_px == 0:
        return flag.copy()
    along = np.empty(flag.shape, np.bool_)
    _widen_rows(flag, radius_px, along)
    wide = np.empty(flag.shape, np.bool_)
    _widen_columns(along, radius_px, wide)
    return wide


def _kept_cloud(cloud: Flag, objects: NDArray[np.int32], kept: Flag) -> Flag:
    left = np.empty(cloud.shape, np.bool_)
    kept[0] = False
    _pick(objects, kept, left)
    return left


@njit(nogil=True, cache=True)
def _vote(cloud: Flag, seen: Flag, smoothed: Flag) -> None:
    height, width = cloud.shape
    votes, ayes = np.empty(width + 2, np.int8), np.empty(width + 2, np.int8)
    votes[0] = votes[-1] = ayes[0] = ayes[-1] = 0
    for row in range(height):
        for col in range(width):
            have, yes = np.int8(0), np.int8(0)
            for r in range(max(row - 1, 0), min(row + 2, height)):
                have += np.int8(seen[r, col])
                yes += np.int8(seen[r, col] & cloud[r, col])
            votes[col + 1], ayes[col + 1] = have, yes
        for col in range(width):
            have = votes[col] + votes[col + 1] + votes[col + 2]
            yes = ayes[col] + ayes[col + 1] + ayes[col + 2]
            smoothed[row, col] = seen[row, col] & (2 * yes > have)


@njit(nogil=True, cache=True)
def _count_objects(objects: NDArray[np.int32], size: NDArray[np.int64]) -> None:
    for row in range(objects.shape[0]):
        for col in range(objects.shape[1]):
            if objects[row, col] > 0:
                size[objects[row, col]] += 1


@njit(nogil=True, cache=True)
def _keep_clouds(objects: NDArray[np.int32], candidate: Flag, look: NDArray[np.uint8], outer: Flag, kept: Flag) -> None:
    for row in range(objects.shape[0]):
        for col in range(objects.shape[1]):
            number = objects[row, col]
            if number > 0 and (not candidate[row, col] or look[row, col] & _WATER or not outer[row, col]):
                kept[number] = True


@njit(nogil=True, cache=True)
def _pick(objects: NDArray[np.int32], kept: Flag, left: Flag) -> None:
    for row in range(objects.shape[0]):
        for col in range(objects.shape[1]):
            left[row, col] = kept[objects[row, col]]


@njit(nogil=True, cache=True)
def _widen_rows(flag: Flag, radius: int, wide: Flag) -> None:
    height, width = flag.shape
    for row in range(height):
        reach = -1  # the last column that a True to the left reaches
        for col in range(width):
            if flag[row, col]:
                reach = col + radius
            wide[row, col] = col <= reach
        reach = width
        for col in range(width - 1, -1, -1):
            if flag[row, col]:
                reach = col - radius
            wide[row, col] |= col >= reach


@njit(nogil=True, cache=True)
def _widen_columns(flag: Flag, radius: int, wide: Flag) -> None:
    height, width = flag.shape
    reach = np.full(width, -1, np.int64)
    for row in range(height):
        for col in range(width):
            if flag[row, col]:
                reach[col] = row + radius
            wide[row, col] = row <= reach[col]
    reach[:] = height
    for row in range(height - 1, -1, -1):
        for col in range(width):
            if flag[row, col]:
                reach[col] = row - radius
            wide[row, col] |= row >= reach[col]
