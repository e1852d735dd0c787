"""Shadow of clouds: dark ground, at the place where a cloud's shadow would lie.

Z&W12 = Zhu & Woodcock (2012), 10.1016/j.rse.2011.10.028; Q19 = Qiu, Zhu & He (2019), 10.1016/j.rse.2019.05.024;
F5 = Fmask 5. The steps are in `flood`, `match` and `grow`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag, Reflectance
from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.expectations import expect_array
from geo_assets.kernels.fmask.flood import filled_basins
from geo_assets.kernels.fmask.grow import grown_within, moved_clouds
from geo_assets.kernels.fmask.match import UNMATCHED_M, CloudObjects, cloud_objects, match_clouds, shadow_displacement
from geo_assets.kernels.fmask.settings import FmaskSettings

COUNTS_PER_UNIT = 10_000
"""Reflectance is flooded as whole numbers of this: exact for reflectance that was stored so."""

_BRIGHTEST = 65_535


@dataclass(frozen=True, slots=True, eq=False)
class ShadowFinding:
    """What is known of the shadows of a scene."""

    shadow: Flag
    """(y, x) bool: shadow of a cloud that was found; never on cloud, nor where not valid. Unbuffered."""
    potential: Flag
    """(y, x) bool: darker than its surroundings, whatever the reason; never on cloud, nor where not valid."""
    figures: Mapping[str, float]
    """`shadow_outlet_nir`, `shadow_outlet_swir16` (reflectance), `cloud_objects`, `matched_objects`; and where a cloud
    is matched, these:

    `cloud_height_m`, the median of the matched clouds by area; `shadow_growth_depth`, over how deep basins matched
    shadow grew; `unseen_caster_share`, of the valid pixels that are no cloud, how many have the place of the cloud
    that would shade them, at that height, outside the valid pixels; `shadow_of_unseen_share`, of the shadow, how much
    lies there, found by darkness alone."""
    skipped: tuple[str, ...]
    """Steps that could not be taken, each with its reason."""


def shadow_mask(
    cloud: Flag,
    *,
    nir: Reflectance,
    swir16: Reflectance | None,
    valid: Flag,
    land: Flag,
    water: Flag,
    angles: Angles,
    resolution_m: float,
    settings: FmaskSettings | None = None,
) -> ShadowFinding:
    """Cloud shadow of a scene: steps 12 to 14 of the detector.

    Parameters
    ----------
    cloud : (y, x) bool
        All clouds of the scene, unbuffered.
    nir, swir16 : (y, x) float32
        Top-of-atmosphere reflectance near 840 and 1600 nm; NaN counts as not valid. Without the latter the near
        infrared decides alone.
    valid : (y, x) bool
    land : (y, x) bool
        Clear land, the sample from which the levels are taken.
    water : (y, x) bool
        Dark for another reason: it neither speaks for a match nor against it, and shadow does not grow over it.
    angles : Angles
        Of this raster.
    resolution_m : float
    settings : FmaskSettings
        Those that begin with `shadow_`, and `low_percentile`.

    Returns
    -------
    finding : ShadowFinding

    Raises
    ------
    DetectorError
        A resolution that is not positive, or a range of heights that is empty.
    GridMismatchError
        Arrays that are not as above.
    """
    settings = settings or FmaskSettings()
    for name, flag in (("cloud", cloud), ("valid", valid), ("land", land), ("water", water)):
        expect_array(name, flag, np.bool_, (None, None) if name == "cloud" else cloud.shape)
    bands = {"nir": nir} if swir16 is None else {"nir": nir, "swir16": swir16}
    for name, band in bands.items():
        expect_array(name, band, np.float32, cloud.shape)
    _check_settings(resolution_m, settings)
    skipped = [] if swir16 is not None else ["shadow in swir16: the band is missing, nir decides alone"]
    usable, cloud = valid.copy(), valid & cloud
    counts = {name: _counts_of(band, usable) for name, band in bands.items()}
    seen = usable & ~cloud
    sample = land & seen
    if not sample.any():
        skipped.append("shadow levels of clear land: there is none, all that is not cloud was taken")
        sample = seen
    outlets = {name: _percentile(count, sample, settings.low_percentile) for name, count in counts.items()}
    depth = basin_depth(list(counts.values()), usable, list(outlets.values()))
    potential = seen & (depth > np.float32(settings.shadow_depth))
    objects = cloud_objects(cloud)
    figures = {f"shadow_outlet_{name}": outlet / COUNTS_PER_UNIT for name, outlet in outlets.items()}
    figures |= {"cloud_objects": float(objects.count), "matched_objects": 0.0}
    nothing = np.zeros_like(cloud)
    if reason := _why_not_matched(objects, angles, settings):
        return ShadowFinding(nothing, potential, figures, (*skipped, reason))
    ground = seen & ~water
    displacement = shadow_displacement(objects, angles, resolution_m)
    match = match_clouds(objects, dark=potential, comparable=ground, displacement=displacement, settings=settings)
    matched = match.height_m != UNMATCHED_M
    if not matched.any():
        return ShadowFinding(nothing, potential, figures, (*skipped, "shadow: no cloud has a match"))

    covered = moved_clouds(objects, displacement, match, (cloud.shape[0], cloud.shape[1])) & seen
    telling = telling_depth(depth, covered, ground, least=settings.shadow_depth, tolerance=settings.shadow_telling)
    covered &= potential | _dark(counts.values(), sample, settings.shadow_dark_percentile)
    may_grow = potential & ground & (_per_cent(depth) >= telling)
    shadow = grown_within(covered, may_grow, steps=int(settings.shadow_growth_m / resolution_m))
    height = _weighted_median(match.height_m[matched], objects.area_px[matched])
    caster_seen = _moved(valid, height * displacement.row_per_m.mean(), height * displacement.col_per_m.mean())
    of_unseen = shadow_of_unseen(
        shadow, potential & ground, depth, caster_seen=caster_seen,
        share=settings.shadow_unseen_share, least_px=settings.shadow_witness_px,
    )  # fmt: skip
    shadow |= of_unseen
    figures |= {
        "matched_objects": float(np.count_nonzero(matched)),
        "cloud_height_m": height,
        "shadow_growth_depth": telling / 100,
        "unseen_caster_share": _share(seen & ~caster_seen, seen),
        "shadow_of_unseen_share": _share(of_unseen, shadow),
    }
    return ShadowFinding(shadow, potential, figures, tuple(skipped))


def basin_depth(counts: list[NDArray[np.uint16]], valid: Flag, outlets: list[int]) -> NDArray[np.float32]:
    """How much darker ground is than the rim of the basin it lies in, relative to the rim; of several bands the least.

    Parameters
    ----------
    counts : list of (y, x) uint16
        One or more bands; from 1.
    valid : (y, x) bool
    outlets : list of int
        For each band the level of the outside.

    Returns
    -------
    depth : (y, x) float32
        ``(rim - count) / rim``, 0 to below 1; 0 where not valid.

    Notes
    -----
    Z&W12, section 3.1.3, with the relative depth of F5: ``min((Nf - N) / Nf, (Sf - S) / Sf)``.
    """
    depth = np.ones(valid.shape, np.float32)
    for count, outlet in zip(counts, outlets, strict=True):
        _lower_depth(depth, count, filled_basins(count, valid, outlet=outlet))
    return depth


def telling_depth(depth: NDArray[np.float32], covered: Flag, ground: Flag, *, least: float, tolerance: float) -> int:
    """The depth, in per cent, from which on basins tell shadow from other ground in this scene.

    Fields lie in shallow basins, too, and shadow that grows over all of them leaves its cloud's outline. How deep
    shadows are, the moved clouds show.

    Parameters
    ----------
    depth : (y, x) float32
        As `basin_depth` makes it.
    covered : (y, x) bool
        Ground under the moved clouds.
    ground : (y, x) bool
        Where a shadow would show.
    least, tolerance : float
        Depths below `least` are not considered. The smallest one counts whose agreement reaches `tolerance` of the
        best.

    Returns
    -------
    per_cent : int
        Agreement is the F1 score of "at least so deep" against "covered".
    """
    number = np.zeros((2, 101), np.int64)
    _count_depths(depth, ground, covered, number)
    deeper, covered_px = number[:, ::-1].cumsum(axis=1)[:, ::-1], number[1].sum()
    first = int(np.floor(least * 100))
    agreement = 2 * deeper[1, first:] / np.maximum(deeper[0, first:] + covered_px, 1)
    return first + int(np.flatnonzero(agreement >= tolerance * agreement.max())[0])


def shadow_of_unseen(
    shadow: Flag, potential: Flag, depth: NDArray[np.float32], *, caster_seen: Flag, share: float, least_px: int
) -> Flag:
    """Potential shadow that may be that of a cloud outside the scene, where the scene itself vouches for it.

    Where the sun looks in over the edge of a scene, or over a gap, clouds cannot be matched because they are not seen.
    How far potential shadow is to be believed there is learned from the rest of the same scene.

    Parameters
    ----------
    shadow : (y, x) bool
        Of clouds that are seen.
    potential : (y, x) bool
        Water is not part of it.
    depth : (y, x) float32
        As `basin_depth` makes it.
    caster_seen : (y, x) bool
        Where the cloud that would throw its shadow here is, or would be, seen.
    share, least_px
        Of the potential shadow that is as deep, so much has to be shadow, and it has to be of so many pixels.

    Returns
    -------
    of_unseen : (y, x) bool
        Potential shadow without seen caster that is at least so deep that, where casters are seen, `share` of the
        potential shadow of that depth or more belongs to a cloud. The depth is the smallest such whole per cent.
    """
    number = np.zeros((2, 101), np.int64)
    _count_depths(depth, potential & caster_seen, shadow, number)
    deeper = number[:, ::-1].cumsum(axis=1)[:, ::-1]
    enough = np.flatnonzero((deeper[0] >= max(least_px, 1)) & (deeper[1] >= share * deeper[0]))
    if enough.size == 0:
        return np.zeros_like(shadow)
    of_unseen: Flag = potential & ~caster_seen & (_per_cent(depth) >= enough[0])
    return of_unseen


def _check_settings(resolution_m: float, settings: FmaskSettings) -> None:
    if not resolution_m > 0:
        raise DetectorError(f"Shadow: found a resolution of {resolution_m} m, expected more than 0. State it.")
    if not 0 <= settings.shadow_lowest_m <= settings.shadow_highest_m:
        raise DetectorError(
            f"Shadow: found cloud heights from {settings.shadow_lowest_m:g} to {settings.shadow_highest_m:g} m, "
            "expected a rising range from 0 or more. Change shadow_lowest_m or shadow_highest_m."
        )


def _why_not_matched(objects: CloudObjects, angles: Angles, settings: FmaskSettings) -> str:
    """The reason why no cloud's shadow can be looked for; empty if there is none."""
    if objects.count == 0:
        return "shadow: no cloud to match"
    zenith = float(np.max(angles.at(objects.row, objects.col)[0]))
    if zenith <= settings.shadow_sun_zenith:
        return ""
    limit = settings.shadow_sun_zenith
    return f"shadow: the sun's zenith angle is {zenith:.1f} degrees, above {limit:g} nothing is matched"


