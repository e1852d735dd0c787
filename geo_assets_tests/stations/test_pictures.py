"""Pictures beside products."""

import numpy as np

from geo_assets.io.pictures.layer_maps import weight_map
from geo_assets.io.pictures.preview import png_bytes
from geo_assets.stations.pictures import put_weight_picture


class Kept:
    """Stands for a build, and keeps what is put."""

    def __init__(self):
        self.files = {}

    def put(self, name, content, *, role, media_type):
        self.files[name] = content


def test_the_weight_picture_says_whose_share_it_shows():
    build, own = Kept(), np.array([[0, 25], [50, 100]], np.uint8)
    put_weight_picture(build, own)
    share = own.astype(np.float32) / 100
    assert build.files["weight.png"] == png_bytes(weight_map(share, title="Share of this tile's own composite"))
    assert build.files["weight.png"] != png_bytes(weight_map(share))
