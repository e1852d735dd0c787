"""Fmask from outside: another program run on a scene, or the file that it has made before.

A raster of larger or smaller pixels than the mask's comes to the mask by one rule: the most restrictive code among all
pixels that a mask pixel touches. Programs write 20 m, masks have 60 m: what is called clear is clear all over.
"""

import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from geo_assets.domain.arrays import NODATA_CLASS, NODATA_DN, ClassCode, DigitalNumber
from geo_assets.domain.bands import HYBRID_BANDS, QUANTIFICATION, SENTINEL2_BANDS, Level
from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.domain.templates import COMMAND_PLACEHOLDERS, PATH_PLACEHOLDERS, command_words, filled, placeholders
from geo_assets.io.detectors.program_run import Outside, run_program
from geo_assets.io.detectors.scene_facts import SceneFacts
from geo_assets.io.detectors.user_raster import ROWS_AT_A_TIME, Lattice, expect_aligned, lattice, opened
from geo_assets.kernels.detection import SATURATED_DN, Detection, DetectorInput
from geo_assets.kernels.quality import DetectorBit, MaskCode, most_restrictive
from geo_assets.kernels.quality_layers import FmaskEncoding, fmask_codes

NAME = "external_fmask"

_RASTERS = (".tif", ".tiff", ".img")
_FMASK_NAME = re.compile(r"_Fmask4[^/]*\.tif$|_(?:PHY|GBM|UNT|LPL|UPU|LPU|UPL)\.tif$", re.IGNORECASE)
"""How Fmask 4 and the models of Fmask 5 name what they write."""


