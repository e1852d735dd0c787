"""L1C of L2A scenes: found by acquisition in another archive, read for the detectors alone, and missed out loud."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal

from geo_assets.domain.bands import FMASK_BANDS, HYBRID_BANDS
from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.tile_grid import tile_geobox
from geo_assets.io.angles import angles_on
from geo_assets.stations.fetch import fetched_angles, fetched_scenes
from geo_assets.stations.line import Line
from geo_assets.stations.search import read_scenes
from geo_assets_tests.scenery.lines import area_of, pixels_of, product_of, run_until, small_line, store_bytes
from geo_assets_tests.scenery.small_archive import SmallArchive

TILE, DAY, LATER = "31TCJ", "2024-06-10", "2024-06-20"
WINDOW = slice(900, 940), slice(900, 940)
GEOBOX = tile_geobox(TILE, 60)[WINDOW]
SUN = {"view:sun_elevation": 60.0, "view:sun_azimuth": 150.0, "view:incidence_angle": 0.0, "view:azimuth": 100.0}


@dataclass(frozen=True)
class Setting:
    """An archive of L2A, one of L1C, and lines over their ground."""

    surface: SmallArchive
    toa: SmallArchive
    store: Path

    def line(self, detectors: Any = "auto", *, l1c_archive: str | None = None, **settings) -> Line:
        archive = f"local:{self.toa.write()}" if l1c_archive is None else l1c_archive
        usual = {"area": area_of(GEOBOX), "mask": {"detectors": detectors, "l1c_archive": archive}}
        return small_line(self.surface.write(), self.store, **{**usual, **settings})

    def add_l2a(self, day=DAY, **about) -> str:
        bands = {"red": (np.full((40, 40), 1000, np.uint16), GEOBOX), "scl": (np.full((40, 40), 4, np.uint8), GEOBOX)}
        return self.surface.add(TILE, day, bands, **{**SUN, **about})

    def add_l1c(self, day=DAY, *, names=HYBRID_BANDS, columns=slice(None), archive=None, **about) -> str:
        """Counts of each band: 100 times its place in the list of twelve, and 1000 on top."""
        bands = {
            name: (np.full((40, 40), 100 * number + 1000, np.uint16)[:, columns], GEOBOX[:, columns])
            for number, name in enumerate(HYBRID_BANDS, start=1)
            if name in names
        }
        return (archive or self.toa).add(TILE, day, bands, level="L1C", added_counts=1000, **{**SUN, **about})


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(SmallArchive(tmp_path / "surface"), SmallArchive(tmp_path / "toa"), tmp_path / "store")


def toa_of(line: Line, scene: str) -> dict[str, np.ndarray]:
    """Band -> pixels of the scene's window, by the names in the file."""
    product = product_of(line, "fetch")
    with rasterio.open(product.path(f"{scene}.toa.tif")) as raster:
        names = raster.descriptions
    return dict(zip(names, pixels_of(product, f"{scene}.toa.tif", WINDOW), strict=True))


def searched(line: Line):
    run_until(line, "scene_search")
    return read_scenes(product_of(line, "scene_search")), product_of(line, "scene_search").manifest


def files(line: Line) -> set[str]:
    return {file.name for file in product_of(line, "fetch").manifest.files}


# A companion that is there


def test_bands_of_l1c_are_read_from_another_archive_than_those_of_l2a(setting):
    l2a, l1c = setting.add_l2a(), setting.add_l1c()
    line = setting.line()
    run_until(line, "fetch")
    manifest = product_of(line, "scene_search").manifest
    assert manifest.metrics["level"] == "L2A"
    assert manifest.metrics["scenes_with_l1c"] == 1
    assert manifest.metrics["l1c_archive"] == "local"
    assert manifest.metrics["l1c_archive_because"] == "mask.l1c_archive names it"
    found = toa_of(line, l2a)
    assert tuple(found) == HYBRID_BANDS
    for number, name in enumerate(HYBRID_BANDS, start=1):
        assert_array_equal(found[name], 100 * number, err_msg=name)
    fetched = product_of(line, "fetch")
    read = [(row["item"], row["band"]) for row in fetched.manifest.ledger if row["outcome"] == "read"]
    assert {band for item, band in read if item == l1c} == set(HYBRID_BANDS)
    assert {band for item, band in read if item == l2a} == {"red"}
    assert [item.id for scene in fetched_scenes(line, fetched.place) for item in scene.companions] == [l1c]


