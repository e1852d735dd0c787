"""Many rasters of one lattice as one picture: their blend, where it is cut, what makes them agree, how true it is.

Lives here: weighted means of stacks, corrections and their solution, seamlines and their weights, and the sums of
what is measured. Not here: distances, which masks use as well, and where rasters lie on the ground.
"""