def _dark(counts: Iterable[NDArray[np.uint16]], sample: Flag, percent: float) -> Flag:
    """Pixels that are in no band brighter than this percentile of the sample."""
    dark = np.ones(sample.shape, np.bool_)
    for count in counts:
        dark &= count <= _percentile(count, sample, percent)
    return dark


def _counts_of(band: Reflectance, usable: Flag) -> NDArray[np.uint16]:
    """Reflectance as whole numbers, at least 1; `usable` loses the pixels without a number."""
    counts = np.empty(band.shape, np.uint16)
    _fill_counts(band, usable, counts)
    return counts


def _percentile(counts: NDArray[np.uint16], where: Flag, percent: float) -> int:
    """Percentile of the counts, rounded down to one that occurs; 1 where there is none."""
    number = np.cumsum(np.bincount(counts[where]))
    if number.size == 0:
        return 1
    return int(np.searchsorted(number, percent / 100 * (number[-1] - 1), side="right"))


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _per_cent(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Whole per cent, rounded down."""
    return (depth * np.float32(100)).astype(np.uint8)


def _share(part: Flag, whole: Flag) -> float:
    """How much of the one is the other; 0 of nothing."""
    return int(np.count_nonzero(part)) / max(int(np.count_nonzero(whole)), 1)


def _moved(flag: Flag, down: float, right: float) -> Flag:
    """The flag moved by whole pixels, False where it came from outside."""
    rows, cols = flag.shape
    below, beside = (int(np.clip(np.rint(move), -edge, edge)) for move, edge in ((down, rows), (right, cols)))
    moved = np.zeros_like(flag)
    moved[max(below, 0) : rows + min(below, 0), max(beside, 0) : cols + min(beside, 0)] = flag[
        max(-below, 0) : rows + min(-below, 0), max(-beside, 0) : cols + min(-beside, 0)
    ]
    return moved


@njit(nogil=True, cache=True)
def _fill_counts(band: Reflectance, usable: Flag, counts: NDArray[np.uint16]) -> None:
    for row in range(band.shape[0]):
        for col in range(band.shape[1]):
            value = band[row, col]
            if np.isnan(value):
                usable[row, col] = False
                counts[row, col] = 1
            else:
                counts[row, col] = np.uint16(min(max(np.rint(value * np.float32(COUNTS_PER_UNIT)), 1.0), _BRIGHTEST))


@njit(nogil=True, cache=True)
def _lower_depth(depth: NDArray[np.float32], count: NDArray[np.uint16], rim: NDArray[np.uint16]) -> None:
    for row in range(count.shape[0]):
        for col in range(count.shape[1]):
            high = np.float32(rim[row, col])
            depth[row, col] = min(depth[row, col], (high - np.float32(count[row, col])) / high)


@njit(nogil=True, cache=True)
def _count_depths(depth: NDArray[np.float32], asked: Flag, marked: Flag, number: NDArray[np.int64]) -> None:
    """For each whole per cent of depth: how many pixels are asked, and how many of these marked."""
    for row in range(depth.shape[0]):
        for col in range(depth.shape[1]):
            if asked[row, col]:
                percent = int(depth[row, col] * np.float32(100))
                number[0, percent] += 1
                number[1, percent] += marked[row, col]
