"""What became of every item that an archive has for a composite, and what was read of every file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from geo_assets.domain.scene import SceneItem
from geo_assets.io.wire.meter import Meter
from geo_assets.stations.bbox.bands import Source
from geo_assets.stations.bbox.choice import Candidate
from geo_assets.stations.bbox.files import Losses
from geo_assets.stations.offset_findings import OffsetFinding

LedgerRow: TypeAlias = Mapping[str, Any]
"""What became of one item (`outcome` selected, left, excluded or lost), or what was read of one file (`read`)."""


@dataclass(slots=True, eq=False)
class Ledger:
    """What is found out about items while a composite is made; filled by who finds it."""

    candidates: list[Candidate] = field(default_factory=list)
    """Scenes after a coarse look."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Item -> why it takes no part."""
    losses: Losses = field(default_factory=dict)
    """Items of which a file could not be read."""
    findings: dict[str, OffsetFinding] = field(default_factory=dict)
    """Item -> what was found out about its offset."""

    def item_rows(self, items: Sequence[SceneItem], sources: Sequence[Source]) -> Iterator[LedgerRow]:
        """What became of every item of the archive's answer, in order of time and id; then those that it excluded.

        Parameters
        ----------
        items
            Of the answer.
        sources
            What the composite was made from, best first.
        """
        used = {source.item.id: place for place, source in enumerate(sources)}
        looked_at = {part.id: one for one in self.candidates for part in one.scene.parts}
        known = {item.id for item in items}
        for item in sorted(items, key=lambda item: (item.acquired, item.id)):
            row: dict[str, Any] = {
                "item": item.id,
                "acquired": f"{item.acquired:%Y-%m-%dT%H:%M:%SZ}",
                "tile": item.tile,
            }
            if item.id in looked_at:
                candidate = looked_at[item.id]
                row["clear_share"] = float(candidate.clear.mean())
                row["seen_share"] = float(candidate.seen.mean())
            if item.id in self.findings:
                row |= self.findings[item.id].row()
            if item.id in self.losses:
                loss = self.losses[item.id]
                yield row | {"outcome": "lost", "band": loss.band, "reason": loss.reason}
            elif item.id in self.excluded:
                yield row | {"outcome": "excluded", "reason": self.excluded[item.id]}
            elif item.id in used:
                yield row | {"outcome": "selected", "observation": used[item.id]}
            else:
                yield row | {"outcome": "left", "reason": "other scenes show more"}
        for name in sorted(self.excluded.keys() - known):
            yield {"item": name, "outcome": "excluded", "reason": self.excluded[name]}

    def file_rows(self, meters: Mapping[tuple[str, str], Meter]) -> Iterator[LedgerRow]:
        """What was read of every file, by item and band."""
        for (item, band), meter in meters.items():
            finding = self.findings.get(item)
            offset = {"offset_dn": finding.applied_dn} if finding is not None and finding.problem is None else {}
            yield {"item": item, "band": band, "outcome": "read", **meter.snapshot(), **offset}
