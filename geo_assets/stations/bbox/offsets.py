"""The offset of the counts of the scenes in use, asked of a few pixels of an overview."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_REFLECTANCE, ReflectanceCount
from geo_assets.domain.errors import AssetLostError
from geo_assets.domain.scene import SceneItem
from geo_assets.kernels.offsets import decided_offset
from geo_assets.kernels.picking.bands import pick_reflectance
from geo_assets.kernels.picking.stored_blocks import whole_block
from geo_assets.kernels.picking.taps import Taps, nearest_taps
from geo_assets.stations.bbox.crew import Crew
from geo_assets.stations.bbox.files import Level, Loss, Losses, SceneFile, SceneFiles, place
from geo_assets.stations.bbox.winners import blocks_under
from geo_assets.stations.offset_findings import OffsetFinding, is_tested, test_bands

_FEWEST_PX, _MOST_PX = 256, 1024
"""Edge of the overview that is looked at: at least, so that it tells something, and at most what is read of it."""
_SAMPLES = 256
"""Pixels along an edge that are judged."""


def find_offsets(
    items: Sequence[SceneItem], bands: Sequence[str], files: SceneFiles, grid: GeoBox, crew: Crew
) -> tuple[dict[str, OffsetFinding], Losses]:
    """What metadata and pixels say about the offset of some items.

    Parameters
    ----------
    items
        Only those that the test is made for have pixels read.
    bands
        Of the composite: their files are read anyway. The test may ask a few others, which may be missing.
    files, crew
        Of the composite.
    grid
        The output: pixels near its centre are asked where the file has no small overview.

    Returns
    -------
    findings, losses
        Item id -> what is known, or a band of the composite that is lost.
    """
    asked = [(item, name) for item in items if is_tested(item) for name in test_bands(tuple(bands), item)]
    sampled = crew.run(partial(_sampled, item, name, files, grid) for item, name in asked)
    counts: dict[str, dict[str, ReflectanceCount]] = {}
    losses: Losses = {}
    for (item, name), found in zip(asked, sampled, strict=True):
        if not isinstance(found, Loss):
            counts.setdefault(item.id, {})[name] = found
        elif name in bands:  # others would only have helped to tell
            losses.setdefault(item.id, found)
    kept = [item for item in items if item.id not in losses]
    decided = crew.run(partial(_decided, counts.get(item.id, {})) for item in kept)
    findings = {
        item.id: OffsetFinding(item.id, item.offset_dn, offset, item.offset_doubtful)
        for item, offset in zip(kept, decided, strict=True)
    }
    return findings, losses


def _decided(counts: Mapping[str, ReflectanceCount]) -> int | None:
    return decided_offset(counts, nodata=NODATA_REFLECTANCE) if counts else None


def _sampled(item: SceneItem, name: str, files: SceneFiles, grid: GeoBox) -> ReflectanceCount | Loss:
    """(y, x) stored counts of every so-manyth pixel of a small overview; nodata -32768."""
    try:
        file = files.open(item, name)
        level = next((one for one in reversed(file.levels) if min(one.width, one.height) >= _FEWEST_PX), file.levels[0])
        rows, cols = _sample_places(file, level, grid)
        counts = np.full((len(rows.first), len(cols.first)), NODATA_REFLECTANCE, np.int16)
        _pick(file, level, rows, cols, counts)
    except AssetLostError as error:
        return Loss(name, str(error))
    return counts


def _sample_places(file: SceneFile, level: Level, grid: GeoBox) -> tuple[Taps, Taps]:
    """Rows and columns of the level that are looked at, near the middle of the output."""
    placement = place(file, grid, level, "nearest")
    row_begin, row_end, col_begin, col_end = placement.extent
    row = min((row_begin + row_end) // 2, grid.shape[0] - 1)
    col = min((col_begin + col_end) // 2, grid.shape[1] - 1)
    rows, cols = placement.positions(grid, (row, row + 1, col, col + 1))
    return _along(float(rows[0, 0]), level.height), _along(float(cols[0, 0]), level.width)


def _along(centre: float, length: int) -> Taps:
    size = min(length, _MOST_PX)
    first = int(np.clip(np.nan_to_num(centre, posinf=0, neginf=0) - size / 2, 0, length - size))
    step = -(-size // _SAMPLES)
    return nearest_taps(first + np.arange(step / 2, size, step, dtype=np.float64), length)


def _pick(file: SceneFile, level: Level, rows: Taps, cols: Taps, counts: ReflectanceCount) -> None:
    (top, bottom), (left, right) = rows.stored, cols.stored
    if level.blocks is None or file.pixels is None:
        blocks = [whole_block(file.window(level, top, left, bottom - top, right - left), top, left)]
    else:
        wanted = blocks_under(level.blocks, [(rows.stored, cols.stored)])
        across, height, width = level.blocks.blocks_across, level.blocks.block_height, level.blocks.block_width
        blocks = [
            whole_block(stored, index // across * height, index % across * width, predicted=level.blocks.predictor == 2)
            for index, stored in file.pixels.blocks(level.blocks, wanted, sample=file.sample, undo=False)
        ]
    for block in blocks:
        pick_reflectance(
            block,
            rows,
            cols,
            (*rows.within(*block.rows), *cols.within(*block.cols)),
            wanted=np.zeros(counts.shape, np.int16),
            source=0,
            offset_dn=0,
            nodata=file.nodata,
            reflectance=counts,
        )