def test_the_same_bytes_come_from_one_archive_that_has_both(setting, tmp_path):
    setting.add_l2a()
    setting.add_l1c()
    run_until(apart := setting.line(), "fetch")
    whole = Setting(SmallArchive(tmp_path / "both"), setting.toa, tmp_path / "whole")
    whole.add_l2a()
    whole.add_l1c(archive=whole.surface)
    run_until(together := whole.line(l1c_archive="auto"), "fetch")
    names = files(apart)
    assert names == files(together)
    for name in names:
        assert product_of(apart, "fetch").bytes(name) == product_of(together, "fetch").bytes(name), name
    assert product_of(together, "scene_search").manifest.metrics["l1c_archive_because"] == (
        "the region's archive lists it"
    )


def test_halves_of_l1c_are_one_companion_with_the_pixels_of_both(setting):
    l2a = setting.add_l2a()
    halves = [
        setting.add_l1c(columns=slice(0, 22), sequence=0, datastrip="DS_1"),
        setting.add_l1c(columns=slice(18, 40), sequence=1, datastrip="DS_2"),
    ]
    line = setting.line()
    run_until(line, "fetch")
    (scene,) = fetched_scenes(line, product_of(line, "fetch").place)
    assert [item.id for item in scene.companions] == halves
    assert (toa_of(line, l2a)["coastal"] == 100).all()


def test_of_two_processings_of_l1c_the_newer_one_is_read_whichever_archive_has_it(setting):
    setting.add_l2a()
    setting.add_l1c(baseline="05.09", archive=setting.surface)
    newer = setting.add_l1c(baseline="05.10", sequence=1)
    ((scene,), _) = searched(setting.line())
    assert [item.id for item in scene.companions] == [newer]


def test_times_and_unknown_orbits_do_not_part_an_acquisition(setting):
    setting.add_l2a(datetime="2024-06-10T10:00:31Z")
    l1c = setting.add_l1c(datetime="2024-06-10T10:46:00Z", **{"sat:relative_orbit": None})
    ((scene,), _) = searched(setting.line())
    assert [item.id for item in scene.companions] == [l1c]


# A companion that is not


OTHERS = {
    "datatake": {"s2:datatake_id": "GS2A_20240610T100032_012345_N05.10"},
    "orbit": {"sat:relative_orbit": 8},
    "platform": {"platform": "sentinel-2b"},
    "tile": {"grid:code": "MGRS-31TDJ"},
}


@pytest.mark.parametrize("different", OTHERS.values(), ids=OTHERS)
def test_l1c_of_another_acquisition_is_none_and_the_ledger_says_what_was_looked_for(setting, different):
    l2a = setting.add_l2a()
    setting.add_l1c(**different)
    line = setting.line()
    (scene,), manifest = searched(line)
    assert scene.companions == ()
    assert manifest.metrics["scenes_with_l1c"] == 0
    (row,) = [row for row in manifest.ledger if row["outcome"] == "without L1C"]
    assert row["item"] == l2a
    assert row["reason"] == (
        "no usable L1C item of datatake 20240610T100031 of s2a, orbit 122, tile 31TCJ in archive local"
    )
    run_until(line, "fetch")
    assert files(line) == {f"{l2a}.reflectance.tif", f"{l2a}.classes.tif", "fetched.parquet"}
    assert fetched_angles(product_of(line, "fetch"), scene).angles is None


