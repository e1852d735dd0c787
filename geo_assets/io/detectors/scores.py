"""A user's raster of scores for each scene, such as a probability of clear sky, made to speak of clouds."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from geo_assets.domain.arrays import NODATA_CLASS
from geo_assets.domain.bands import Level
from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.domain.templates import PATH_PLACEHOLDERS, placeholders
from geo_assets.io.detectors.scene_facts import SceneFacts
from geo_assets.io.detectors.user_raster import ROWS_AT_A_TIME, Lattice, lattice, opened
from geo_assets.kernels.detection import Detection, DetectorInput
from geo_assets.kernels.quality import DetectorBit, MaskCode

NAME = "scores"


@dataclass(frozen=True, slots=True)
class Scores:
    """Cloud where a score between 0 and 1 is on the cloudy side of a threshold."""

    path: str
    """Path template with {scene}, {tile} and {date}: a raster of one band in the scene's CRS."""
    high_is: Literal["clear", "cloud"]
    """What a score near 1 means."""
    threshold: float = 0.5
    """`clear`: cloud where the score is smaller; `cloud`: cloud where it is larger."""
    facts: SceneFacts = field(default_factory=SceneFacts)
    folder: Path = Path()
    """What a relative `path` starts from."""
    name: ClassVar[str] = NAME
    bands: ClassVar[tuple[str, ...]] = ()
    optional_bands: ClassVar[tuple[str, ...]] = ()
    levels: ClassVar[tuple[Level, ...]] = ("L1C", "L2A", "HLS", "NBAR")
    bit: ClassVar[DetectorBit] = DetectorBit.PLUG_IN
    needs_angles: ClassVar[bool] = False
    resolution_m: ClassVar[tuple[float, float]] = (0.0, math.inf)
    halo_m: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise RegionError(
                f"Region file, mask.scores.threshold: found {self.threshold}, expected more than 0 and less than 1."
            )
        if self.high_is not in ("clear", "cloud"):
            raise RegionError(f"Region file, mask.scores.high_is: found {self.high_is!r}, expected clear or cloud.")
        try:
            placeholders(self.path, PATH_PLACEHOLDERS)
        except ValueError as error:
            raise RegionError(f"Region file, mask.scores.path: {error}.") from None

    def detect(self, scene: DetectorInput) -> Detection:
        """Cloud and clear by the scores; fill, and no probability, where there is no score.

        Raises
        ------
        DetectorError
            The file is missing or broken, has several bands, no score for any seen pixel, or a score outside 0 to 1.
        GridMismatchError
            Another CRS, or a raster that is turned or has oblong pixels.
        """
        about = f"Scores, scene {scene.scene or 'without id'}"
        if scene.geobox is None:
            raise DetectorError(f"{about}: its grid is not known, so no file can be laid on it. Give geobox.")
        path = self.facts.path(self.path, self.folder, scene.scene, about)
        scores = scores_on_grid(path, scene.geobox, about)
        if scores.shape != scene.valid.shape:
            raise GridMismatchError(
                f"{about}: its grid has {scores.shape} pixels, and its bands have {scene.valid.shape}. Give their grid."
            )
        scores[~scene.valid] = np.nan
        known_px, seen = ~np.isnan(scores), int(scene.valid.sum())
        lacking = seen - int(known_px.sum())
        if seen and lacking == seen:
            raise DetectorError(
                f"{about}: {path.name} has no score where the scene was seen. Check that the file belongs to the scene."
            )
        cloudy = scores < self.threshold if self.high_is == "clear" else scores > self.threshold
        codes = np.full(scores.shape, NODATA_CLASS, np.uint8)
        codes[known_px] = np.where(cloudy[known_px], MaskCode.CLOUD, MaskCode.CLEAR)
        probability = 1 - scores if self.high_is == "clear" else scores
        skipped = (f"{NAME}: {lacking} of {seen} seen pixels have no score in {path.name}",) if lacking else ()
        return Detection(codes, probability, skipped, {"fill_share": lacking / max(seen, 1)})


def scores_on_grid(path: Path, geobox: GeoBox, about: str) -> NDArray[np.float32]:
    """Scores on a mask's grid: those of the raster's pixels in which the mask pixels' centres lie.

    Parameters
    ----------
    path
        GeoTIFF or HFA of one band, north-up, in the CRS of `geobox`, of any pixel size and place. Where it declares
        scale and offset they are applied.
    geobox
        North-up square pixels.
    about
        Whose file it is, for messages.

    Returns
    -------
    scores : (y, x) float32
        0 to 1; NaN where the raster is NaN, nodata, or does not reach.

    Raises
    ------
    DetectorError
        The file is missing or broken, has several bands, or scores outside 0 to 1.
    GridMismatchError
        Another CRS, or a raster that is turned or has oblong pixels.
    """
    about = f"{about}, {path.name}"
    scores = np.full(geobox.shape, np.nan, np.float32)
    with opened(path, about) as dataset:
        if dataset.count != 1:
            raise DetectorError(f"{about}: found {dataset.count} bands, expected one. Keep the band of scores.")
        where = lattice(dataset, geobox, about)
        for first in range(0, geobox.shape[0], ROWS_AT_A_TIME):
            _read_strip(dataset, where, first, scores[first : first + ROWS_AT_A_TIME])
    found = scores[~np.isnan(scores)]
    if found.size and not 0 <= found.min() <= found.max() <= 1:
        raise DetectorError(
            f"{about}: found scores {found.min():g} to {found.max():g}, expected 0 to 1. "
            "Divide them, or declare the raster's scale and nodata (gdal_edit.py -scale, -a_nodata)."
        )
    return scores


def _read_strip(dataset: rasterio.DatasetReader, where: Lattice, first: int, strip: NDArray[np.float32]) -> None:
    """Fill the rows of a mask from row `first`, where the raster reaches."""
    rows = where.nearest(first, first + strip.shape[0], along_rows=True)
    cols = where.nearest(0, strip.shape[1], along_rows=False)
    on_rows = (rows >= 0) & (rows < dataset.height)
    on_cols = (cols >= 0) & (cols < dataset.width)
    if not on_rows.any() or not on_cols.any():
        return
    rows, cols = rows[on_rows], cols[on_cols]
    top, left = int(rows[0]), int(cols[0])
    window = Window(left, top, int(cols[-1]) + 1 - left, int(rows[-1]) + 1 - top)
    stored = dataset.read(1, window=window)[np.ix_(rows - top, cols - left)]
    values = (stored * np.float64(dataset.scales[0]) + np.float64(dataset.offsets[0])).astype(np.float32)
    if dataset.nodata is not None and not np.isnan(dataset.nodata):
        values[stored == dataset.nodata] = np.nan
    strip[np.ix_(on_rows, on_cols)] = values
