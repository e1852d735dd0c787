"""Tiny arrays for hypothesis, in which nodata, fill, zero and the extremes are frequent."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NODATA = -32768
AWKWARD_COUNTS = (NODATA, NODATA + 1, -1, 0, 1, 32767)


def windows(longest_px=9):
    """(height, width)."""
    return st.tuples(st.integers(1, longest_px), st.integers(1, longest_px))


def flags(shape):
    """Bool arrays; mostly True and mostly False ones are as frequent as even ones."""
    return st.one_of(
        hnp.arrays(np.bool_, shape),
        hnp.arrays(np.bool_, shape, elements=st.just(False), fill=st.just(True)),
        hnp.arrays(np.bool_, shape, elements=st.just(True), fill=st.just(False)),
    )


def reflectance(shape):
    """int16 reflectance counts."""
    return hnp.arrays(np.int16, shape, elements=st.sampled_from(AWKWARD_COUNTS) | st.integers(-200, 12_000))


def mask_codes(shape):
    """uint8 mask codes."""
    return hnp.arrays(np.uint8, shape, elements=st.sampled_from((0, 1, 2, 3, 4, 255)))


def qualities(shape):
    """uint8 quality."""
    return hnp.arrays(np.uint8, shape, elements=st.sampled_from((0, 1, 2, 255)))


@st.composite
def stacks(draw):
    """(reflectance, quality) of one to four scenes: (time, band, y, x) int16 and (time, y, x) uint8."""
    scenes, bands = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    window = draw(windows(4))
    return draw(reflectance((scenes, bands, *window))), draw(qualities((scenes, *window)))


@st.composite
def overlapping_scenes(draw):
    """(y, x) int16 scenes of one band on one window, one to four of them."""
    window = draw(windows(7))
    return draw(st.lists(reflectance(window), min_size=1, max_size=4))
