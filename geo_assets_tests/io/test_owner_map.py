import numpy as np
import pytest
from PIL import Image

from geo_assets.domain.errors import GridMismatchError
from geo_assets.io.pictures import owner_map as room
from geo_assets.io.pictures.legend import GREEN, NODATA_COLOUR, ORANGE
from geo_assets.io.pictures.owner_map import owner_map

NAMES = {0: "33TVL", 1: "33TWL"}


def owners():
    owner = np.zeros((6, 9), np.uint8)
    owner[:, 5:] = 1
    owner[0] = 255
    return owner


def test_ground_has_its_owners_tint_and_a_line_runs_where_the_owner_changes():
    picture = owner_map(Image.new("RGB", (9, 6), (100, 100, 100)), owners(), NAMES, legend=False)
    pixels = np.asarray(picture)
    for col, colour in ((2, GREEN), (7, ORANGE)):
        assert tuple(pixels[3, col]) == tuple(round(0.65 * 100 + 0.35 * tone) for tone in colour)
    assert (pixels[1:, 5] == 255).all()
    assert (pixels[0] == NODATA_COLOUR).all()
    assert (pixels == 255).all(axis=2).sum() == 5


def test_the_legend_names_who_is_there_with_shares_of_the_ground_that_has_data(monkeypatch):
    told = []
    monkeypatch.setattr(room, "with_legend", lambda picture, legend, *, title: told.append((legend, title)))
    owner_map(Image.new("RGB", (9, 6)), owners(), NAMES | {2: "33TVM"}, title="June")
    ((legend, title),) = told
    assert [swatch.label for swatch in legend.swatches] == ["33TVL 56%", "33TWL 44%", "no data"]
    assert title == "June"


def test_owners_of_other_ground_are_refused():
    with pytest.raises(GridMismatchError, match="same proportions"):
        owner_map(Image.new("RGB", (30, 6)), owners(), NAMES)
