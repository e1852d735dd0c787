"""Real programs, small ones: sh, cp and Python stand in for the Fmasks, which write the same kinds of files."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_array_equal
from odc.geo.geobox import GeoBox

from geo_assets.domain.bands import HYBRID_BANDS, SENTINEL2_BANDS
from geo_assets.domain.errors import DetectorError, GridMismatchError, RegionError
from geo_assets.io.detectors.external_fmask import ExternalFmask, fmask_on_grid
from geo_assets.io.detectors.program_run import SAID_BYTES, Outside, without_secrets
from geo_assets.io.detectors.scene_facts import SceneFacts
from geo_assets.kernels.detection import Detector, detected
from geo_assets.kernels.quality import DetectorBit, MaskCode
from geo_assets.kernels.quality_layers import FmaskEncoding
from geo_assets_tests.scenery.detector_scenes import CORNER, GRID, SCENE, small_scene, write_raster

CLEAR, CLOUD, SHADOW, SNOW, WATER, FILL = MaskCode
FMASK4, PYTHON_FMASK, HLS_BITS = FmaskEncoding
SPELT = {
    FMASK4: {CLEAR: 0, WATER: 1, SHADOW: 2, SNOW: 3, CLOUD: 4, FILL: 255},
    PYTHON_FMASK: {FILL: 0, CLEAR: 1, CLOUD: 2, SHADOW: 3, SNOW: 4, WATER: 5},
    HLS_BITS: {CLEAR: 0b1100_0100, CLOUD: 0b0010_0010, SHADOW: 0b1000, SNOW: 0b1_0000, WATER: 0b10_0000, FILL: 255},
}
RNG = np.random.default_rng(4)
TRUTH = RNG.choice(np.array([CLEAR, CLOUD, SHADOW, SNOW, WATER], np.uint8), GRID.shape)


def spelt(codes, encoding=FMASK4):
    return np.vectorize({int(code): value for code, value in SPELT[encoding].items()}.get)(codes).astype(np.uint8)


def external(command, *, encoding=FMASK4, **settings):
    return ExternalFmask(encoding, command=str(command), **settings)


@pytest.fixture
def ready(tmp_path) -> Path:
    """What a well-behaved program writes."""
    return write_raster(tmp_path / "ready.tif", spelt(TRUTH))


@pytest.mark.parametrize("encoding", FmaskEncoding)
@pytest.mark.parametrize("output", ["{output}", "{output}.tif", "{output}/", "{output}/deep.tif"])
def test_what_the_program_writes_becomes_the_mask_in_every_encoding_and_way_of_writing(tmp_path, encoding, output):
    ready = write_raster(tmp_path / "ready.tif", spelt(TRUTH, encoding))
    detection = detected(external(f"cp {ready} {output}", encoding=encoding), small_scene())
    assert_array_equal(detection.codes, TRUTH)
    assert detection.skipped == ()


def test_a_program_may_make_its_own_folder_and_write_imagine_files(tmp_path):
    img = write_raster(tmp_path / "ready.img", spelt(TRUTH, PYTHON_FMASK), driver="HFA")
    command = f'sh -c \'mkdir "$1" && cp {img} "$1"\' sh {{output}}'
    assert_array_equal(detected(external(command, encoding=PYTHON_FMASK), small_scene()).codes, TRUTH)


def test_it_is_a_detector_that_needs_bands_only_where_the_command_takes_them():
    by_path, by_bands = ExternalFmask(FMASK4, path="x.tif"), external("fmask {bands} {output}")
    assert isinstance(by_path, Detector)
    assert (by_path.name, by_path.bit) == ("external_fmask", DetectorBit.EXTERNAL_FMASK)
    assert by_path.bands == ()
    assert "L2A" in by_path.levels
    assert by_bands.bands == HYBRID_BANDS
    assert by_bands.levels == ("L1C",)


def test_bands_are_handed_over_as_reflectance_without_offset(tmp_path, ready):
    counts = np.arange(48, dtype=np.uint16).reshape(GRID.shape) * 100
    counts[-1, -1] = 65535
    valid = np.ones(GRID.shape, bool)
    valid[0, 1] = False
    scene = small_scene(valid, bands=dict.fromkeys(HYBRID_BANDS, counts))
    command = f'sh -c \'cp -r "$1" {tmp_path}/kept && cp {ready} "$2"\' sh {{bands}} {{output}}'
    detected(external(command), scene)
    expected = np.maximum(counts.astype(int) - 1000, 1)
    expected[0, 1], expected[-1, -1] = 0, 65535
    names = {f"{SENTINEL2_BANDS[name].number}.tif" for name in HYBRID_BANDS}
    assert {path.name for path in (tmp_path / "kept").iterdir()} == names
    for name in names:
        with rasterio.open(tmp_path / "kept" / name) as band:
            assert (band.dtypes, band.nodata, band.crs.to_epsg()) == (("uint16",), 0, 32633)
            assert GeoBox.from_rio(band) == GRID
            assert_array_equal(band.read(1), expected)


def test_a_real_program_makes_its_mask_from_the_bands(tmp_path):
    program = tmp_path / "brightness mask.py"
    program.write_text(
        "import sys, rasterio\n"
        "with rasterio.open(sys.argv[1] + '/B02.tif') as band:\n"
        "    profile, blue = band.profile, band.read(1)\n"
        "profile.update(dtype='uint8', nodata=255)\n"
        "with rasterio.open(sys.argv[2], 'w', **profile) as mask:\n"
        "    mask.write(((blue > 2500) * 4).astype('uint8'), 1)\n"
    )
    counts = RNG.integers(1001, 6000, GRID.shape).astype(np.uint16)
    scene = small_scene(bands=dict.fromkeys(HYBRID_BANDS, counts))
    detection = detected(external(f"{sys.executable} '{program}' {{bands}} {{output}}"), scene)
    assert_array_equal(detection.codes, np.where(counts - 1000 > 2500, CLOUD, CLEAR))


def test_what_was_not_seen_is_fill_and_what_the_file_does_not_know_is_told(tmp_path):
    lacking = TRUTH.copy()
    lacking[0, :3] = FILL
    ready = write_raster(tmp_path / "ready.tif", spelt(lacking))
    valid = np.ones(GRID.shape, bool)
    valid[:, 0] = False
    detection = detected(external(f"cp {ready} {{output}}"), small_scene(valid))
    assert_array_equal(detection.codes, np.where(valid, lacking, FILL))
    assert detection.skipped == ("external_fmask: 2 of 40 seen pixels are fill in fmask",)


# SAFE folders


@pytest.fixture
def safe(tmp_path) -> Path:
    granule = tmp_path / "S2B MSIL1C.SAFE" / "GRANULE" / "L1C_T33TVL_A037"
    granule.mkdir(parents=True)
    return granule.parent.parent


FMASK_4 = "sh -c 'cd \"$1\" && mkdir -p FMASK_DATA && cp READY FMASK_DATA/L1C_T33TVL_A037_Fmask4.tif' sh {granule}"
FMASK_5 = 'sh -c \'cp READY "$1/S2B_UPL.tif" && cp READY "$1/preview.tif"\' sh {safe}'


@pytest.mark.parametrize("command", [FMASK_4, FMASK_5])
def test_what_fmask_leaves_in_the_safe_folder_is_found(safe, ready, command):
    program = external(command.replace("READY", str(ready)), facts=SceneFacts(safe=safe))
    assert_array_equal(detected(program, small_scene()).codes, TRUTH)
    assert_array_equal(detected(program, small_scene()).codes, TRUTH)  # written anew over the first one


def test_what_an_earlier_run_left_in_the_safe_folder_is_not_taken_for_a_result(safe, ready):
    write_raster(safe / "S2B_UPL.tif", spelt(TRUTH))
    with pytest.raises(DetectorError, match=r"wrote no raster.*not skip what it has made before"):
        detected(external("ls {safe}", facts=SceneFacts(safe=safe)), small_scene())


@pytest.mark.parametrize(
    ("facts", "problem"), [(SceneFacts(), "has none on disk"), (SceneFacts(safe=Path("/none.SAFE")), "/none.SAFE")]
)
def test_a_command_for_safe_folders_needs_one(facts, problem):
    with pytest.raises(DetectorError, match=rf"{problem}.*\{{bands\}}"):
        detected(external("fmask {safe} {output}", facts=facts), small_scene())


def test_a_safe_folder_of_several_tiles_is_refused(safe):
    (safe / "GRANULE" / "another").mkdir()
    with pytest.raises(DetectorError, match="found 2 folders"):
        detected(external("ls {granule}", facts=SceneFacts(safe=safe)), small_scene())


# Programs that fail


FAILING = {
    "fails": ("sh -c 'echo out of licences >&2; exit 3' sh {output}", r"ended with code 3.*It said: out of licences"),
    "is killed": ("sh -c 'kill -9 $$' sh {output}", r"killed by signal 9.*It said nothing"),
    "is missing": ("no-such-program {output}", r"'no-such-program' cannot be started \(No such file.*whole path"),
    "writes nothing": ("true {output}", r"wrote no raster, expected one"),
    "writes two": (
        'sh -c \'cp READY "$1"/a.tif; cp READY "$1"/b.tif\' sh {output}/',
        r"wrote a\.tif, b\.tif, expected",
    ),
    "writes garbage": ("sh -c 'echo garbage > \"$1\"' sh {output}.tif", r"fmask\.tif cannot be read .*Make it again"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_program_that_fails_is_told_with_what_to_do(ready, case):
    command, problem = FAILING[case]
    with pytest.raises(DetectorError, match=f"(?s){SCENE}.*{problem}"):
        detected(external(command.replace("READY", str(ready))), small_scene())


def with_values(values, **more):
    return lambda path: write_raster(path, values, **more)


def cut_short(path):
    write_raster(path, np.zeros(GRID.shape, np.uint8))
    path.write_bytes(path.read_bytes()[:-20])


ONE = np.zeros(GRID.shape, np.uint8)
MANY = np.zeros((99, 99), np.uint8)
TURNED = Affine.translation(*CORNER) * Affine.rotation(9) * Affine.scale(60, -60)
WEST, NORTH = CORNER
BAD_RASTERS = {
    "cut short": (cut_short, DetectorError, "cannot be read"),
    "unknown code": (with_values(ONE + 7), DetectorError, r"found the value 7, expected one of 0, 1, 2, 3, 4, 255"),
    "words": (with_values(ONE.astype(np.int16)), DetectorError, r"1 band\(s\) of int16, expected one of uint8"),
    "two bands": (with_values(np.stack([ONE, ONE])), DetectorError, r"2 band\(s\) of uint8"),
    "another CRS": (with_values(ONE, crs="EPSG:32634"), GridMismatchError, "EPSG:32634, expected EPSG:32633"),
    "no CRS": (with_values(ONE, crs=None), GridMismatchError, "no CRS"),
    "half a pixel off": (with_values(MANY, corner=(WEST - 30, NORTH + 30)), GridMismatchError, "shifted"),
    "elsewhere": (with_values(ONE, corner=(WEST + 60, NORTH)), GridMismatchError, "does not cover"),
    "too small": (with_values(ONE[1:]), GridMismatchError, "does not cover"),
    "odd pixels": (with_values(MANY, pixel_m=19.9), GridMismatchError, "share its lines"),
    "turned": (with_values(ONE, transform=TURNED), GridMismatchError, "north-up"),
    "much too fine": (with_values(ONE, pixel_m=0.01), GridMismatchError, "at most 32 to one"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RASTERS)
def test_a_raster_that_is_not_the_scenes_fmask_is_refused(tmp_path, case):
    write, error, problem = BAD_RASTERS[case]
    write(tmp_path / "bad.tif")
    with pytest.raises(error, match=rf"(?s){SCENE}.*{problem}"):
        detected(external(f"cp {tmp_path / 'bad.tif'} {{output}}"), small_scene())


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    command = f"sh -c 'sleep 99 & echo $! > {tmp_path}/child; echo waiting; wait' sh {{output}}"
    started = time.monotonic()
    with pytest.raises(DetectorError, match=r"did not end within 0\.5 s.*Raise timeout_s.*It said: waiting"):
        detected(external(command, timeout_s=0.5), small_scene())
    assert time.monotonic() - started < 5
    assert not alive(int((tmp_path / "child").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_a_program_that_will_not_stop_is_killed_all_the_same(tmp_path):
    command = f"sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done' sh {{output}}"
    with pytest.raises(DetectorError, match="did not end within"):
        detected(external(command, timeout_s=0.2), small_scene())
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_what_a_program_leaves_running_is_killed_when_it_ends(tmp_path, ready):
    command = f"sh -c 'sleep 99 & echo $! > {tmp_path}/child; cp {ready} \"$1\"' sh {{output}}"
    detected(external(command), small_scene())
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_program_works_in_a_folder_of_its_own_that_goes_away(tmp_path, ready):
    command = (
        f"sh -c 'pwd > {tmp_path}/where; echo $TMPDIR >> {tmp_path}/where; touch left; cp {ready} \"$1\"' sh {{output}}"
    )
    detected(external(command), small_scene())
    where, temporary = (tmp_path / "where").read_text().split()
    assert Path(where).samefile(temporary) if Path(where).exists() else where == temporary
    assert not Path(where).parent.exists()
    with pytest.raises(DetectorError):
        detected(external(f"sh -c 'pwd > {tmp_path}/where; exit 1' sh {{output}}"), small_scene())
    assert not Path((tmp_path / "where").read_text().strip()).parent.exists()


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret-1",
    "AWS_SESSION_TOKEN": "secret-2",
    "PC_SDK_SUBSCRIPTION_KEY": "secret-3",
    "CDSE_PASSWORD": "secret-4",
    "GEO_ASSETS_STORE": "s3://bucket",
    "MY_API_KEY": "secret-5",
    "MYSQL_PWD": "secret-7",
    "SIGNING_KEY": "secret-8",
    "PGPASSFILE": "secret-9",
    "https_proxy": "http://user:secret-6@proxy:8080",
}


def test_a_program_sees_the_environment_without_the_secrets(tmp_path, ready):
    plain = {"PATH": os.defpath, "LD_LIBRARY_PATH": "/opt/mcr", "OLDPWD": "/", "MLM_LICENSE_FILE": "/opt/license"}
    environment = {**plain, **SECRETS}
    assert without_secrets(environment) == plain
    command = f"sh -c 'env > {tmp_path}/seen; cp {ready} \"$1\"' sh {{output}}"
    detected(external(command, outside=Outside(environment)), small_scene())
    seen = (tmp_path / "seen").read_text()
    assert "LD_LIBRARY_PATH=/opt/mcr" in seen
    assert not any(name in seen or value in seen for name, value in SECRETS.items())
    assert "secret-6" not in repr(external("a {output}", outside=Outside(SECRETS)))


def test_what_a_program_says_is_kept_to_a_limit(tmp_path):
    say = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 1"
    with pytest.raises(DetectorError, match=r"line 19999$") as failure:
        detected(external(f"sh -c '{say}' sh {{output}}", outside=Outside(log_folder=tmp_path / "logs")), small_scene())
    assert len(str(failure.value)) < 1500
    said = (tmp_path / "logs" / f"{SCENE}.external_fmask.log").read_text()
    assert len(said) == SAID_BYTES
    assert said.endswith("line 19999\n")


# Names from a catalogue


@pytest.mark.parametrize("scene", ["x; touch hacked", "-rf", "../../etc/passwd", "$(touch hacked)", ""])
def test_a_scenes_id_cannot_become_an_option_a_path_or_a_command(tmp_path, scene):
    for detector in (external("cp {scene} {output}"), ExternalFmask(FMASK4, path="{scene}.tif", folder=tmp_path)):
        with pytest.raises(DetectorError, match="expected letters, digits"):
            detected(detector, small_scene(scene=scene))


def test_no_shell_reads_the_command(tmp_path, ready):
    with pytest.raises(DetectorError, match="ended with code"):
        detected(external(f"cp {ready} {{output}} && touch {tmp_path}/hacked"), small_scene())
    assert not (tmp_path / "hacked").exists()


# Ready-made files


def test_a_ready_made_file_is_named_by_scene_tile_and_date(tmp_path):
    write_raster(tmp_path / f"33TVL_20240613_{SCENE}.tif", spelt(TRUTH, HLS_BITS))
    facts = SceneFacts(tile="33TVL", date="20240613")
    detector = ExternalFmask(HLS_BITS, path="{tile}_{date}_{scene}.tif", folder=tmp_path, facts=facts)
    assert_array_equal(detected(detector, small_scene(bands={}, level="L2A", offset=0)).codes, TRUTH)


def test_a_ready_made_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DetectorError, match=rf"there is no file {tmp_path}/{SCENE}\.tif"):
        detected(ExternalFmask(FMASK4, path="{scene}.tif", folder=tmp_path), small_scene())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "found neither"),
        ({"command": "a {output}", "path": "b"}, "found both"),
        ({"command": "a {result}"}, r"external_fmask\.command: found the placeholder \{result\}"),
        ({"path": "{safe}.tif"}, r"external_fmask\.path: found the placeholder \{safe\}"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_scene_is_met(settings, problem):
    with pytest.raises(RegionError, match=problem):
        ExternalFmask(FMASK4, **settings)


# Other pixel sizes


def slowly_most_restrictive(codes, pixel_m, offset_px, geobox):
    """Each mask pixel's code by the ground that it shares with each pixel of the raster."""
    order = [CLOUD, SHADOW, SNOW, WATER, CLEAR, FILL]
    size = geobox.resolution.x
    cells = np.empty(geobox.shape, np.uint8)
    for row, col in np.ndindex(*map(int, geobox.shape)):
        touched = [
            codes[r, c]
            for r, c in np.ndindex(codes.shape)
            if (r - offset_px) * pixel_m < (row + 1) * size - 1e-6 and (r + 1 - offset_px) * pixel_m > row * size + 1e-6
            if (c - offset_px) * pixel_m < (col + 1) * size - 1e-6 and (c + 1 - offset_px) * pixel_m > col * size + 1e-6
        ]
        cells[row, col] = next(code for code in order if code in touched)
    return cells


