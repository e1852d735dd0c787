"""Rasters on one lattice, blended without a seam: what the mosaic stations and `blend_mosaic` have in common.

Lives here: the blend of a window, the statistics of overlaps, the choice of seamlines, the measuring of what comes out,
and the mosaic of any files. Not here: products, partitions and their checkpoints, which are the stations'.
"""
