"""The figures of a mosaic from its sums: seams over their floor, fidelity, and how far its sources differ."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geo_assets.kernels.mosaicking.seams import FLOOR_PX, LINES, PARTS, PROFILE_PX, SMALLEST_SEGMENT_PX

Sums: TypeAlias = NDArray[Any]
"""int64 for sources of 8 and 16 bits (exact in any order), else float64."""


class SegmentKey(NamedTuple):
    """A seam's segment: where one change of contributors crosses one cell of `SEGMENT_PX` lattice pixels."""

    band: int
    naive: bool
    """False: of the mosaic, where the set of contributors changes. True: of the hard edge, where its source does."""
    cell_row: int
    cell_col: int
    upright: bool
    """True: a vertical line, crossed from left to right. False: a horizontal one, crossed downwards."""
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def on_both_sides(self) -> tuple[str, ...]:
        """Sources whose own steps are compared with the mosaic's, in canonical order.

        Those that contribute on both sides. A hard edge lies where the first source ends, and one later in the order
        goes on under it.
        """
        if self.naive:
            return (max(self.before + self.after),)
        return tuple(sorted(set(self.before) & set(self.after)))


class PairKey(NamedTuple):
    """Two sources that overlap."""

    band: int
    first: str
    second: str


class EdgeKey(NamedTuple):
    """Pixels with the same number of contributors."""

    band: int
    contributors: int


LARGEST_RATIO = 1e6
"""Of a seam on ground without any texture or noise, whose floor is zero."""

_DIGITS = 9
_CHANCE = 2.0
_FLOOR_LINES = len(FLOOR_PX)
_ON_THE_LINE = PROFILE_PX.index(0)
_FAR = np.abs(PROFILE_PX) >= min(map(abs, FLOOR_PX))


def mosaic_figures(
    seams: Mapping[SegmentKey, Sums],
    pairs: Mapping[PairKey, Sums],
    faults: Mapping[int, Sums],
    edges: Mapping[EdgeKey, Sums],
    *,
    band_names: Sequence[str],
    scale: float,
) -> dict[str, Any]:
    """What `MosaicSums.figures` returns, of its parts."""
    bands = range(len(band_names))
    overlap, bias, rmse = _overlaps(pairs, band_names, scale)
    return {
        **_of_bands(seams, faults, edges, bands),
        "seam_profile": {"mosaic": _profile(seams, naive=False), "naive": _profile(seams, naive=True)},
        "by_band": {band_names[band]: _of_bands(seams, faults, edges, [band]) for band in bands},
        "overlap": overlap,
        "overlap_bias": bias,
        "overlap_rmse": rmse,
    }


def _of_bands(
    seams: Mapping[SegmentKey, Sums], faults: Mapping[int, Sums], edges: Mapping[EdgeKey, Sums], bands: Sequence[int]
) -> dict[str, Any]:
    """Figures of some bands together."""
    seam, naive = (
        _seam([table for key, table in sorted(seams.items()) if key.band in bands and key.naive is kind])
        for kind in (False, True)
    )
    fault = sum((faults[band] for band in bands if band in faults), np.zeros(4, np.int64))
    kept = [(key, energy) for key, energy in sorted(edges.items()) if key.band in bands]
    inputs = sum(float(energy[1]) / key.contributors for key, energy in kept)
    return {
        "seam_ratio": seam["ratio"],
        "seam_ratio_by_chance": _by_chance(seam["segments"] / len(bands), seam["loose"] / len(bands)),
        "seam_step_dn": seam["step"],
        "seam_floor_dn": seam["floor"],
        "seam_sources_dn": seam["sources"],
        "seam_seen_ratio": seam["seen_ratio"],
        "seam_seen_dn": seam["seen"],
        "seam_segments": seam["segments"],
        "seam_naive_ratio": naive["ratio"],
        "seam_naive_step_dn": naive["step"],
        "single_source_mismatch_px": int(fault[1]),
        "validity_mismatch_px": int(fault[2]),
        "outside_inputs_px": int(fault[3]),
        "sharpness_kept": _rounded(sum(float(energy[0]) for _, energy in kept) / inputs) if inputs else None,
        "blended_px": int(fault[0]),
    }


