"""What `bench_mosaic` runs in a process of its own: a set of tiles to mosaic, and everybody's way to do it.

``python -m benchmarks.mosaic_runs NAME FOLDER [KIND]`` does one and prints its figures as JSON: seconds, CPU seconds of
this process and its children, and the highest resident memory of either, MB.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

OVERLAP = 978 / 10_980
"""Of neighbouring Sentinel-2 tiles, over their edge."""
FEATHER = 240 / 10_980
"""Over the edge of a tile."""
TILES = {"2x2": ((0, 0), (0, 1), (1, 0), (1, 1)), "1x2": ((0, 0), (0, 1))}
THREADS = 2
_PATTERN_PX = 1024
_WRITTEN = {
    "driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1,
    "predictor": 2, "bigtiff": "if_safer", "num_threads": THREADS,
}  # fmt: skip


def write_tiles(folder: Path, size: int) -> None:
    """Four uint16 tiles of one landscape with noise, their light 2 % apart."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    step = size - round(size * OVERLAP)
    noise = random.normal(0, 25, (_PATTERN_PX, _PATTERN_PX))
    for number, (down, across) in enumerate(TILES["2x2"]):
        transform = from_origin(500_000 + across * step * 10, 5_000_000 - down * step * 10, 10, 10)
        shape = {"height": size, "width": size, "count": 1, "dtype": "uint16", "nodata": 0}
        with rasterio.open(
            folder / f"tile{down}{across}.tif", "w", crs="EPSG:32633", transform=transform, **shape, **_WRITTEN
        ) as file:
            x = np.arange(across * step, across * step + size)
            for top in range(0, size, _PATTERN_PX):
                y = np.arange(down * step + top, down * step + min(top + _PATTERN_PX, size))[:, None]
                land = 2200 + 700 * np.sin(y / 210) * np.cos(x / 170) + 300 * np.sin((x + y) / 23)
                rows, cols = y % _PATTERN_PX, x[None] % _PATTERN_PX
                values = (land + noise[rows, cols]) * (1 + 0.02 * number)
                file.write(values.astype(np.uint16), 1, window=rasterio.windows.Window(0, top, size, len(y)))


def tiles(folder: Path, kind: str) -> list[Path]:
    """The tiles of a mosaic of 2x2 or 1x2."""
    return [folder / f"tile{down}{across}.tif" for down, across in TILES[kind]]


def ours(paths: list[Path], output: Path) -> None:
    """Measured figures included."""
    from geo_assets import blend_mosaic

    blend_mosaic(paths, output, feather_m=_feather_m(paths), overviews=False, threads=THREADS)


def ours_unmeasured(paths: list[Path], output: Path) -> None:
    """The mosaic alone."""
    from geo_assets import blend_mosaic

    blend_mosaic(paths, output, feather_m=_feather_m(paths), overviews=False, threads=THREADS, measure=False)


def ours_with_overviews(paths: list[Path], output: Path) -> None:
    """As users call it."""
    from geo_assets import blend_mosaic

    blend_mosaic(paths, output, feather_m=_feather_m(paths), threads=THREADS)


def _feather_m(paths: list[Path]) -> float:
    return 10.0 * round(_edge(paths[0]) * FEATHER)


def floor(paths: list[Path], output: Path) -> float:
    """Every input read once, on all threads, and the mosaic's pixels written: nobody blends in less.

    Starting up is counted, as it is for ours; the first touch of its memory, which is neither, is not.
    """
    began = time.perf_counter()
    from geo_assets.io.cog_writer import RasterBand, write_cog
    from geo_assets.io.raster_file import RasterFile

    files, grid, places = [RasterFile(path) for path in paths], *_union(paths)
    height, width = grid.shape
    mosaic = np.zeros((1, height, width), np.uint16)
    jobs = [
        (file, place, top, left)
        for file, place in zip(files, places, strict=True)
        for top in range(0, file.height, 512)
        for left in range(0, file.width, 2048)
    ]

    def read(job: Any) -> None:
        file, (row, col), top, left = job
        high, wide = min(512, file.height - top), min(2048, file.width - left)
        mosaic[:, row + top : row + top + high, col + left : col + left + wide] = file.window(top, left, high, wide)

    touching = time.perf_counter()
    mosaic[...] = 1
    began += time.perf_counter() - touching
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(read, jobs))
    write_cog(
        output, grid, np.uint16, 0, [RasterBand("band 1")],
        lambda row, col: mosaic[:, row * 512 : row * 512 + 512, col * 512 : col * 512 + 512],
        overviews="none", threads=THREADS,
    )  # fmt: skip
    return time.perf_counter() - began


def rasterio_merge(paths: list[Path], output: Path) -> None:
    """Hard edges."""
    from rasterio.merge import merge

    merge([str(path) for path in paths], dst_path=output, dst_kwds=_WRITTEN, mem_limit=256)


