"""One page that shows a month from inputs to mosaic."""

from collections.abc import Callable, Mapping
from pathlib import Path

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
from geo_assets.kernels.seams import REACH_PX, root_mean_square, seam_steps
from geo_assets.stations.composite import COMPOSITE_FILE, MONTHLY_COMPOSITE
from geo_assets.stations.fetch import FETCH, REFLECTANCE, fetched_scenes, layer_file
from geo_assets.stations.ground import Window
from geo_assets.stations.line import Line
from geo_assets.stations.mask import HYBRID_MASK, MASK
from geo_assets.stations.mosaic import MOSAIC_FILE, SEAM_BLENDED_MOSAIC, mosaic_crs, mosaic_ground
from geo_assets.stations.pictures import reflectance_picture

_SHEET_PX = 1024


class _Canvas:
    """The tiles' active ground on one reduced grid, in the mosaic's CRS."""

    def __init__(self, region: Region) -> None:
        crs = mosaic_crs(region)
        self.places: dict[str, tuple[Placement, Window]] = {}
        for tile in region.tile_ids:
            placement = place_tile(tile, region.resolution, crs)
            if placement.native:
                self.places[tile] = placement, mosaic_ground(region, tile).extent()
        rows = [(p.row + w.row, p.row + w.row + w.height) for p, w in self.places.values() if w.height]
        cols = [(p.col + w.col, p.col + w.col + w.width) for p, w in self.places.values() if w.width]
        self.row, self.col = min(first for first, _ in rows), min(first for first, _ in cols)
        height, width = max(last for _, last in rows) - self.row, max(last for _, last in cols) - self.col
        self.step = 1
        while max(height, width) > _SHEET_PX * 2 * self.step:
            self.step *= 2
        self.shape = (-(-height // self.step), -(-width // self.step))

    def pasted(self, rasters: Mapping[str, Path], fill: int) -> NDArray[np.generic]:
        """(band, y, x) of the tiles' rasters side by side, each hard over the one before: no blending."""
        whole: NDArray[np.generic] | None = None
        for tile, path in rasters.items():
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

    def seam_caption(self, whole: NDArray[np.generic]) -> str:
        """How large the signed step along the tiles' edges is, against the noise floor; empty on a reduced canvas."""
        if self.step > 1:
            return ""
        seam, elsewhere = [], []
        for placement, _ in self.places.values():
            edges = (
                (whole.transpose(0, 2, 1), placement.row - self.row, placement.geobox.shape[0]),
                (whole, placement.col - self.col, placement.geobox.shape[1]),
            )
            for turned, first, length in edges:
                for line in (first, first + length):
                    if REACH_PX <= line <= turned.shape[2] - REACH_PX:
                        strip = turned[:, :, line - REACH_PX : line + REACH_PX].astype(np.int16)
                        steps = seam_steps(strip, line=REACH_PX)
                        seam.append(steps.seam)
                        elsewhere.append(steps.elsewhere)
        if not seam:
            return ""
        step, floor = root_mean_square(np.concatenate(seam)), root_mean_square(np.concatenate(elsewhere))
        return f": step at tile edges {step:.1f} counts, elsewhere {floor:.1f}" if step and floor else ""


def month_sheet(line: Line, month: Month) -> Image.Image:
    """Inputs, masks, composites, and the mosaic before and after blending, of one month of the whole region.

    Raises
    ------
    MissingProductError
        A product of the month has not been made.
    """
    region, canvas = line.region, _Canvas(line.region)
    composites = canvas.pasted(_files(line, MONTHLY_COMPOSITE.name, COMPOSITE_FILE, month), NODATA_REFLECTANCE)
    shown = crop_to_valid(composites)
    counts = canvas.pasted(_files(line, MONTHLY_COMPOSITE.name, "observation_count.tif", month), 0)
    days = canvas.pasted(_files(line, MONTHLY_COMPOSITE.name, "day.tif", month), NODATA_CLASS)
    mosaic = canvas.pasted(_files(line, SEAM_BLENDED_MOSAIC.name, MOSAIC_FILE, month), NODATA_REFLECTANCE)

    def coloured(bands: NDArray[np.generic]) -> Image.Image:
        return reflectance_picture(bands[:, *shown].astype(np.int16), region.bands)

    inputs, masks = _acquisitions(line, month, canvas, coloured, shown)
    rows = [
        SheetRow("Inputs: the selected scenes", inputs),
        SheetRow("Masks: cloud orange, shadow purple, snow light blue, water blue", masks),
        SheetRow(
            "Composite: best clear observation",
            [
                ("Clear observations", count_map(counts[0][shown].astype(np.uint8))),
                ("Day of the month", day_map(days[0][shown].astype(np.uint8))),
            ],
            columns=2,
        ),
        SheetRow(
            "Mosaic",
            [
                (f"Tiles side by side, not blended{canvas.seam_caption(composites)}", coloured(composites)),
                (f"Seams blended{canvas.seam_caption(mosaic)}", coloured(mosaic)),
            ],
            columns=2,
        ),
    ]
    return contact_sheet(
        rows, title=f"{region.name}, {month}", subtitle=f"{len(region.tile_ids)} tiles, {region.resolution} m"
    )


def _files(line: Line, station: str, name: str, month: Month) -> dict[str, Path]:
    products = {tile: line.products.need(Place(station, tile, month)) for tile in line.region.tile_ids}
    return {tile: product.path(name) for tile, product in products.items() if product.manifest.status == "done"}


def _acquisitions(
    line: Line,
    month: Month,
    canvas: _Canvas,
    coloured: Callable[[NDArray[np.generic]], Image.Image],
    shown: tuple[slice, slice],
) -> tuple[list[tuple[str, Image.Image]], list[tuple[str, Image.Image]]]:
    """Captioned pictures of every acquisition that any tile selected, and the same with their masks."""
    bands: dict[str, dict[str, Path]] = {}
    masks: dict[str, dict[str, Path]] = {}
    for tile in line.region.tile_ids:
        for scene in fetched_scenes(line, Place(FETCH.name, tile, month)):
            day = f"{scene.acquired:%d %b, %H:%M} {scene.parts[0].platform}"
            fetched = line.products.need(Place(FETCH.name, tile, month))
            masked = line.products.need(Place(HYBRID_MASK.name, tile, month))
            bands.setdefault(day, {})[tile] = fetched.path(layer_file(scene.id, REFLECTANCE))
            masks.setdefault(day, {})[tile] = masked.path(layer_file(scene.id, MASK))
    inputs, overlays = [], []
    for day in sorted(bands):
        picture = coloured(canvas.pasted(bands[day], NODATA_REFLECTANCE))
        codes = canvas.pasted(masks[day], NODATA_CLASS)[0][shown].astype(np.uint8)
        inputs.append((day, picture))
        overlays.append((day, mask_overlay(picture, codes, legend=False)))
    return inputs, overlays
