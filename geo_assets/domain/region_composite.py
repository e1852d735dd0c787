"""The region file's `composite`: how a month of observations becomes one value per pixel."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from geo_assets.domain.region_settings import Number, Settings, Switch, Whole

CompositeMethod: TypeAlias = Literal[
    "best_pixel", "bap", "median", "medoid", "geomedian", "weighted_mean", "max_ndvi", "percentile"
]
"""Which rule makes one value of many: see `kernels.compositing`."""

Weight = Annotated[Number, Field(ge=0, le=100)]
Score = Annotated[Number, Field(ge=0, le=1)]


class ScoreWeights(Settings):
    """What makes one observation better than another, for `bap` and `weighted_mean`; each partial score is 0 to 1."""

    date: Annotated[Weight, Field(description="Nearness to `target_day`: Gaussian over days")] = 1.0
    cloud_distance: Annotated[Weight, Field(description="Distance to cloud and shadow: sigmoid over metres")] = 1.0
    haze: Annotated[Weight, Field(description="Clearness by the haze-optimised transform of blue and red")] = 0.5
    view_zenith: Annotated[Weight, Field(description="Nearness to nadir, where angles are known")] = 0.0
    sensor: Annotated[Weight, Field(description="Score of the platform, see `sensor_scores`")] = 0.0
    date_sigma_days: Annotated[Number, Field(gt=0, le=366, description="Width of the Gaussian over days")] = 10.0
    cloud_distance_m: Annotated[
        Number, Field(gt=0, le=5_000, description="Distance to cloud that is enough, metres")
    ] = 3_000.0
    sensor_scores: dict[str, Score] = Field(
        default_factory=dict, description="Platform -> score; 1 for platforms that are not named"
    )


class CompositeSettings(Settings):
    """How a month becomes one value per pixel."""

    method: CompositeMethod = "best_pixel"
    percentile: Annotated[Number, Field(ge=0, le=100, description="Of each band, with method `percentile`")] = 25.0
    target_day: Annotated[Whole, Field(ge=1, le=31, description="Day of the month that `date` prefers")] = 15
    weights: ScoreWeights = ScoreWeights()
    brdf: Annotated[
        Literal["none", "c_factor"], Field(description="Normalise every observation to a view from nadir")
    ] = "none"
    uncertainty: Annotated[Switch, Field(description="Write a layer of standard uncertainty for every band")] = True
    minimum_coverage: Annotated[Number, Field(ge=0, le=1, description="Share of the area, reported if missed")] = 0.0

    @model_validator(mode="after")
    def _used(self) -> Self:
        if "percentile" in self.model_fields_set and self.method != "percentile":
            raise ValueError(
                f"percentile: found {self.percentile:g}, and method is {self.method}; "
                "write method: percentile, or leave it out"
            )
        if "weights" in self.model_fields_set and self.method not in ("bap", "weighted_mean"):
            raise ValueError(
                f"weights: found with method {self.method}; write method: bap or weighted_mean, or leave them out"
            )
        weights = self.weights
        if not any((weights.date, weights.cloud_distance, weights.haze, weights.view_zenith, weights.sensor)):
            raise ValueError("weights: all are 0, so no observation is better than another; give at least one")
        return self
