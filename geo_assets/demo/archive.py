"""Builds the demo archive, once: COGs of two collections, their STAC items, and the truth beside them."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from geo_assets.demo.ground import Ground, ground_of, surface_reflectance
from geo_assets.demo.items import COLLECTIONS, band_asset, class_asset, scene_item
from geo_assets.demo.passes import Acquisition, Granule, acquisitions, granules
from geo_assets.demo.plan import DemoPlan
from geo_assets.demo.sensor import counts_of, mean_of_cells, observed_reflectance, scene_classes
from geo_assets.demo.sky import Sky, sky_of
from geo_assets.demo.truth import write_cog, write_ground, write_sky
from geo_assets.domain.arrays import NODATA_DN, Flag
from geo_assets.domain.bands import SENTINEL2_BANDS, Level
from geo_assets.domain.tile_month import Month

ITEMS_NAME = "items.json"
"""The archive's catalogue: a FeatureCollection, hrefs relative to its folder; written last."""

Progress = Callable[[str, float], None]
"""Called with what has just been made, and the share of the work that is done, 0-1."""

_BANDS: dict[Level, tuple[str, ...]] = {"L2A": ("blue", "green", "red", "nir"), "L1C": tuple(SENTINEL2_BANDS)}

_log = logging.getLogger(__name__)


def ensure_demo_archive(root: Path, plan: DemoPlan | None = None, *, progress: Progress | None = None) -> Path:
    """Folder of the plan's archive below `root`, built when it is not there yet.

    The folder's name is a digest of the plan and of this room's code, so a changed demo is never mixed with
    an old one. It is built beside and renamed when complete: several processes may ask at once, and all get
    the same bytes.
    """
    plan = plan or DemoPlan()
    folder = root / f"demo-{_archive_digest(plan)[:16]}"
    if (folder / ITEMS_NAME).is_file():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=root))
    try:
        build_demo_archive(building, plan, progress=progress)
        building.chmod(0o755)  # mkdtemp keeps others out
        try:
            os.rename(building, folder)
        except OSError:
            if not (folder / ITEMS_NAME).is_file():
                raise
            _log.info("Demo archive %s: another process was faster", folder.name)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def build_demo_archive(folder: Path, plan: DemoPlan | None = None, *, progress: Progress | None = None) -> Path:
    """Write the plan's archive into a folder; the same plan makes the same bytes.

    Parameters
    ----------
    folder
        Made if missing. `items.json` appears in it last; without that, the archive is not complete.
    plan
        The default demo if omitted.
    progress
        Told of every overpass.

    Returns
    -------
    folder
        With `items.json`, a folder a collection, and `truth/` (see `demo.truth`).

    Notes
    -----
    Needs about 30 bytes of memory for each pixel of the window at the L2A pixel size.
    """
    plan = plan or DemoPlan()
    folder.mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda message, share: None)
    tell("landscape", 0.0)
    ground = ground_of(plan.window(plan.l2a_resolution), seed=plan.seed)
    items: list[dict[str, Any]] = []
    for number, text in enumerate(plan.months):
        month = Month.parse(text)
        write_ground(folder, ground, month)
        overpasses = acquisitions(plan, month)
        for nth, acquisition in enumerate(overpasses):
            items += _write_overpass(folder, plan, ground, acquisition)
            tell(acquisition.name, (number + (nth + 1) / len(overpasses)) / len(plan.months))
    items.sort(key=lambda item: (item["collection"], item["properties"]["datetime"], item["id"]))
    catalogue = json.dumps({"type": "FeatureCollection", "features": items}, indent=1)
    (folder / ITEMS_NAME).write_text(catalogue, encoding="utf-8")
    return folder


def _write_overpass(folder: Path, plan: DemoPlan, ground: Ground, acquisition: Acquisition) -> list[dict[str, Any]]:
    """All files of an overpass, and its items."""
    sky = sky_of(plan, acquisition, ground.geobox)
    scenes = granules(plan, acquisition)
    seen_once = np.zeros(ground.geobox.shape, bool)
    for granule in scenes:
        seen_once[plan.part_slices(granule.tile, plan.l2a_resolution)] |= _covered(plan, granule, plan.l2a_resolution)
    write_sky(folder, sky, seen_once, ground.geobox, acquisition.name)
    assets: dict[str, dict[str, Any]] = {g.item_id(level): {} for g in scenes for level in COLLECTIONS}
    for level in COLLECTIONS:
        for band in _BANDS[level]:
            _write_band(folder, plan, ground, sky, scenes, level, band, assets)
    _write_classes(folder, plan, ground, sky, scenes, assets)
    return [
        scene_item(plan, granule, level, assets[granule.item_id(level)], _cloud_cover(plan, granule, sky))
        for level in COLLECTIONS
        for granule in scenes
    ]


