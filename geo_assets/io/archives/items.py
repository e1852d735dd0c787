"""STAC items of the catalogues, read as scene items: which sensor's reader an item is for."""

from collections.abc import Mapping
from typing import Any

from geo_assets.domain.scene import SceneItem
from geo_assets.io.archives.sensors.hls import hls_item, is_hls
from geo_assets.io.archives.sensors.mcd43a4 import is_mcd43a4, mcd43a4_item
from geo_assets.io.archives.sensors.sentinel2 import OffsetRule, sentinel2_item
from geo_assets.io.archives.sensors.stac_item import ItemError

__all__ = ["ItemError", "OffsetRule", "scene_item"]


def scene_item(item: Mapping[str, Any], *, offsets: OffsetRule = "signals") -> SceneItem:
    """The scene item that a STAC item describes.

    Parameters
    ----------
    item
        A STAC Item as parsed JSON, from a stranger.
    offsets
        Which of a Sentinel-2 item's signals about the offset count.

    Raises
    ------
    ItemError
        Anything needed is missing, malformed or not understood; the sensor is another one.
    """
    if is_hls(item):
        return hls_item(item)
    if is_mcd43a4(item):
        return mcd43a4_item(item)
    return sentinel2_item(item, offsets=offsets)
