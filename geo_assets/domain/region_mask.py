"""The region file's `mask`: how clouds and shadows are found, and what the composite leaves out."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from geo_assets.domain.region_archive import archive_name
from geo_assets.domain.region_settings import Number, Settings, Whole, distinct
from geo_assets.domain.templates import PATH_PLACEHOLDERS, command_words, placeholders
from geo_assets.domain.tile_grid import TILE_RESOLUTIONS_M

METRIC = f"{', '.join(map(str, TILE_RESOLUTIONS_M))} metres"
"""Pixel sizes of tiled regions and of detectors, in words."""

DETECTORS = ("quality", "s2cloudless", "fmask", "external_fmask", "scores", "omnicloudmask")
"""Detectors that are built in; others are plug-ins, called by the names of their entry points."""

PLUG_INS = "plug_ins"
"""Key of the validation context under which `region_from` hands over the names of installed plug-ins."""

MaskClass = Literal["cloud", "shadow", "snow", "water"]

Template = Annotated[str, Field(min_length=1, max_length=4000)]


class ExternalFmask(Settings):
    """An Fmask that another program makes, or has made: the item's own file, files by a path, or a command."""

    encoding: Literal["fmask4", "python_fmask", "hls_bits"]
    """How its values spell classes: the values alone do not tell."""
    command: Annotated[Template | None, Field(description="Runs the program on a scene; see docs/detectors.md")] = None
    path: Annotated[Template | None, Field(description="Ready-made files, one for each scene")] = None
    timeout_s: Annotated[Number, Field(gt=0, le=86_400, description="Time limit of the command, seconds")] = 3600.0

    @field_validator("command")
    @classmethod
    def _sound_command(cls, value: str | None) -> str | None:
        if value is not None:
            command_words(value)
        return value

    @field_validator("path")
    @classmethod
    def _one_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("command") is not None:
            raise ValueError("command is given too; keep either the files or the command that makes them")
        return value if value is None else _file_of_each_scene(value)


class Scores(Settings):
    """A raster of scores from 0 to 1 for each scene, such as a clear-sky score, told apart by a threshold."""

    path: Template
    high_is: Literal["clear", "cloud"]
    """What a high score means: the values alone do not tell."""
    threshold: Annotated[Number, Field(gt=0, lt=1, description="Scores above it are high")] = 0.5

    @field_validator("path")
    @classmethod
    def _sound_path(cls, value: str) -> str:
        return _file_of_each_scene(value)


class OmniCloudMask(Settings):
    """The optional detector OmniCloudMask."""

    weights: Annotated[Template, Field(description="Folder of its model weights; nothing is downloaded")]


class Mask(Settings):
    """How clouds and shadows are found, and what the composite leaves out."""

    detectors: Literal["auto"] | tuple[str, ...] = "auto"
    """`auto`: s2cloudless and Fmask where a scene has L1C bands, else its quality layer; an Fmask file besides."""
    drop: tuple[MaskClass, ...] = ("cloud", "shadow")
    l1c_archive: str = "auto"
    """Where the L1C of an L2A scene is looked for: `auto`, `none`, an archive's name, or `local:PATH`."""
    resolution: Annotated[Whole, Field(description="Pixel size at which detectors work, metres")] = 60
    threshold: Annotated[Number, Field(gt=0, lt=1, description="Cloud where s2cloudless' probability is larger")] = 0.45
    average_over: Annotated[Whole, Field(ge=0, le=50, description="Smoothing disk radius, mask pixels")] = 1
    dilation_size: Annotated[Whole, Field(ge=0, le=50, description="Dilation disk radius, mask pixels")] = 1
    missing_angles: Literal["degrade", "refuse"] = "degrade"
    """Without sun and view angles: cloud without matched shadow, recorded; or an error."""
    external_fmask: Annotated[ExternalFmask | None, Field(validate_default=True)] = None
    scores: Annotated[Scores | None, Field(validate_default=True)] = None
    omnicloudmask: Annotated[OmniCloudMask | None, Field(validate_default=True)] = None
    cloud_buffer_m: Annotated[Number, Field(ge=0, le=3000, description="Growth of cloud, metres")] = 0.0
    shadow_buffer_m: Annotated[Number, Field(ge=0, le=3000, description="Growth of shadow, metres")] = 0.0

    @field_validator("resolution")
    @classmethod
    def _divides_60(cls, value: int) -> int:
        return metric(value)

    @field_validator("detectors", "drop")
    @classmethod
    def _no_repeats(cls, value: Any) -> Any:
        return value if isinstance(value, str) else distinct(value)

    @field_validator("detectors")
    @classmethod
    def _known_detectors(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        plug_ins = tuple((info.context or {}).get(PLUG_INS, ()))
        for name in () if isinstance(value, str) else value:
            if name not in (*DETECTORS, *plug_ins):
                beside = f"the installed plug-ins {', '.join(plug_ins)}" if plug_ins else "an installed plug-in's name"
                raise ValueError(
                    f"found {name!r:.60}, expected auto, or a list of {', '.join(DETECTORS)} and {beside} "
                    "(entry-point group geo_assets.detectors)"
                )
        return value

    @field_validator("l1c_archive")
    @classmethod
    def _known_archive(cls, value: str) -> str:
        if value == "none":
            return value
        try:
            return archive_name(value)
        except ValueError as error:
            raise ValueError(f"found {value!r:.80}; {error}; or none") from None

    @field_validator("external_fmask", "scores", "omnicloudmask")
    @classmethod
    def _asked_for(cls, value: Settings | None, info: ValidationInfo) -> Settings | None:
        """A detector that is named has its settings, and settings belong to a detector that is named."""
        detectors, name = info.data.get("detectors"), info.field_name
        if detectors is None:  # refused itself
            return value
        named = name in detectors if isinstance(detectors, tuple) else name == "external_fmask" and value is not None
        if named and value is None:
            raise ValueError(f"found nothing, and mask.detectors names {name}; give {_EXAMPLES[str(name)]}")
        if value is not None and not named:
            raise ValueError(
                f"found settings, and mask.detectors ({_listed(detectors)}) does not name {name}; add it, or leave "
                "them out"
            )
        return value


def metric(value: int) -> int:
    """A pixel size as it is; `ValueError` where tiles would not align in it."""
    if value not in TILE_RESOLUTIONS_M:
        raise ValueError(f"expected one of {METRIC} (they divide 60, so tiles align)")
    return value


def _file_of_each_scene(path: str) -> str:
    """A path's template as it is; `ValueError` where it would hand one scene's file to all of them."""
    if not placeholders(path, PATH_PLACEHOLDERS) & {"scene", "date"}:
        raise ValueError("it is the same file for every scene; name {scene} in it, or {tile} and {date}")
    return path


def _listed(detectors: str | tuple[str, ...]) -> str:
    return detectors if isinstance(detectors, str) else f"[{', '.join(detectors)}]"


_EXAMPLES = {
    "external_fmask": "{encoding: fmask4}, or python_fmask or hls_bits: its values alone do not tell",
    "scores": "{path: scores/{scene}.tif, threshold: 0.5, high_is: clear}",
    "omnicloudmask": "{weights: FOLDER}, the folder of its model weights",
}
"""Section of a detector -> what it looks like."""
