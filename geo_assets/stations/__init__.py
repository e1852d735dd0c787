"""The data's way without Dagster: what each station reads, does and writes, from search to statistics.

A station introduces `io` to `kernels` and returns a product; it does no arithmetic of its own and knows nothing of
Dagster. `line.py` says what a station is and runs one; `ground.py` says which pixels of a tile matter.
"""
