"""The door to all methods of a composite."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import GridMismatchError, RegionError
from geo_assets.domain.region_composite import CompositeMethod
from geo_assets.kernels.compositing.best_pixel import best_available_pixel, best_pixel, greenest_pixel
from geo_assets.kernels.compositing.observations import Composite, Observations
from geo_assets.kernels.compositing.reducers import median, percentile_of_bands, weighted_mean
from geo_assets.kernels.compositing.spectral import geomedian, medoid
from geo_assets.kernels.compositing.uncertainty import standard_uncertainty
from geo_assets.kernels.expectations import expect_array


def composite(
    observations: Observations,
    method: CompositeMethod,
    *,
    percentile: float = 25.0,
    scores: NDArray[np.float32] | None = None,
    red: int | None = None,
    nir: int | None = None,
    uncertainty: bool = False,
) -> Composite:
    """One value per pixel of the usable observations of its best quality.

    Parameters
    ----------
    observations : Observations
        The scenes of a month. Their order matters to `best_pixel` alone.
    method : CompositeMethod
        `best_pixel`, `bap`, `max_ndvi`: one observation whole. `medoid`: too, the one nearest to all others.
        `median`, `percentile`, `weighted_mean`: each band for itself. `geomedian`: all bands together.
    percentile : float
        0 to 100, for `percentile`.
    scores : (time, y, x) float32 or None
        For `bap` and `weighted_mean`, which need them: see `scoring.bap_scores`.
    red, nir : int or None
        Indexes of bands, for `max_ndvi`, which needs them.
    uncertainty : bool
        Whether to fill `Composite.uncertainty`.

    Returns
    -------
    composite : Composite
        On the same window.

    Raises
    ------
    RegionError
        A method that is not known, or lacks what it needs; a percentile outside 0 to 100.
    GridMismatchError
        Scores of another shape or dtype; an index that is no band.
    """
    made = _made(observations, method, percentile, scores, red, nir)
    if not uncertainty:
        return made
    return replace(made, uncertainty=standard_uncertainty(observations, made.bands))


def _made(
    observations: Observations,
    method: CompositeMethod,
    percentile: float,
    scores: NDArray[np.float32] | None,
    red: int | None,
    nir: int | None,
) -> Composite:
    if method == "best_pixel":
        return best_pixel(observations)
    if method == "median":
        return median(observations)
    if method == "percentile":
        return percentile_of_bands(observations, percentile)
    if method == "medoid":
        return medoid(observations)
    if method == "geomedian":
        return geomedian(observations)
    if method in ("bap", "weighted_mean"):
        if scores is None:
            raise RegionError(f"Composite: method {method} needs scores, found none. Give `bap_scores` of the scenes.")
        expect_array("scores", scores, np.float32, observations.quality.shape)
        return best_available_pixel(observations, scores) if method == "bap" else weighted_mean(observations, scores)
    if method == "max_ndvi":
        bands = observations.reflectance.shape[1]
        if red is None or nir is None:
            raise RegionError("Composite: method max_ndvi needs the bands red and nir. Add both to the region's bands.")
        if not (0 <= red < bands and 0 <= nir < bands):
            raise GridMismatchError(
                f"Composite: found red {red} and nir {nir}, expected indexes of {bands} bands from 0 on."
            )
        return greenest_pixel(observations, red=red, nir=nir)
    raise RegionError(f"Composite: found method {method!r}, which is none. See `CompositeMethod` for those there are.")
