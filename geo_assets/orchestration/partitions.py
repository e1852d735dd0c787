"""One region's ground and time as Dagster sees them: tiles, months, and which neighbours a mosaic waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from geo_assets.domain.region import Region
from geo_assets.domain.tile_grid import neighbours
from geo_assets.domain.tile_month import Month, TileMonth

MONTH_FORMAT = "%Y-%m"


@dataclass(frozen=True, slots=True)
class RegionPartitions:
    """The partitions of one region, and how those of one asset depend on those of another."""

    tile_months: dg.MultiPartitionsDefinition
    """Tiles in spatial order, months in order of time; keys print `2024-07|33TVL`."""
    months: dg.MonthlyPartitionsDefinition
    """The same months alone."""
    neighbourhood: dg.MultiPartitionMapping
    """A tile and month depends on the tiles around it in that month, itself included."""
    whole_month: dg.MultiToSingleDimensionPartitionMapping
    """A month depends on all of its tiles."""


def region_partitions(region: Region, *, growing: bool = False, now: datetime | None = None) -> RegionPartitions:
    """The partitions of `region`.

    Parameters
    ----------
    region
        Its tiles and months.
    growing
        The region file leaves `months.last` out: every month that ends becomes a partition, without a reload.
    now
        Aware moment that decides which months are past; the clock's by default.
    """
    months = _months(region, growing=growing, present=Month.containing(now or datetime.now(UTC)))
    tiles = dg.StaticPartitionsDefinition(list(region.tile_ids))
    return RegionPartitions(
        tile_months=dg.MultiPartitionsDefinition({"tile": tiles, "month": months}),
        months=months,
        neighbourhood=_neighbourhood(neighbours(region.tile_ids)),
        whole_month=dg.MultiToSingleDimensionPartitionMapping("month"),
    )


def range_tags(tiles: Sequence[str], months: Sequence[Month]) -> dict[str, str]:
    """Run tags that ask for every one of `months` and `tiles` in one run.

    Both are stretches of the region's months and tiles, in its order: Dagster takes the rectangle between the two
    corners, and finds a reversed one silently empty. No tiles: the range is of months alone.
    """
    if tiles:
        first, last = TileMonth(tiles[0], months[0]).key, TileMonth(tiles[-1], months[-1]).key
    else:
        first, last = str(months[0]), str(months[-1])
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def months_of_range(tags: Mapping[str, str]) -> tuple[Month, Month] | None:
    """First and last month of a run that `range_tags` asked for; None for any other run."""
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
    if first is None or last is None:
        return None
    return Month.parse(first.partition("|")[0]), Month.parse(last.partition("|")[0])


def _months(region: Region, *, growing: bool, present: Month) -> dg.MonthlyPartitionsDefinition:
    first = region.months.first
    if growing:
        # Dagster counts a month once it is over; a region that begins this month would have none at all.
        return dg.MonthlyPartitionsDefinition(
            start_date=str(first), fmt=MONTH_FORMAT, timezone="UTC", end_offset=int(first >= present)
        )
    # end_offset lets the month that is going on in; end_date is exclusive, and wins.
    return dg.MonthlyPartitionsDefinition(
        start_date=str(first),
        end_date=str(region.month_list[-1].next),
        fmt=MONTH_FORMAT,
        timezone="UTC",
        end_offset=1,
    )


def _neighbourhood(around: Mapping[str, Sequence[str]]) -> dg.MultiPartitionMapping:
    # Built-in mappings only: a custom one is not serialised to the daemon, which then loses the order (dagster#17225).
    read_by = {tile: [other for other, read in around.items() if tile in read] for tile in around}
    return dg.MultiPartitionMapping(
        {
            "tile": dg.DimensionPartitionMapping("tile", dg.StaticPartitionMapping(read_by)),
            "month": dg.DimensionPartitionMapping("month", dg.IdentityPartitionMapping()),
        }
    )