@dataclass(frozen=True, slots=True)
class ExternalFmask:
    """An Fmask that another program makes on demand (`command`), or has made (`path`); one of both."""

    encoding: FmaskEncoding
    """How its values spell classes."""
    command: str | None = None
    """Command template, see `domain.templates.command_words`."""
    path: str | None = None
    """Path template with {scene}, {tile} and {date}."""
    facts: SceneFacts = field(default_factory=SceneFacts)
    timeout_s: float = 3600.0
    """After this many seconds the program is killed."""
    threads: int = 1
    """What {threads} stands for."""
    folder: Path = Path()
    """What a relative `path` starts from."""
    outside: Outside = field(default_factory=Outside)
    name: ClassVar[str] = NAME
    optional_bands: ClassVar[tuple[str, ...]] = ()
    bit: ClassVar[DetectorBit] = DetectorBit.EXTERNAL_FMASK
    needs_angles: ClassVar[bool] = False
    resolution_m: ClassVar[tuple[float, float]] = (0.0, math.inf)
    halo_m: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if (self.command is None) == (self.path is None):
            found = "neither" if self.command is None else "both"
            raise RegionError(f"Region file, mask.external_fmask: found {found}, expected one of command and path.")
        try:
            if self.command is not None:
                command_words(self.command)
            if self.path is not None:
                placeholders(self.path, PATH_PLACEHOLDERS)
        except ValueError as error:
            key = "path" if self.command is None else "command"
            raise RegionError(f"Region file, mask.external_fmask.{key}: {error}.") from None

    @property
    def bands(self) -> tuple[str, ...]:
        """The twelve of L1C where the command is handed a folder of bands, else none."""
        return HYBRID_BANDS if self._used("bands") else ()

    @property
    def levels(self) -> tuple[Level, ...]:
        """L1C where the command is handed a folder of bands, else any."""
        return ("L1C",) if self._used("bands") else ("L1C", "L2A", "HLS", "NBAR")

    def detect(self, scene: DetectorInput) -> Detection:
        """The program's or the file's classes on the scene's grid.

        Raises
        ------
        DetectorError
            The scene has no id or grid that a template needs, no SAFE folder, no file; the program fails, hangs, or
            writes nothing or several rasters; a raster that cannot be read, is not uint8, or has an unknown value.
        GridMismatchError
            A raster in another CRS, shifted, or not covering the scene.
        """
        about = f"External Fmask ({self.encoding.value}), scene {scene.scene or 'without id'}"
        if scene.geobox is None:
            raise DetectorError(f"{about}: its grid is not known, so no file can be laid on it. Give geobox.")
        if self.path is not None:
            path = self.facts.path(self.path, self.folder, scene.scene, about)
            return self._detection(path, scene, scene.geobox, about)
        with tempfile.TemporaryDirectory(prefix="geo-assets-fmask-", ignore_cleanup_errors=True) as folder:
            path = self._made(scene, scene.geobox, Path(folder), about)
            return self._detection(path, scene, scene.geobox, about)

    def _used(self, placeholder: str) -> bool:
        return self.command is not None and placeholder in placeholders(self.command, COMMAND_PLACEHOLDERS)

    def _made(self, scene: DetectorInput, geobox: GeoBox, folder: Path, about: str) -> Path:
        """The raster that the command writes."""
        assert self.command is not None  # or there is a path
        used = placeholders(self.command, COMMAND_PLACEHOLDERS)
        values = {**self.facts.named(scene.scene, used, about), "threads": str(self.threads)}
        work, results = folder / "work", folder / "results"
        work.mkdir()
        results.mkdir()
        output = results / "fmask"
        values["output"] = str(output)
        safe: Path | None = None
        if used & {"safe", "granule"}:
            safe = self._safe(about)
            values |= {"safe": str(safe), "granule": str(_granule(safe, about)) if "granule" in used else ""}
        if "bands" in used:
            values["bands"] = str(folder / "bands")
            _write_bands(scene, geobox, folder / "bands")
        words = command_words(self.command)
        if any("{output}/" in word for word in words):
            output.mkdir()
        before = _states(safe)
        logs = self.outside.log_folder
        log = None if logs is None else logs / f"{scene.scene or 'scene'}.{NAME}.log"
        run_program(
            [filled(word, values) for word in words],
            about=about,
            folder=work,
            timeout_s=self.timeout_s,
            environment=self.outside.environment,
            log=log,
        )
        fresh = [path for path, state in _states(safe).items() if before.get(path) != state]
        return _result([*_rasters(results), *([output] if output.is_file() else [])] or fresh, about)

    def _safe(self, about: str) -> Path:
        safe = self.facts.safe
        if safe is None or not safe.is_dir():
            found = "none" if safe is None else f"no folder {safe}"
            raise DetectorError(
                f"{about}: the command names {{safe}} or {{granule}}, and the scene has {found} on disk. Use an "
                "archive of SAFE folders (local:PATH), or a command that takes {bands}: any L1C archive has those."
            )
        return safe.resolve()

    def _detection(self, path: Path, scene: DetectorInput, geobox: GeoBox, about: str) -> Detection:
        codes, pixel_m = fmask_on_grid(path, geobox, self.encoding, about)
        if codes.shape != scene.valid.shape:
            raise GridMismatchError(
                f"{about}: its grid has {codes.shape} pixels, and its bands have {scene.valid.shape}. Give their grid."
            )
        codes[~scene.valid] = NODATA_CLASS
        seen = int(scene.valid.sum())
        lacking = int(((codes == MaskCode.FILL) & scene.valid).sum())
        skipped = (f"{NAME}: {lacking} of {seen} seen pixels are fill in {path.name}",) if lacking else ()
        return Detection(codes, skipped=skipped, figures={"pixel_m": pixel_m, "fill_share": lacking / max(seen, 1)})


def fmask_on_grid(path: Path, geobox: GeoBox, encoding: FmaskEncoding, about: str) -> tuple[ClassCode, float]:
    """Mask codes of an Fmask file on a mask's grid, and the size of the file's pixels in metres.

    Parameters
    ----------
    path
        GeoTIFF or HFA of one uint8 band, in the CRS of `geobox` and covering it, its pixels sharing lines with it.
    geobox
        North-up square pixels.
    encoding
        How the values spell classes.
    about
        Whose file it is, for messages.

    Returns
    -------
    codes : (y, x) uint8
        `MaskCode`; of the pixels that a mask pixel touches the most restrictive, fill where all are fill.
    pixel_m : float

    Raises
    ------
    DetectorError
        The file is missing or broken, is not one band of uint8, or has a value that the encoding does not.
    GridMismatchError
        Another CRS, or a grid that is turned, shifted or too small.
    """
    about = f"{about}, {path.name}"
    with opened(path, about) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] != "uint8":
            raise DetectorError(
                f"{about}: found {dataset.count} band(s) of {dataset.dtypes[0]}, expected one of uint8. "
                "Name the raster of classes, and write it as bytes."
            )
        where = lattice(dataset, geobox, about)
        expect_aligned(dataset, geobox, where, about)
        codes = np.concatenate(list(_strips(dataset, geobox, where, encoding, about)))
    return codes, where.pixel_m