def _seam(segments: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Root mean square step of segments, of the lines beside them, and of the sources themselves on the same line.

    A segment is heard if it has a floor to be compared with, and weighs the same in step and floor.
    """
    if segments:
        tables = np.stack([table[:, : 1 + _FLOOR_LINES] for table in segments])
        counts = tables[:, 0].astype(np.int64)
        enough = counts >= SMALLEST_SEGMENT_PX
        # A floor line of half the length is noisier than its seam, and would flatter it.
        enough &= 4 * counts >= 3 * counts[:, :1]
        means = np.where(enough, tables[:, 1] / (PARTS * np.maximum(counts, 1)), 0.0)
        heard = enough[:, 0] & enough[:, 1:].any(axis=1)
        if heard.any():
            floors2 = (means[heard, 1:] ** 2).sum(axis=1) / enough[heard, 1:].sum(axis=1)
            split = np.array([_added_and_own(table) for table, one in zip(segments, heard, strict=True) if one])
            loose = np.isnan(split[:, 0])
            # The land's own step on this very line is a shore's or a date's: it counts as much as on the lines beside.
            steps2 = np.where(loose, means[heard, 0] ** 2, split[:, 0] ** 2 + floors2)
            step, floor = float(np.sqrt(steps2.mean())), float(np.sqrt(floors2.mean()))
            seen = float(np.sqrt((means[heard, 0] ** 2).mean()))
            return {
                "ratio": _ratio(step, floor),
                "step": _rounded(step),
                "floor": _rounded(floor),
                "seen_ratio": _ratio(seen, floor),
                "seen": _rounded(seen),
                "sources": None if loose.all() else _rounded(float(np.sqrt((split[~loose, 1] ** 2).mean()))),
                "segments": int(heard.sum()),
                "loose": int(loose.sum()),
            }
    missing = dict.fromkeys(("ratio", "step", "floor", "seen_ratio", "seen", "sources"))
    return {**missing, "segments": 0, "loose": 0}


def _added_and_own(table: NDArray[Any]) -> tuple[float, float]:
    """A segment's mean step in two: what the mosaic adds, and what its sources step themselves; NaN without a source.

    A blend steps as its sources do, each by its weight: a step between theirs adds nothing.
    """
    steps, (counts, beyond) = table[:, 1 + _FLOOR_LINES + _ON_THE_LINE], table[:, LINES:]
    known = (counts > 0) & (4 * counts >= 3 * steps[0])
    if not known.any():
        return np.nan, np.nan
    over = beyond[known] / counts[known]
    added = max(float(over.min()), 0.0) + min(float(over.max()), 0.0)
    return added, float(steps[1] / steps[0]) - added


def _ratio(step: float, floor: float) -> float | None:
    """Step over floor; None on flat ground without a step."""
    if floor > 0:
        return _rounded(min(step / floor, LARGEST_RATIO))
    return LARGEST_RATIO if step > 0 else None


def _by_chance(segments: float, loose: float) -> float | None:
    """The ratio that ground without any seam stays below in 99 of 100 cases, with so many segments in each band.

    Only the `loose` ones, under which no source lies on both sides, scatter: with nothing else by 0.75 to 1 over their
    square root. Bands tell the same land, and are not counted as chances of their own.
    """
    return _rounded(1 + _CHANCE * float(np.sqrt(loose)) / segments) if segments else None


def _profile(seams: Mapping[SegmentKey, Sums], *, naive: bool) -> dict[str, float]:
    """Mean size of segments' mean steps, by distance from the seam in pixels.

    On the line itself the sources' own step makes way for the size of the steps farthest from it, as in the ratio.
    """
    total, number = np.zeros(len(PROFILE_PX)), np.zeros(len(PROFILE_PX), np.int64)
    for key, table in sorted(seams.items()):
        if key.naive is not naive or table[0, 0] < SMALLEST_SEGMENT_PX:
            continue
        counts, sums = table[:, 1 + _FLOOR_LINES : LINES]
        enough = counts >= SMALLEST_SEGMENT_PX
        sizes = np.where(enough, np.abs(sums) / np.maximum(counts, 1), 0.0)
        added, _ = _added_and_own(table)
        if not np.isnan(added) and (enough & _FAR).any():
            sizes[_ON_THE_LINE] = np.hypot(added, sizes[enough & _FAR].mean())
        total += sizes
        number += enough
    return {
        str(offset): _rounded(float(size / count))
        for offset, size, count in zip(PROFILE_PX, total, number, strict=True)
        if count
    }


def _overlaps(
    pairs: Mapping[PairKey, Sums], band_names: Sequence[str], scale: float
) -> tuple[dict[str, dict[str, Any]], float | None, float | None]:
    """Of every pair and band, and the worst bias and root mean square error of all."""
    overlap: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for key, (pixels, difference, squares) in sorted(pairs.items()):
        overlap[f"{key.first}+{key.second}"][band_names[key.band]] = {
            "bias": _rounded(scale * float(difference) / float(pixels)),
            "rmse": _rounded(scale * float(np.sqrt(float(squares) / float(pixels)))),
            "pixels": int(pixels),
        }
    every = [figures for bands in overlap.values() for figures in bands.values()]
    if not every:
        return {}, None, None
    worst = max((figures["bias"] for figures in every), key=abs)
    return dict(overlap), worst, max(figures["rmse"] for figures in every)


def _rounded(value: float) -> float:
    """To nine digits: floats that were summed in another order agree."""
    return float(f"{value:.{_DIGITS}g}")
