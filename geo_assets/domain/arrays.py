"""Array aliases: the name says the dtype and the units, the docstring what nodata and True mean."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NODATA_DN = 0
"""Stored counts where the sensor saw nothing (Sentinel-2)."""

NODATA_REFLECTANCE = -32768
"""Nodata of every reflectance product (int16, scale 1e-4)."""

SATURATED_REFLECTANCE = 32767
"""Largest reflectance count; brighter values are stored as this."""

NODATA_CLASS = 255
"""Nodata of every categorical layer (uint8)."""

BLOCK_PX = 512
"""Edge of a raster block, and the cell in which ground is active or left out."""

DigitalNumber: TypeAlias = NDArray[np.uint16]
"""Counts as stored by an archive; `NODATA_DN` is nodata."""

ReflectanceCount: TypeAlias = NDArray[np.int16]
"""Reflectance x 10,000; `NODATA_REFLECTANCE` is nodata, negative values are real."""

Reflectance: TypeAlias = NDArray[np.float32]
"""Reflectance, unitless, nominally 0-1; NaN is nodata."""

ClassCode: TypeAlias = NDArray[np.uint8]
"""Categories; `NODATA_CLASS` is nodata."""

Flag: TypeAlias = NDArray[np.bool_]
"""True means what the variable's name says."""
