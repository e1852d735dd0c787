"""Which scenes are worth fetching, judged by how much of the asked-for area each one shows."""

from collections.abc import Collection, Sequence
from datetime import datetime

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import ClassCode, Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.expectations import expect_array, expect_at_least
from geo_assets.kernels.quality import MaskCode, Quality, usable_quality


def clear_share_per_cell(
    codes: ClassCode,
    inside: Flag,
    *,
    cell_px: int,
    drop: Collection[MaskCode] = (MaskCode.CLOUD, MaskCode.SHADOW),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clear pixels, and pixels of the area, in every cell: the two numbers whose ratio is the clear share.

    Counts and not the ratio, because counts of cells add up to those of the area.

    Parameters
    ----------
    codes : (y, x) uint8
        `MaskCode` of one scene.
    inside : (y, x) bool
        True for pixels of the area, whether the scene saw them or not.
    cell_px : int
        Edge of a cell. Cells at the right and bottom may be cut off by the array's edge.
    drop : collection of MaskCode
        Classes that are not clear; fill never is.

    Returns
    -------
    clear, area : (ceil(y / cell_px), ceil(x / cell_px)) int64
        Pixels inside that are clear, and pixels inside; `area` is 0 in a cell beside the area.

    Raises
    ------
    GridMismatchError
        Shapes or dtypes differ from the above.
    DetectorError
        A value that is no `MaskCode`.
    RegionError
        `cell_px` is below 1.
    """
    expect_array("codes", codes, np.uint8, (None, None))
    expect_array("inside", inside, np.bool_, codes.shape)
    expect_at_least("cell_px", cell_px, 1)
    clear = usable_quality(codes, drop=drop) != Quality.NONE
    cells = (-(-codes.shape[0] // cell_px), -(-codes.shape[1] // cell_px))
    clear_px, area_px = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
    _count_cells(clear, inside, cell_px, clear_px, area_px)
    return clear_px, area_px


def rank_by_area_share(
    clear_px: NDArray[np.int64], *, acquired: Sequence[datetime], item_ids: Sequence[str]
) -> NDArray[np.intp]:
    """Scenes from best to worst: by how much of the area each shows clear, then the earlier, then by id.

    All scenes are measured against the same area, so their clear pixels rank them as the shares would. Their
    own valid pixels do not count: a cloudless sliver of a swath is not better than a whole tile with one
    cloud.

    Parameters
    ----------
    clear_px : (scene,) int64
        Clear pixels inside the area.
    acquired : sequence of datetime
        Datatake start of every scene, UTC.
    item_ids : sequence of str
        Unique, so that the ranking does not depend on the order of the catalogue's answer.

    Returns
    -------
    ranking : (scene,) intp
        Indices into the scenes, best first.

    Raises
    ------
    GridMismatchError
        The three differ in length.
    """
    expect_array("clear_px", clear_px, np.int64, (None,))
    if not len(clear_px) == len(acquired) == len(item_ids):
        raise GridMismatchError(
            f"Ranking: found {len(clear_px)} clear counts, {len(acquired)} dates and {len(item_ids)} ids, "
            "expected one of each per scene."
        )
    best_first = sorted(
        range(len(clear_px)), key=lambda scene: (-int(clear_px[scene]), acquired[scene], item_ids[scene])
    )
    return np.array(best_first, np.intp)


@njit(nogil=True, cache=True)
def _count_cells(
    clear: Flag, inside: Flag, cell_px: int, clear_px: NDArray[np.int64], area_px: NDArray[np.int64]
) -> None:
    for row in range(clear.shape[0]):
        for cell_col in range(clear_px.shape[1]):
            for col in range(cell_col * cell_px, min((cell_col + 1) * cell_px, clear.shape[1])):
                area_px[row // cell_px, cell_col] += inside[row, col]
                clear_px[row // cell_px, cell_col] += inside[row, col] and clear[row, col]
