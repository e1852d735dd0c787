"""The blocks of a mosaic in row order, blended in strips by several threads that stay ahead of the writer."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import BLOCK_PX
from geo_assets.kernels.mosaicking.ownership import tally
from geo_assets.stations.mosaicking.blend import blended
from geo_assets.stations.mosaicking.measuring import MosaicSums
from geo_assets.stations.mosaicking.plan import MosaicPlan, Progress
from geo_assets.stations.mosaicking.rectangles import Rectangle, footprint_of
from geo_assets.stations.mosaicking.source import BlendSource

_STRIP_BYTES = 24 << 20
"""Of one strip; one row of blocks at least."""
_HELD = 3
"""Strips: one that is written, and two ahead, so that nobody waits for the last window of one."""
_WINDOW_BYTES = 3 << 20
"""Of what inputs have in a window; weights, halo and what is measured take several times as much for each thread."""
_BEFORE = 0.1
"""Share of the whole that is over when the first strip begins, for progress."""


@dataclass(slots=True, eq=False)
class _Strip:
    """Some rows of the mosaic while they are blended."""

    row: int
    """First, counted from the mosaic's."""
    values: NDArray[Any]
    """(band, y, x)."""
    windows: list["Future[_Counted]"]
    """In row order."""


class _Counted(NamedTuple):
    """What is left of a window when its pixels are in their strip."""

    sums: MosaicSums | None
    """None where nothing was measured."""
    owned: dict[str, int]
    """Source -> pixels where it weighs most."""
    blended_px: int
    """Pixels with several contributors."""


class Strips:
    """Blends ahead of whoever writes; to be used as a context, for it has threads.

    Parameters
    ----------
    plan
        What is blended.
    progress
        Told of every row of blocks.
    """

    def __init__(self, plan: MosaicPlan, progress: Progress) -> None:
        self._plan, self._progress = plan, progress
        self._rows = self._strip_rows()
        self._pool = ThreadPoolExecutor(plan.request.workers, thread_name_prefix="blend")
        self._ahead = self._strips()
        self._held = deque(islice(self._ahead, _HELD))
        self._sums: MosaicSums | None = None
        self._owned = {source.name: 0 for source in plan.sources}
        self._blended_px = 0

    def __enter__(self) -> "Strips":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def block(self, row: int, col: int) -> NDArray[Any] | None:
        """(band, y, x) of a block; in row order only. None where no input reaches."""
        height, width = self._plan.area.height, self._plan.area.width
        if row * BLOCK_PX >= self._held[0].row + self._held[0].values.shape[1]:
            self._held.popleft()
            self._held.extend(islice(self._ahead, 1))  # in the room of the one that went
        current = self._held[0]
        if current.windows:
            self._finish(current)
        if col == 0:
            self._progress("mosaic", _BEFORE + (1 - _BEFORE) * row * BLOCK_PX / height)
        here = Rectangle(row * BLOCK_PX, col * BLOCK_PX, BLOCK_PX, BLOCK_PX).common(Rectangle(0, 0, height, width))
        if not any(self._reaches(source, here) for source in self._plan.sources):
            return None
        top = here.row - current.row
        return current.values[:, top : top + here.height, here.col : here.right].copy()

    def figures(self) -> dict[str, Any]:
        """What was measured and counted, once all blocks were given."""
        plan = self._plan
        names = [band.name for band in plan.raster_bands()]
        valid_px = sum(self._owned.values())
        pixels = plan.area.height * plan.area.width
        sums = MosaicSums() if self._sums is None else self._sums
        return {
            **sums.figures(names, plan.scale),
            "valid_px": valid_px,
            "valid_share": valid_px / pixels,
            "blended_px": self._blended_px,
            "blended_share": self._blended_px / valid_px if valid_px else 0.0,
            "owned_px": dict(sorted(self._owned.items())),
            "contributors": sorted(name for name, owned in self._owned.items() if owned),
        }

    def _reaches(self, source: BlendSource, here: Rectangle) -> bool:
        """Whether a source lies in a part of the mosaic, which is counted from the mosaic's corner."""
        area = self._plan.area
        return not footprint_of(source).common(here._replace(row=here.row + area.row, col=here.col + area.col)).is_empty

    def _strip_rows(self) -> int:
        """Whole blocks: as high as a window is wished to be, unless a strip would be too large."""
        plan = self._plan
        row_bytes = plan.area.width * plan.sources[0].bands * plan.dtype.itemsize
        wished = -(-plan.request.block // BLOCK_PX)
        return BLOCK_PX * max(1, min(wished, _STRIP_BYTES // (row_bytes * BLOCK_PX)))

    def _strips(self) -> Iterator[_Strip]:
        """Every strip, its windows handed to the threads when it is asked for."""
        plan = self._plan
        high, wide = min(plan.request.block, self._rows), plan.request.block
        shape = (plan.sources[0].bands, min(self._rows, plan.area.height), plan.area.width)
        # Used again and again: large arrays that come and go would tear the memory between them to pieces.
        room = [np.empty(shape, plan.dtype) for _ in range(_HELD)]
        for number, top in enumerate(range(0, plan.area.height, self._rows)):
            rows = min(self._rows, plan.area.height - top)
            values = room[number % _HELD][:, :rows]
            windows = [
                window
                for row in range(0, rows, high)
                for col in range(0, plan.area.width, wide)
                for window in self._light(
                    Rectangle(row, col, min(high, rows - row), min(wide, plan.area.width - col)), top
                )
            ]
            # To the right and back again: what two strips share of the inputs was decoded a moment ago.
            onwards = windows if number % 2 == 0 else windows[::-1]
            started = [self._pool.submit(self._blended, values, top, window) for window in onwards]
            yield _Strip(top, values, started if number % 2 == 0 else started[::-1])

    def _light(self, window: Rectangle, top: int) -> Iterator[Rectangle]:
        """A window of the strip that begins at `top`, halved until its inputs are few enough, however they overlap."""
        area = self._plan.area
        ground = window._replace(row=area.row + top + window.row, col=area.col + window.col)
        common = [footprint_of(source).common(ground) for source in self._plan.sources]
        pixels = sum(part.height * part.width for part in common if not part.is_empty)
        left = -(-window.width // 2 // BLOCK_PX) * BLOCK_PX
        if left >= window.width or pixels * self._plan.sources[0].bands * self._plan.dtype.itemsize <= _WINDOW_BYTES:
            yield window
            return
        yield from self._light(window._replace(width=left), top)
        yield from self._light(window._replace(col=window.col + left, width=window.width - left), top)

    def _blended(self, values: NDArray[Any], top: int, window: Rectangle) -> _Counted:
        area = self._plan.area
        made = blended(
            self._plan.sources,
            area.row + top + window.row,
            area.col + window.col,
            window.height,
            window.width,
            self._plan.settings,
            into=values[:, window.row : window.bottom, window.col : window.right],
        )
        counted = tally(made.owner, made.contributors)
        owned = {name: int(counted.owned[number]) for number, name in enumerate(made.names)}
        return _Counted(made.sums, owned, counted.blended_px)

    def _finish(self, strip: _Strip) -> None:
        """Wait for a strip, and add up what was measured in it, in row order."""
        while strip.windows:
            counted = strip.windows.pop(0).result()
            if counted.sums is not None:
                self._sums = counted.sums if self._sums is None else self._sums + counted.sums
            for name, pixels in counted.owned.items():
                self._owned[name] += pixels
            self._blended_px += counted.blended_px
