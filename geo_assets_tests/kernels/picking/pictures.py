"""Stored rasters and output grids across them, for hypothesis."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def rasters(draw):
    """(stored counts, nodata) with holes, in one of the dtypes that archives have."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    dtype, nodata = draw(st.sampled_from([(np.uint16, 0), (np.int16, -9999)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stored = random.integers(1, 12_000, (height, width)).astype(dtype)
    stored[random.random((height, width)) < draw(st.sampled_from([0.0, 0.2, 0.9]))] = nodata
    return stored, nodata


@st.composite
def axes(draw, length):
    """Centres of output pixels along an axis of `length` stored ones, reaching beyond it on both sides."""
    step = draw(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 0.7, 1 / 3]))
    first = draw(st.sampled_from([-2.0, -0.5, 0.0, 0.1, 0.5, 1.0]))
    number = int((length + 3) / step) + 1
    return first + (np.arange(number) + 0.5) * step


@st.composite
def pictures(draw):
    stored, nodata = draw(rasters())
    return stored, nodata, draw(axes(stored.shape[0])), draw(axes(stored.shape[1]))


def differences(stored):
    """TIFF predictor 2."""
    shifted = stored.copy()
    shifted[:, 1:] -= stored[:, :-1]
    return shifted
