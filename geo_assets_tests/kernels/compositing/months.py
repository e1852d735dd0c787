"""Tiny months of observations for hypothesis: ties, gaps and extremes are frequent."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.kernels.compositing.observations import Observations
from geo_assets_tests.scenery.strategies import qualities, reflectance, windows


@st.composite
def months(draw, most_scenes=6):
    """(observations, scores): two to three bands, one to six scenes acquired in any order."""
    scenes, bands = draw(st.integers(1, most_scenes)), draw(st.integers(2, 3))
    window = draw(windows(3))
    acquired = np.array(draw(st.permutations(range(scenes))), np.int64)
    scores = draw(
        hnp.arrays(
            np.float32, (scenes, *window), elements=st.sampled_from((0.0, 0.25, 1.0)) | st.floats(0, 1, width=32)
        )
    )
    counts = draw(reflectance((scenes, bands, *window)))
    return Observations(counts, draw(qualities((scenes, *window))), acquired), scores


def month(seed, scenes=7, bands=3, height=5, width=80):
    """(observations, scores) of a window wider than what kernels take at once."""
    random = np.random.default_rng(seed)
    counts = random.normal(1500, 400, (scenes, bands, height, width)).astype(np.int16)
    quality = random.choice(np.array([0, 0, 0, 1, 255], np.uint8), (scenes, height, width))
    scores = random.random((scenes, height, width)).astype(np.float32)
    return Observations(counts, quality, random.permutation(scenes).astype(np.int64)), scores
