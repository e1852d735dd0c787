"""One page that shows a month from inputs to mosaic."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_REFLECTANCE
from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month
from geo_assets.io.pictures.contact_sheet import SheetRow, contact_sheet
from geo_assets.io.pictures.layer_maps import count_map, day_map, mask_overlay
from geo_assets.io.pictures.preview import crop_to_valid
from geo_assets.io.places import Place
from geo_assets.io.placing import Placement, place_tile
from geo_assets.io.rasters import read_reduced
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.fetch import FETCH, REFLECTANCE, fetched_scenes, layer_file
from geo_assets.stations.ground import Window, ground_of
from geo_assets.stations.line import Line
from geo_assets.stations.mask import HYBRID_MASK, MASK
from geo_assets.stations.mosaic import MOSAIC_FILE, SEAM_BLENDED_MOSAIC
from geo_assets.stations.mosaic_grid import mosaic_ground, mosaic_placement, most_frequent_crs
from geo_assets.stations.pictures import reflectance_picture
from geo_assets.stations.region_mosaic import region_figures

_SHEET_PX = 2048
"""Longest edge of the grid on which a sheet's pictures are read: each comes out at half of it at least."""

COMPOSITE_WORDS: dict[str, str] = {
    "best_pixel": "best clear observation",
    "bap": "best available pixel by score",
    "median": "median of clear observations, band by band",
    "medoid": "medoid of clear observations",
    "geomedian": "geometric median of clear observations",
    "weighted_mean": "weighted mean of clear observations",
    "max_ndvi": "greenest clear observation",
    "percentile": "percentile of clear observations, band by band",
}
"""Method -> what a pixel of the composite is."""


