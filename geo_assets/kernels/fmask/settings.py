"""Every number that the Fmask-type detector decides by, with its source.

Z&W12 = Zhu & Woodcock 2012, Z15 = Zhu, Wang & Woodcock 2015, F18 = Frantz et al. 2018, Q19 = Qiu et al. 2019,
F5 = Fmask 5.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FmaskSettings:
    """Thresholds in reflectance units and lengths in metres; the defaults are the published ones."""

    # Potential cloud (Z&W12, eq. 1-6)
    potential_swir22: float = 0.03
    """Clouds are brighter than this at 2200 nm."""
    potential_ndsi: float = 0.8
    """Clouds are below this: above, it is snow."""
    potential_ndvi: float = 0.8
    """Clouds are below this: above, it is vegetation."""
    whiteness: float = 0.7
    """Clouds deviate less than this from grey, in sum over the visible bands, relative to their mean."""
    haze: float = 0.08
    """HOT is ``blue - 0.5 * red - haze``; clouds are above 0."""
    nir_swir: float = 0.75
    """Clouds have a larger ratio of near infrared to 1600 nm; rock and bare soil a smaller one."""

    # Snow (Z&W12, eq. 20 without temperature; Q19, section 3.1)
    snow_ndsi: float = 0.15
    """Snow is above this."""
    snow_nir: float = 0.11
    """Snow is brighter than this."""
    snow_green: float = 0.10
    """Snow is brighter than this."""
    plentiful_snow_m2: float = 1e8
    """Area of snow from which the snow-texture test is made; 10 km x 10 km."""
    snow_texture_radius_m: float = 5000.0
    """Half the edge of the square over which the green band's standard deviation is taken."""
    snow_texture: float = 0.0009
    """Snow-like ground whose deviation times ``1 - NDSI`` is below this is no cloud."""

    # Cloud displacement index (F18)
    cdi_finest_m: float = 15.0
    """Finer pixels than these are finer than B07 and B8A (20 m), whose texture then is too smooth: no CDI."""
    cdi_coarsest_m: float = 20.0
    """Coarser pixels do not show the parallax between the bands: no CDI then."""
    cdi_window_px: int = 7
    """Edge of the window of the focal variances; odd."""
    cdi_seed: float = -0.5
    """Potential clouds below this are kept, and eroded by one pixel,"""
    cdi_grow: float = -0.25
    """then grown within potential cloud below this."""

    # Cirrus (Q19, section 3.1)
    cirrus: float = 0.01
    """Potential cloud is brighter than this at 1375 nm, above the clear sky's"""
    cirrus_percentile: float = 2.0
    """percentile of the pixels that are no potential cloud."""
    cirrus_weight: float = 0.5
    """Of ``cirrus / cirrus_scale`` in both probabilities."""
    cirrus_scale: float = 0.04

    # Water (Z&W12, eq. 5)
    water_ndvi: float = 0.01
    """Water is below this and darker than `water_nir`,"""
    water_nir: float = 0.11
    turbid_ndvi: float = 0.1
    """or below this and darker than `turbid_nir`."""
    turbid_nir: float = 0.05

    # Clear-sky sets, probabilities and thresholds (Z&W12, eq. 7-18; Q19, section 3.1)
    least_clear_share: float = 0.001
    """Of the pixels: fewer clear ones (of land, or of water) are no sample (Z&W12; their 40,000 px of a Landsat scene
    are this share, which holds for any pixel size and window)."""
    least_clear_px: int = 100
    """And never fewer pixels than this: an outer percentile of fewer is noise."""
    low_percentile: float = 17.5
    high_percentile: float = 82.5
    """The clear sky's range of a quantity lies between these percentiles."""
    hot_margin: float = 0.04
    """By which the range of HOT is widened on both sides; the brightness probability rises from 0 to 1 over it."""
    water_swir16: float = 0.11
    """1600 nm reflectance at which the brightness probability over water is 1."""
    probability_offset: float = 0.2
    """Cloud is more probable by this than the clear sky's `high_percentile` (Q19, for Sentinel-2)."""
    water_threshold: float = 0.5
    """Where there is too little clear water to ask (Z&W12)."""

    # Saturation (Z&W12, section 3.1.1; Q19, section 3.1)
    saturated_from: float = 0.3
    """A band's largest value, shared by many pixels, is where its sensor saturated if it is at least this bright."""
    saturated_share: float = 1e-4
    """Of the pixels: so many share it."""
    saturated_px: int = 16
    """And never fewer than this."""

    # Tidying (Z&W12, section 3.1.2; Q19, section 3.3)
    smallest_cloud_px: int = 3
    """Smaller objects are dropped."""
    bright_surface_without_cdi: bool = False
    """Remove bright surfaces also where no CDI can spare the small clouds among them."""
    bright_surface_cdi: float = -0.8
    """Candidates for bright surfaces (built-up ground, not water) are at least this, where there is a CDI."""
    bright_surface_reach_m: float = 250.0
    """By which the candidates are dilated."""
    bright_surface_erosion_m: float = 90.0
    """By which an object is eroded; what vanishes, and is all candidate, is ground (Q19, for Sentinel-2)."""

    # Shadow (Z&W12, sections 3.1.3 and 3.2; Q17; Q19, section 3.4; F5)
    shadow_depth: float = 0.15
    """Potential shadow is darker than its rim by this share of it, in all bands (F5); rims are flooded from outside at
    the clear land's `low_percentile`."""
    shadow_lowest_m: float = 100.0
    """Clouds are looked for from this height above ground (Z&W12: 200 m; shadows that touch their cloud need less)"""
    shadow_highest_m: float = 12_000.0
    """up to this one (Z&W12)."""
    shadow_similarity: float = 0.3
    """A cloud is matched if more than this share of the ground under it, once moved, is potential shadow (Z&W12)."""
    shadow_agreeing_share: float = 1 / 3
    """And if so many of its neighbours have a height"""
    shadow_agreeing_height: float = 0.25
    """that differs by no more than this share of its own,"""
    shadow_beyond_chance: float = 0.35
    """or, whatever their heights, if the mean similarity is so far beyond chance: 0 is the share of dark ground in
    the scene, 1 all dark (as Cohen's kappa)."""
    shadow_unseen_weight: float = 0.1
    """Ground under the moved cloud that is not seen (cloud, water, outside) counts this much against it (F5)."""
    shadow_neighbours: int = 14
    """So many nearest clouds have a say in a cloud's height (Q17);"""
    shadow_own_weight: float = 7.0
    """its own shadow counts for so many neighbours of its size."""
    shadow_witness_px: int = 30
    """Smaller clouds have no say in the height of others (Q17: radius above 3 px)."""
    shadow_tolerance: float = 0.9
    """The lowest height counts that reaches this share of the best (Q19, for Sentinel-2)."""
    shadow_sampled_runs: int = 20_000
    """A cloud of more pieces of rows than this is compared by every second, third ... of them."""
    shadow_dark_percentile: float = 50.0
    """Under a matched cloud all is shadow that is potential shadow, or darker than this percentile of the clear land
    in all bands."""
    shadow_growth_m: float = 200.0
    """From there shadow grows so far over potential shadow,"""
    shadow_telling: float = 0.98
    """as deep as basins under matched clouds are: the smallest depth whose agreement with them reaches this share of
    the best."""
    shadow_unseen_share: float = 2 / 3
    """Where the cloud would be outside the scene, potential shadow is shadow if so much of what is as deep elsewhere
    is that of a cloud."""
    shadow_sun_zenith: float = 80.0
    """Degrees; nothing is matched where the sun stands lower: shadows are too long, and all is dim."""
