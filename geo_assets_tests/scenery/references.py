"""Slow, obvious versions of the kernels: written so that reading one is enough to believe it."""

import math
from fractions import Fraction

import numpy as np

NODATA = -32768
NONE = 255


def squared_distance(valid, cap_px):
    """Of every pixel of `valid`: compare it with every False there is."""
    invalid = np.argwhere(~valid)
    distance2 = np.full(valid.shape, cap_px**2)
    for row, col in np.ndindex(valid.shape):
        for other_row, other_col in invalid:
            between = (row - other_row) ** 2 + (col - other_col) ** 2
            distance2[row, col] = min(distance2[row, col], between)
    return distance2


def feathered(scenes, weights):
    """Mean of (y, x) scenes by (y, x) weights, in fractions; halves go up."""
    mean = np.full(scenes[0].shape, NODATA)
    for pixel in np.ndindex(mean.shape):
        here = [
            (int(values[pixel]), int(weight[pixel]))
            for values, weight in zip(scenes, weights, strict=True)
            if values[pixel] != NODATA
        ]
        if here:
            total = sum(value * weight for value, weight in here)
            mean[pixel] = half_up(Fraction(total, sum(weight for _, weight in here)))
    return mean


def half_up(number):
    """The nearest integer; a half goes up, below zero too."""
    return math.floor(number + Fraction(1, 2))


def best_pixel(reflectance, quality):
    """(bands, quality, observation_count, source), by sorting the usable scenes of every pixel."""
    _, band_count, height, width = reflectance.shape
    bands = np.full((band_count, height, width), NODATA)
    best, source = np.full((height, width), NONE), np.full((height, width), NONE)
    count = np.zeros((height, width), int)
    for row, col in np.ndindex(height, width):
        usable = [
            (quality[scene, row, col], scene)
            for scene in range(len(reflectance))
            if quality[scene, row, col] != NONE and (reflectance[scene, :, row, col] != NODATA).all()
        ]
        count[row, col] = len(usable)
        if usable:
            best[row, col], source[row, col] = min(usable)
            bands[:, row, col] = reflectance[source[row, col], :, row, col]
    return bands, best, count, source


def percentile(values, percent):
    """The smallest of `values` that at least this share of them does not exceed."""
    needed = Fraction(str(percent)) / 100 * len(values)
    for candidate in sorted(values):
        if sum(value <= candidate for value in values) >= needed:
            return candidate
    return NODATA


def cells(array, factor):
    """((cell row, cell column), its pixels) of every cell, cut off at the right and bottom edges."""
    rows, cols = (range(0, length, factor) for length in array.shape)
    for row in rows:
        for col in cols:
            yield (row // factor, col // factor), array[row : row + factor, col : col + factor]


def block_mean(counts, factor):
    """Mean of the valid pixels of every cell; halves go up."""
    mean = np.full([-(-length // factor) for length in counts.shape], NODATA)
    for cell, pixels in cells(counts, factor):
        valid = [int(value) for value in pixels.flat if value != NODATA]
        if valid:
            mean[cell] = half_up(Fraction(sum(valid), len(valid)))
    return mean


def greedy_choice(clear, order, *, coverage_target, min_k, max_k) -> list[int]:
    """Scenes by marginal clear gain, with sets of pixels."""
    shown = {scene: set(np.flatnonzero(clear[scene])) for scene in order}
    wanted = min(coverage_target * clear.shape[1], len(set().union(*shown.values())))
    chosen: list[int] = []
    covered: set[int] = set()
    while len(chosen) < min(max_k, len(order)) and (len(chosen) < min_k or len(covered) < wanted):
        best = max((scene for scene in order if scene not in chosen), key=lambda scene: len(shown[scene] - covered))
        chosen.append(best)
        covered |= shown[best]
    return chosen