def test_a_month_without_l2a_is_empty_whatever_l1c_there_is(setting):
    setting.add_l2a(day="2024-07-10")
    setting.add_l1c()
    _, manifest = searched(setting.line())
    assert manifest.status == "empty"


def test_where_detectors_need_l1c_a_scene_without_is_left_out_with_the_reason(setting):
    with_l1c, without = setting.add_l2a(), setting.add_l2a(LATER)
    setting.add_l1c()
    (scene,), manifest = searched(setting.line(["s2cloudless"]))
    assert scene.id == with_l1c
    (row,) = [row for row in manifest.ledger if row["item"] == without]
    assert row["outcome"] == "excluded"
    assert "no usable L1C item of datatake 20240620T100031" in row["reason"]


@pytest.mark.parametrize(("detectors", "l1c_archive"), [("auto", "none"), (["quality"], "auto"), (["quality"], None)])
def test_l1c_that_nobody_wants_is_not_even_looked_for(setting, detectors, l1c_archive):
    setting.add_l2a()
    setting.add_l1c(archive=setting.surface)
    setting.add_l1c()
    line = setting.line(detectors, l1c_archive=l1c_archive, level="L2A")
    (scene,), manifest = searched(line)
    assert scene.companions == ()
    assert manifest.metrics["l1c_archive"] == "none"
    assert not [row for row in manifest.ledger if row["outcome"] == "without L1C"]


def test_an_archive_without_l1c_says_so_and_what_to_do(setting):
    setting.add_l2a()
    _, manifest = searched(setting.line(l1c_archive="auto"))
    assert manifest.metrics["l1c_archive"] == "none"
    assert "archive local lists none" in manifest.metrics["l1c_archive_because"]
    assert "name an archive of L1C there, such as cdse or local:PATH" in manifest.metrics["l1c_archive_because"]


def test_l1c_of_the_companion_is_never_taken_for_reflectance(setting):
    own = setting.add_l1c(archive=setting.surface)
    bands = {name: (np.full((40, 40), 1000, np.uint16), GEOBOX) for name in ("red", "scl")}
    setting.surface.add(TILE, LATER, bands | {"scl": (np.full((40, 40), 4, np.uint8), GEOBOX)})
    setting.add_l1c(LATER)
    scenes, manifest = searched(setting.line(bands=["cirrus"]))
    assert manifest.metrics["level"] == "L1C"
    assert [scene.id for scene in scenes] == [own]


# Bands that are missing


def test_without_b10_s2cloudless_has_no_input_and_fmask_goes_on(setting):
    l2a = setting.add_l2a()
    setting.add_l1c(names=set(HYBRID_BANDS) - {"cirrus"})
    line = setting.line()
    run_until(line, "fetch")
    assert set(toa_of(line, l2a)) == set(FMASK_BANDS) - {"cirrus"}


@pytest.mark.parametrize(("detectors", "lacks"), [(["s2cloudless"], "lacks cirrus"), (["quality", "s2cloudless"], "")])
def test_an_item_that_lacks_a_band_of_a_named_detector_is_no_companion(setting, detectors, lacks):
    setting.add_l2a()
    l1c = setting.add_l1c(names=set(HYBRID_BANDS) - {"cirrus"})
    with pytest.raises(ArchiveError, match=f"{l1c}: {lacks}"):
        run_until(setting.line(detectors), "scene_search")


def test_an_item_of_no_use_to_any_detector_is_left_out_with_the_reason(setting):
    setting.add_l2a()
    l1c = setting.add_l1c(names=["red"])
    (scene,), manifest = searched(setting.line())
    assert scene.companions == ()
    assert {row["item"]: row["reason"] for row in manifest.ledger}[l1c] == "lacks L1C bands for every detector"


# Files that are lost


