"""Fast deterministic noise: every value is a function of position and seed, never of the order of evaluation.

For this room's other kernels: a parcel's crop, a cloud's shape, the sensor's noise.
"""

import hashlib

import numpy as np
from numba import njit

_MIX_X = np.uint64(0x9E3779B97F4A7C15)
_MIX_Y = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_SEED = np.uint64(0x165667B19E3779F9)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 1.0 / 2**53


@njit(nogil=True, cache=True)
def cell_noise(column: int, row: int, seed: int) -> float:
    """White noise of an integer cell, float64 in [0, 1): the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = np.uint64(column) * _MIX_X ^ np.uint64(row) * _MIX_Y ^ np.uint64(seed) * _MIX_SEED
    mixed = (mixed ^ (mixed >> _SHIFT_30)) * _FIRST
    mixed = (mixed ^ (mixed >> _SHIFT_27)) * _SECOND
    mixed = mixed ^ (mixed >> _SHIFT_31)
    return float(mixed >> _SHIFT_11) * _TO_UNIT


@njit(nogil=True, cache=True)
def smooth_noise(x: float, y: float, size_m: float, seed: int) -> float:
    """Value noise, float64 in [0, 1): cells of `size_m` metres joined by smoothsteps."""
    column, row = int(np.floor(x / size_m)), int(np.floor(y / size_m))
    right, up = x / size_m - column, y / size_m - row
    right, up = right * right * (3.0 - 2.0 * right), up * up * (3.0 - 2.0 * up)
    lower = cell_noise(column, row, seed) * (1.0 - right) + cell_noise(column + 1, row, seed) * right
    upper = cell_noise(column, row + 1, seed) * (1.0 - right) + cell_noise(column + 1, row + 1, seed) * right
    return lower * (1.0 - up) + upper * up


@njit(nogil=True, cache=True)
def cloudy_noise(x: float, y: float, size_m: float, octaves: int, seed: int) -> float:
    """Sum of `octaves` smooth noises, each half as large and 0.55 as strong as the one before; in [0, 1).

    Every octave is turned by 37 degrees against the one before, which hides the lattice of value noise.
    """
    total, weight, weights = 0.0, 1.0, 0.0
    for octave in range(octaves):
        total += weight * smooth_noise(x, y, size_m, seed + 101 * octave)
        weights += weight
        weight *= 0.55
        size_m *= 0.5
        x, y = 0.7986 * x - 0.6018 * y, 0.6018 * x + 0.7986 * y
    return total / weights


def unit_draw(*words: object) -> float:
    """A number in [0, 1) that depends on `words` alone, the same on every machine and Python."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
