"""Whether a disk has room for what is about to be written: asked before, not found out in the middle."""

import shutil
from pathlib import Path

from geo_assets.domain.errors import ResourceError


def expect_free_space(folder: Path, needed_bytes: int, *, what: str, remedy: str) -> None:
    """Refuse to begin what will not fit.

    Parameters
    ----------
    folder
        Where it will be written; it, or one of its parents, exists.
    needed_bytes
        The most that it takes at any time, what is temporary included.
    what, remedy
        For the message: what is to be written, and what to do where there is no room.

    Raises
    ------
    ResourceError
        Fewer bytes are free.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    if free < needed_bytes:
        raise ResourceError(
            f"{what}: found {free / 1e9:.3g} GB free in {nearest}, expected {needed_bytes / 1e9:.3g} GB for the raster "
            f"and what it is made from. {remedy}"
        )
