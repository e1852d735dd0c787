"""Region files as clumsy and hostile users write them."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geo_assets.domain.errors import RegionError
from geo_assets.domain.region import Region
from geo_assets.domain.tile_month import Month
from geo_assets.io.region_file import read_region
from geo_assets.stations.opening import demo_region_file

NOW = datetime(2024, 8, 10, tzinfo=UTC)
SOUND = """\
name: valley
area: [14.5, 45.8, 14.7, 45.95]
months: {first: 2024-01, last: 2024-02}
archive: demo
bands: [red]
resolution: 60
"""
POLYGON = {"type": "Polygon", "coordinates": [[[14.5, 45.8], [14.7, 45.8], [14.7, 45.9], [14.5, 45.8]]]}


def written(folder: Path, content: str | bytes = SOUND) -> Path:
    path = folder / "region.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> Region:
    return read_region(path, now=NOW)


def refusal_of(path: Path) -> str:
    began = time.monotonic()
    with pytest.raises(RegionError) as refusal:
        read(path)
    assert time.monotonic() - began < 5
    message = str(refusal.value)
    assert message.startswith(f"Region file {path}")
    assert len(message) < 1000
    return message


def with_area(folder: Path, area: str) -> Path:
    return written(folder, SOUND.replace("[14.5, 45.8, 14.7, 45.95]", area))


def test_the_bundled_demo_region_is_sound():
    assert read_region(demo_region_file()).name == "demo"


def test_a_sound_file_is_read(tmp_path):
    region = read(written(tmp_path))
    assert (region.name, region.tile_ids, region.resolution) == ("valley", ("33TVL",), 60)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + SOUND.encode(), SOUND.replace("\n", "\r\n").encode()])
def test_files_as_windows_writes_them_are_read(tmp_path, content):
    assert read(written(tmp_path, content)).name == "valley"


def test_a_month_may_be_written_as_text_too(tmp_path):
    assert read(written(tmp_path, SOUND.replace("2024-01", "'2024-01'"))).months.first == Month(2024, 1)


def test_a_month_that_is_written_as_a_date_is_shown_as_it_was_written(tmp_path):
    message = refusal_of(written(tmp_path, SOUND.replace("2024-01", "2024-01-01")))
    assert "months.first: found '2024-01-01'" in message
    assert "expected YYYY-MM" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "found nothing"),
        ("# only a comment\n", "found nothing"),
        ("hello\n", "found str"),
        ("- a\n- b\n", "found list"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (SOUND.encode("utf-16"), "not UTF-8"),
        ("name:\ta\n\tb: c", "at line 1"),
        (b"name: \0", "YAML"),
        (SOUND + "---\n" + SOUND, "line 7"),
        (SOUND + "x: !!python/object/apply:os.system [\"false\"]\n", "line 7"),
        (SOUND + "resolution: 20\n", "line 7 (key 'resolution' is written a second time"),
        (SOUND.replace("last:", "first:"), "line 3 (key 'first' is written a second time"),
        (SOUND + "? [a, b]\n: 2\n", "line 7"),
        (SOUND + "1: 2\n", "a key must be text"),
        (SOUND + "2024-01-01: 2\n", "unknown key '2024-01-01'"),
        ("a: " + "[" * 20_000, "nested too deeply"),
        (SOUND.replace("60", "9" * 5000), "cannot be"),
        ("a: &a [*a]\n" + SOUND, "alias *a"),
        ("x: &m {first: 2024-01}\n" + SOUND.replace("{first: 2024-01, last: 2024-02}", "*m"), "line 4 (alias *m"),
        ("x" * (2 << 20), "over 1 MiB"),
    ],
)  # fmt: skip
def test_what_is_no_region_file_is_refused_with_the_line_and_the_reason(tmp_path, content, said):
    message = refusal_of(written(tmp_path, content))
    assert said in message


def test_a_page_of_aliases_that_stands_for_gigabytes_is_refused_at_once(tmp_path):
    lines = ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    for before, name in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    message = refusal_of(written(tmp_path, "\n".join(lines) + "\n" + SOUND.replace("[red]", "*q")))
    assert "alias *a" in message


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path):
    assert "No such file" in refusal_of(tmp_path / "nowhere.yaml")
    assert "is a folder" in refusal_of(tmp_path)
    assert "no regular file" in refusal_of(Path("/dev/zero"))
    assert "Not a directory" in refusal_of(written(tmp_path) / "below.yaml")


def test_a_geojson_path_is_relative_to_the_region_file(tmp_path, monkeypatch):
    (tmp_path / "outlines").mkdir()
    (tmp_path / "outlines/field.geojson").write_text(json.dumps(POLYGON))
    path = with_area(tmp_path, "outlines/field.geojson")
    monkeypatch.chdir("/")
    assert read(path).geometry.area == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"type": "Poly', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"", "is not JSON"),
        (b"[1, 2, 3, 4]", "is not a GeoJSON object"),
        (b'{"type": "Feature", "geometry": null}', "is a Feature without geometry"),
        (b'{"type": "Point", "coordinates": [14, 45]}', "is a Point"),
        (b'{"type": "FeatureCollection", "features": []}', "holds no feature"),
        (b'{"type": "Polygon", "coordinates": [[[NaN, 45], [15, 45], [15, 46], [NaN, 45]]]}', "Polygon"),
    ],
)
def test_a_geojson_file_that_is_no_area_is_named_with_the_reason(tmp_path, content, said):
    (tmp_path / "field.geojson").write_bytes(content)
    message = refusal_of(with_area(tmp_path, "field.geojson"))
    assert f"area: {tmp_path / 'field.geojson'}" in message
    assert said in message


@pytest.mark.parametrize(
    ("area", "said"),
    [
        ("nowhere.geojson", "No such file"),
        ("''", "is a folder"),
        ("/dev/zero", "no regular file"),
        ('"a\\0b.geojson"', "printable"),
    ],
)
def test_a_geojson_path_that_leads_nowhere_is_refused(tmp_path, area, said):
    assert said in refusal_of(with_area(tmp_path, area))


def test_a_local_archive_is_relative_to_the_region_file(tmp_path, monkeypatch):
    path = written(tmp_path, SOUND.replace("demo", "local:scenes/items.json"))
    monkeypatch.chdir("/")
    assert read(path).archive == f"local:{(tmp_path / 'scenes/items.json').resolve()}"


@pytest.mark.parametrize("archive", ['"local:a\\0b"', '"local:a\\nb"'])
def test_an_archive_path_of_odd_characters_is_refused(tmp_path, archive):
    assert "printable" in refusal_of(written(tmp_path, SOUND.replace("demo", archive)))


def test_paths_of_detectors_start_from_the_region_file(tmp_path):
    mask = (
        "mask:\n"
        "  detectors: [external_fmask, scores, omnicloudmask]\n"
        "  l1c_archive: local:l1c/items.json\n"
        "  external_fmask: {encoding: fmask4, path: 'masks/{scene}_Fmask4.tif'}\n"
        "  scores: {path: '../scores/{tile}_{date}.tif', high_is: clear}\n"
        "  omnicloudmask: {weights: weights}\n"
    )
    (tmp_path / "valley").mkdir()
    found = read(written(tmp_path / "valley", SOUND + mask)).mask
    assert found.l1c_archive == f"local:{tmp_path / 'valley' / 'l1c' / 'items.json'}"
    assert found.external_fmask.path == str(tmp_path / "valley" / "masks" / "{scene}_Fmask4.tif")
    assert found.scores.path == str(tmp_path / "scores" / "{tile}_{date}.tif")
    assert found.omnicloudmask.weights == str(tmp_path / "valley" / "weights")


def test_a_detector_that_nobody_brings_along_is_refused_with_the_ones_there_are(tmp_path, monkeypatch):
    path = written(tmp_path, SOUND + "mask: {detectors: [haze_finder]}\n")
    assert "found 'haze_finder', expected auto, or a list of quality, s2cloudless" in refusal_of(path)
    monkeypatch.setattr("geo_assets.io.region_file.plug_in_names", lambda: ("haze_finder",))
    assert read(path).mask.detectors == ("haze_finder",)
