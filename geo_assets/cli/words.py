"""How the composite commands read their arguments: places with negative numbers, lists, years and months."""

import re
from collections.abc import Sequence

import click

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)

Bbox = tuple[float, float, float, float]
"""West, south, east, north, degrees, EPSG:4326."""


class PlaceCommand(click.Command):
    """A command whose arguments may be negative numbers, which click takes for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line, with negative numbers made words."""
        # A blank in front makes it a word to click; float and int read past it.
        return super().parse_args(ctx, [f" {word}" if _NEGATIVE.fullmatch(word) else word for word in args])


def place_and_rest(words: Sequence[str], bbox: Bbox | None, rest: Sequence[str]) -> tuple[Bbox, list[str]]:
    """The bounding box, from `--bbox` or the first four words, and the words called `rest`.

    Raises
    ------
    click.UsageError
        Too few or too many words, or a coordinate that is no number.
    """
    expected = [*(() if bbox else ("WEST", "SOUTH", "EAST", "NORTH")), *rest]
    if len(words) != len(expected):
        found = " ".join(word.strip() for word in words) or "nothing"
        raise click.UsageError(
            f"Found {found}, expected {' '.join(expected)}{' with --bbox' if bbox else ''}. "
            "Coordinates are degrees, such as 14.97 45.95 15.15 46.07."
        )
    if bbox is not None:
        return bbox, list(words)
    west, south, east, north = (_degrees(name, word) for name, word in zip(expected[:4], words[:4], strict=True))
    return (west, south, east, north), list(words[4:])


def _degrees(name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise click.UsageError(f"{name}: found {word.strip()!r}, expected degrees, such as 14.97.") from None


def names(text: str) -> tuple[str, ...]:
    """The names in `red,green,blue`; `click.BadParameter` where one is empty."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise click.BadParameter(f"found {text!r}, expected names separated by commas, such as red,green,blue.")
    return found


def numbers(text: str) -> tuple[int, ...]:
    """The whole numbers in `2022,2024` or `5-9`, in the order given; `click.BadParameter` for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part, re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise click.BadParameter(f"found {text!r}, expected whole numbers, such as 2024, 2022,2024 or 5-9.")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(found)
