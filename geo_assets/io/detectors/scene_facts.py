"""What templates of the region file may say of a scene."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from geo_assets.domain.errors import DetectorError
from geo_assets.domain.templates import PATH_PLACEHOLDERS, filled, placeholders, plain_value


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What is known of a scene beside its id, for the detectors that read files or start programs."""

    tile: str = ""
    """Such as `33TVL`."""
    date: str = ""
    """Day of acquisition, YYYYMMDD."""
    safe: Path | None = None
    """Its SAFE folder on disk; None where there is none."""

    def named(self, scene: str, used: Collection[str], about: str) -> dict[str, str]:
        """What {scene}, {tile} and {date} stand for, as far as they are used.

        Raises
        ------
        DetectorError
            One is not known, or holds what could leave a folder or read as an option: they come from a catalogue.
        """
        known = {"scene": scene, "tile": self.tile, "date": self.date}
        try:
            return {name: plain_value(name, value) for name, value in known.items() if name in used}
        except ValueError as error:
            raise DetectorError(
                f"{about}: {error}. Leave the scene out (selection.exclude), or name files without it."
            ) from None

    def path(self, template: str, folder: Path, scene: str, about: str) -> Path:
        """The file that a path template names for a scene; relative ones start from `folder`."""
        return folder / filled(template, self.named(scene, placeholders(template, PATH_PLACEHOLDERS), about))
