"""What a month's figures are held against: the goals of quality, each with its source.

No paper gives a pass or fail for reflectance mosaics. These are ours, set on synthetic truth; decision 25 tells how.
Inspectors and reports judge by the same ones.
"""

from collections.abc import Mapping
from types import MappingProxyType

LARGEST_OVERLAP_BIAS = 0.003
"""M2, reflectance: mean difference of two tiles where they overlap."""

LARGEST_OVERLAP_RMSE_VISIBLE = 0.010
"""M2, reflectance. Invariant pixels of Landsat 8 and Sentinel-2 agree to about as much."""

LARGEST_OVERLAP_RMSE_INFRARED = 0.015
"""M2, reflectance, all bands beyond red."""

LEAST_SHARPNESS = 0.88
"""M7: gradient energy that a wide feather keeps where tiles overlap."""

LEAST_SHARPNESS_SEAMLINE = 0.97
"""M7: the same along a seamline."""

LARGEST_TEMPORAL_DISTANCE_DAYS = 10
"""M10: median distance of the chosen observations from the target day of a month."""

NEAR_A_DAY: tuple[str, ...] = ("bap",)
"""Methods that look for observations near the target day; only they are held against M10."""

LARGEST_DATE_FRAGMENTATION = 0.05
"""M11: share of neighbouring pixels whose observations are of different days."""

OF_ONE_DATE: tuple[str, ...] = ("best_pixel", "bap")
"""Methods whose pixels are meant to lie in patches of one date, else a composite of single observations is a patchwork;
the others choose or mix by value, and are not held against M11."""

HONEST: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"inside_1_sigma": (0.60, 0.76), "inside_2_sigma": (0.90, 0.98)}
)
"""Shares of held-out observations within one and two standard uncertainties that one estimated from many
observations should have; 0.68 and 0.95 for a normal error."""

LEAST_HONEST: Mapping[str, float] = MappingProxyType({"inside_1_sigma": 0.50, "inside_2_sigma": 0.75})
"""Below, even one estimated from three observations (0.58 and 0.82 for a normal error) says too little."""

ASIDE: tuple[str, ...] = ("percentile", "max_ndvi")
"""Methods whose value lies aside from the middle of the observations on purpose: no uncertainty of theirs is judged."""

FEWEST_HELD_OUT = 1_000
"""Below, the shares say little."""

VISIBLE: tuple[str, ...] = ("coastal", "blue", "green", "red")
"""Stable names of the bands that an eye could see."""


def largest_overlap_rmse(band: str) -> float:
    """M2 of one band, reflectance."""
    return LARGEST_OVERLAP_RMSE_VISIBLE if band in VISIBLE else LARGEST_OVERLAP_RMSE_INFRARED


def largest_seam_ratio(limit: float, by_chance: float | None) -> float:
    """M1: step over floor that a seam may have.

    Parameters
    ----------
    limit
        The region's `mosaic.seam_limit`.
    by_chance
        What ground without any seam stays below: a few segments scatter by more than the limit allows, on any land.
    """
    return max(limit, by_chance or 0.0)