def _strips(
    dataset: rasterio.DatasetReader, geobox: GeoBox, where: Lattice, encoding: FmaskEncoding, about: str
) -> Iterator[ClassCode]:
    height, width = geobox.shape
    left, right = where.overlapping(0, width, along_rows=False)
    for first in range(0, height, ROWS_AT_A_TIME):
        top, bottom = where.overlapping(first, min(first + ROWS_AT_A_TIME, height), along_rows=True)
        window = Window(int(left[0]), int(top[0]), int(right[-1] - left[0]), int(bottom[-1] - top[0]))
        values: NDArray[np.uint8] = dataset.read(1, window=window)
        try:
            codes = fmask_codes(values, encoding)
        except DetectorError as error:
            raise DetectorError(f"{about}: {error}") from None
        yield most_restrictive(codes, (top - top[0], bottom - top[0]), (left - left[0], right - left[0]))


def _write_bands(scene: DetectorInput, geobox: GeoBox, folder: Path) -> None:
    """Each Sentinel-2 band of a scene as `B02.tif`: uint16 reflectance x 10,000 without offset, nodata 0."""
    folder.mkdir()
    height, width = geobox.shape
    for name in scene.bands:
        if name not in SENTINEL2_BANDS:
            continue
        with rasterio.open(
            folder / f"{SENTINEL2_BANDS[name].number}.tif",
            "w",
            driver="GTiff",
            dtype="uint16",
            count=1,
            height=height,
            width=width,
            crs=geobox.crs.to_wkt() if geobox.crs is not None else None,
            transform=geobox.transform,
            nodata=NODATA_DN,
        ) as dataset:
            dataset.write(_counts(scene, name), 1)


def _counts(scene: DetectorInput, name: str) -> DigitalNumber:
    """(y, x) uint16: reflectance x 10,000 from 1, saturated 65535, 0 where unknown."""
    reflectance = scene.reflectance(name)
    known = ~np.isnan(reflectance)
    counts = np.zeros(reflectance.shape, np.uint16)
    counts[known] = np.clip(np.rint(reflectance[known] * QUANTIFICATION), 1, SATURATED_DN)
    counts[scene.saturated(name)] = SATURATED_DN
    return counts


def _granule(safe: Path, about: str) -> Path:
    """The folder of the one tile in a SAFE folder."""
    found = sorted(path for path in (safe / "GRANULE").glob("*") if path.is_dir())
    if len(found) != 1:
        raise DetectorError(
            f"{about}: found {len(found)} folders in {safe.name}/GRANULE, expected one. "
            "Unpack the product as ESA delivers it, one tile in a SAFE folder."
        )
    return found[0]


def _rasters(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _RASTERS and path.is_file())


def _states(safe: Path | None) -> dict[Path, tuple[int, int, int]]:
    """The rasters of a SAFE folder with what changes when one is written anew."""
    states = {} if safe is None else {path: path.stat() for path in _rasters(safe)}
    return {path: (state.st_mtime_ns, state.st_size, state.st_ino) for path, state in states.items()}


def _result(found: list[Path], about: str) -> Path:
    """The one raster among those that a program has written: the only one, or the only one with an Fmask's name."""
    named = [path for path in found if _FMASK_NAME.search(path.name)]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0]
    listed = ", ".join(path.name for path in found[:10]) or "no raster"
    raise DetectorError(
        f"{about}: the program ended well and wrote {listed}, expected one GeoTIFF or HFA (.img). Let it write to "
        "{output} (a file or folder of its own choice) or {output}/ (a folder that is there), or name one result as "
        "Fmask does, and let it not skip what it has made before."
    )
