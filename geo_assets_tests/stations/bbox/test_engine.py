"""A composite is what reading every band of every scene would give, whatever is left unread."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import ArchiveError, ArchiveTransientError, RegionError
from geo_assets.io.reads.byte_source import LocalFile
from geo_assets.io.wire.meter import Meter
from geo_assets.stations.bbox.engine import compose, compose_periods
from geo_assets.stations.bbox.request import period_of
from geo_assets_tests.scenery.bbox_scenes import NODATA, NONE, KnownScenes, slow_composite

LAYERS = ("quality", "observation_count", "selected_observation")


@pytest.fixture
def known(tmp_path) -> KnownScenes:
    """Three scenes of one tile, the last of them a sliver."""
    scenes = KnownScenes(tmp_path / "archive")
    scenes.add("2024-06-03", seed=1)
    scenes.add("2024-06-13", seed=2, cloudy=0.5)
    scenes.add("2024-06-23", seed=3, cloudy=0.0, swath_from=0.7)
    return scenes


def by_id(known, composite):
    """The stored scenes in the composite's own order."""
    stored = {scene.id: scene for scene in known.scenes}
    return [stored[name] for name in composite.source_ids]


def assert_equal(composite, other):
    for layer in LAYERS:
        assert_array_equal(getattr(composite, layer), getattr(other, layer))
    for band, values in composite.bands.items():
        assert_array_equal(values, other.bands[band])
    assert composite.source_ids == other.source_ids


def assert_is_slow(known, composite):
    slow = slow_composite(by_id(known, composite), list(composite.bands), composite.grid)
    assert_array_equal(composite.quality, slow.quality)
    assert_array_equal(composite.selected_observation, slow.selected)
    for band, values in composite.bands.items():
        assert_array_equal(values == NODATA, np.isnan(slow.bands[band]))
        held = values != NODATA
        assert np.abs(values[held] - slow.bands[band][held]).max() <= 0.51
    return slow


@pytest.mark.parametrize("rank", ["area", "scene"])
@pytest.mark.parametrize("resolution", [10.0, 20.0, 60.0, 45.0])
def test_the_composite_is_what_reading_everything_gives(known, rank, resolution):
    composite = known.composed(rank=rank, resolution=resolution)
    slow = assert_is_slow(known, composite)
    assert_array_equal(composite.observation_count, slow.count)
    assert composite.reason is None


@pytest.mark.parametrize("resolution", [10.0, 60.0])
def test_a_count_of_0_under_a_valid_class_is_refilled_from_the_next_scene(known, resolution):
    for scene in known.scenes:
        scene.layers["scl"][0][scene.layers["scl"][0] == 0] = 4  # all of the swath's outside looks valid
        for band in ("red", "swir16"):
            scene.layers[band][0][100:140, 100:140] = 0
    gaps = KnownScenes(known.folder.with_name("gaps"))
    for scene, day in zip(known.scenes, ("03", "13", "23"), strict=True):
        gaps.archive.add("33TVL", f"2024-06-{day}", scene.layers)
        gaps.scenes.append(scene)
    composite = gaps.composed(resolution=resolution)
    slow = assert_is_slow(gaps, composite)
    assert (composite.observation_count >= slow.count).all()  # a scene that is never asked may have gaps too
    assert (composite.bands["red"] == NODATA).any()
    assert composite.timings["refill"] > 0


def test_only_blocks_that_hold_winners_are_read(known):
    west, south, east, north = known.area
    corner = (west, south, west + 0.3 * (east - west), south + 0.3 * (north - south))
    archive = _Recording(known.opened())
    composite = compose(archive, known.request(bbox=corner, top_k=1, resolution=10.0), threads=4)
    (chosen,) = composite.source_ids
    read = {(row["item"], row["band"]) for row in composite.ledger if row["outcome"] == "read"}
    assert {item for item, band in read if band == "red"} == {chosen}
    size = (known.folder / chosen / "red.tif").stat().st_size  # 9 blocks and their overviews
    assert 0 < archive.read["red.tif", chosen] < 0.6 * size


