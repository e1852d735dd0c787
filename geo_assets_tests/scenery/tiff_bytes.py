"""TIFFs written field by field, as nobody's library would."""

import struct
from collections.abc import Mapping, Sequence

BYTE, ASCII, SHORT, LONG, LONG8, DOUBLE = 1, 2, 3, 4, 16, 12
_LETTERS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", LONG8: "Q", DOUBLE: "d"}

Fields = Mapping[int, tuple[int, Sequence[int | float]]]
"""Field number -> TIFF type and values."""

PIXELS_AT = 16
"""Where `tiff_bytes` lays the pixels."""


def one_block(width: int = 8, height: int = 4) -> dict[int, tuple[int, Sequence[int | float]]]:
    """A gray raster of bytes in one uncompressed strip that lies at `PIXELS_AT`."""
    return {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8]),
        259: (SHORT, [1]),
        262: (SHORT, [1]),
        273: (LONG, [PIXELS_AT]),
        277: (SHORT, [1]),
        278: (LONG, [height]),
        279: (LONG, [width * height]),
    }


def tiff_bytes(
    *directories: Fields, order: str = "<", big: bool = False, pixels: bytes = bytes(range(32)), then: int | None = None
) -> bytes:
    """Signature, pixels, and one directory after the other.

    `then` is where the last directory says that another one lies; it can be 0 (there is none), and any lie.
    """
    counter, entry, pointer, room = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    at = PIXELS_AT + len(pixels)
    signature = b"II" if order == "<" else b"MM"
    signature += struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else struct.pack(f"{order}HI", 42, at)
    content = signature.ljust(PIXELS_AT, b"\0") + pixels
    for number, fields in enumerate(directories):
        values_at = at + struct.calcsize(f"={counter}{pointer}") + len(fields) * struct.calcsize(f"={entry}{pointer}")
        entries, values = b"", b""
        for code, (kind, numbers) in sorted(fields.items()):
            packed = struct.pack(f"{order}{len(numbers)}{_LETTERS[kind]}", *numbers)
            entries += struct.pack(order + entry, code, kind, len(numbers))
            if len(packed) <= room:
                entries += packed.ljust(room, b"\0")
            else:
                entries += struct.pack(order + pointer, values_at + len(values))
                values += packed
        following = values_at + len(values)
        if number == len(directories) - 1:
            following = 0 if then is None else then
        content += (
            struct.pack(order + counter, len(fields)) + entries + struct.pack(order + pointer, following) + values
        )
        at = len(content)
    return content
