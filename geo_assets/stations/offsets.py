"""The offset of every item that is used: asserted by its metadata, decided by its pixels where they can tell."""

from collections.abc import Collection, Iterable
from functools import partial

import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_REFLECTANCE
from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.region import Region
from geo_assets.domain.scene import Scene, SceneItem
from geo_assets.domain.tables import OFFSETS
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.products import Build, Place
from geo_assets.kernels.offsets import decided_offset
from geo_assets.stations.detection import toa_bands
from geo_assets.stations.item_files import ItemFiles, LostBandError
from geo_assets.stations.line import Line
from geo_assets.stations.offset_findings import OffsetFinding, is_tested, test_bands
from geo_assets.stations.units import UnitArrays, finish_units

_TEST_ZOOM_OF_60_M = 5
"""The whole tile in pixels of 300 m: 134,000 of them, in one or a few blocks of any overview."""

Findings = dict[str, OffsetFinding]
"""Item id -> what is known about its offset."""


def find_offsets(
    line: Line, build: Build, place: Place, files: ItemFiles, scenes: Iterable[Scene], findings: Findings
) -> dict[str, ArchiveError]:
    """Find out the offsets of the scenes' items, as far as `findings` lacks them, and enter them there.

    Returns
    -------
    setbacks
        Id of a scene that cannot be used -> why: nobody knows its offset, or a band that the test reads is lost.
    """
    assert place.tile is not None  # the station's scope
    scenes = tuple(scenes)
    items = {item.id: item for scene in scenes for item in items_with_offset(line.region, scene)}
    unknown = [item for item in items.values() if item.id not in findings]
    grid = tile_geobox(place.tile, 60).zoom_out(_TEST_ZOOM_OF_60_M) if any(map(is_tested, unknown)) else None
    # A companion's bands are missed when they are fetched, and then perhaps done without.
    parts = {item.id for scene in scenes for item in scene.parts}
    jobs = {
        f"offset/{item.id}": partial(_decided, files, item, line.region.bands, grid, is_part=item.id in parts)
        for item in unknown
        if is_tested(item) and grid is not None
    }
    lost: dict[str, ArchiveError] = {}
    kept = finish_units(line, build, jobs, f"{place}, offsets", keep=["decided"], setbacks=lost)
    for item in unknown:
        key = f"offset/{item.id}"
        if key not in lost:
            decided = [int(value) for value in kept[key]["decided"]] if key in kept else []
            findings[item.id] = OffsetFinding(
                item.id, item.offset_dn, decided[0] if decided else None, item.offset_doubtful
            )
    setbacks: dict[str, ArchiveError] = {}
    for scene in scenes:
        for item in items_with_offset(line.region, scene):
            error = lost.get(f"offset/{item.id}")
            if error is None:
                error = findings[item.id].problem
            if error is not None:
                setbacks.setdefault(scene.id, error)
    return setbacks


def _decided(files: ItemFiles, item: SceneItem, used: Collection[str], grid: GeoBox, *, is_part: bool) -> UnitArrays:
    """`decided`: the offset that the pixels decide as an array of one, or of none.

    A band of the test that is lost is done without, unless it is one of those that a scene's part is used for.
    """
    counts = {}
    for name in test_bands(used, item):
        try:
            with files.opened(item, name, grid, "reflectance") as band:
                counts[name] = band.coarse(offset_dn=0)
        except LostBandError:
            if is_part and name in used:
                raise
    decided = decided_offset(counts, nodata=NODATA_REFLECTANCE)
    return {"decided": np.array([] if decided is None else [decided], np.int32)}


def items_with_offset(region: Region, scene: Scene) -> tuple[SceneItem, ...]:
    """The items of a scene whose counts are read: its parts, and their L1C companions where a detector reads them."""
    toa = scene.toa_parts if toa_bands(region, scene) else ()
    return tuple({item.id: item for item in (*scene.parts, *toa)}.values())


def offsets_frame(findings: list[OffsetFinding]) -> pd.DataFrame:
    """One row per finding, as the `OFFSETS` schema has it."""
    rows = [
        {
            "item": finding.item,
            "asserted_dn": finding.asserted_dn,
            "decided_dn": finding.decided_dn,
            "doubtful": finding.doubtful,
        }
        for finding in sorted(findings, key=lambda finding: finding.item)
    ]
    frame = pd.DataFrame(rows, columns=list(OFFSETS.columns))
    return frame.astype({"item": str, "asserted_dn": "int64", "decided_dn": "Int64", "doubtful": bool})


def findings_from(frame: pd.DataFrame) -> Findings:
    """Item id -> finding, of an `OFFSETS` frame."""
    return {
        row["item"]: OffsetFinding(
            row["item"],
            int(row["asserted_dn"]),
            None if pd.isna(row["decided_dn"]) else int(row["decided_dn"]),
            bool(row["doubtful"]),
        )
        for row in frame.to_dict(orient="records")
    }
