"""Catalogue items put together to acquisitions: one processing of each, and all of its halves."""

from collections.abc import Iterable

from geo_assets.domain.scene import SceneItem, are_complementary
from geo_assets.io.archives.archive import Exclusion


def merged_acquisitions(
    items: Iterable[SceneItem],
) -> tuple[tuple[tuple[SceneItem, ...], ...], tuple[Exclusion, ...]]:
    """Items grouped into acquisitions: the newest processing of each, with its complementary datastrips.

    Returns
    -------
    acquisitions
        In order of time and id; within one, parts in order of id.
    superseded
        Items that another processing of the same ground replaces.
    """
    by_key: dict[tuple[str, str, int, str], list[SceneItem]] = {}
    for item in items:
        by_key.setdefault(item.acquisition_key, []).append(item)
    acquisitions, superseded = [], []
    for rivals in by_key.values():
        kept: list[SceneItem] = []
        for item in sorted(rivals, key=lambda item: item.processing_rank, reverse=True):
            if all(are_complementary(item, other) for other in kept):
                kept.append(item)
            else:
                superseded.append(
                    Exclusion(item.id, f"superseded by {kept[0].id} (baseline {kept[0].baseline or '?'})")
                )
        acquisitions.append(tuple(sorted(kept, key=lambda item: item.id)))
    ordered = tuple(sorted(acquisitions, key=lambda parts: (parts[0].acquired, parts[0].id)))
    return ordered, tuple(sorted(superseded, key=lambda exclusion: exclusion.item))
