"""What metadata and pixels say about the offset of an item's counts, and which of its bands can tell."""

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import JsonValue

from geo_assets.domain.errors import ArchiveError
from geo_assets.domain.scene import SceneItem
from geo_assets.kernels.offsets import FEWEST_TEST_BANDS, OFFSET_TEST_BANDS

_BASELINE_WITH_OFFSET = "04.00"
_DARKEST, _NEXT_DARKEST = ("swir16", "swir22"), ("red", "blue", "green")


class UndecidedOffsetError(ArchiveError):
    """An item's metadata do not say which offset its counts have, and its pixels do not either."""


@dataclass(frozen=True, slots=True)
class OffsetFinding:
    """What is known about the offset of one item, in counts."""

    item: str
    asserted_dn: int
    """By the metadata."""
    decided_dn: int | None
    """By the pixels; None where they do not tell, or are not asked."""
    doubtful: bool
    """The metadata contradict themselves, or say nothing."""

    @property
    def applied_dn(self) -> int:
        """Added to the counts: the pixels' word before the metadata's; not to be asked for where there is a problem."""
        return self.asserted_dn if self.decided_dn is None else self.decided_dn

    @property
    def problem(self) -> UndecidedOffsetError | None:
        """Why neither metadata nor pixels are to be believed, or None."""
        if self.decided_dn is not None or not self.doubtful:
            return None
        return UndecidedOffsetError(
            f"Item {self.item}: its metadata do not agree on the offset of its counts (they would have "
            f"{self.asserted_dn:+d}), and its pixels are too bright to tell. Leave it out by selection.exclude, or "
            "repair the item in the archive."
        )

    @property
    def disagrees(self) -> bool:
        """True where the pixels contradict the metadata."""
        return self.decided_dn not in (None, self.asserted_dn)

    def row(self) -> dict[str, JsonValue]:
        """For a ledger."""
        return {
            "item": self.item,
            "offset_asserted_dn": self.asserted_dn,
            "offset_decided_dn": self.decided_dn,
            "offset_doubtful": self.doubtful,
            "offset_disagrees": self.disagrees,
        }


def is_tested(item: SceneItem) -> bool:
    """True where pixels are asked: ESA's counts since baseline 04.00, and wherever the metadata are in doubt."""
    return item.level in ("L1C", "L2A") and (item.baseline >= _BASELINE_WITH_OFFSET or item.offset_doubtful)


def test_bands(bands: Collection[str], item: SceneItem) -> tuple[str, ...]:
    """The bands that the test looks at: of those in use, and the short-wave ones; all of them in doubt.

    Over land without water only short-wave bands are dark enough to show that the offset is still to be applied.
    """
    offered = [name for name in OFFSET_TEST_BANDS if name in item.assets]
    if item.offset_doubtful:
        return tuple(offered)
    looked_at = [name for name in offered if name in bands or name in _DARKEST]
    spare = [name for name in _NEXT_DARKEST if name in offered and name not in looked_at]
    return (*looked_at, *spare[: max(FEWEST_TEST_BANDS - len(looked_at), 0)])
