"""The region file's `composite`: how a month of observations becomes one value per pixel."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from geo_assets.domain.region_settings import Number, Settings, Switch, Whole

CompositeMethod: TypeAlias = Literal[
    "best_pixel", "bap", "median", "medoid", "geomedian", "weighted_mean", "max_ndvi", "percentile"
]
"""Which rule makes one value of many: see `kernels.compositing`."""

SCORING_METHODS: tuple[CompositeMethod, ...] = ("bap", "weighted_mean")
"""Those that read `weights`."""

Weight = Annotated[Number, Field(ge=0, le=100)]
Score = Annotated[Number, Field(ge=0, le=1)]


PARTIAL_SCORES = ("date", "cloud_distance", "haze", "view_zenith", "sensor")
"""What `ScoreWeights` has weights for."""

_SENSORS = "{sensor: 0.5, sensor_scores: {s2c: 0.8}}"


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

    @property
    def weighted(self) -> dict[str, float]:
        """Name -> weight, of the partial scores that have any."""
        weights = {name: getattr(self, name) for name in PARTIAL_SCORES}
        return {name: weight for name, weight in weights.items() if weight > 0}

    @model_validator(mode="after")
    def _sensors_differ(self) -> Self:
        if bool(self.sensor_scores) != (self.sensor > 0):
            found = f"sensor {self.sensor:g} with {len(self.sensor_scores)} sensor_scores"
            raise ValueError(f"{found}: one says nothing without the other; give both, such as {_SENSORS}, or neither")
        return self


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

    @property
    def scores(self) -> bool:
        """True where the method weighs observations by `weights`."""
        return self.method in SCORING_METHODS

    @property
    def needs_view(self) -> bool:
        """True where the angles under which a scene was seen have a say."""
        return self.brdf != "none" or (self.scores and self.weights.view_zenith > 0)

    @property
    def used(self) -> dict[str, Any]:
        """The settings that a composite depends on: of `percentile` and `weights` what the method reads."""
        unused = {
            "percentile": self.method != "percentile",
            "weights": not self.scores,
        }
        found = self.model_dump(mode="json", exclude={key for key, is_unused in unused.items() if is_unused})
        if self.scores:
            read = {**_READ_WITH, **{name: name for name in PARTIAL_SCORES}}
            weights, weighted = found["weights"], self.weights.weighted
            found["weights"] = {key: value for key, value in weights.items() if read[key] in weighted}
        return found

    def problem_with(self, bands: Sequence[str], *, archive: str, level: str) -> str | None:
        """What these settings ask in vain of a region's bands, archive and level; None where there is all they need."""
        if self.method == "max_ndvi" and (lacking := _lacking(("red", "nir"), bands)):
            return f"composite.method: found max_ndvi, and bands has no {lacking}; add it, or choose another method"
        weighted = self.weights.weighted if self.scores else {}
        on_purpose = "haze" in self.weights.model_fields_set or len(weighted) == 1
        if "haze" in weighted and on_purpose and (lacking := _lacking(("blue", "red"), bands)):
            return (
                f"composite.weights.haze: found {self.weights.haze:g}, and bands has no {lacking}, by which haze is "
                "told; add it, or write haze: 0"
            )
        if self.brdf != "none" and (normal := {archive, level} & {"hls", "mcd43a4", "HLS", "NBAR"}):
            return (
                f"composite.brdf: found {self.brdf}, and {max(normal)} is reflectance normalised to a view from nadir "
                "already; write none"
            )
        if self.brdf != "none" and level == "L1C":
            return (
                f"composite.brdf: found {self.brdf}, and level is L1C, top-of-atmosphere reflectance, for which no "
                "such factors are known; write none, or level: L2A"
            )
        return None

    @model_validator(mode="after")
    def _used(self) -> Self:
        if "percentile" in self.model_fields_set and self.method != "percentile":
            raise ValueError(
                f"percentile: found {self.percentile:g}, and method is {self.method}; "
                "write method: percentile, or leave it out"
            )
        if "weights" in self.model_fields_set and not self.scores:
            raise ValueError(
                f"weights: found with method {self.method}; write method: bap or weighted_mean, or leave them out"
            )
        if not self.weights.weighted:
            raise ValueError("weights: all are 0, so no observation is better than another; give at least one")
        return self


_READ_WITH: Mapping[str, str] = {
    "date_sigma_days": "date",
    "cloud_distance_m": "cloud_distance",
    "sensor_scores": "sensor",
}
"""Key of the weights -> the partial score that reads it."""


def _lacking(names: Sequence[str], bands: Sequence[str]) -> str:
    return " and no ".join(name for name in names if name not in bands)
