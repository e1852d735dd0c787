"""What a kernel may expect of its arguments, checked once before the compiled loop."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geo_assets.domain.errors import GridMismatchError, RegionError


def expect_array(name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int | None, ...]) -> None:
    """Refuse an array that is not what the kernel promises to understand.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    array : ndarray
        The argument.
    dtype : dtype
        Required exactly: a silent cast would turn nodata into a value.
    shape : tuple of int or None
        Required length of each axis; None where any length will do.

    Raises
    ------
    GridMismatchError
        Another dtype, number of axes or length of an axis.
    """
    expected = np.dtype(dtype)
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != expected or not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise GridMismatchError(
            f"Array {name!r}: found {array.dtype} {array.shape}, expected {expected} ({wanted}). "
            "Bring it to the dtype and the window of the other arrays first."
        )


def expect_at_least(name: str, value: float, minimum: float) -> None:
    """Refuse a setting below `minimum` with `RegionError`."""
    if not value >= minimum:
        raise RegionError(f"Setting {name!r}: found {value}, expected at least {minimum}. Raise it.")