def test_where_detectors_choose_themselves_a_lost_l1c_file_costs_its_detectors_and_not_the_scene(setting, tmp_path):
    l2a, l1c = setting.add_l2a(), setting.add_l1c()
    line = setting.line()
    run_until(line, "scout")
    (setting.toa.folder / l1c / "rededge3.tif").unlink()
    run_until(line, "monthly_composite")
    manifest = product_of(line, "fetch").manifest
    (row,) = [row for row in manifest.ledger if row["outcome"] == "lost"]
    assert (row["scene"], row["item"], row["band"]) == (l2a, l1c, "rededge3")
    assert row["consequence"] == "the scene is masked without L1C"
    assert manifest.metrics["scenes_withdrawn"] == 0
    assert manifest.metrics["scenes_without_lost_l1c"] == 1
    assert files(line) == {f"{l2a}.reflectance.tif", f"{l2a}.classes.tif", "fetched.parquet"}
    assert product_of(line, "hybrid_mask").manifest.metrics["detectors"] == ["quality"]
    plain = Setting(setting.surface, setting.toa, tmp_path / "plain").line(l1c_archive="none")
    run_until(plain, "monthly_composite")
    for station in ("hybrid_mask", "monthly_composite"):
        of_lost, of_none = (product_of(one, station) for one in (line, plain))
        for file in of_none.manifest.files:
            assert of_lost.bytes(file.name) == of_none.bytes(file.name), file.name


def test_where_a_detector_of_l1c_is_named_a_lost_file_costs_the_scene(setting):
    scenes = [setting.add_l2a(day) for day in (DAY, LATER)]
    companions = [setting.add_l1c(day) for day in (DAY, LATER)]
    line = setting.line(["s2cloudless"])
    run_until(line, "scout")
    (setting.toa.folder / companions[0] / "cirrus.tif").unlink()
    run_until(line, "fetch")
    assert [scene.id for scene in fetched_scenes(line, product_of(line, "fetch").place)] == scenes[1:]
    assert product_of(line, "fetch").manifest.metrics["scenes_withdrawn"] == 1


def test_however_the_work_is_cut_the_bytes_are_the_same(setting, tmp_path):
    setting.add_l2a()
    setting.add_l1c()
    stores = []
    for threads in (1, 4):
        one = Setting(setting.surface, setting.toa, tmp_path / f"store-{threads}")
        archive = f"local:{setting.toa.write()}"
        line = small_line(
            setting.surface.write(), one.store, threads=threads, unit_blocks=threads, area=area_of(GEOBOX),
            mask={"l1c_archive": archive},
        )  # fmt: skip
        run_until(line, "fetch")
        stores.append(store_bytes(one.store))
    assert stores[0] == stores[1]


# Angles


def test_angles_come_from_the_catalogue_where_there_are_no_metadata(setting):
    setting.add_l2a(**{"view:sun_elevation": 10.0})
    l1c = setting.add_l1c()
    line = setting.line()
    run_until(line, "fetch")
    product = product_of(line, "fetch")
    (scene,) = fetched_scenes(line, product.place)
    finding = fetched_angles(product, scene)
    assert finding.source.startswith(f"view:* of {l1c}")
    angles = angles_on(finding, 60)
    assert angles is not None
    assert float(angles.sun_zenith[0, 0]) == pytest.approx(30.0)
    (row,) = [row for row in product.manifest.ledger if row["outcome"] == "angles"]
    assert (row["scene"], row["source"]) == (scene.id, finding.source)


@pytest.fixture
def metadata(shared_data) -> bytes:
    """Those of a granule of the tile."""
    (path,) = (shared_data / "s2-l1c-safe").glob("S2A_MSIL1C_20240120*/GRANULE/*/MTD_TL.xml")
    return path.read_bytes()


def with_metadata(setting: Setting, item: str, content: bytes | None) -> None:
    """List an item's granule metadata, and lay them down unless they are to be missing."""
    setting.toa.item(item)["assets"]["granule_metadata"] = {"href": f"{item}/MTD_TL.xml", "roles": ["metadata"]}
    if content is not None:
        (setting.toa.folder / item / "MTD_TL.xml").write_bytes(content)


