"""A month's report as one HTML page that needs nothing beside it: pictures are inside, nothing is fetched."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, Self, TypeAlias

from jinja2 import Environment, StrictUndefined
from PIL import Image

from geo_assets.io.pictures.legend import INK, NODATA_COLOUR, PAPER, Colour, colour_scale
from geo_assets.io.pictures.photos import jpeg_bytes, palette_bytes, reduced

Verdict: TypeAlias = Literal["met", "missed", "quiet"]
"""`quiet`: not measured, or without a goal."""


LONG_TABLE_ROWS = 24
"""A table with more rows scrolls in a box of its own."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure, and what it is held against."""

    name: str
    what: str
    found: str
    goal: str
    verdict: Verdict
    remedy: str = ""
    """What to do where it is missed."""

    @property
    def word(self) -> str:
        """The verdict in words."""
        return "not judged" if self.verdict == "quiet" else self.verdict


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A picture inside the page."""

    address: str
    """`data:` with its bytes."""
    caption: str
    alt: str = ""
    """What it shows, for those who cannot see it; the caption where empty."""
    is_plot: bool = False
    size: tuple[int, int] | None = None
    """Width and height in pixels, so that the page does not jump."""

    @classmethod
    def of_photo(
        cls, image: Image.Image, caption: str, *, max_px: int, alt: str = "", quality: int = 85, sharp: bool = False
    ) -> Self:
        """Reflectance, reduced to `max_px` and as JPEG."""
        small = reduced(image, max_px)
        return cls(
            _inside(jpeg_bytes(small, quality=quality, sharp=sharp), "image/jpeg"), caption, alt, False, small.size
        )

    @classmethod
    def of_classes(cls, image: Image.Image, caption: str, *, alt: str = "") -> Self:
        """A map of few colours, as PNG."""
        return cls(_inside(palette_bytes(image), "image/png"), caption, alt, size=image.size)

    @classmethod
    def of_png(cls, content: bytes, caption: str, *, alt: str = "") -> Self:
        """A PNG file as it is."""
        return cls(_inside(content, "image/png"), caption, alt)

    @classmethod
    def of_svg(cls, content: bytes, caption: str, *, alt: str = "") -> Self:
        """A plot."""
        return cls(_inside(content, "image/svg+xml"), caption, alt, is_plot=True)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Words in rows; all columns but the first are numbers."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def is_long(self) -> bool:
        """Whether it scrolls."""
        return len(self.rows) > LONG_TABLE_ROWS


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A heading with text, pictures and a table, each where it has something to say."""

    title: str
    text: str = ""
    pictures: Sequence[ReportPicture] = ()
    table: ReportTable | None = None
    columns: Literal[1, 2, 4] = 2
    """Pictures side by side on a wide screen."""


@dataclass(frozen=True, slots=True)
class CalendarCell:
    """One tile and month."""

    word: str
    colour: str
    ink: str

    @classmethod
    def of_share(cls, share: float | None, word: str = "") -> Self:
        """A share of the area as per cent on the scale of all pictures; without one `word` on grey."""
        if share is None:
            return cls(word, _css(NODATA_COLOUR), _css(INK))
        red, green, blue = (int(part) for part in colour_scale()[round(255 * min(max(share, 0.0), 1.0))])
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 140
        return cls(f"{100 * share:.0f} %", _css((red, green, blue)), _css(PAPER) if dark else _css(INK))


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """One tile through the months."""

    tile: str
    cells: Sequence[CalendarCell]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Tiles by months."""

    months: Sequence[str]
    rows: Sequence[CalendarRow]
    shown: str = ""
    """The report's own month."""
    note: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it scrolls."""
        return len(self.rows) > LONG_TABLE_ROWS


@dataclass(frozen=True, slots=True)
class Report:
    """What a page says, from top to bottom."""

    title: str
    subtitle: str
    goals: Sequence[Goal]
    sections: Sequence[ReportSection]
    calendar: Calendar
    small_print: Sequence[str]
    notes: Sequence[str] = ()
    """What the reader must know before all else."""
    provenance: ReportTable | None = None

    @property
    def verdict(self) -> str:
        """All goals in one sentence."""
        missed = [goal.name for goal in self.goals if goal.verdict == "missed"]
        judged = len(missed) + sum(goal.verdict == "met" for goal in self.goals)
        if not judged:
            return "Nothing could be judged."
        names = ", ".join(dict.fromkeys(missed))
        return f"{judged - len(missed)} of {judged} goals are met" + (f"; missed: {names}." if missed else ".")


def report_page(report: Report) -> bytes:
    """HTML, UTF-8: one file, without scripts and without addresses of others; every word is escaped."""
    source = resources.files("geo_assets.io").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(source)
    return page.render(report=report).encode() + b"\n"


def _inside(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _css(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