def gdal_vrt(paths: list[Path], output: Path) -> None:
    """What gdalbuildvrt and gdal_translate do, by the library; hard edges."""
    import rasterio.shutil

    grid, places = _union(paths)
    height, width = grid.shape
    sources = "".join(
        f"<ComplexSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="{size}" ySize="{size}"/>'
        f'<DstRect xOff="{col}" yOff="{row}" xSize="{size}" ySize="{size}"/><NODATA>0</NODATA></ComplexSource>'
        for path, (row, col), size in ((path, place, _edge(path)) for path, place in zip(paths, places, strict=True))
    )
    vrt = output.with_suffix(".vrt")
    vrt.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>{', '.join(map(str, grid.transform.to_gdal()))}</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1"><NoDataValue>0</NoDataValue>{sources}</VRTRasterBand></VRTDataset>'
    )
    with rasterio.Env(GDAL_NUM_THREADS=THREADS):
        rasterio.shutil.copy(vrt, output, **_WRITTEN)


def otb_mosaic(paths: list[Path], output: Path) -> None:
    """Orfeo ToolBox, large feathering."""
    options = "&gdal:co:TILED=YES&gdal:co:COMPRESS=ZSTD&gdal:co:ZSTD_LEVEL=1&gdal:co:PREDICTOR=2"
    command = ["otbcli_Mosaic", "-il", *map(str, paths), "-comp.feather", "large", "-nodata", "0"]
    command += ["-tmpdir", str(output.parent), "-out", f"{output}?{options}", "uint16"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={
        **os.environ, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(THREADS), "OTB_MAX_RAM_HINT": "256",
    })  # fmt: skip


def guides_recipe(paths: list[Path], output: Path) -> None:
    """The recipe of a widely read guide, `blend_mosaic`, mended so far that inputs lie where they belong.

    As it stands it stretches each input over the whole mosaic. Its accumulators stay as it has them: float32 of the
    whole mosaic, and a distance transform of the whole mosaic for each input.
    """
    from scipy.ndimage import distance_transform_edt

    grid, places = _union(paths)
    weighted_sum = np.zeros(grid.shape, np.float32)
    weight_sum = np.zeros_like(weighted_sum)
    for path, (row, col) in zip(paths, places, strict=True):
        data = np.zeros(grid.shape, np.uint16)
        with rasterio.open(path) as file:
            data[row : row + file.height, col : col + file.width] = file.read(1)
        valid = (data != 0).astype(np.float32)
        distance = distance_transform_edt(valid)
        weights = distance / (float(distance.max()) or 1.0)
        weighted_sum += data * valid * weights
        weight_sum += weights
    with np.errstate(divide="ignore", invalid="ignore"):
        blended = np.where(weight_sum > 0, weighted_sum / weight_sum, 0).astype(np.uint16)
    shape = {"height": grid.shape[0], "width": grid.shape[1], "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(output, "w", crs="EPSG:32633", transform=grid.transform, **shape, **_WRITTEN) as file:
        file.write(blended, 1)


RUNS: dict[str, Callable[[list[Path], Path], float | None]] = {
    "ours": ours,
    "ours_unmeasured": ours_unmeasured,
    "ours_with_overviews": ours_with_overviews,
    "floor": floor,
    "rasterio_merge": rasterio_merge,
    "gdal_vrt": gdal_vrt,
    "otb_mosaic": otb_mosaic,
    "guides_recipe": guides_recipe,
}


def is_there(name: str) -> bool:
    """Whether a run's program is installed."""
    return name != "otb_mosaic" or shutil.which("otbcli_Mosaic") is not None


def _edge(path: Path) -> int:
    with rasterio.open(path) as file:
        return int(file.width)


def _union(paths: list[Path]) -> tuple[Any, list[tuple[int, int]]]:
    """The grid of a mosaic, and each tile's row and column on it."""
    from odc.geo.geobox import GeoBox

    corners = []
    for path in paths:
        with rasterio.open(path) as file:
            corners.append((file.transform.c, file.transform.f, file.height, file.width, file.crs))
    left, top = min(corner[0] for corner in corners), max(corner[1] for corner in corners)
    places = [(round((top - y) / 10), round((x - left) / 10)) for x, y, *_ in corners]
    height = max(row + corner[2] for (row, _), corner in zip(places, corners, strict=True))
    width = max(col + corner[3] for (_, col), corner in zip(places, corners, strict=True))
    return GeoBox((height, width), from_origin(left, top, 10, 10), str(corners[0][4])), places


def _own_peak_kb() -> int:
    """Of this program alone: what getrusage says begins with the peak of the process that started it."""
    (peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(peak.split()[1])


def main(name: str, folder: str, kind: str = "2x2") -> None:
    """Do one, after its code was imported and compiled on tiles of a few pixels, and print its figures."""
    paths, output = tiles(Path(folder), kind), Path(folder) / f"{name}.tif"
    small = Path(folder) / "small"
    if small.is_dir() and name.startswith(("ours", "floor")):
        RUNS[name](tiles(small, kind), small / f"{name}.tif")
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    began = time.perf_counter()
    stated = RUNS[name](paths, output)
    seconds = time.perf_counter() - began
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    rss = max(_own_peak_kb(), after[1].ru_maxrss) / 1024
    print(json.dumps({"wall": seconds if stated is None else stated, "cpu": cpu, "rss": rss}))


if __name__ == "__main__":
    main(*sys.argv[1:])
