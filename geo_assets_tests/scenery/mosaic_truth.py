"""Known ground, cut into overlapping tiles that each tell it a little differently: what a mosaic has to put right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS

NODATA = -32768
SCALE = 1e-4
_WEST, _NORTH = 600_000, 5_100_000


@dataclass(frozen=True, slots=True, eq=False)
class TruthTile:
    """One tile: the ground times gain plus offset, with noise, rounded. It is a `BlendSource`."""

    name: str
    row: int
    col: int
    values: NDArray[np.int16]
    """(band, y, x) counts, nodata -32768."""
    gain: NDArray[np.float64]
    """(band,)"""
    offset: NDArray[np.float64]
    """(band,) counts."""
    nodata: float = NODATA

    @property
    def height(self) -> int:
        return self.values.shape[1]

    @property
    def width(self) -> int:
        return self.values.shape[2]

    @property
    def bands(self) -> int:
        return len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def window(self, row: int, col: int, height: int, width: int) -> NDArray[np.int16]:
        return self.values[:, row : row + height, col : col + width]


@dataclass(frozen=True, slots=True, eq=False)
class MosaicTruth:
    """The ground and its tiles."""

    ground: NDArray[np.float64]
    """(band, y, x) counts without noise, from lattice position 0, 0."""
    tiles: tuple[TruthTile, ...]
    noise_dn: float
    resolution: float = field(default=10.0)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tile.name for tile in self.tiles)

    def write(self, folder: Path, *, dtype: str = "int16", **profile: Any) -> list[Path]:
        """A GeoTIFF for each tile, named after it; more keys go to rasterio."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for tile in self.tiles:
            path = folder / f"{tile.name}.tif"
            transform = rasterio.Affine(
                self.resolution, 0, _WEST + tile.col * self.resolution,
                0, -self.resolution, _NORTH - tile.row * self.resolution,
            )  # fmt: skip
            options = {
                "driver": "GTiff", "count": tile.bands, "height": tile.height, "width": tile.width, "dtype": dtype,
                "crs": CRS.from_epsg(32633), "transform": transform, "nodata": tile.nodata, "tiled": True,
                "blockxsize": 256, "blockysize": 256, **profile,
            }  # fmt: skip
            with rasterio.open(path, "w", **options) as file:
                file.write(tile.values.astype(dtype))
            paths.append(path)
        return paths


def mosaic_truth(
    seed: int,
    *,
    tiles: tuple[int, int] = (2, 2),
    tile_px: int = 640,
    overlap_px: int = 256,
    bands: int = 1,
    noise_dn: float = 12.0,
    gain: float = 0.03,
    offset_dn: float = 100.0,
    texture_dn: float = 40.0,
    fields_dn: float = 60.0,
    holes: int = 0,
    ragged: bool = False,
    shifted: bool = False,
    changed: float = 0.0,
) -> MosaicTruth:
    """Ground of smooth slopes, texture and fields, and its tiles.

    Parameters
    ----------
    seed
        The same seed gives the same ground, tile by tile.
    tiles, tile_px, overlap_px
        Rows and columns of square tiles, and how far neighbours overlap.
    noise_dn
        Standard deviation, each tile its own.
    gain, offset_dn
        Gains of a tile and band are drawn from 1 +- gain, offsets from +- offset.
    texture_dn, fields_dn
        Standard deviation of fine texture, and of fields of some 30 px that lie at an angle.
    holes
        Discs without data in every tile.
    ragged
        Tiles end at slanted lines rather than at their squares.
    shifted
        Every second tile lies half a pixel off, in both directions.
    changed
        Share of fields that look different in a tile.
    """
    draw = np.random.default_rng(seed)
    step = tile_px - overlap_px
    height, width = (count * step + overlap_px for count in tiles)
    fine = 2 if shifted else 1
    shape = (height * fine + 1, width * fine + 1)
    fields = _fields(draw, shape, 30 * fine)
    rough = [
        2000 + 400 * _smooth(draw, shape, 150 * fine) + texture_dn * _smooth(draw, shape, 1.5 * fine)
        for _ in range(bands)
    ]
    levels = fields_dn * draw.standard_normal((bands, 1 << 16))
    ground = np.stack([_coarse(rough[band] + levels[band][fields], fine, 0) for band in range(bands)])
    placed = []
    for number, (down, right) in enumerate(np.ndindex(*tiles)):
        row, col = down * step, right * step
        lag = fine - 1 if number % 2 else 0
        gains, offsets = 1 + gain * draw.uniform(-1, 1, bands), offset_dn * draw.uniform(-1, 1, bands)
        other = draw.random(levels.shape[1]) < changed
        own = np.where(other, fields_dn * 3 * draw.standard_normal(levels.shape), levels)
        valid = _valid(draw, tile_px, holes, ragged)
        values = np.empty((bands, tile_px, tile_px), np.int16)
        for band in range(bands):
            here = np.s_[row * fine : (row + tile_px) * fine + 1, col * fine : (col + tile_px) * fine + 1]
            seen = _coarse(rough[band][here] + own[band][fields[here]], fine, lag)
            noise = noise_dn * draw.standard_normal(seen.shape)
            values[band] = np.where(valid, np.rint(gains[band] * seen + offsets[band] + noise), NODATA)
        placed.append(TruthTile(f"r{down}c{right}", row, col, values, gains, offsets))
    return MosaicTruth(ground, tuple(placed), noise_dn)