def angles_found(setting: Setting):
    line = setting.line()
    run_until(line, "fetch")
    product = product_of(line, "fetch")
    (scene,) = fetched_scenes(line, product.place)
    return fetched_angles(product, scene), [row for row in product.manifest.ledger if row["outcome"] == "lost"]


def test_the_grids_of_the_granule_s_metadata_are_read_from_the_companion_s_archive(setting, metadata):
    setting.add_l2a()
    l1c = setting.add_l1c()
    with_metadata(setting, l1c, metadata)
    finding, lost = angles_found(setting)
    assert finding.source.startswith(f"MTD_TL.xml grids of {l1c}")
    angles = angles_on(finding, 60)
    assert angles is not None
    assert min(angles.sun_zenith.shape) > 20
    assert 60 < float(angles.sun_zenith.mean()) < 70  # Toulouse in January
    assert lost == []


def test_metadata_of_another_tile_are_left_aside(setting, metadata):
    setting.add_l2a()
    l1c = setting.add_l1c()
    with_metadata(setting, l1c, metadata.replace(b"_T31TCJ", b"_T31TDJ"))
    finding, _ = angles_found(setting)
    assert finding.source.startswith(f"view:* of {l1c}")
    assert "found tile 31TDJ, expected 31TCJ" in finding.source


def test_metadata_that_are_gone_are_told_and_the_catalogue_s_angles_taken(setting):
    l2a, l1c = setting.add_l2a(), setting.add_l1c()
    with_metadata(setting, l1c, None)
    finding, (row,) = angles_found(setting)
    assert finding.source.startswith(f"view:* of {l1c}")
    assert "left aside" in finding.source
    assert (row["scene"], row["item"], row["band"]) == (l2a, l1c, "granule_metadata")
    assert row["consequence"].startswith(f"angles are from view:* of {l1c}")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b'<!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>'])
def test_metadata_that_are_none_are_told_and_the_catalogue_s_angles_taken(setting, content):
    setting.add_l2a()
    l1c = setting.add_l1c()
    with_metadata(setting, l1c, content)
    finding, _ = angles_found(setting)
    assert finding.source.startswith(f"view:* of {l1c}")
    assert "left aside" in finding.source


# What a product depends on


@pytest.mark.parametrize(
    ("mask", "reused"),
    [
        ({"threshold": 0.4}, {"scene_search": True, "fetch": True}),
        ({"missing_angles": "refuse"}, {"scene_search": True, "fetch": False}),
        ({"detectors": ["s2cloudless"]}, {"scene_search": False, "fetch": False}),
        ({"l1c_archive": "none"}, {"scene_search": False, "fetch": False}),
    ],
)
def test_what_is_set_for_l1c_and_angles_makes_products_anew_where_it_counts(setting, mask, reused):
    setting.add_l2a()
    setting.add_l1c()
    line = setting.line()
    run_until(line, "fetch")
    usual = {"detectors": "auto", "l1c_archive": f"local:{setting.toa.folder}"}
    outcomes = run_until(setting.line(mask={**usual, **mask}), "fetch")
    found = {place.station: outcome.reused for place, outcome in outcomes.items()}
    assert {name: found[name] for name in reused} == reused


def test_products_that_were_searched_with_another_companion_are_not_read_on(setting):
    setting.add_l2a()
    setting.add_l1c()
    line = setting.line()
    run_until(line, "scout")
    plain = setting.line(l1c_archive="auto")
    with pytest.raises(ArchiveError, match=r"found a file of archive local, expected one of local.*search again"):
        _fetch_alone(plain)


def _fetch_alone(line: Line) -> None:
    from geo_assets.stations.catalog import STATION_BY_NAME
    from geo_assets.stations.line import run_station

    station = STATION_BY_NAME["fetch"]
    run_station(line, station, station.place(line.region.tile_months[0]))
