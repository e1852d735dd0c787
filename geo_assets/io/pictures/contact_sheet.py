"""One page that shows many pictures under headings, to see at a glance what a run has made."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from geo_assets.io.pictures.legend import HAIRLINE, INK, PAPER, QUIET_INK, shortened, text_width, write

PAGE_WIDTH_PX = 1600
"""Width of every sheet; its height follows from what is on it."""

_MARGIN = 48
_GAP = 20
_TITLE_PX = 36
_SUBTITLE_PX = 18
_HEADING_PX = 22
_CAPTION_PX = 15
_CAPTION_LINES = 2
_CAPTION_STEP = 20
_TALLEST = 1.4  # of a cell's width: a tall, narrow picture shall not fill the page


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Pictures that belong together, under one heading."""

    title: str
    """Heading, one line."""
    pictures: Sequence[tuple[str, Image.Image]]
    """Caption and picture, from left to right; a row that is full goes on below."""
    columns: int = 5
    """Pictures side by side: fewer are shown larger."""


def contact_sheet(rows: Sequence[SheetRow], *, title: str, subtitle: str = "") -> Image.Image:
    """A labelled page of pictures.

    Parameters
    ----------
    rows : sequence of SheetRow
        From top to bottom; a row without pictures says so.
    title : str
        Headline, one line.
    subtitle : str
        Quieter line below it: region, months, resolution.

    Returns
    -------
    sheet : RGB image
        1600 px wide. Pictures keep their proportions and fill their cell's width: smooth when they shrink,
        with crisp pixels when they grow.
    """
    header = _MARGIN + _TITLE_PX + (round(1.7 * _SUBTITLE_PX) if subtitle else 0) + _GAP
    blocks = [_row_block(row) for row in rows]
    height = header + sum(block.height + 2 * _GAP for block in blocks) + _MARGIN
    sheet = Image.new("RGB", (PAGE_WIDTH_PX, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    content = PAGE_WIDTH_PX - 2 * _MARGIN
    write(
        draw,
        (_MARGIN, _MARGIN),
        shortened(title, _TITLE_PX, width_px=content),
        _TITLE_PX,
        anchor="lt",
        bold=True,
    )
    if subtitle:
        line = shortened(subtitle, _SUBTITLE_PX, width_px=content)
        write(draw, (_MARGIN, _MARGIN + _TITLE_PX + 8), line, _SUBTITLE_PX, colour=QUIET_INK, anchor="lt")
    top = header
    for block in blocks:
        draw.line((_MARGIN, top, PAGE_WIDTH_PX - _MARGIN, top), fill=HAIRLINE, width=2)
        sheet.paste(block, (_MARGIN, top + _GAP))
        top += block.height + 2 * _GAP
    return sheet


def _row_block(row: SheetRow) -> Image.Image:
    """One heading with its pictures, as wide as the page's content."""
    width = PAGE_WIDTH_PX - 2 * _MARGIN
    columns = max(1, row.columns)
    cell = (width - (columns - 1) * _GAP) // columns
    lines = [
        [(caption, _fitted(picture, cell)) for caption, picture in row.pictures[start : start + columns]]
        for start in range(0, len(row.pictures), columns)
    ]
    captions = [_caption_lines(caption, cell) for caption, _ in row.pictures]
    caption_height = _CAPTION_STEP * max((len(caption) for caption in captions), default=0) + 8
    heading_height = round(1.8 * _HEADING_PX)
    line_heights = [max(picture.height for _, picture in line) + caption_height for line in lines]
    height = heading_height + (sum(line_heights) + _GAP * (len(lines) - 1) if lines else _CAPTION_STEP)
    block = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(block)
    write(draw, (0, 0), shortened(row.title, _HEADING_PX, width_px=width), _HEADING_PX, anchor="la", bold=True)
    if not lines:
        write(draw, (0, heading_height), "No pictures.", _CAPTION_PX, colour=QUIET_INK)
    top = heading_height
    for line, line_height in zip(lines, line_heights, strict=True):
        for column, (caption, picture) in enumerate(line):
            left = column * (cell + _GAP)
            block.paste(picture, (left, top))
            for number, text in enumerate(_caption_lines(caption, cell)):
                below = top + picture.height + 8 + number * _CAPTION_STEP
                write(draw, (left, below), text, _CAPTION_PX, colour=INK if number == 0 else QUIET_INK)
        top += line_height + _GAP
    return block


def _fitted(picture: Image.Image, cell_px: int) -> Image.Image:
    """The picture as wide as its cell, or as tall as a cell may be."""
    scale = min(cell_px / picture.width, _TALLEST * cell_px / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    return picture.convert("RGB").resize(size, smooth)


def _caption_lines(caption: str, width_px: int) -> list[str]:
    """The caption broken at line ends and between words, the last line that has room shortened."""
    lines: list[str] = []
    for paragraph in caption.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and text_width(longer, _CAPTION_PX) > width_px:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    if len(lines) > _CAPTION_LINES:
        lines = [*lines[: _CAPTION_LINES - 1], " ".join(lines[_CAPTION_LINES - 1 :])]
    return [shortened(line, _CAPTION_PX, width_px=width_px) for line in lines if line]
