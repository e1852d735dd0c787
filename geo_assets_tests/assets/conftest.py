"""A small region with trivial stations, and an instance to run it in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from geo_assets.io.places import Place
from geo_assets.orchestration.backfill import BackfillReport, backfill
from geo_assets.stations.line import Line
from geo_assets.stations.opening import Surroundings
from geo_assets_tests.scenery.trivial_line import (
    poison,
    region_file,
    trivial_definitions,
    trivial_resource,
    trivial_stations,
)


@dataclass(frozen=True)
class Setting:
    """A region, its definitions, and the instance that remembers its runs."""

    surroundings: Surroundings
    definitions: dg.Definitions
    line: Line
    instance: dg.DagsterInstance

    @property
    def tiles(self) -> tuple[str, ...]:
        return self.line.region.tile_ids

    def backfill(self, **wishes) -> BackfillReport:
        stations = trivial_stations(harmonised=self.line.region.mosaic.harmonise != "none")
        return backfill(self.definitions, self.line, self.instance, **{"stations": stations, **wishes})

    def poison(self, place: Place, *, passing: bool = False) -> Path:
        return poison(Path(self.surroundings.store), place, passing=passing)

    def materializations(self, name: str) -> dict[str, dg.EventLogEntry]:
        """Partition -> its newest materialization; None stands for an asset without partitions."""
        records = self.instance.fetch_materializations(dg.AssetKey(name), limit=1000, ascending=True).records
        return {record.partition_key: record.event_log_entry for record in records}


@pytest.fixture
def make_setting(tmp_path) -> Iterator:
    instances = []

    def make(tiles=("33TVL", "33TWL"), *, harmonised=False) -> Setting:
        file = region_file(tmp_path, tiles=tiles, harmonised=harmonised)
        surroundings = Surroundings(file, str(tmp_path / "store"), tmp_path / "home", 1)
        instances.append(dg.DagsterInstance.ephemeral())
        line = trivial_resource(surroundings).open()
        return Setting(surroundings, trivial_definitions(surroundings), line, instances[-1])

    yield make
    for instance in instances:
        instance.dispose()


@pytest.fixture
def setting(make_setting) -> Setting:
    return make_setting()
