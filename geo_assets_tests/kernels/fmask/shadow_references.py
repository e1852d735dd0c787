"""Slow, obvious versions of the shadow kernels."""

import numpy as np
from scipy import ndimage
from skimage.morphology import reconstruction

TOUCHING = np.ones((3, 3), bool)
SIDES = ndimage.generate_binary_structure(2, 1)


def filled_basins(height, valid, outlet, connectivity):
    """scikit-image's reconstruction, with a dry wall where not valid."""
    footprint = TOUCHING if connectivity == 8 else SIDES
    edge = valid & ~ndimage.binary_erosion(valid, footprint)
    wall = np.where(valid, height, 65_535).astype(np.int64)
    seed = np.where(edge, np.maximum(height, outlet), 65_535)
    filled = reconstruction(seed, wall, method="erosion", footprint=footprint)
    return np.where(valid, filled, height).astype(np.uint16)


def similarities(cloud, dark, comparable, row_per_m, col_per_m, heights, unseen_weight):
    """(cloud, height) by moving every pixel of every cloud; angles are the same for all clouds."""
    labels, count = ndimage.label(cloud, TOUCHING)
    found = np.zeros((count, len(heights)))
    for number in range(count):
        rows, cols = np.nonzero(labels == number + 1)
        for index, height in enumerate(heights):
            under_row = rows + int(np.rint(height * row_per_m))
            under_col = cols + int(np.rint(height * col_per_m))
            inside = (under_row >= 0) & (under_row < cloud.shape[0]) & (under_col >= 0) & (under_col < cloud.shape[1])
            seen = comparable[under_row[inside], under_col[inside]]
            dark_px = (seen & dark[under_row[inside], under_col[inside]]).sum()
            unseen = rows.size - seen.sum()
            found[number, index] = dark_px / (seen.sum() + 1 + unseen_weight * unseen)
    return found


def grown_within(seed, allowed, steps):
    """One dilation after the other."""
    grown = seed
    for _ in range(steps):
        grown = grown | (ndimage.binary_dilation(grown, TOUCHING) & allowed)
    return grown
