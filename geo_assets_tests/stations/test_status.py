"""Where products stand when something before them is damaged."""

from pathlib import Path

import pytest

from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.io.products import State
from geo_assets.stations.line import Line, run_station
from geo_assets.stations.opening import Surroundings
from geo_assets.stations.status import standings
from geo_assets_tests.scenery.trivial_line import region_file, trivial_resource, trivial_stations

JUNE = Month(2024, 6)
STATIONS = trivial_stations()[:5]


@pytest.fixture
def line(tmp_path) -> Line:
    """A line with the first five stations done in June."""
    file = region_file(tmp_path, tiles=["33TVL"], last="2024-06")
    line = trivial_resource(Surroundings(file, str(tmp_path / "store"), tmp_path / "home", 1)).open()
    for station in STATIONS:
        run_station(line, station, Place(station.name, "33TVL", JUNE))
    return line


def folder_of(line: Line, station: str) -> Path:
    return Path(line.products.store.url) / line.region.name / Place(station, "33TVL", JUNE).folder


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("manifest.json", lambda text: text[:100]),
        ("manifest.json", lambda text: text.replace('"tile": "33TVL"', '"tile": "33TWL"')),
        ("note.json", lambda text: text[:-1]),
    ],
    ids=["unreadable manifest", "misplaced manifest", "damaged file"],
)
def test_what_was_made_from_a_corrupt_product_is_stale_for_it(line, file, damage):
    path = folder_of(line, "scout") / file
    before = path.read_text()
    path.write_text(damage(before))
    assert path.read_text() != before
    found = {standing.place.station: standing for standing in standings(line, STATIONS)}
    assert [found[station.name].state for station in STATIONS] == [
        State.DONE,
        State.CORRUPT,
        State.STALE,
        State.STALE,
        State.STALE,
    ]
    assert found["fetch"].reason == "scout 33TVL 2024-06 is corrupt"
    assert found["hybrid_mask"].reason == "fetch 33TVL 2024-06 is not done"


def test_a_missing_product_behind_a_corrupt_one_stays_missing(line):
    (folder_of(line, "scout") / "manifest.json").write_text("{")
    (folder_of(line, "fetch") / "manifest.json").unlink()
    found = {standing.place.station: standing.state for standing in standings(line, STATIONS)}
    assert found["scout"] is State.CORRUPT
    assert found["fetch"] in (State.MISSING, State.INCOMPLETE)
