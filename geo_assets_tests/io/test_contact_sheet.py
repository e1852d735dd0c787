import numpy as np
import pytest
from PIL import Image

from geo_assets.io.pictures.contact_sheet import PAGE_WIDTH_PX, SheetRow, contact_sheet
from geo_assets.io.pictures.legend import PAPER
from geo_assets.io.pictures.preview import png_bytes

RED, BLUE = (250, 0, 0), (0, 0, 250)


def square(colour, size=300):
    return Image.new("RGB", (size, size), colour)


def extent(sheet, colour):
    """Left, top, right and bottom of what has this colour."""
    rows, cols = np.nonzero((np.asarray(sheet) == colour).all(axis=-1))
    return cols.min(), rows.min(), cols.max() + 1, rows.max() + 1


def test_pictures_stand_side_by_side_in_their_row():
    sheet = contact_sheet([SheetRow("July", [("a", square(RED)), ("b", square(BLUE))])], title="Demo")
    red, blue = extent(sheet, RED), extent(sheet, BLUE)
    assert red[2] < blue[0]
    assert red[1] == blue[1]


def test_a_full_row_goes_on_below():
    pictures = [(f"{day}", square(RED)) for day in range(5)] + [("6", square(BLUE))]
    sheet = contact_sheet([SheetRow("July", pictures)], title="Demo")
    red, blue = extent(sheet, RED), extent(sheet, BLUE)
    assert blue[0] == red[0]
    assert blue[1] > red[3]
    assert red[2] < PAGE_WIDTH_PX


def test_fewer_columns_show_pictures_larger():
    wide = extent(contact_sheet([SheetRow("x", [("a", square(RED))], columns=2)], title=""), RED)
    narrow = extent(contact_sheet([SheetRow("x", [("a", square(RED))], columns=6)], title=""), RED)
    assert wide[2] - wide[0] > 2.5 * (narrow[2] - narrow[0])


@pytest.mark.parametrize("size", [(1, 1), (2000, 10), (10, 2000), (640, 480)])
def test_pictures_keep_their_proportions_and_stay_on_the_page(size):
    sheet = contact_sheet([SheetRow("x", [("a", Image.new("RGB", size, RED))])], title="")
    left, top, right, bottom = extent(sheet, RED)
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1], rel=0.1) or min(
        right - left, bottom - top
    ) <= 3
    assert right < PAGE_WIDTH_PX
    assert bottom < sheet.height


def test_a_sheet_is_drawn_without_rows_pictures_or_words():
    assert contact_sheet([], title="").width == PAGE_WIDTH_PX
    sheet = contact_sheet([SheetRow("", [])], title="x" * 500, subtitle="y " * 500)
    assert sheet.width == PAGE_WIDTH_PX


def test_long_captions_stay_under_their_picture():
    words = "one scene of two datastrips over many fields and a river " * 6
    pictures = [(words, square(RED)), ("", square(PAPER)), ("", square(PAPER))]
    sheet = contact_sheet([SheetRow("", pictures)], title="")
    left, _, right, bottom = extent(sheet, RED)
    below = np.asarray(sheet.crop((0, bottom, PAGE_WIDTH_PX, sheet.height)).convert("L"))
    inked = np.nonzero((below < 128).any(axis=0))[0]
    assert left <= inked.min()
    assert inked.max() <= right


def test_letters_that_the_font_lacks_are_replaced():
    rows = [SheetRow("Žalec – Šoštanj → 図", [("κ × 2", square(RED))])]
    plain = [SheetRow("Zalec - Sostanj > ?", [("? x 2", square(RED))])]
    assert png_bytes(contact_sheet(rows, title="é")) == png_bytes(contact_sheet(plain, title="e"))


def test_the_same_rows_give_the_same_bytes():
    rows = [SheetRow("July", [("a", square(RED, 77)), ("b", square(BLUE, 500))])]
    assert png_bytes(contact_sheet(rows, title="Demo")) == png_bytes(contact_sheet(rows, title="Demo"))
