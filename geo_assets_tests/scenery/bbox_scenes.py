"""Scenes whose every stored count is known, and the composite that follows from them, computed the slow way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.archives.local import LocalArchive
from geo_assets.stations.bbox.engine import BboxComposite, compose
from geo_assets.stations.bbox.request import CompositeRequest
from geo_assets_tests.scenery.lines import area_of
from geo_assets_tests.scenery.small_archive import SmallArchive

NODATA, NONE = -32768, 255
SIZES = {"blue": 10, "red": 10, "nir": 10, "swir16": 20, "coastal": 60}
"""Band -> pixel size; the quality layer has 20 m."""
EDGE_M = 6_000
QUALITY = {4: 0, 5: 0, 6: 0, 11: 0, 7: 1, 2: 2, 3: 2}
"""SCL class -> quality code; all others are unusable."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredScene:
    """What the files of one scene hold."""

    id: str
    layers: Mapping[str, tuple[NDArray[Any], GeoBox]]


@dataclass(frozen=True)
class KnownScenes:
    """An archive of scenes of 6 km, some tens of blocks each, and their contents."""

    folder: Path
    scenes: list[StoredScene] = field(default_factory=list)
    archive: SmallArchive = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "archive", SmallArchive(self.folder))

    def add(
        self,
        day: str,
        *,
        tile: str = "33TVL",
        corner: tuple[int, int] = (600, 600),
        seed: int = 1,
        cloudy: float = 0.3,
        swath_from: float = 0.0,
        bands: Sequence[str] = ("red", "swir16"),
        **options: Any,
    ) -> StoredScene:
        """Write a scene of random ground.

        Parameters
        ----------
        corner
            Row and column of its upper left corner in the tile's grid of 60 m.
        cloudy
            Share of its pixels, in lumps, that are cloud.
        swath_from
            Share of its width, from the west, that the sensor did not see.
        """
        ground = tile_geobox(tile, 60)[corner[0] : corner[0] + EDGE_M // 60, corner[1] : corner[1] + EDGE_M // 60]
        random = np.random.default_rng(seed)
        layers: dict[str, tuple[NDArray[Any], GeoBox]] = {}
        for band in bands:
            geobox = ground.zoom_out(SIZES[band] / 60)
            counts = random.integers(200, 9_000, geobox.shape).astype(np.uint16)
            counts[:, : round(swath_from * geobox.shape[1])] = 0
            layers[band] = counts, geobox
        geobox = ground.zoom_out(1 / 3)
        lumps = random.choice([4, 5, 6, 7, 2, 3, 11, 1], (20, 20)).repeat(15, 0).repeat(15, 1)
        lumps[random.random((20, 20)).repeat(15, 0).repeat(15, 1) < cloudy] = 9
        classes = lumps[: geobox.shape[0], : geobox.shape[1]].astype(np.uint8)
        classes[:, : round(swath_from * geobox.shape[1])] = 0
        layers["scl"] = classes, geobox
        name = self.archive.add(tile, day, layers, **options)
        self.scenes.append(StoredScene(name, layers))
        return self.scenes[-1]

    @property
    def area(self) -> tuple[float, float, float, float]:
        """A bounding box inside the first scene."""
        return area_of(self.scenes[0].layers["scl"][1], margin_m=700)

    def composed(self, *, threads: int = 4, **settings: Any) -> BboxComposite:
        """The engine's composite of June 2024; `settings` are those of a request."""
        return compose(self.opened(), self.request(**settings), threads=threads)

    def request(self, **settings: Any) -> CompositeRequest:
        """A request for the first scene's ground."""
        usual = {"bbox": self.area, "datetime": "2024-06", "resolution": 20.0, "bands": ("red", "swir16")}
        return CompositeRequest(**{**usual, "read": "exact", **settings})

    def opened(self) -> LocalArchive:
        """The archive, as it stands."""
        return LocalArchive(self.archive.write())


def nearest(stored: NDArray[Any], geobox: GeoBox, grid: GeoBox, outside: int) -> NDArray[Any]:
    """The stored pixel that holds each pixel's centre."""
    rows, cols = _places(geobox, grid)
    row, col = np.floor(rows + 1e-6).astype(int), np.floor(cols + 1e-6).astype(int)
    inside = np.ix_((row >= 0) & (row < stored.shape[0]), (col >= 0) & (col < stored.shape[1]))
    found = np.full(grid.shape, outside, stored.dtype)
    found[inside] = stored[np.ix_(row[inside[0].ravel()], col[inside[1].ravel()])]
    return found


def bilinear(stored: NDArray[Any], geobox: GeoBox, grid: GeoBox, *, nodata: int = 0) -> NDArray[np.float64]:
    """Mean of the valid ones of the four stored pixels round each centre; NaN where the one that holds it is nodata."""
    rows, cols = _places(geobox, grid)
    values = np.where(stored == nodata, np.nan, stored.astype(float))
    held = nearest(values, geobox, grid, outside=0)
    total, weights = np.zeros(grid.shape), np.zeros(grid.shape)
    down, across = np.clip(rows - 0.5, 0, stored.shape[0] - 1), np.clip(cols - 0.5, 0, stored.shape[1] - 1)
    for row, row_weight in ((np.floor(down), 1 - down % 1), (np.ceil(down), down % 1)):
        for col, col_weight in ((np.floor(across), 1 - across % 1), (np.ceil(across), across % 1)):
            tap = values[np.ix_(row.astype(int), col.astype(int))]
            weight = np.outer(row_weight, col_weight) * ~np.isnan(tap)
            total += weight * np.nan_to_num(tap)
            weights += weight
    inside = np.outer((rows >= 0) & (rows <= stored.shape[0]), (cols >= 0) & (cols <= stored.shape[1]))
    return np.where(inside & ~np.isnan(held) & (weights > 0), total / np.maximum(weights, 1e-12), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class SlowComposite:
    """The best observation of every pixel, by definition."""

    bands: Mapping[str, NDArray[np.float64]]
    """NaN is nodata."""
    quality: NDArray[np.uint8]
    selected: NDArray[np.int64]
    count: NDArray[np.int64]


def slow_composite(scenes: Sequence[StoredScene], bands: Sequence[str], grid: GeoBox) -> SlowComposite:
    """Of scenes from best to worst: every band of every scene is read everywhere."""
    qualities, spectra = [], []
    for scene in scenes:
        table = np.array([QUALITY.get(value, NONE) for value in range(256)], np.uint8)
        codes = table[nearest(*scene.layers["scl"], grid, outside=0)]
        spectrum = np.stack([bilinear(*scene.layers[band], grid) for band in bands])
        usable = (codes != NONE) & ~np.isnan(spectrum).any(axis=0)
        qualities.append(np.where(usable, codes, NONE))
        spectra.append(spectrum)
    quality = np.stack(qualities)
    winner = quality.argmin(axis=0)
    best = quality.min(axis=0)
    chosen = np.take_along_axis(np.stack(spectra), winner[np.newaxis, np.newaxis], axis=0)[0]
    return SlowComposite(
        {band: np.where(best == NONE, np.nan, chosen[place]) for place, band in enumerate(bands)},
        best,
        np.where(best == NONE, -1, winner),
        (quality != NONE).sum(axis=0),
    )


def _places(geobox: GeoBox, grid: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    here, there = grid.transform, geobox.transform
    ys, xs = here.f + (np.arange(grid.shape[0]) + 0.5) * here.e, here.c + (np.arange(grid.shape[1]) + 0.5) * here.a
    return (ys - there.f) / there.e, (xs - there.c) / there.a
