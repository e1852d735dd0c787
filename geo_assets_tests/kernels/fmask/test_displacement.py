import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from geo_assets.kernels.fmask.displacement import displaced_cloud, displacement_index
from geo_assets.kernels.fmask.settings import FmaskSettings
from geo_assets.kernels.fmask.spectra import Look
from geo_assets_tests.kernels.fmask import cloud_references

CHOSEN = FmaskSettings()


def looks(seen, potential=None):
    flags = seen.astype(np.uint8)
    return flags if potential is None else flags | np.where(seen & potential, Look.POTENTIAL, 0).astype(np.uint8)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 17), st.integers(1, 15))
def test_the_index_equals_the_slow_reference(seed, height, width):
    random = np.random.default_rng(seed)
    bands = [random.uniform(0.05, 0.9, (height, width)).astype(np.float32) for _ in range(3)]
    bands[0][random.random((height, width)) < 0.05] = np.nan
    seen = random.random((height, width)) < 0.9
    found = displacement_index(*bands, looks(seen), CHOSEN)
    assert_allclose(found, cloud_references.displacement_index(*bands, seen), rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20))
def test_what_is_kept_equals_erosion_and_propagation(seed, height, width):
    random = np.random.default_rng(seed)
    cdi = random.choice([-0.9, -0.6, -0.4, 0.1, np.nan], (height, width), p=[0.4, 0.3, 0.15, 0.1, 0.05])
    cdi = cdi.astype(np.float32)
    potential = random.random((height, width)) < 0.9
    look = looks(np.ones((height, width), bool), potential)
    dropped = displaced_cloud(look, cdi, CHOSEN)
    kept = cloud_references.displaced(potential, cdi)
    assert_array_equal((look & Look.POTENTIAL) != 0, kept)
    assert dropped == potential.sum() - kept.sum()


def test_a_cloud_shifts_between_the_bands_and_a_roof_does_not():
    random = np.random.default_rng(5)
    texture = np.kron(random.uniform(0.3, 0.9, (20, 20)), np.ones((3, 3)))
    nir08, rededge3 = texture, 0.95 * texture
    elsewhere = np.roll(texture, 2, axis=0)  # B08 looks from another angle: two pixels for a cloud, none for a roof
    seen = looks(np.ones(texture.shape, bool))
    noise = random.normal(0, 0.01, (3, *texture.shape))
    bands = [(band + noise[number]).astype(np.float32) for number, band in enumerate((rededge3, elsewhere, nir08))]
    cloud = displacement_index(*bands, seen, CHOSEN)
    bands[1] = (texture + noise[1]).astype(np.float32)
    roof = displacement_index(*bands, seen, CHOSEN)
    assert np.median(cloud) < CHOSEN.bright_surface_cdi
    assert np.quantile(roof, 0.05) > CHOSEN.cdi_seed


def test_where_nothing_varies_the_index_is_zero():
    flat = np.full((12, 12), 0.3, np.float32)
    assert_array_equal(displacement_index(flat, 2 * flat, flat, looks(flat > 0), CHOSEN), 0)
