import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look
from geo_assets.kernels.fmask.texture import even_snow
from geo_assets_tests.kernels.fmask import cloud_references

SNOWY = int(Look.SEEN | Look.POTENTIAL | Look.SNOW)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 16), st.integers(1, 16), st.integers(1, 5))
def test_even_snow_equals_the_slow_reference(seed, height, width, radius_px):
    random = np.random.default_rng(seed)
    roughness = random.choice([1e-4, 1e-3, 5e-3])
    green = (0.7 + random.normal(0, roughness, (height, width))).astype(np.float32)
    swir16 = np.full((height, width), 0.2, np.float32)
    look = random.choice(
        [0, int(Look.SEEN), SNOWY, SNOWY | int(Look.SATURATED_GREEN)], (height, width), p=[0.1, 0.2, 0.6, 0.1]
    )
    look = look.astype(np.uint8)
    seen, candidate = (look & Look.SEEN) != 0, look == SNOWY
    expected = cloud_references.even_snow(green, swir16, seen, candidate, radius_px)
    chosen = dataclasses.replace(FmaskSettings(), snow_texture_radius_m=60.0 * radius_px)
    potential = (look & Look.POTENTIAL) != 0
    dropped = even_snow(green, swir16, look, resolution_m=60.0, settings=chosen)
    assert_array_equal((look & Look.POTENTIAL) != 0, potential & ~expected)
    assert dropped == expected.sum()


def test_a_cloud_over_even_snow_stays():
    random = np.random.default_rng(2)
    green = (0.8 + random.normal(0, 1e-4, (80, 80))).astype(np.float32)
    green[30:50, 30:50] = random.uniform(0.4, 0.9, (20, 20))
    swir16 = np.full((80, 80), 0.1, np.float32)
    swir16[30:50, 30:50] = 0.35
    look = np.full((80, 80), SNOWY, np.uint8)
    even_snow(
        green,
        swir16,
        look,
        resolution_m=60.0,
        settings=dataclasses.replace(FmaskSettings(), snow_texture_radius_m=300.0),
    )
    left = (look & Look.POTENTIAL) != 0
    assert left[30:50, 30:50].all()
    assert not left[:20].any()
