"""Pixels of many scenes on one output grid: which scene each is taken from, and taking it from the scene's blocks.

Lives here: winners, the taps of output pixels on stored ones, stored blocks, and the classes and counts picked from
them. Not here: files, threads and the choice of scenes, which are `stations.bbox`'s.
"""