def with_hard_edges(tiles: Sequence[TruthTile], shape: tuple[int, int]) -> NDArray[np.int16]:
    """(band, y, x) the naive mosaic: the first tile with a value wins."""
    mosaic = np.full((tiles[0].bands, *shape), NODATA, np.int16)
    for tile in reversed(tiles):
        part = mosaic[:, tile.row : tile.row + tile.height, tile.col : tile.col + tile.width]
        np.copyto(part, tile.values, where=tile.values != NODATA)
    return mosaic


def _smooth(draw: np.random.Generator, shape: tuple[int, int], sigma_px: float) -> NDArray[np.float64]:
    """White noise blurred by a Gaussian, of standard deviation 1."""
    spectrum = np.fft.rfft2(draw.standard_normal(shape))
    down, right = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    spectrum *= np.exp(-2 * (np.pi * sigma_px) ** 2 * (down[:, np.newaxis] ** 2 + right**2))
    blurred = np.fft.irfft2(spectrum, shape)
    return np.asarray((blurred - blurred.mean()) / blurred.std())


def _fields(draw: np.random.Generator, shape: tuple[int, int], size_px: float) -> NDArray[np.int64]:
    """(y, x) number of the field, 16 bits: strips of uneven lengths, at an angle of some 20 degrees."""
    down, right = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = np.deg2rad(20 + 5 * draw.standard_normal())
    strip = np.floor((np.cos(angle) * down + np.sin(angle) * right) / size_px).astype(np.int64)
    length = size_px * (1 + (strip * 7919 % 13) / 8)
    along = np.floor((np.cos(angle) * right - np.sin(angle) * down + strip * 17.3) / length).astype(np.int64)
    return (strip * 40503 + along * 30011) & 0xFFFF


def _coarse(values: NDArray[np.float64], fine: int, lag: int) -> NDArray[np.float64]:
    """Means of `fine` by `fine` values, from `lag` on: a shift by half a pixel without a blur of its own."""
    height, width = ((edge - 1) // fine for edge in values.shape)
    cut = values[lag : lag + height * fine, lag : lag + width * fine]
    return np.asarray(cut.reshape(height, fine, width, fine).mean(axis=(1, 3)))


def _valid(draw: np.random.Generator, tile_px: int, holes: int, ragged: bool) -> NDArray[np.bool_]:
    down, right = np.mgrid[:tile_px, :tile_px]
    valid = np.ones((tile_px, tile_px), bool)
    for row, col, radius in zip(*draw.uniform(0, tile_px, (2, holes)), draw.uniform(10, 80, holes), strict=True):
        valid &= (down - row) ** 2 + (right - col) ** 2 > radius**2
    if ragged:
        slant = draw.uniform(0.02, 0.2, 2)
        valid &= (right > slant[0] * down) & (right < tile_px - slant[1] * (tile_px - down))
    return valid
