"""The bounding-box door: one composite of any area, in memory, straight from an archive.

Lives here: the output grid, the choice of scenes, the map of winners, the reading of what they win, and the result.
Not here: products on disk and their partitions, which are the other stations'.
"""
