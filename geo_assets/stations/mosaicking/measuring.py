"""How good a mosaic is, as sums that add up to the same for any cutting into windows."""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.mosaicking.mosaic_figures import contributors, fidelity_sums
from geo_assets.kernels.mosaicking.seams import LINES, Beneath, Frame, changes, segment_sums
from geo_assets.stations.mosaicking.figures import EdgeKey, PairKey, SegmentKey, Sums, mosaic_figures

MARGIN_PX = 72
"""How far around a window its mosaic is needed: the farthest line that a seam is compared with lies 65 px away."""

SUMS_ARRAYS = tuple(
    f"measured_{what}"
    for what in ("words", "seam_keys", "seams", "pair_keys", "pairs", "fault_keys", "faults", "edge_keys", "edges")
)
"""Names of the arrays of `MosaicSums.to_arrays`: always all of them."""

Key = TypeVar("Key", bound=Hashable)
Word = TypeVar("Word", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False)
class OverlapWindow:
    """One band of one window of a mosaic, with the sources that it was blended from.

    Every pixel of the mosaic lies in the `inner` part of one window at most. Pixels may be left out where there is no
    seam: those farther than one pixel from where footprints overlap or touch.
    """

    row: int
    col: int
    """Lattice position of the arrays' upper left pixel."""
    inner: tuple[slice, slice]
    """Rows and columns of the arrays that count. Around them lie `MARGIN_PX` across the lines where contributors change
    (less where no source reaches as far), and one pixel elsewhere."""
    names: tuple[str, ...]
    """Of the sources, in canonical order: sorted, unique."""
    stack: NDArray[Any]
    """(source, y, x) what each source alone would give (harmonised and rounded), nodata where it has nothing."""
    mosaic: NDArray[Any]
    """(y, x) the blend, in the stack's dtype."""
    nodata: float
    """Of stack and mosaic; NaN is never valid in floats, and for integers says that all is."""
    band: int
    """Index of the band."""


