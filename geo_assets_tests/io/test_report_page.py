"""The page of a report, and its plots."""

import re

import numpy as np
import pytest

from geo_assets.io.pictures.report_plots import histogram_plot, seam_profile_plot
from geo_assets.io.report_page import (
    Calendar,
    CalendarCell,
    CalendarRow,
    Goal,
    Report,
    ReportPicture,
    ReportSection,
    ReportTable,
    report_page,
)


def page_of(**changes) -> str:
    parts = {
        "title": "valley, 2024-06",
        "subtitle": "two tiles",
        "goals": [Goal("M1", "seams", "1.02", "at most 1.3", "met"), Goal("M7", "sharpness", "0.5", "0.88", "missed")],
        "sections": [
            ReportSection("Maps", "A map.", [ReportPicture.of_png(b"not a real picture", "the mosaic")]),
            ReportSection("Tiles", table=ReportTable(("Tile", "share"), [("33TVL", "98 %")])),
        ],
        "calendar": Calendar(
            ["2024-06", "2024-07"],
            [CalendarRow("33TVL", [CalendarCell.of_share(0.983), CalendarCell.of_share(None, "empty")])],
        ),
        "small_print": ["Contains modified Copernicus Sentinel data [2024]"],
    }
    return report_page(Report(**{**parts, **changes})).decode()


def test_the_page_says_everything_that_it_is_given():
    page = page_of()
    for words in (
        "valley, 2024-06",
        "at most 1.3",
        ">met<",
        ">missed<",
        "the mosaic",
        "33TVL",
        "98 %",
        "empty",
        "2024]",
    ):
        assert words in page


def test_the_page_needs_nothing_beside_it():
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)", page_of())
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "<script" not in page_of()


def test_words_from_outside_cannot_become_markup():
    page = page_of(title="<script>alert(1)</script>", notes=['"><img src=x>'])
    assert "<script" not in page
    assert "<img src=x>" not in page


@pytest.mark.parametrize(("share", "word"), [(0.0, "0 %"), (1.0, "100 %"), (0.507, "51 %")])
def test_a_cell_of_the_calendar_shows_its_share_in_ink_that_can_be_read_on_it(share, word):
    cell = CalendarCell.of_share(share)
    assert cell.word == word
    light = sum(int(cell.colour[at : at + 2], 16) for at in (1, 3, 5)) > 3 * 128
    assert (cell.ink == "#1e222a") == light


def test_plots_are_the_same_bytes_for_the_same_figures():
    counts = {"red": np.bincount(np.arange(500) % 97, minlength=65_536), "nir": np.zeros(65_536, np.int64)}
    one, other = (histogram_plot(counts, first_value=-32_768, scale=1e-4) for _ in range(2))
    assert one == other
    assert b"red" in one
    assert b">nir<" not in one  # without pixels there is no curve
    profile = seam_profile_plot([-8, 0, 8], [1.0, 1.1, None], [1.0, 40.0, 1.0])
    assert profile == seam_profile_plot([-8, 0, 8], [1.0, 1.1, None], [1.0, 40.0, 1.0])
    assert b"the mosaic" in profile


def test_a_histogram_of_one_value_is_drawn():
    counts = np.zeros(65_536, np.int64)
    counts[40_000] = 7
    assert b"red" in histogram_plot({"red": counts}, first_value=-32_768, scale=1e-4)
