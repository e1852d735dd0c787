"""Quality layers under the output grid, and the map of winners made from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode
from geo_assets.domain.errors import AssetLostError, GridMismatchError
from geo_assets.domain.scene import Quality, SceneItem
from geo_assets.io.reads.tiff_directory import TiffLevel
from geo_assets.kernels.picking.bands import Rectangle
from geo_assets.kernels.picking.classes import sample_classes, sample_validity
from geo_assets.kernels.picking.stored_blocks import whole_block
from geo_assets.kernels.picking.taps import Taps, run_taps
from geo_assets.kernels.picking.winners import View, WinnerMap, consider, empty_winners
from geo_assets.kernels.quality_layers import hls_quality, mcd43a4_quality, scl_quality
from geo_assets.kernels.reprojection import resample_nearest
from geo_assets.stations.bbox.crew import Crew
from geo_assets.stations.bbox.files import Level, Placement, SceneFile, SceneFiles, place
from geo_assets.stations.bbox.request import CompositeRequest

_STRIP_ROWS = 128
"""Output rows that one job finds the winners of."""
_ALL_VALUES = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class QualityRule:
    """How an item says which pixels are clear."""

    layers: Callable[[Sequence[str]], tuple[str, ...]]
    """Names of the layers that are read, by the bands in use; the worst of them counts."""
    table: ClassCode | None
    """(256,) quality code of each stored value; None: a pixel is as good as any that holds data."""
    fill: int
    """Stored class where the sensor saw nothing; a band counts as 0 where it holds data and 255 where not."""


@cache  # made when first asked for: tables are compiled kernels' work
def quality_rule(quality: Quality) -> QualityRule:
    """How quality of one kind is read. `none` reads the first band, and takes every pixel that holds data."""
    if quality == "scl":
        return QualityRule(lambda bands: ("scl",), scl_quality(_ALL_VALUES), 0)
    if quality == "hls_fmask":
        return QualityRule(lambda bands: ("fmask",), hls_quality(_ALL_VALUES), NODATA_CLASS)
    if quality == "mcd43a4":
        table = mcd43a4_quality(_ALL_VALUES[np.newaxis, np.newaxis])[0]
        return QualityRule(lambda bands: tuple(f"qa_{band}" for band in bands), table, NODATA_CLASS)
    return QualityRule(lambda bands: (bands[0],), None, NODATA_CLASS)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What an item shows of a grid."""

    quality: ClassCode
    """(y, x) uint8 quality codes; 255 is unusable."""
    seen: ClassCode
    """(y, x) uint8: 0 where the sensor saw something, clear or not; else 255."""


def rule_of(item: SceneItem, mask: str) -> QualityRule:
    """How the quality of an item is read under a request's `mask`."""
    return quality_rule("none" if mask == "none" else item.quality)


def codes_under(
    item: SceneItem,
    files: SceneFiles,
    request: CompositeRequest,
    *,
    level_of: Callable[[SceneFile], Level],
    view_on: GeoBox | None,
    look_on: GeoBox | None,
) -> tuple[View | None, Look | None]:
    """How well an item shows the pixels of one grid or two, in one pass over its quality layers.

    Parameters
    ----------
    item, files
        What is read.
    request
        Its bands and mask say which layers count.
    level_of
        Which level of a layer is read.
    view_on
        The output, or None.
    look_on
        A coarser grid of the same CRS, or None.

    Returns
    -------
    view
        On the output's pixels or on the layer's own, whichever are fewer.
    look
        Of the coarser grid.

    Raises
    ------
    AssetLostError
        A layer is gone for good.
    ArchiveError
        It cannot be read.
    """
    rule = rule_of(item, request.mask)
    view: View | None = None
    look: Look | None = None
    for name in rule.layers(request.bands):
        file = files.open(item, name)
        found_view, found_look = _LayerReader(file, rule, level_of(file)).read(view_on, look_on)
        view = _worse_view(view, found_view, file)
        look = _worse_look(look, found_look)
    return view, look


def winner_map(views: Sequence[View], acquisitions: Sequence[int], grid: GeoBox, crew: Crew) -> WinnerMap:
    """The best of some views for every pixel of a grid; parameters as of `kernels.picking.winners.consider`."""
    height, width = grid.shape
    winners = empty_winners(height, width)
    crew.run(
        partial(consider, views, acquisitions, winners, begin=begin, end=min(begin + _STRIP_ROWS, height))
        for begin in range(0, height, _STRIP_ROWS)
    )
    return winners


