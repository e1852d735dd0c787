"""What a blend is told, and what it gives: settings, and a window of the mosaic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import NODATA_CLASS
from geo_assets.kernels.mosaicking.blending import Correction, Profile
from geo_assets.kernels.mosaicking.ownership import NO_OWNER
from geo_assets.stations.mosaicking.measuring import MosaicSums
from geo_assets.stations.mosaicking.rectangles import Rectangle
from geo_assets.stations.mosaicking.seamlines import FEATHER_PX, PairSeam


@dataclass(frozen=True, slots=True)
class BlendSettings:
    """How sources become one picture."""

    feather_px: int
    """Width of the wide feather: how far from a source's end its weight is full."""
    profile: Profile = "cosine"
    corrections: Mapping[str, tuple[Correction, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Source name -> one for each band; a source that is not named stays as it is."""
    seamlines: Mapping[tuple[str, str], PairSeam] | None = None
    """The cut between each pair of sources that has one; None for the wide feather."""
    categorical: bool = False
    """Classes: the source with the largest weight gives the value, nothing is averaged or corrected."""
    measure: bool = False
    """Compute the figures of the mosaic's seams along with it."""
    shares: bool = True
    """Keep what `Blended.share_of` needs."""

    @property
    def halo_px(self) -> int:
        """How far from a pixel its weights may depend on validity."""
        return self.feather_px if self.seamlines is None else FEATHER_PX


class Shared(NamedTuple):
    """Band 0's weights where several sources may have data."""

    area: Rectangle
    sources: tuple[int, ...]
    """Indices into the window's sources."""
    weights: NDArray[np.int32]
    """(source, y, x)."""


@dataclass(frozen=True, slots=True, eq=False)
class Blended:
    """A window of a mosaic."""

    values: NDArray[Any]
    """(band, y, x) of the sources' dtype, `nodata` where no source has data."""
    owner: NDArray[np.uint8]
    """(y, x) index into `names` of the source with the largest weight in the first band; 255 where none has data."""
    contributors: NDArray[np.uint8]
    """(y, x) sources with data in the first band."""
    names: tuple[str, ...]
    """Sources whose footprints reach the window, or what was measured round it, in canonical order."""
    sums: MosaicSums | None
    """What was measured; None where nothing was to be, or no two sources meet."""
    _window: Rectangle
    _shared: tuple[Shared, ...]

    def share_of(self, name: str) -> NDArray[np.uint8]:
        """(y, x) uint8: a source's weight in the first band, per cent; 255 where no source has data.

        Only of what was blended with `BlendSettings.shares`.
        """
        share = np.where(self.owner == NO_OWNER, NODATA_CLASS, 0).astype(np.uint8)
        if name not in self.names:
            return share
        index = self.names.index(name)
        share[self.owner == index] = 100
        for area, sources, whole in self._shared:
            common = area.common(self._window)
            if common.is_empty:
                continue
            weights = whole[:, *common.slices_in(area)]
            part, total = share[common.slices_in(self._window)], weights.sum(axis=0, dtype=np.int64)
            known = total > 0
            own = weights[sources.index(index)].astype(np.int64) if index in sources else np.zeros_like(total)
            part[known] = (100 * own[known] + total[known] // 2) // total[known]
        return share
