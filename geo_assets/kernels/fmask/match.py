"""Which cloud throws which shadow: every cloud is moved away from the sun until it covers dark ground.

Clouds are kept as runs, the pieces of rows that they cover, and the ground as sums along its rows: what a run would
cover is then two look-ups, however long it is, so that every pixel of every cloud is compared at every height.

Z&W12 = Zhu & Woodcock (2012), 10.1016/j.rse.2011.10.028; Q17 = Qiu et al. (2017), 10.1016/j.rse.2017.07.002;
Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024; F5 = Fmask 5.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.spatial import cKDTree

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import GridMismatchError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.fmask.settings import FmaskSettings

UNMATCHED_M = -1.0
"""Height of a cloud whose shadow was not found."""

_MOST_NUMBERS = 1 << 23
"""Similarities of clouds at all heights that are kept, two numbers of 4 bytes each."""
_FEWEST_NEIGHBOURS = 3
"""Fewer are no sample of the heights around a cloud."""
_WIDEST_PX = 65_535
"""Two counts of a row's pixels share one number of 32 bits."""
_HALF = np.uint32(16)
_LOW = np.uint32(0xFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class CloudObjects:
    """The clouds of a scene: pixels that touch each other, at a side or a corner, are one cloud."""

    run_row: NDArray[np.int32]
    """(run,): where each run lies; the runs of a cloud follow each other, from north to south and west to east."""
    run_begin: NDArray[np.int32]
    """(run,): its first column."""
    run_end: NDArray[np.int32]
    """(run,): the column after its last."""
    first_run: NDArray[np.int64]
    """(cloud + 1,): cloud k has the runs from ``first_run[k]`` to before ``first_run[k + 1]``."""
    area_px: NDArray[np.int64]
    """(cloud,)."""
    row: NDArray[np.float64]
    """(cloud,): centroid, in pixel numbers."""
    col: NDArray[np.float64]
    """(cloud,)."""

    @property
    def count(self) -> int:
        """How many clouds."""
        return self.area_px.size


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """Where the shadow of each cloud lies, seen from its image: pixels per metre of height."""

    row_per_m: NDArray[np.float64]
    """(cloud,): southward is positive."""
    col_per_m: NDArray[np.float64]
    """(cloud,): eastward is positive."""


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """The heights at which clouds cover dark ground best."""

    height_m: NDArray[np.float64]
    """(cloud,): above ground; `UNMATCHED_M` where no height covers enough."""
    similarity: NDArray[np.float64]
    """(cloud,): share of dark ground under the moved cloud at that height, or at the best one; 0 to 1."""


def cloud_objects(cloud: Flag) -> CloudObjects:
    """The 8-connected objects of a cloud mask.

    Parameters
    ----------
    cloud : (y, x) bool

    Returns
    -------
    objects : CloudObjects
        In the order in which their first pixels come, row by row.
    """
    expect_array("cloud", cloud, np.bool_, (None, None))
    labels, count = label(cloud, structure=np.ones((3, 3), np.bool_), output=np.int32)
    runs_of = np.zeros(count + 1, np.int64)
    _count_runs(labels, runs_of)
    first_run = np.cumsum(runs_of)
    run_row, run_begin, run_end = (np.empty(int(first_run[-1]), np.int32) for _ in range(3))
    _fill_runs(labels, first_run[:-1].copy(), run_row, run_begin, run_end)
    area = np.zeros(count, np.int64)
    centre_row, centre_col = np.zeros(count), np.zeros(count)
    _fill_centroids(first_run, run_row, run_begin, run_end, area, centre_row, centre_col)
    return CloudObjects(run_row, run_begin, run_end, first_run, area, centre_row, centre_col)


def shadow_displacement(objects: CloudObjects, angles: Angles, resolution_m: float) -> Displacement:
    """How far the shadow lies from the image of each cloud, by the angles at its centroid.

    Parameters
    ----------
    objects : CloudObjects
    angles : Angles
        Of the raster in which the objects lie.
    resolution_m : float

    Returns
    -------
    displacement : Displacement
        The sun moves the shadow away from it; the sensor sees the cloud too far from itself, which is undone.

    Notes
    -----
    With zenith z and azimuth a of sun (s) and view (v), clockwise from north, and north up::

        col = (-tan(zs) sin(as) + tan(zv) sin(av)) / resolution
        row = (+tan(zs) cos(as) - tan(zv) cos(av)) / resolution

    Z&W12, section 3.2; for the angles at each object Q19, section 3.4.
    """
    sun_zenith, sun_azimuth, view_zenith, view_azimuth = (np.radians(a) for a in angles.at(objects.row, objects.col))
    sun, view = np.tan(sun_zenith), np.tan(view_zenith)
    return Displacement(
        row_per_m=(sun * np.cos(sun_azimuth) - view * np.cos(view_azimuth)) / resolution_m,
        col_per_m=(-sun * np.sin(sun_azimuth) + view * np.sin(view_azimuth)) / resolution_m,
    )


def heights_to_try(displacement: Displacement, settings: FmaskSettings) -> NDArray[np.float64]:
    """Cloud heights, metres, from the lowest to the highest, that move no shadow by more than one pixel at a time."""
    farthest = float(np.hypot(displacement.row_per_m, displacement.col_per_m).max(initial=0.0))
    span = settings.shadow_highest_m - settings.shadow_lowest_m
    steps = int(np.ceil(span * farthest))
    return settings.shadow_lowest_m + np.arange(steps + 1, dtype=np.float64) * (span / max(steps, 1))


def match_clouds(
    objects: CloudObjects, *, dark: Flag, comparable: Flag, displacement: Displacement, settings: FmaskSettings
) -> Match:
    """The height of each cloud, found by its shadow.

    Parameters
    ----------
    objects : CloudObjects
    dark : (y, x) bool
        Potential shadow; counts only where `comparable`.
    comparable : (y, x) bool
        Ground that would show a shadow: seen, and neither cloud nor water.
    displacement : Displacement
        As `shadow_displacement` makes it.
    settings : FmaskSettings
        Those that begin with `shadow_`.

    Returns
    -------
    match : Match

    Notes
    -----
    The similarity of a cloud and a height is ``dark / (dark + bright + w * unseen + 1)``, counted under the moved
    cloud; what is unseen (its own or another cloud, water, outside) weighs little (as in F5), and the one pixel keeps
    a match from resting on next to nothing.

    Neighbouring clouds have similar heights (Q17: the 14 nearest): a height is judged by the mean of the cloud's own
    similarity and that of its neighbours at the same height. The lowest height that comes close to the best is taken,
    and from it the climb goes on as long as it stays close (Z&W12 stop at the first maximum, Q19 with a tolerance of
    0.90 for Sentinel-2). It is a match if the cloud's own share of dark ground, of what is seen, is large enough
    (Z&W12); and if the height convinces: by a mean similarity far beyond the share of dark ground in the scene, or
    by a good part of the neighbours having much the same one. Among a thousand heights, a small cloud finds dark
    ground at some, in whatever direction it is moved; but not where its neighbours do.

    No order of clouds comes into it.
    """
    expect_array("comparable", comparable, np.bool_, (None, None))
    expect_array("dark", dark, np.bool_, comparable.shape)
    if comparable.shape[1] > _WIDEST_PX:
        raise GridMismatchError(
            f"Shadow match: found {comparable.shape[1]} columns, expected at most {_WIDEST_PX}. Work on smaller scenes."
        )
    heights = heights_to_try(displacement, settings)
    found = Match(np.full(objects.count, UNMATCHED_M), np.zeros(objects.count))
    if objects.count == 0:
        return found
    sums = np.zeros((comparable.shape[0], comparable.shape[1] + 1), np.uint32)
    _sum_rows(dark, comparable, sums)
    witness = _witnesses(objects, settings, most=max(_MOST_NUMBERS // heights.size, settings.shadow_neighbours + 1))
    neighbours = _nearest(objects, witness, settings.shadow_neighbours)
    known, trust = (np.empty((witness.size, heights.size), np.float32) for _ in range(2))
    runs = (objects.run_row, objects.run_begin, objects.run_end, objects.first_run)
    moves = (displacement.row_per_m, displacement.col_per_m)
    weight = np.float32(settings.shadow_unseen_weight)
    _fill_similarity(runs, sums, moves, heights, witness, weight, settings.shadow_sampled_runs, known, trust)
    by_chance = int(np.count_nonzero(dark & comparable)) / max(int(np.count_nonzero(comparable)), 1)
    convincing = np.zeros(objects.count, np.bool_)
    _choose_heights(
        runs, sums, moves, heights, weight, settings.shadow_sampled_runs, witness, known, trust, neighbours,
        np.float32(settings.shadow_own_weight), settings.shadow_tolerance, settings.shadow_similarity,
        by_chance + settings.shadow_beyond_chance * (1 - by_chance), found.height_m, found.similarity, convincing,
    )  # fmt: skip
    least_apart = 2 * float(heights[1] - heights[0]) if heights.size > 1 else 0.0
    _drop_alone(
        found.height_m, convincing, found.height_m[witness], neighbours,
        settings.shadow_agreeing_share, settings.shadow_agreeing_height, least_apart,
    )  # fmt: skip
    return found


def _witnesses(objects: CloudObjects, settings: FmaskSettings, *, most: int) -> NDArray[np.int64]:
    """Numbers, rising, of the clouds that are large enough to speak for their neighbours: the largest, if too many."""
    large = np.flatnonzero(objects.area_px >= settings.shadow_witness_px)
    if large.size > most:
        large = np.sort(large[np.argsort(-objects.area_px[large], kind="stable")[:most]])
    return large


def _nearest(objects: CloudObjects, witness: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(cloud, count): places in `witness` of the nearest other clouds, -1 where there are no more.

    Distance along rows plus along columns, as in Q17.
    """
    nearest = np.full((objects.count, count), -1, np.int64)
    if count == 0 or witness.size == 0:
        return nearest
    wanted = min(count + 1, witness.size)
    tree = cKDTree(np.column_stack([objects.row[witness], objects.col[witness]]))
    _, found = tree.query(np.column_stack([objects.row, objects.col]), k=np.arange(1, wanted + 1), p=1)
    itself = witness[found] == np.arange(objects.count)[:, None]
    order = np.argsort(itself, axis=1, kind="stable")  # a cloud is no neighbour of itself: it goes to the end
    found = np.where(np.take_along_axis(itself, order, axis=1), -1, np.take_along_axis(found, order, axis=1))
    nearest[:, : min(count, wanted)] = found[:, :count]
    return nearest


@njit(nogil=True, cache=True)
def _count_runs(labels: NDArray[np.int32], runs_of: NDArray[np.int64]) -> None:
    """Add the runs of label k to ``runs_of[k]``."""
    for row in range(labels.shape[0]):
        before = np.int32(0)
        for col in range(labels.shape[1]):
            here = labels[row, col]
            if here != 0 and before == 0:
                runs_of[here] += 1
            before = here


@njit(nogil=True, cache=True)
def _fill_runs(
    labels: NDArray[np.int32],
    next_run: NDArray[np.int64],
    run_row: NDArray[np.int32],
    run_begin: NDArray[np.int32],
    run_end: NDArray[np.int32],
) -> None:
    """Runs sorted by label; ``next_run[k]`` is where the next one of label k + 1 goes."""
    for row in range(labels.shape[0]):
        col = 0
        while col < labels.shape[1]:
            here = labels[row, col]
            if here == 0:
                col += 1
                continue
            run = next_run[here - 1]
            next_run[here - 1] += 1
            run_row[run], run_begin[run] = row, col
            while col < labels.shape[1] and labels[row, col] != 0:
                col += 1
            run_end[run] = col


@njit(nogil=True, cache=True)
def _fill_centroids(
    first_run: NDArray[np.int64],
    run_row: NDArray[np.int32],
    run_begin: NDArray[np.int32],
    run_end: NDArray[np.int32],
    area: NDArray[np.int64],
    row: NDArray[np.float64],
    col: NDArray[np.float64],
) -> None:
    for cloud in range(area.size):
        for run in range(first_run[cloud], first_run[cloud + 1]):
            length = np.int64(run_end[run] - run_begin[run])
            area[cloud] += length
            row[cloud] += length * np.float64(run_row[run])
            col[cloud] += length * 0.5 * (run_begin[run] + run_end[run] - 1)
        row[cloud] /= area[cloud]
        col[cloud] /= area[cloud]


@njit(nogil=True, cache=True)
def _sum_rows(dark: Flag, comparable: Flag, sums: NDArray[np.uint32]) -> None:
    """``sums[r, c]``: of the pixels left of column c, how many are dark (upper 16 bits) and bright (lower ones)."""
    for row in range(dark.shape[0]):
        total = np.uint32(0)
        for col in range(dark.shape[1]):
            if comparable[row, col]:
                total += np.uint32(1) << _HALF if dark[row, col] else np.uint32(1)
            sums[row, col + 1] = total


@njit(nogil=True, cache=True)
def _count_under(
    runs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    cloud: int,
    stride: int,
    sums: NDArray[np.uint32],
    down: np.int64,
    right: np.int64,
) -> tuple[np.int64, np.int64]:
    """Dark and bright pixels under a moved cloud."""
    run_row, run_begin, run_end, first_run = runs
    rows, cols = np.int64(sums.shape[0]), np.int64(sums.shape[1] - 1)
    dark, bright = np.int64(0), np.int64(0)
    for run in range(first_run[cloud], first_run[cloud + 1], stride):
        row = run_row[run] + down
        if row < 0 or row >= rows:
            continue
        begin = min(max(run_begin[run] + right, 0), cols)
        end = min(max(run_end[run] + right, 0), cols)
        counts = sums[row, end] - sums[row, begin]
        dark += np.int64(counts >> _HALF)
        bright += np.int64(counts & _LOW)
    return dark, bright


@njit(nogil=True, cache=True)
def _cloud_similarity(
    runs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    cloud: int,
    sums: NDArray[np.uint32],
    row_per_m: float,
    col_per_m: float,
    heights: NDArray[np.float64],
    unseen_weight: np.float32,
    sampled_runs: int,
    similarity: NDArray[np.float32],
    trust: NDArray[np.float32],
) -> None:
    """Similarity of one cloud at all heights, and what it weighs beside others: the square root of what it saw.

    Of a cloud of very many runs every so manieth counts.
    """
    _, run_begin, run_end, first_run = runs
    stride = max((first_run[cloud + 1] - first_run[cloud] + sampled_runs - 1) // sampled_runs, 1)
    pixels = np.int64(0)
    for run in range(first_run[cloud], first_run[cloud + 1], stride):
        pixels += run_end[run] - run_begin[run]
    for index in range(heights.size):
        down = np.int64(np.rint(heights[index] * row_per_m))
        right = np.int64(np.rint(heights[index] * col_per_m))
        dark, bright = _count_under(runs, cloud, stride, sums, down, right)
        unseen = pixels - dark - bright
        compared = np.float32(dark + bright + 1) + unseen_weight * np.float32(unseen)
        similarity[index] = np.float32(dark) / compared
        trust[index] = np.sqrt(compared)


@njit(nogil=True, cache=True)
def _fill_similarity(
    runs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    sums: NDArray[np.uint32],
    moves: tuple[NDArray[np.float64], NDArray[np.float64]],
    heights: NDArray[np.float64],
    witness: NDArray[np.int64],
    unseen_weight: np.float32,
    sampled_runs: int,
    known: NDArray[np.float32],
    known_trust: NDArray[np.float32],
) -> None:
    for place in range(witness.size):
        cloud = witness[place]
        _cloud_similarity(
            runs, cloud, sums, moves[0][cloud], moves[1][cloud], heights, unseen_weight, sampled_runs, known[place],
            known_trust[place],
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _choose_heights(
    runs: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]],
    sums: NDArray[np.uint32],
    moves: tuple[NDArray[np.float64], NDArray[np.float64]],
    heights: NDArray[np.float64],
    unseen_weight: np.float32,
    sampled_runs: int,
    witness: NDArray[np.int64],
    known: NDArray[np.float32],
    known_trust: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    own_weight: np.float32,
    tolerance: float,
    least_similarity: float,
    least_judged: float,
    height_m: NDArray[np.float64],
    similarity: NDArray[np.float64],
    convincing: Flag,
) -> None:
    own = np.empty(heights.size, np.float32)
    own_trust = np.empty(heights.size, np.float32)
    judged, total_trust = np.empty(heights.size, np.float32), np.empty(heights.size, np.float32)
    place = 0
    for cloud in range(height_m.size):
        if place < witness.size and witness[place] == cloud:
            own[:] = known[place]
            own_trust[:] = known_trust[place]
            place += 1
        else:
            _cloud_similarity(
                runs, cloud, sums, moves[0][cloud], moves[1][cloud], heights, unseen_weight, sampled_runs, own,
                own_trust,
            )  # fmt: skip
        _judge(own, own_trust, known, known_trust, neighbours[cloud], own_weight, judged, total_trust)
        best = _lowest_close_to_best(judged, tolerance)
        down = np.int64(np.rint(heights[best] * moves[0][cloud]))
        right = np.int64(np.rint(heights[best] * moves[1][cloud]))
        dark, bright = _count_under(runs, cloud, 1, sums, down, right)
        if dark > 0:
            similarity[cloud] = dark / (dark + bright)
        if similarity[cloud] > least_similarity:
            height_m[cloud] = heights[best]
            convincing[cloud] = judged[best] > least_judged


@njit(nogil=True, cache=True)
def _drop_alone(
    height_m: NDArray[np.float64],
    convincing: Flag,
    witness_height_m: NDArray[np.float64],
    neighbours: NDArray[np.int64],
    share: float,
    tolerance: float,
    least_apart: float,
) -> None:
    """Undo matches that neither convince by themselves nor have the height of enough of their neighbours."""
    for cloud in range(height_m.size):
        if height_m[cloud] < 0 or convincing[cloud]:
            continue
        asked, agreeing = 0, 0
        for neighbour in neighbours[cloud]:
            if neighbour < 0:
                break
            asked += 1
            theirs = witness_height_m[neighbour]
            if theirs >= 0 and abs(theirs - height_m[cloud]) <= max(least_apart, tolerance * height_m[cloud]):
                agreeing += 1
        if asked >= _FEWEST_NEIGHBOURS and agreeing < share * asked:
            height_m[cloud] = UNMATCHED_M


@njit(nogil=True, cache=True)
def _judge(
    own: NDArray[np.float32],
    own_trust: NDArray[np.float32],
    known: NDArray[np.float32],
    known_trust: NDArray[np.float32],
    neighbours: NDArray[np.int64],
    own_weight: np.float32,
    judged: NDArray[np.float32],
    total_trust: NDArray[np.float32],
) -> None:
    """Mean of the own similarity and the neighbours', each weighing what it may be trusted."""
    for index in range(judged.size):
        total_trust[index] = own_weight * own_trust[index]
        judged[index] = total_trust[index] * own[index]
    for neighbour in neighbours:
        if neighbour < 0:
            break
        theirs, trust = known[neighbour], known_trust[neighbour]
        for index in range(judged.size):  # along memory: the compiler takes many heights at a time
            total_trust[index] += trust[index]
            judged[index] += trust[index] * theirs[index]
    for index in range(judged.size):
        judged[index] /= total_trust[index]


@njit(nogil=True, cache=True)
def _lowest_close_to_best(judged: NDArray[np.float32], tolerance: float) -> int:
    """Index of the largest of the first values in a row that reach the tolerated share of the largest of all."""
    enough = tolerance * judged.max()
    first = 0
    while judged[first] < enough:
        first += 1
    best = first
    while first < judged.size and judged[first] >= enough:
        if judged[first] > judged[best]:
            best = first
        first += 1
    return best