class _Canvas:
    """The tiles' active ground on one reduced grid."""

    def __init__(self, places: Mapping[str, tuple[Placement, Window]], max_px: int) -> None:
        self.places = places
        rows = [(p.row + w.row, p.row + w.row + w.height) for p, w in self.places.values() if w.height]
        cols = [(p.col + w.col, p.col + w.col + w.width) for p, w in self.places.values() if w.width]
        self.row, self.col = min(first for first, _ in rows), min(first for first, _ in cols)
        height, width = max(last for _, last in rows) - self.row, max(last for _, last in cols) - self.col
        self.step = 1
        while max(height, width) > max_px * self.step:
            self.step *= 2
        self.shape = (-(-height // self.step), -(-width // self.step))

    @classmethod
    def of_tiles(cls, region: Region, max_px: int) -> Self:
        """For rasters on the tiles' own grids, those of the CRS that most of them have."""
        crs = most_frequent_crs(region)
        placements = {tile: place_tile(tile, region.resolution, crs) for tile in region.tile_ids}
        native = {tile: placement for tile, placement in placements.items() if placement.native}
        return cls({tile: (placement, ground_of(region, tile).extent()) for tile, placement in native.items()}, max_px)

    @classmethod
    def of_mosaics(cls, region: Region, max_px: int) -> Self:
        """For the tiles' mosaics."""
        return cls(
            {tile: (mosaic_placement(region, tile), mosaic_ground(region, tile).extent()) for tile in region.tile_ids},
            max_px,
        )

    def pasted(self, rasters: Mapping[str, Path], fill: int) -> NDArray[np.generic]:
        """(band, y, x) of the tiles' rasters side by side, the first by id over the others: no blending."""
        whole: NDArray[np.generic] | None = None
        for tile, path in sorted(rasters.items(), reverse=True):
            if tile not in self.places:
                continue
            placement, window = self.places[tile]
            longest = -(-max(window.height, window.width) // self.step)
            found = read_reduced(path, *window.slices, max_px=longest)
            if whole is None:
                whole = np.full((len(found), *self.shape), fill, found.dtype)
            top = (placement.row + window.row - self.row) // self.step
            left = (placement.col + window.col - self.col) // self.step
            target = whole[:, top : top + found.shape[1], left : left + found.shape[2]]
            found = found[:, : target.shape[1], : target.shape[2]]
            np.copyto(target, found, where=found != fill)
        return np.full((1, *self.shape), fill, np.uint8) if whole is None else whole


def _seam_captions(line: Line, month: Month) -> tuple[str, str]:
    """How large the worst step at tile edges is, cut hard and blended, against the noise floor; empty without any."""
    products = {tile: line.products.need(Place(SEAM_BLENDED_MOSAIC.name, tile, month)) for tile in line.region.tile_ids}
    figures = region_figures({tile: product.manifest.metrics for tile, product in products.items()})
    if any(figures[name] is None for name in ("seam_step_dn", "seam_floor_dn", "seam_naive_step_dn")):
        return "", ""
    floor = f"elsewhere {figures['seam_floor_dn']:.1f}"
    return (
        f": step where tiles change {figures['seam_naive_step_dn']:.1f} counts",
        f": step where tiles change {figures['seam_step_dn']:.1f} counts, {floor}",
    )


def month_sheet(line: Line, month: Month) -> Image.Image:
    """Inputs, masks, composites, and the mosaic before and after blending, of one month of the whole region.

    Raises
    ------
    MissingProductError
        A product of the month has not been made.
    """
    region = line.region
    return contact_sheet(
        list(month_rows(line, month).values()),
        title=f"{region.name}, {month}",
        subtitle=f"{len(region.tile_ids)} tiles, {region.resolution} m",
    )


def month_rows(line: Line, month: Month) -> dict[str, SheetRow]:
    """The captioned pictures of a month's sheet: `inputs`, `masks`, `composite` and `mosaic`; raises as the sheet."""
    inputs, masks = scene_pictures(acquisitions_of(line, month), line, month)
    return {
        "inputs": SheetRow("Inputs: the selected scenes", inputs),
        "masks": SheetRow("Masks: cloud orange, shadow purple, snow light blue, water blue", masks),
        "composite": SheetRow(
            f"Composite: {COMPOSITE_WORDS[line.region.composite.method]}", composite_pictures(line, month), columns=2
        ),
        "mosaic": SheetRow("Mosaic", mosaic_pictures(line, month), columns=2),
    }


def mosaic_pictures(line: Line, month: Month, *, max_px: int = _SHEET_PX) -> list[tuple[str, Image.Image]]:
    """The composites side by side, on the tiles' own grids, and the mosaic on its grid, with captions."""
    region = line.region
    composites = _Canvas.of_tiles(region, max_px).pasted(
        _files(line, MONTHLY_COMPOSITE.name, COMPOSITE_FILE, month), NODATA_REFLECTANCE
    )
    mosaic = _Canvas.of_mosaics(region, max_px).pasted(
        _files(line, SEAM_BLENDED_MOSAIC.name, MOSAIC_FILE, month), NODATA_REFLECTANCE
    )
    hard, blended = _seam_captions(line, month)
    return [
        (f"Tiles side by side, not blended{hard}", _coloured(composites, region, crop_to_valid(composites))),
        (f"Seams blended{blended}", _coloured(mosaic, region, crop_to_valid(mosaic))),
    ]


def composite_pictures(line: Line, month: Month, *, max_px: int = _SHEET_PX) -> list[tuple[str, Image.Image]]:
    """Clear observations of every pixel, and its day, with captions."""
    canvas, days, shown = _days(line, month, max_px)
    counts = canvas.pasted(_files(line, MONTHLY_COMPOSITE.name, "observation_count.tif", month), 0)[0]
    return [
        ("Clear observations", count_map(counts[shown].astype(np.uint8))),
        ("Day of the month", day_map(days[shown])),
    ]


def _days(line: Line, month: Month, max_px: int) -> tuple[_Canvas, NDArray[np.uint8], tuple[slice, slice]]:
    """The tiles' canvas, the composites' days on it, and the part of it that has any."""
    canvas = _Canvas.of_tiles(line.region, max_px)
    days = canvas.pasted(_files(line, MONTHLY_COMPOSITE.name, "day.tif", month), NODATA_CLASS)[0].astype(np.uint8)
    return canvas, days, crop_to_valid(days)


def _coloured(bands: NDArray[np.generic], region: Region, part: tuple[slice, slice]) -> Image.Image:
    # Where no tile has data there is one plane of nodata, whatever was asked for.
    whole = np.broadcast_to(bands, (len(region.bands), *bands.shape[1:]))
    return reflectance_picture(whole[:, *part].astype(np.int16), region.bands)


def _files(line: Line, station: str, name: str, month: Month) -> dict[str, Path]:
    products = {tile: line.products.need(Place(station, tile, month)) for tile in line.region.tile_ids}
    return {tile: product.path(name) for tile, product in products.items() if product.manifest.status == "done"}


def acquisitions_of(line: Line, month: Month) -> dict[str, dict[str, tuple[Path, Path]]]:
    """Every acquisition that any tile selected, in order of time: its name -> tile -> bands and mask."""
    found: dict[str, dict[str, tuple[Path, Path]]] = {}
    for tile in line.region.tile_ids:
        for scene in fetched_scenes(line, Place(FETCH.name, tile, month)):
            day = f"{scene.acquired:%d %b, %H:%M} {scene.parts[0].platform}"
            fetched = line.products.need(Place(FETCH.name, tile, month))
            masked = line.products.need(Place(HYBRID_MASK.name, tile, month))
            found.setdefault(day, {})[tile] = (
                fetched.path(layer_file(scene.id, REFLECTANCE)),
                masked.path(layer_file(scene.id, MASK)),
            )
    return dict(sorted(found.items()))


def scene_pictures(
    acquisitions: Mapping[str, Mapping[str, tuple[Path, Path]]], line: Line, month: Month, *, max_px: int = _SHEET_PX
) -> tuple[list[tuple[str, Image.Image]], list[tuple[str, Image.Image]]]:
    """Captioned pictures of acquisitions, and the same with their masks."""
    canvas, _, shown = _days(line, month, max_px)
    inputs, overlays = [], []
    for day, rasters in acquisitions.items():
        bands = {tile: reflectance for tile, (reflectance, _) in rasters.items()}
        masks = {tile: mask for tile, (_, mask) in rasters.items()}
        picture = _coloured(canvas.pasted(bands, NODATA_REFLECTANCE), line.region, shown)
        codes = canvas.pasted(masks, NODATA_CLASS)[0][shown].astype(np.uint8)
        inputs.append((day, picture))
        overlays.append((day, mask_overlay(picture, codes, legend=False)))
    return inputs, overlays