@pytest.mark.parametrize(("pixel_m", "mask_m"), [(20, 60), (10, 60), (20, 30), (30, 20), (60, 20), (20, 20), (12, 30)])
@pytest.mark.parametrize("offset_px", [0, 3])
def test_other_pixel_sizes_take_the_most_restrictive_code_that_they_touch(tmp_path, pixel_m, mask_m, offset_px):
    geobox = GeoBox((4, 3), Affine(mask_m, 0, CORNER[0], 0, -mask_m, CORNER[1]), "EPSG:32633")
    corner = (CORNER[0] - offset_px * pixel_m, CORNER[1] + offset_px * pixel_m)
    side = 4 * mask_m // pixel_m + 5
    codes = RNG.choice(np.array([*MaskCode], np.uint8), (side, side), p=[0.7, 0.03, 0.05, 0.05, 0.07, 0.1])
    path = write_raster(tmp_path / "fine.tif", spelt(codes), pixel_m=pixel_m, corner=corner)
    found, found_m = fmask_on_grid(path, geobox, FMASK4, "Fmask")
    assert found_m == pixel_m
    assert_array_equal(found, slowly_most_restrictive(codes, pixel_m, offset_px, geobox))


def test_a_real_python_fmask_of_20_m_comes_to_a_mask_of_60_m(shared_data):
    path = next((shared_data / "masks").glob("*_fmask_20m.tif"))
    with rasterio.open(path) as dataset:
        values, (west, _, _, north) = dataset.read(1)[2400:3600, 2400:3900], dataset.bounds
    geobox = GeoBox((400, 500), Affine(60, 0, west + 48_000, 0, -60, north - 48_000), "EPSG:32753")
    found, _ = fmask_on_grid(path, geobox, PYTHON_FMASK, "Fmask")
    cells = values.reshape(400, 3, 500, 3).transpose(0, 2, 1, 3).reshape(400, 500, 9)
    expected = np.full(geobox.shape, FILL, np.uint8)
    for value, code in ((1, CLEAR), (5, WATER), (4, SNOW), (3, SHADOW), (2, CLOUD)):
        expected[(cells == value).any(axis=2)] = code
    assert_array_equal(found, expected)
    assert set(np.unique(found)) >= {CLEAR, CLOUD, SHADOW}


def test_a_real_hls_layer_comes_to_a_mask_of_its_own_grid(shared_data):
    path = next((shared_data / "hls").glob("*.Fmask.tif"))
    with rasterio.open(path) as dataset:
        values, geobox = dataset.read(1), GeoBox.from_rio(dataset)
    found, _ = fmask_on_grid(path, geobox, HLS_BITS, "Fmask")
    assert_array_equal(found == FILL, values == 255)
    assert_array_equal(found == CLOUD, (values != 255) & (values & 0b11 > 0))