@dataclass(frozen=True, slots=True, eq=False)
class MosaicSums:
    """What was summed over windows; `+` merges, in any order for integers and in row order of windows for floats."""

    seams: Mapping[SegmentKey, Sums] = field(default_factory=dict)
    """(2, line) numbers of steps and their sums, lines as in `kernels.mosaicking.seams.SegmentSums`, the last ones of
    the sources in `SegmentKey.on_both_sides`."""
    pairs: Mapping[PairKey, Sums] = field(default_factory=dict)
    """(3,) common pixels; sum of first less second; sum of its squares."""
    faults: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    """Band -> (4,) blended pixels; and of wrong ones: single source, validity, outside the inputs."""
    edges: Mapping[EdgeKey, Sums] = field(default_factory=dict)
    """(2,) gradient energy of the mosaic; of all its contributors together."""

    def __add__(self, other: "MosaicSums") -> "MosaicSums":
        return MosaicSums(
            _added(self.seams, other.seams),
            _added(self.pairs, other.pairs),
            _added(self.faults, other.faults),
            _added(self.edges, other.edges),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as the arrays named `SUMS_ARRAYS`, keys in sorted order: for checkpoints."""
        sets = sorted({names for key in self.seams for names in (key.before, key.after)})
        names = sorted({name for key in self.pairs for name in (key.first, key.second)})
        words = json.dumps({"sets": sets, "names": names}).encode()
        set_index, name_index = _positions(sets), _positions(names)
        widest = max((sums.shape[1] for sums in self.seams.values()), default=0)
        arrays: dict[str, NDArray[Any]] = {"measured_words": np.frombuffer(words, np.uint8)}
        seams = {
            (*key[:5], set_index[key.before], set_index[key.after]): np.pad(sums, ((0, 0), (0, widest - sums.shape[1])))
            for key, sums in sorted(self.seams.items())
        }
        pairs = {
            (key.band, name_index[key.first], name_index[key.second]): sums for key, sums in sorted(self.pairs.items())
        }
        faults = {(band,): sums for band, sums in sorted(self.faults.items())}
        edges = {tuple(key): sums for key, sums in sorted(self.edges.items())}
        tables: dict[str, Mapping[Any, Sums]] = {"seam": seams, "pair": pairs, "fault": faults, "edge": edges}
        for what, table in tables.items():
            arrays[f"measured_{what}_keys"] = np.array(list(table), np.int64)
            arrays[f"measured_{what}s"] = np.array(list(table.values()))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "MosaicSums":
        """What `to_arrays` gave; other arrays are not looked at."""
        words = json.loads(arrays["measured_words"].tobytes() or b"{}")
        sets, names = [tuple(members) for members in words["sets"]], words["names"]

        def rows(what: str) -> Iterator[tuple[list[int], Sums]]:
            keys = arrays[f"measured_{what}_keys"]
            return zip(keys.tolist() if keys.size else [], arrays[f"measured_{what}s"], strict=True)

        seams = {
            SegmentKey(band, bool(naive), row, col, bool(upright), sets[before], sets[after]): sums
            for (band, naive, row, col, upright, before, after), sums in rows("seam")
        }
        return cls(
            {key: sums[:, : LINES + len(key.on_both_sides)] for key, sums in seams.items()},
            {PairKey(band, names[first], names[second]): sums for (band, first, second), sums in rows("pair")},
            {band: sums for (band,), sums in rows("fault")},
            {EdgeKey(band, number): sums for (band, number), sums in rows("edge")},
        )

    def figures(self, band_names: Sequence[str], scale: float = 1.0) -> dict[str, Any]:
        """Figures for manifests: JSON values, None where there was nothing to measure.

        Parameters
        ----------
        band_names
            Names of the bands in their order.
        scale
            From stored counts to the unit of the overlap's figures: 1e-4 gives reflectance.

        Returns
        -------
        figures
            Of all bands together, and `by_band` the same of each; `kernels.mosaicking.seams` and docs/mosaic.md
            explain them.
        """
        return mosaic_figures(self.seams, self.pairs, self.faults, self.edges, band_names=band_names, scale=scale)


def measured(window: OverlapWindow) -> MosaicSums:
    """All sums of one band of one window.

    Raises
    ------
    GridMismatchError
        Arrays, names and `inner` do not belong together.
    """
    if len(window.names) != len(window.stack) or list(window.names) != sorted(set(window.names)):
        raise GridMismatchError(
            f"Sources of a mosaic's window: found {len(window.stack)} layers named {', '.join(window.names)}; expected "
            "one layer for each name, in sorted order and without repetition. Give every source a name of its own."
        )
    # The loops are fast, and compiled, for whole arrays only.
    mosaic, stack = np.ascontiguousarray(window.mosaic), np.ascontiguousarray(window.stack)
    window = replace(window, mosaic=mosaic, stack=stack)
    frame, found = Frame(window.row, window.col, window.inner), contributors(stack, window.nodata)
    fidelity = fidelity_sums(mosaic, stack, window.nodata, found, frame)
    names, band = window.names, window.band
    seams: dict[SegmentKey, Sums] = {}
    for places in changes(found.codes, found.depth, frame):
        seams |= _segments(
            window,
            False,
            mosaic,
            found.codes,
            places,
            lambda code: tuple(names[index] for index in found.members(code)),
        )
        # The first contributor changes only where the set of contributors does.
        seams |= _segments(window, True, found.hard, found.first, places, lambda code: (names[code - 1],))
    first, second = np.triu_indices(len(names), 1)
    return MosaicSums(
        seams,
        {
            PairKey(band, names[i], names[j]): fidelity.pairs[i, j]
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
            if fidelity.pairs[i, j, 0] > 0
        },
        {band: fidelity.faults},
        {EdgeKey(band, number): sums for number, sums in enumerate(fidelity.edges) if sums.any()},
    )


def _segments(
    window: OverlapWindow,
    naive: bool,
    values: NDArray[Any],
    codes: NDArray[np.uint32],
    places: NDArray[np.int32],
    named: Callable[[int], tuple[str, ...]],
) -> dict[SegmentKey, Sums]:
    """Segments of the mosaic, or of the hard edge; codes stand for the names that they are `named` by."""
    index = _positions(window.names)

    def key_of(row: int, col: int, upright: int, before: int, after: int) -> SegmentKey:
        return SegmentKey(window.band, naive, row, col, bool(upright), named(before), named(after))

    def compared(before: int, after: int) -> list[int]:
        return [index[name] for name in key_of(0, 0, 0, before, after).on_both_sides]

    found = segment_sums(
        values,
        codes,
        places,
        Frame(window.row, window.col, window.inner),
        Beneath(window.stack, window.nodata, compared),
    )
    tables = np.stack([found.counts, found.sums], axis=1)
    keys = [key_of(*parts) for parts in found.keys.tolist()]
    return {key: table[:, : LINES + len(key.on_both_sides)] for key, table in zip(keys, tables, strict=True)}


def _named(names: tuple[str, ...], members: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(names[index] for index in members)


def _added(one: Mapping[Key, Sums], other: Mapping[Key, Sums]) -> dict[Key, Sums]:
    return {**one, **{key: one[key] + sums if key in one else sums for key, sums in other.items()}}


def _positions(words: Sequence[Word]) -> dict[Word, int]:
    return {word: index for index, word in enumerate(words)}
