"""How many acquisitions a tile should have in a month, from those known around it."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from geo_assets.domain.scene import SceneItem
from geo_assets.domain.tile_month import Month

CYCLE_DAYS = {"s2": 10, "landsat": 16, "terra": 1}
"""After so many days a satellite's orbits repeat exactly: Sentinel-2 10, Landsat 16; MCD43A4 has every day."""

KNOWN_MONTHS_AROUND = 2
"""Scenes of so many months before and after tell which orbits see a tile."""


def expected_acquisitions(items: Iterable[SceneItem], month: Month, *, now: datetime) -> int | None:
    """Acquisitions of one tile that the satellites' repeat cycles let expect in a month.

    Parameters
    ----------
    items
        Items of the tile, of this month and those around it.
    month
        Of the question; days that have not passed do not count.
    now
        Aware.

    Returns
    -------
    count
        None where no item is known whose satellite has a known cycle.

    Notes
    -----
    Every (satellite, orbit) that is known to see the tile sees it again after its cycle, for all days of the month: a
    satellite that was launched, or an archive that fell silent, within the month shows as a difference.
    """
    tracks = {track for item in items if (track := _track(item)) is not None}
    if not tracks:
        return None
    days = [day for day in _days(month) if day < now.astimezone(UTC).date()]
    return sum(day.toordinal() % cycle == phase for _, _, cycle, phase in tracks for day in days)


def _track(item: SceneItem) -> tuple[str, int, int, int] | None:
    """Satellite, orbit, cycle and phase: when it sees the tile."""
    cycle = next((days for name, days in CYCLE_DAYS.items() if item.platform.startswith(name)), None)
    if cycle is None:
        return None
    # The datatake's day: a tile that is seen about midnight has its own day on either side of it.
    day = date(int(item.datatake[:4]), int(item.datatake[4:6]), int(item.datatake[6:8]))
    return item.platform, item.relative_orbit or 0, cycle, day.toordinal() % cycle


def _days(month: Month) -> list[date]:
    first, count = month.begin.date(), (month.next.begin - month.begin).days
    return [first + timedelta(days=number) for number in range(count)]
