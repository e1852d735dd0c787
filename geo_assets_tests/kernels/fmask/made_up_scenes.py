"""Small scenes of known ground and sky for the Fmask steps."""

import numpy as np
from hypothesis import strategies as st

SPECTRA = {  # reflectance of blue, green, red, nir, swir16, swir22
    "forest": (0.09, 0.07, 0.045, 0.28, 0.13, 0.06),
    "field": (0.10, 0.09, 0.06, 0.40, 0.20, 0.10),
    "soil": (0.12, 0.14, 0.17, 0.22, 0.30, 0.25),
    "roofs": (0.15, 0.16, 0.17, 0.19, 0.23, 0.20),
    "lake": (0.08, 0.06, 0.035, 0.02, 0.01, 0.006),
    "turbid": (0.12, 0.11, 0.10, 0.09, 0.02, 0.01),
    "snow": (0.75, 0.74, 0.73, 0.65, 0.09, 0.06),
    "cloud": (0.55, 0.53, 0.53, 0.57, 0.42, 0.30),
    "haze": (0.24, 0.21, 0.19, 0.33, 0.22, 0.14),
    "shade": (0.05, 0.03, 0.02, 0.06, 0.04, 0.02),
}
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")


def counts(cover, random, *, noise=0.01):
    """uint16 DN of a scene, given the name of what each pixel shows."""
    table = np.array([SPECTRA[name] for name in SPECTRA])
    kinds = np.searchsorted(sorted(SPECTRA), cover)
    order = [list(SPECTRA).index(name) for name in sorted(SPECTRA)]
    values = table[np.array(order)[kinds]] + random.normal(0, noise, (*cover.shape, 6))
    stored = np.clip(np.rint(values * 10_000), 0, 65535).astype(np.uint16)
    return {name: np.ascontiguousarray(stored[..., number]) for number, name in enumerate(BANDS)}


@st.composite
def scenes(draw, largest=14):
    """Bands of a scene in random patches, and where it is valid."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    cover = random.choice(sorted(SPECTRA), (height, width))
    bands = counts(cover, random, noise=draw(st.sampled_from([0.0, 0.02, 0.1])))
    valid = random.random((height, width)) < draw(st.sampled_from([1.0, 0.7]))
    return bands, valid


def landscape(height=120, width=100, seed=1):
    """Cover names: fields, a wood, a lake, a town, and three clouds, one of them over the lake."""
    cover = np.full((height, width), "field")
    cover[:, : width // 3] = "forest"
    cover[height // 2 :, 2 * width // 3 :] = "lake"
    cover[5:20, 70:90] = "roofs"
    random = np.random.default_rng(seed)
    cover[random.random(cover.shape) < 0.2] = "soil"
    cloud = np.zeros(cover.shape, bool)
    for row, col, radius in ((30, 25, 9), (70, 55, 6), (90, 85, 8)):
        rows, cols = np.ogrid[:height, :width]
        cloud |= (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
    cover[cloud] = "cloud"
    return cover, cloud
