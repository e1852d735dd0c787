"""The linear system of a harmonisation: assembled overlap by overlap, solved by conjugate gradients in a fixed order.

Sparse for two rasters as for ten thousand, and well conditioned by its ridge. One thread, float64, one term after
another: no linear algebra library takes part, whose sums depend on its threads and on the machine.
"""

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def normal_equations(ends: Any, begins: Any, samples: Any, sigma: Any, unknowns: Any, scale: Any, huber: float) -> Any:
    """What each overlap adds to the system, its samples weighted by Huber's loss at the unknowns so far.

    Parameters
    ----------
    ends : (overlap, 2) int64
        Numbers of its two rasters i and j.
    begins : (overlap + 1,) int64
        Where its samples begin.
    samples : (sample, 2) float64
        The same ground in i and in j.
    sigma : (overlap,) float64
        Scatter of the differences.
    unknowns : (raster, 2) float64
        (Gain - 1) and offset, in units of `scale`.
    scale : (2,) float64
        The ridge's units; 0 keeps an unknown at 0.
    huber : float
        Beyond so many sigma a residual counts linearly.

    Returns
    -------
    matrix : (overlap, 4, 4) float64
    right : (overlap, 4) float64
        For (gain i, offset i, gain j, offset j).
    """
    matrix = np.zeros((len(ends), 4, 4))
    right = np.zeros((len(ends), 4))
    row = np.empty(4)
    for p in range(len(ends)):
        i, j = ends[p, 0], ends[p, 1]
        count = begins[p + 1] - begins[p]
        weight = np.sqrt(count) / count / (sigma[p] * sigma[p])
        for k in range(begins[p], begins[p + 1]):
            row[0], row[1] = scale[0] * samples[k, 0], scale[1]
            row[2], row[3] = -scale[0] * samples[k, 1], -scale[1]
            apart = samples[k, 0] - samples[k, 1]
            residual = apart + row[0] * unknowns[i, 0] + row[1] * unknowns[i, 1]
            residual += row[2] * unknowns[j, 0] + row[3] * unknowns[j, 1]
            far = abs(residual) / sigma[p]
            trust = weight if far <= huber else weight * huber / far
            for a in range(4):
                right[p, a] -= trust * row[a] * apart
                for b in range(4):
                    matrix[p, a, b] += trust * row[a] * row[b]
    return matrix, right


@njit(nogil=True, cache=True)
def conjugate_gradients(
    ends: Any, matrix: Any, right: Any, group: Any, unknowns: Any, steps: int, solved: float
) -> None:
    """Solve (1 + sum of `matrix`) x = sum of `right`, with the gains of every group summing to 0.

    Preconditioned by each raster's own 2 x 2 block.

    Parameters
    ----------
    ends, matrix, right
        Of `normal_equations`.
    group : (raster,) int64
        The connected group that each belongs to.
    unknowns : (raster, 2) float64
        Where to begin; the solution when it is over.
    steps, solved
        At most so many steps; done when the residual has fallen to this part of the right-hand side.
    """
    rasters = len(unknowns)
    target = np.zeros((rasters, 2))
    own = np.zeros((rasters, 2, 2))
    for i in range(rasters):
        own[i, 0, 0], own[i, 1, 1] = 1.0, 1.0
    for p in range(len(ends)):
        for end in range(2):
            for a in range(2):
                target[ends[p, end], a] += right[p, 2 * end + a]
                for b in range(2):
                    own[ends[p, end], a, b] += matrix[p, 2 * end + a, 2 * end + b]
    members = np.zeros(group.max() + 1)
    for i in range(rasters):
        members[group[i]] += 1.0
    _balance(target, group, members)
    residual = np.empty((rasters, 2))
    _multiply(ends, matrix, unknowns, residual)
    _balance(residual, group, members)
    for i in range(rasters):
        for a in range(2):
            residual[i, a] = target[i, a] - residual[i, a]
    aim = solved * solved * _product(target, target)
    along, direction, image = np.empty((rasters, 2)), np.zeros((rasters, 2)), np.empty((rasters, 2))
    previous = 1.0
    for step in range(steps):
        if _product(residual, residual) <= aim:
            break
        for i in range(rasters):
            determinant = own[i, 0, 0] * own[i, 1, 1] - own[i, 0, 1] * own[i, 1, 0]
            along[i, 0] = (own[i, 1, 1] * residual[i, 0] - own[i, 0, 1] * residual[i, 1]) / determinant
            along[i, 1] = (own[i, 0, 0] * residual[i, 1] - own[i, 1, 0] * residual[i, 0]) / determinant
        _balance(along, group, members)
        current = _product(residual, along)
        carry = 0.0 if step == 0 else current / previous
        previous = current
        for i in range(rasters):
            for a in range(2):
                direction[i, a] = along[i, a] + carry * direction[i, a]
        _multiply(ends, matrix, direction, image)
        _balance(image, group, members)
        length = current / _product(direction, image)
        for i in range(rasters):
            for a in range(2):
                unknowns[i, a] += length * direction[i, a]
                residual[i, a] -= length * image[i, a]


@njit(nogil=True, cache=True)
def _multiply(ends: Any, matrix: Any, vector: Any, out: Any) -> None:
    """The ridge's identity and every overlap's block, times a vector."""
    out[:] = vector
    for p in range(len(ends)):
        for a in range(4):
            total = 0.0
            for b in range(4):
                total += matrix[p, a, b] * vector[ends[p, b // 2], b % 2]
            out[ends[p, a // 2], a % 2] += total


@njit(nogil=True, cache=True)
def _balance(vector: Any, group: Any, members: Any) -> None:
    """Take from the gains their mean over the group: what is left keeps the group's mean gain."""
    sums = np.zeros(len(members))
    for i in range(len(vector)):
        sums[group[i]] += vector[i, 0]
    for i in range(len(vector)):
        vector[i, 0] -= sums[group[i]] / members[group[i]]


@njit(nogil=True, cache=True)
def _product(first: Any, second: Any) -> float:
    total = 0.0
    for i in range(len(first)):
        for a in range(2):
            total += first[i, a] * second[i, a]
    return total
