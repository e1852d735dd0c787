"""Pixels out of files: TIFF blocks are decoded here, the rest by GDAL; bytes come from a `ByteSource`, disk or wire.

What a band means (reflectance, classes) and on which grid it is wanted is decided in `band`; where files come from is
the archives' affair.
"""
