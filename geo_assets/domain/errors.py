"""Every deliberate error, one family per thing that can be wrong.

A message says what, where (region, tile, month, scene, band), what was found, what was expected, and what to do.
Secrets never appear in one.
"""


class GeoAssetsError(Exception):
    """Root of all deliberate errors; the terminal prints its message and exits with 2."""


class RegionError(GeoAssetsError):
    """The region file, or a request for ground, asks for something that cannot be."""


class ArchiveError(GeoAssetsError):
    """An archive could not be asked or read."""


class ArchiveTransientError(ArchiveError):
    """The archive failed in a way that may pass: run the partition again."""


class AssetLostError(ArchiveError):
    """A file that the catalogue lists is gone or unreadable for good."""


class ArchiveRefusedError(ArchiveError):
    """The archive's answer is not trusted, or it does not let us in."""


class GridMismatchError(GeoAssetsError):
    """Pixels lie on another grid than the one they are used on."""


class DetectorError(GeoAssetsError):
    """A cloud detector lacks its input, or its output breaks the contract."""


class ProductError(GeoAssetsError):
    """Something in the store is not what it should be."""


class MissingProductError(ProductError):
    """A product that is needed has not been made yet."""


class CorruptProductError(ProductError):
    """A product's bytes are not the ones its manifest sealed."""


class SchemaError(ProductError):
    """A manifest or store was written by another version, or for another region."""


class ResourceError(GeoAssetsError):
    """The machine or the store does not offer what the work needs."""