def test_nothing_is_read_twice(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    for seed, day in enumerate(("2024-06-03", "2024-06-13")):
        known.add(day, seed=seed, baseline="03.01")  # has no offset that pixels would be asked for
    archive = _Recording(known.opened())
    compose(archive, known.request(rank="scene"), threads=4)
    for (name, item), count in archive.read.items():
        assert count <= (known.folder / item / name).stat().st_size


class _Recording:
    """An archive that counts the bytes that are read of each file."""

    def __init__(self, archive):
        self._archive, self.name = archive, archive.name
        self.offers, self.find = archive.offers, archive.find
        self.read = Counter()

    def open(self, asset, *, where, meter=None):
        item, name = asset.href.split("/")
        source = self._archive.open(asset, where=where, meter=meter)
        return _Recorded(source._path, where, lambda count: self.read.update({(name, item): count}))


class _Recorded(LocalFile):
    def __init__(self, path, where, note):
        super().__init__(path, where)
        self._note = note

    def read(self, spans):
        self._note(sum(end - first for first, end in spans))
        return super().read(spans)


# ---- what is lost ----


def without(known, scene, **settings):
    """The composite of the archive less one scene."""
    found = compose(_Without(known.opened(), scene.id), known.request(top_k=2, **settings), threads=4)
    assert scene.id not in found.source_ids
    return found


class _Without:
    """An archive that does not list one item."""

    def __init__(self, archive, item):
        self._archive, self._item = archive, item
        self.name = archive.name

    def offers(self):
        return self._archive.offers()

    def find(self, query):
        answer = self._archive.find(query)
        return replace(answer, items=tuple(item for item in answer.items if item.id != self._item))

    def open(self, asset, *, where, meter=None):
        return self._archive.open(asset, where=where, meter=meter)


BANDS = ("red", "nir", "swir16")


def four_scenes(folder):
    known = KnownScenes(folder)
    for number, day in enumerate(("03", "08", "13", "18")):
        known.add(f"2024-06-{day}", seed=number, cloudy=0.2 + 0.1 * number, bands=BANDS)
    return known


@pytest.mark.parametrize("band", ["scl", "red", "swir16"])
def test_a_scene_with_a_missing_file_is_replaced_by_the_next_and_recorded(tmp_path, band):
    known = four_scenes(tmp_path / "archive")
    best = known.scenes[0]
    expected = without(known, best)
    (known.folder / best.id / f"{band}.tif").unlink()
    composite = known.composed(top_k=2)
    assert_equal(composite, expected)
    (row,) = (row for row in composite.ledger if row["outcome"] == "lost")
    assert (row["item"], row["band"]) == (best.id, band if band != "scl" else "quality layer")
    assert f"{band}.tif" in row["reason"]


@pytest.mark.parametrize("band", BANDS)
def test_a_block_that_does_not_decode_costs_its_scene_and_leaves_nothing_of_it(tmp_path, band):
    known = four_scenes(tmp_path / "archive")
    best = known.scenes[0]
    expected = without(known, best, bands=BANDS)
    path = known.folder / best.id / f"{band}.tif"
    content = bytearray(path.read_bytes())
    content[-4000:] = bytes(4000)  # full resolution lies at the end of a cloud-optimised file
    path.write_bytes(content)
    composite = known.composed(top_k=2, bands=BANDS)
    assert_equal(composite, expected)
    (row,) = (row for row in composite.ledger if row["outcome"] == "lost")
    assert (row["item"], row["band"]) == (best.id, band)
    assert "block" in row["reason"]
    assert "bytes" in row["reason"]


def test_a_quality_layer_of_another_kind_costs_its_scene(known):
    known.archive.items.clear()
    for scene, day in zip(known.scenes, ("03", "13", "23"), strict=True):
        classes, geobox = scene.layers["scl"]
        dtype = np.uint16 if day == "03" else np.uint8
        known.archive.add("33TVL", f"2024-06-{day}", {**scene.layers, "scl": (classes.astype(dtype), geobox)})
    composite = known.composed()
    assert known.scenes[0].id not in composite.source_ids
    (row,) = (row for row in composite.ledger if row["outcome"] == "lost")
    assert "found uint16, expected uint8 classes" in row["reason"]


class _Flaky(_Without):
    """An archive one of whose files cannot be read now."""

    def __init__(self, archive, ending):
        super().__init__(archive, "")
        self._ending = ending

    def open(self, asset, *, where, meter=None):
        source = super().open(asset, where=where, meter=meter)
        return _Unready(source._path, where) if asset.href.endswith(self._ending) else source


class _Unready(LocalFile):
    def head(self, length):
        return self.read([]) if "scl" in self.where else super().head(length)

    def read(self, spans):
        raise ArchiveTransientError(f"{self.where}: the server is busy. Try again.")


@pytest.mark.parametrize("ending", ["scl.tif", "red.tif", "swir16.tif"])
def test_what_may_pass_is_raised_and_not_taken_for_a_loss(known, ending):
    with pytest.raises(ArchiveTransientError, match="the server is busy"):
        compose(_Flaky(known.opened(), ending), known.request(), threads=4)


# ---- nothing to show ----


def test_no_scene_is_an_empty_composite_that_says_so(known):
    composite = known.composed(datetime="2023-01")
    assert composite.reason == "archive local has no scene of the area from 2023-01-01 to before 2023-02-01"
    clearer = known.composed(datetime="2023-01", max_cloud_cover=20)
    assert clearer.reason == f"{composite.reason} with at most 20% cloud (max_cloud_cover)"
    assert composite.source_ids == ()
    assert (composite.quality == NONE).all()
    assert (composite.selected_observation == -1).all()
    assert not composite.observation_count.any()
    assert all((values == NODATA).all() for values in composite.bands.values())


def test_cloud_everywhere_is_an_empty_composite_that_says_so(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    known.add("2024-06-03", cloudy=1.1)
    composite = known.composed(emit_uncertainty=True)
    assert composite.reason == "none of 1 items shows a clear pixel of the area"
    assert (composite.bands["red"] == NODATA).all()
    assert (composite.uncertainty["red"] == NODATA).all()


def test_items_none_of_which_can_be_used_are_an_error(known):
    for item in known.archive.items[1:]:
        del item["assets"]["swir16"]
    assert known.composed().source_ids == (known.scenes[0].id,)
    first = known.archive.items[0]["assets"]
    first["blue"] = first["red"]
    with pytest.raises(ArchiveError, match=r"none of the 1 items .* lacks blue"):
        known.composed(bands=("blue", "red"), datetime="2024-06-20/2024-06-30")


def test_a_band_that_the_archive_does_not_have_is_refused_with_those_it_has(known):
    with pytest.raises(RegionError, match="has no nir09, it has red, swir16"):
        known.composed(bands=("red", "nir09"))


def test_days_that_the_gate_leaves_out_are_recorded(known):
    composite = known.composed(aod_by_day={"2024-06-03": 0.6, "2024-06-13": 0.1}, aod_max=0.3)
    reasons = {row["item"]: row.get("reason") for row in composite.ledger if row["outcome"] == "excluded"}
    assert reasons == {known.scenes[0].id: "aerosol optical depth of its day is 0.6, above 0.3"}
    assert set(composite.source_ids) == {known.scenes[1].id, known.scenes[2].id}
    composite = known.composed(aod_by_day={"2024-06-03": 0.6, "2024-06-13": 0.1}, aod_max=0.3, reject_unknown=True)
    assert composite.source_ids == (known.scenes[1].id,)
    empty = known.composed(aod_by_day={"2024-06-01": 0.1}, reject_unknown=True)
    assert "leaves out all 3 items" in empty.reason


# ---- how scenes are chosen ----


def test_coverage_chooses_as_many_scenes_as_it_takes_and_where(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    known.add("2024-06-03", seed=1, cloudy=0.0, swath_from=0.5)
    known.add("2024-06-13", seed=2, cloudy=0.0)
    known.add("2024-06-23", seed=3, cloudy=0.9)
    few = known.composed(coverage_target=0.5, min_k=1, max_k=3)
    assert few.source_ids == (known.scenes[1].id,)
    more = known.composed(coverage_target=0.5, min_k=2, max_k=3)
    assert len(more.source_ids) == 2
    assert_is_slow(known, more)


def test_a_scene_serves_the_chunks_that_chose_it_or_all(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    known.add("2024-06-03", seed=1, cloudy=0.0, bands=("red",))
    known.add("2024-06-13", seed=2, cloudy=0.0, bands=("red",))
    for scene in known.scenes:
        scene.layers["scl"][0][:] = 4
    known.scenes[0].layers["scl"][0][:, 200:] = 9  # cloudy in the east, and the other one in the west
    known.scenes[1].layers["scl"][0][:, :150] = 9
    known.archive.items.clear()
    for scene, day in zip(known.scenes, ("03", "13"), strict=True):
        known.archive.add("33TVL", f"2024-06-{day}", scene.layers)
    settings = {"coverage_target": 0.999, "min_k": 1, "max_k": 2, "bands": ("red",), "resolution": 5.0}
    here, everywhere = known.composed(**settings), known.composed(**settings, windowed_fetch=False)
    assert len(here.source_ids) == len(everywhere.source_ids) == 2
    assert here.observation_count.sum() < everywhere.observation_count.sum()


def test_a_mask_of_none_takes_every_pixel_that_holds_data(known):
    composite = known.composed(mask="none", top_k=1)
    slow_red = slow_composite([known.scenes[0]], ["red"], composite.grid)
    assert (composite.quality[composite.quality != NONE] == 0).all()
    assert (composite.bands["red"] != NODATA).mean() > (~np.isnan(slow_red.bands["red"])).mean()
    assert {row["band"] for row in composite.ledger if row["outcome"] == "read"} == {"red", "swir16"}


def test_pixels_decide_the_offset_where_metadata_are_wrong(tmp_path):
    plain, shifted = KnownScenes(tmp_path / "plain"), KnownScenes(tmp_path / "shifted")
    scene = plain.add("2024-06-03", cloudy=0.0, bands=("blue", "red", "swir16"))
    for band in ("blue", "red", "swir16"):
        pixels = scene.layers[band][0]
        pixels[:] = np.linspace(100, 3000, pixels.shape[0]).astype(np.uint16)[:, np.newaxis]
    plain.archive.items.clear()
    plain.archive.add("33TVL", "2024-06-03", scene.layers)
    plain.scenes[:] = [scene]
    later = {name: (pixels + np.uint16(1000), box) for name, (pixels, box) in scene.layers.items() if name != "scl"}
    later["scl"] = scene.layers["scl"]
    shifted.archive.add("33TVL", "2024-06-03", later, added_counts=1000)
    shifted.scenes.append(scene)
    item = shifted.archive.items[0]
    item["properties"]["earthsearch:boa_offset_applied"] = True  # it is not
    for band in ("blue", "red", "swir16"):
        item["assets"][band]["raster:bands"][0]["offset"] = 0
    one, other = plain.composed(), shifted.composed()
    assert_array_equal(one.bands["red"], other.bands["red"])
    (row,) = (row for row in other.ledger if row["outcome"] == "selected")
    assert (row["offset_asserted_dn"], row["offset_decided_dn"], row["offset_disagrees"]) == (0, -1000, True)


# ---- how bands are read ----


def test_overviews_are_read_where_the_output_is_twice_as_coarse(known):
    exact, auto, overview = (known.composed(resolution=40.0, read=read) for read in ("exact", "auto", "overview"))
    assert_equal(auto, overview)
    fine = known.composed(resolution=10.0, read="auto")
    assert_equal(fine, known.composed(resolution=10.0, read="exact"))
    held = (auto.bands["red"] != NODATA) & (auto.selected_observation == exact.selected_observation)
    assert (auto.bands["red"][held] != exact.bands["red"][held]).any()
    spread = [composite.bands["red"][held].std() for composite in (auto, exact)]
    assert spread[0] < spread[1]  # an overview averages


class _OtherBand(_Without):
    """An archive whose red lies in the second band of its file."""

    def __init__(self, archive):
        super().__init__(archive, "")

    def find(self, query):
        answer = super().find(query)
        second = [replace(item.assets["red"], band_index=2, size_bytes=None, checksum=None) for item in answer.items]
        items = (
            replace(item, assets={**item.assets, "red": asset})
            for item, asset in zip(answer.items, second, strict=True)
        )
        return replace(answer, items=tuple(items))


@pytest.mark.parametrize("blocks", [{"tiled": True, "blockxsize": 128, "blockysize": 128}, {}], ids=["tiles", "strips"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_band_is_read_from_a_file_of_several_however_they_are_stored(tmp_path, interleave, blocks):
    known = KnownScenes(tmp_path / "archive")
    scene = known.add("2024-06-03", cloudy=0.1, bands=("red", "swir16"))
    expected = known.composed()
    red, geobox = scene.layers["red"]
    with rasterio.open(
        known.folder / scene.id / "red.tif", "w", driver="GTiff", count=3, height=red.shape[0], width=red.shape[1],
        dtype="uint16", crs=str(geobox.crs), transform=geobox.affine, nodata=0, compress="DEFLATE", predictor=2,
        interleave=interleave, **blocks,
    ) as raster:  # fmt: skip
        raster.write(np.stack([red // 2, red, red // 3]))
    assert_equal(compose(_OtherBand(known.opened()), known.request(), threads=3), expected)


def test_blocks_that_are_not_stored_hold_nothing(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    scene = known.add("2024-06-03", cloudy=0.0)
    red, geobox = scene.layers["red"]
    red[:256] = 0
    with rasterio.open(
        known.folder / scene.id / "red.tif", "w", driver="GTiff", count=1, height=red.shape[0], width=red.shape[1],
        dtype="uint16", crs=str(geobox.crs), transform=geobox.affine, nodata=0, compress="DEFLATE", predictor=2,
        tiled=True, blockxsize=256, blockysize=256, SPARSE_OK="TRUE",
    ) as raster:  # fmt: skip
        raster.write(red[np.newaxis])
    del known.archive.items[0]["assets"]["red"]["file:size"]
    assert_is_slow(known, known.composed())


def test_uncertainty_is_the_spread_of_all_usable_observations(known):
    composite = known.composed(emit_uncertainty=True)
    sources = by_id(known, composite)
    each = [slow_composite([scene], ["red", "swir16"], composite.grid) for scene in sources]
    for band, values in composite.bands.items():
        stack = np.stack([np.floor(one.bands[band] + 0.5) for one in each])
        count = (~np.isnan(stack)).sum(axis=0)
        variance = np.zeros(count.shape)
        several = count > 1
        variance[several] = np.nanvar(stack[:, several], axis=0, ddof=1)
        expected = np.maximum(np.sqrt(variance + (0.02 * values.astype(float)) ** 2), 10)
        held = values != NODATA
        assert_array_equal(composite.uncertainty[band] == NODATA, ~held)
        assert np.abs(composite.uncertainty[band][held] - expected[held]).max() <= 1.0


def test_uncertainty_changes_nothing_else(known):
    assert_equal(known.composed(emit_uncertainty=True), known.composed())


# ---- months ----


class _Counting(_Without):
    """An archive that counts its searches."""

    def __init__(self, archive):
        super().__init__(archive, "")
        self.searches = 0

    def find(self, query):
        self.searches += 1
        return super().find(query)


def test_months_in_one_call_are_those_of_single_calls_from_one_search(tmp_path):
    known = KnownScenes(tmp_path / "archive")
    for seed, day in enumerate(("2024-05-03", "2024-05-13", "2024-06-03", "2024-06-23")):
        known.add(day, seed=seed)
    archive = _Counting(known.opened())
    months = ["2024-05", "2024-06", "2024-07"]
    together = list(compose_periods(archive, known.request(), [period_of(month) for month in months], threads=3))
    assert archive.searches == 1
    for month, composite in zip(months, together, strict=True):
        assert_equal(composite, compose(archive, known.request(datetime=month), threads=3))
    assert [composite.reason is None for composite in together] == [True, True, False]


def test_progress_only_grows_and_ends_with_the_whole(known):
    told = []
    compose(known.opened(), known.request(), progress=lambda step, share: told.append((step, share)), threads=3)
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert told[-1] == ("done", 1.0)


def test_the_meter_of_the_caller_counts_what_the_composite_read(known):
    meter = Meter()
    composite = compose(known.opened(), known.request(), meter=meter)
    assert meter.snapshot() == composite.traffic


def test_one_pixel_is_a_composite_too(known):
    west, south, east, north = known.area
    lon, lat = (west + east) / 2, (south + north) / 2
    composite = known.composed(bbox=(lon, lat, lon + 1e-7, lat + 1e-7), resolution=60.0)
    assert composite.grid.shape == (1, 1)
    assert_is_slow(known, composite)