def _write_band(
    folder: Path, plan: DemoPlan, ground: Ground, sky: Sky, scenes: tuple[Granule, ...], level: Level,
    band: str, assets: dict[str, dict[str, Any]],
) -> None:  # fmt: skip
    """One band of one overpass: seen once over the whole window, then cut and counted for each scene."""
    acquisition = scenes[0].acquisition
    surface = surface_reflectance(ground, acquisition.month, band)
    seen = observed_reflectance(surface, sky, acquisition, band, level, ground.geobox)
    resolution = plan.l2a_resolution if level == "L2A" else plan.l1c_resolution
    seen = mean_of_cells(seen, resolution // plan.l2a_resolution)
    for granule in scenes:
        counts = counts_of(
            seen[plan.part_slices(granule.tile, resolution)],
            _covered(plan, granule, resolution),
            gain=granule.acquisition.gain * granule.gain if level == "L2A" else granule.gain,
            offset=granule.acquisition.offset if level == "L2A" else 0.0,
            added=granule.added_counts(level),
        )
        geobox = plan.part(granule.tile, resolution)
        href = f"{COLLECTIONS[level]}/{granule.item_id(level)}/{SENTINEL2_BANDS[band].number}.tif"
        write_cog(folder / href, counts[None], geobox, nodata=NODATA_DN, overviews=Resampling.average)
        asset = band_asset(granule, level, band, geobox, href)
        assets[granule.item_id(level)][band] = asset | _file_facts(folder / href)


def _write_classes(
    folder: Path, plan: DemoPlan, ground: Ground, sky: Sky, scenes: tuple[Granule, ...],
    assets: dict[str, dict[str, Any]],
) -> None:  # fmt: skip
    """The scene classification of one overpass."""
    classes = scene_classes(ground, sky, scenes[0].acquisition)
    resolution = plan.l2a_resolution
    for granule in scenes:
        part = np.where(
            _covered(plan, granule, resolution),
            classes[plan.part_slices(granule.tile, resolution)],
            np.uint8(0),
        )
        geobox, item_id = plan.part(granule.tile, resolution), granule.item_id("L2A")
        href = f"{COLLECTIONS['L2A']}/{item_id}/SCL.tif"
        write_cog(folder / href, part[None], geobox, nodata=0, overviews=Resampling.nearest)
        assets[item_id]["scl"] = class_asset(geobox, href) | _file_facts(folder / href)


def _covered(plan: DemoPlan, granule: Granule, resolution: int) -> Flag:
    """(y, x) bool on the tile's part: True where the pixel's centre lies inside all cuts."""
    geobox: GeoBox = plan.part(granule.tile, resolution)
    height, width = geobox.shape
    east = geobox.affine.c + (np.arange(width) + 0.5) * resolution
    north = geobox.affine.f - (np.arange(height) + 0.5) * resolution
    covered = np.ones((height, width), bool)
    for a, b, c in granule.cuts:
        covered &= a * east[None, :] + b * north[:, None] + c >= 0
    return covered


def _cloud_cover(plan: DemoPlan, granule: Granule, sky: Sky) -> float:
    """Per cent of the scene's ground under cloud, by the truth."""
    part = plan.part_slices(granule.tile, plan.l2a_resolution)
    covered = _covered(plan, granule, plan.l2a_resolution)
    return 100.0 * float(sky.is_cloud[part][covered].mean()) if covered.any() else 0.0


def _file_facts(path: Path) -> dict[str, Any]:
    """Size and multihash (sha2-256) of a file, as the STAC file extension has them."""
    content = path.read_bytes()
    return {"file:size": len(content), "file:checksum": "1220" + hashlib.sha256(content).hexdigest()}


def _archive_digest(plan: DemoPlan) -> str:
    """Of the plan and of the code that makes the archive."""
    digest = hashlib.sha256(json.dumps(plan.identity, sort_keys=True).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()