def blocks_under(level: TiffLevel, spans: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> list[int]:
    """Blocks of a level that hold pixels of some spans of stored rows and columns (first, one past the last)."""
    wanted: set[int] = set()
    for (top, bottom), (left, right) in spans:
        down = range(top // level.block_height, -(-bottom // level.block_height))
        across = range(left // level.block_width, -(-right // level.block_width))
        wanted.update(row * level.blocks_across + col for row in down for col in across)
    return sorted(wanted)


def _unseen(height: int, width: int) -> ClassCode:
    return np.full((height, width), NODATA_CLASS, np.uint8)


def _worse_view(view: View | None, other: View | None, file: SceneFile) -> View | None:
    """The worse quality of two layers of one item, pixel by pixel; in the first one's memory."""
    if view is None or other is None:
        return other
    if other.quality.shape != view.quality.shape:
        raise GridMismatchError(
            f"{file.where}: found {other.quality.shape} pixels under the area, expected {view.quality.shape}, as other "
            "quality layers of the item have. Name the item in selection.exclude."
        )
    np.maximum(view.quality, other.quality, out=view.quality)
    return view


def _worse_look(look: Look | None, other: Look | None) -> Look | None:
    if look is None or other is None:
        return other
    return Look(np.maximum(look.quality, other.quality), np.maximum(look.seen, other.seen))


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """An array to be filled with codes, and where its pixels lie in the layer."""

    rows: Taps
    cols: Taps
    table: ClassCode
    codes: ClassCode
    """(y, x) uint8, 255 as far as it is not filled."""


def _view_on(rows: Taps, cols: Taps, extent: Rectangle, grid: GeoBox, table: ClassCode) -> tuple[View, _Target]:
    """An empty view, on the output's pixels under a layer or on the layer's own, and what fills it."""
    row_begin, row_end, col_begin, col_end = extent
    (top, bottom), (left, right) = rows.stored, cols.stored
    if (bottom - top) * (right - left) < (row_end - row_begin) * (col_end - col_begin):
        codes = _unseen(bottom - top, right - left)
        own_rows, own_cols = run_taps(top, 0, bottom - top, bottom - top), run_taps(left, 0, right - left, right - left)
        return View(codes, rows.moved(stored=top), cols.moved(stored=left)), _Target(own_rows, own_cols, table, codes)
    codes = _unseen(row_end - row_begin, col_end - col_begin)
    view = View(codes, run_taps(0, row_begin, row_end, grid.shape[0]), run_taps(0, col_begin, col_end, grid.shape[1]))
    return view, _Target(rows.moved(outputs=row_begin), cols.moved(outputs=col_begin), table, codes)


class _LayerReader:
    """One quality layer of one item."""

    def __init__(self, file: SceneFile, rule: QualityRule, level: Level) -> None:
        if rule.table is not None and file.dtype != np.uint8:
            raise AssetLostError(
                f"{file.where}: found {file.dtype}, expected uint8 classes. Name the item in selection.exclude."
            )
        self._file, self._level, self._fill = file, level, rule.fill
        self._seen = np.where(rule.fill == _ALL_VALUES, NODATA_CLASS, 0).astype(np.uint8)
        self._quality = self._seen if rule.table is None else rule.table

    def read(self, view_on: GeoBox | None, look_on: GeoBox | None) -> tuple[View | None, Look | None]:
        """The view of a grid, and the look at another, in one pass over the layer."""
        view = look = None
        targets: list[_Target] = []
        if view_on is not None:
            placement = place(self._file, view_on, self._level, "nearest")
            if placement.taps is None:
                view = self._looked_up_view(placement, view_on)
            else:
                view, target = _view_on(*placement.taps, placement.extent, view_on, self._quality)
                targets.append(target)
        if look_on is not None:
            placement = place(self._file, look_on, self._level, "nearest")
            look = Look(_unseen(*look_on.shape), _unseen(*look_on.shape))
            if placement.taps is None:
                self._look_up(placement, look_on, look)
            else:
                targets += [
                    _Target(*placement.taps, self._quality, look.quality),
                    _Target(*placement.taps, self._seen, look.seen),
                ]
        if targets:
            self._sample(targets)
        return view, look

    def _sample(self, targets: Sequence[_Target]) -> None:
        level, pixels = self._level.blocks, self._file.pixels
        assert level is not None
        assert pixels is not None  # where there are taps
        wanted = blocks_under(level, [(target.rows.stored, target.cols.stored) for target in targets])
        for index, stored in pixels.blocks(level, wanted, sample=self._file.sample, undo=False):
            row, col = divmod(index, level.blocks_across)
            block = whole_block(
                stored, row * level.block_height, col * level.block_width, predicted=level.predictor == 2
            )
            for target in targets:
                if self._file.dtype == np.uint8:
                    sample_classes(block, target.rows, target.cols, target.table, target.codes)
                else:
                    sample_validity(block, target.rows, target.cols, self._file.nodata, target.codes)

    def _looked_up_view(self, placement: Placement, grid: GeoBox) -> View:
        row_begin, row_end, col_begin, col_end = placement.extent
        codes = _unseen(max(row_end - row_begin, 0), max(col_end - col_begin, 0))
        for (top, bottom, left, right), stored in self._looked_up_parts(placement, grid):
            inside = slice(top - row_begin, bottom - row_begin), slice(left - col_begin, right - col_begin)
            codes[inside] = self._quality[stored]
        return View(
            codes, run_taps(0, row_begin, row_end, grid.shape[0]), run_taps(0, col_begin, col_end, grid.shape[1])
        )

    def _look_up(self, placement: Placement, grid: GeoBox, look: Look) -> None:
        for part, stored in self._looked_up_parts(placement, grid):
            inside = slice(*part[:2]), slice(*part[2:])
            look.quality[inside], look.seen[inside] = self._quality[stored], self._seen[stored]

    def _looked_up_parts(self, placement: Placement, grid: GeoBox) -> Iterator[tuple[Rectangle, ClassCode]]:
        """Parts of a grid, and the stored classes there (0 and 255 where the layer is a band), pixel by pixel."""
        for part in placement.parts(grid):
            rows, cols = placement.positions(grid, part)
            window = placement.window_round(rows, cols, margin=0)
            if window is None:
                continue
            stored = self._file.window(self._level, *window)
            if self._file.dtype != np.uint8:
                stored = np.where(stored == self._file.nodata, NODATA_CLASS, 0).astype(np.uint8)
            yield part, resample_nearest(stored, rows, cols, fill=self._fill, top=window[0], left=window[1])
