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
    acquisitions: list[tuple[SceneItem, ...]] = []
    superseded: list[Exclusion] = []
    for rivals in by_key.values():
        kept, replaced = _newest(rivals)
        acquisitions.append(kept)
        superseded += replaced
    ordered = tuple(sorted(acquisitions, key=lambda parts: (parts[0].acquired, parts[0].id)))
    return ordered, tuple(sorted(superseded, key=lambda exclusion: exclusion.item))


def companions_of(parts: tuple[SceneItem, ...], items: Iterable[SceneItem]) -> tuple[SceneItem, ...]:
    """The items of the same acquisition as a scene's parts, from whatever archive: its newest processing, all halves.

    The acquisition is one of a platform, datatake and tile. Items' times are never compared, for catalogues disagree
    about them; relative orbits are where both name one.
    """
    own = parts[0]
    return _newest([item for item in items if _is_same_acquisition(own, item)])[0]


def acquisition_named(item: SceneItem) -> str:
    """An acquisition in words, for messages."""
    orbit = "" if item.relative_orbit is None else f", orbit {item.relative_orbit}"
    return (
        f"datatake {item.datatake} of {item.platform or 'an unknown satellite'}{orbit}, tile {item.tile or 'unknown'}"
    )


def _is_same_acquisition(one: SceneItem, other: SceneItem) -> bool:
    orbits = {one.relative_orbit, other.relative_orbit} - {None}
    return (one.platform, one.datatake, one.tile) == (other.platform, other.datatake, other.tile) and len(orbits) < 2


def _newest(rivals: Iterable[SceneItem]) -> tuple[tuple[SceneItem, ...], list[Exclusion]]:
    """Of the items of one acquisition the newest processing of each ground, in order of id; and those it replaces."""
    kept: list[SceneItem] = []
    superseded = []
    for item in sorted(rivals, key=lambda item: item.processing_rank, reverse=True):
        if all(are_complementary(item, other) for other in kept):
            kept.append(item)
        else:
            superseded.append(Exclusion(item.id, f"superseded by {kept[0].id} (baseline {kept[0].baseline or '?'})"))
    return tuple(sorted(kept, key=lambda item: item.id)), superseded
