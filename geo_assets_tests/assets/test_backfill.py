"""A backfill goes round what fails, finishes everything else, and names the bad."""

import signal
import threading
from dataclasses import replace

import pytest

from geo_assets.domain.errors import RegionError
from geo_assets.domain.tile_month import Month
from geo_assets.io.places import Place
from geo_assets.orchestration.backfill import _Ledger
from geo_assets.orchestration.backfill_plan import BackfillPlan
from geo_assets.orchestration.materialization import PartitionDone
from geo_assets.stations.line import run_station
from geo_assets_tests.scenery.trivial_line import trivial_stations

JUNE, JULY = Month(2024, 6), Month(2024, 7)
ROW = ("33TVL", "33TWL", "33TXL", "33TYL")
TILED = 7


def test_everything_is_made_in_three_runs(setting):
    seen = []
    report = setting.backfill(on_progress=seen.append)
    assert report.ok
    assert len(report.built) == TILED * 4 + 2 + 1
    assert len(report.runs) == 3
    assert [progress.finished for progress in seen] == list(range(1, len(report.built) + 1))
    assert {progress.total for progress in seen} == {len(report.built)}
    assert all(run.tags["geo_assets/backfill"] for run in setting.instance.get_runs())


def test_between_composites_and_mosaics_a_harmonised_month_waits_for_all_of_its_tiles(make_setting):
    setting = make_setting(harmonised=True)
    seen = []
    report = setting.backfill(on_progress=lambda progress: seen.append(progress.done.place.station))
    assert report.ok
    assert not report.waiting
    assert len(report.built) == (TILED + 1) * 4 + 2 * 2 + 1
    assert len(report.runs) == 5  # tiles, harmonisation, mosaics, region, everything
    order = list(dict.fromkeys(seen))
    assert order.index("overlap_statistics") < order.index("harmonisation") < order.index("seam_blended_mosaic")


def test_a_month_with_a_bad_tile_is_not_harmonised_and_the_others_are(make_setting):
    setting = make_setting(harmonised=True)
    setting.poison(Place("fetch", setting.tiles[0], JULY))
    report = setting.backfill()
    blocked = {place for place, _ in report.blocked}
    assert Place("harmonisation", None, JULY) in blocked
    assert {Place("seam_blended_mosaic", tile, JULY) for tile in setting.tiles} <= blocked
    assert {place.month for place in report.built if place.station == "seam_blended_mosaic"} == {JUNE}


def test_a_second_backfill_makes_nothing(setting):
    setting.backfill()
    again = setting.backfill()
    assert again.ok
    assert again.built == ()
    assert len(again.reused) == TILED * 4 + 2 + 1


def test_one_bad_fetch_leaves_only_its_dependants_unbuilt(make_setting):
    setting = make_setting(tiles=ROW)
    order = setting.line.region.tile_ids
    bad = Place("fetch", order[0], JULY)
    setting.poison(bad)
    report = setting.backfill()
    assert not report.ok
    assert [place for place, _ in report.failed] == [bad]
    assert "scene poisoned" in report.failed[0][1]
    blocked = {place for place, _ in report.blocked}
    tile_month_stations = ("hybrid_mask", "monthly_composite", "normalization_stats")
    neighbour = next(tile for tile in order if tile != bad.tile and tile in {"33TWL", "33TXL"})
    expected = {Place(name, bad.tile, JULY) for name in tile_month_stations}
    expected |= {Place("seam_blended_mosaic", tile, JULY) for tile in (bad.tile, neighbour)}
    expected |= {Place("region_mosaic", None, JULY), Place("dataset_stats")}
    assert blocked == expected
    asked = TILED * len(order) * 2 + 2 + 1
    assert len(report.built) == asked - len(expected) - 1
    assert all(setting.line.products.find(place) for place in report.built)


def test_after_the_cause_is_gone_only_the_missing_are_built(make_setting):
    setting = make_setting(tiles=ROW)
    poisoned = setting.poison(Place("fetch", setting.line.region.tile_ids[1], JUNE))
    first = setting.backfill()
    poisoned.unlink()
    second = setting.backfill()
    assert second.ok
    assert set(second.built) == {place for place, _ in (*first.failed, *first.blocked)}


def test_a_part_of_the_region_is_made_as_far_as_it_stands_alone(make_setting):
    setting = make_setting(tiles=ROW)
    report = setting.backfill(tiles=["33TVL"], months=[JULY])
    assert report.ok
    assert {place.station for place in report.built} == {
        station.name for station in trivial_stations()[:5] + trivial_stations()[6:7]
    }
    assert {place.station for place, _ in report.waiting} == {
        "seam_blended_mosaic",
        "region_mosaic",
        "dataset_stats",
    }
    assert "outside of what was asked for" in report.waiting[0][1]


def test_tiles_that_are_not_neighbours_in_the_list_take_a_run_each(make_setting):
    setting = make_setting(tiles=ROW)
    order = setting.line.region.tile_ids
    report = setting.backfill(stations=trivial_stations()[:2], tiles=[order[0], order[2], order[3]], months=[JUNE])
    assert report.ok
    assert len(report.runs) == 2
    assert {place.tile for place in report.built} == {order[0], order[2], order[3]}


def test_a_defect_in_one_partition_stops_no_other(setting, monkeypatch):
    from geo_assets.orchestration import materialization

    honest = materialization.run_station

    def defective(line, station, place):
        if place == Place("scout", "33TWL", JUNE):
            raise ZeroDivisionError("token=abc")
        return honest(line, station, place)

    monkeypatch.setattr(materialization, "run_station", defective)
    report = setting.backfill(stations=trivial_stations()[:3])
    assert report.failed == ((Place("scout", "33TWL", JUNE), "ZeroDivisionError: token=..."),)
    assert len(report.built) == 3 * 4 - 2


def test_an_empty_place_counts_once_though_its_run_is_repeated(make_setting):
    setting = make_setting()
    station = replace(trivial_stations()[0], build=lambda line, place, build: build.empty("no scene"))
    place = Place(station.name, "33TVL", JUNE)
    ledger = _Ledger(BackfillPlan(setting.line, (station,), frozenset({"33TVL"}), frozenset({JUNE})), None)
    for _ in range(2):
        ledger.note(PartitionDone(place, run_station(setting.line, station, place), None))
    assert ledger.report(()).empty == (place,)


def test_a_backfill_leaves_the_handlers_of_signals_as_they_were(setting):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    during = []
    setting.backfill(on_progress=lambda _: during.append(signal.getsignal(signal.SIGINT)))
    assert before[0] not in during
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_backfill_in_another_thread_owns_no_signal(setting):
    reports, during = [], []
    before = signal.getsignal(signal.SIGINT)

    def note(_):
        during.append(signal.getsignal(signal.SIGINT))

    def work():
        reports.append(setting.backfill(stations=trivial_stations()[:1], on_progress=note))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reports[0].ok
    assert set(during) == {before}


def test_an_interrupt_is_raised_and_nothing_more_begins(setting):
    def interrupting(progress):
        if progress.finished == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        setting.backfill(on_progress=interrupting)
    assert [run.status.value for run in setting.instance.get_runs()] == ["CANCELED"]
    again = setting.backfill()
    assert again.ok
    assert len(again.reused) == 3


@pytest.mark.parametrize(("wish", "said"), [({"tiles": ["32ABC"]}, "32ABC"), ({"months": [Month(2023, 1)]}, "2023-01")])
def test_ground_and_time_outside_of_the_region_are_refused(setting, wish, said):
    with pytest.raises(RegionError, match=said):
        setting.backfill(**wish)
    assert setting.instance.get_runs() == []
