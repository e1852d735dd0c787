"""Many observations of a pixel, one value: the methods of a composite, their scores, and how sure the value is.

`methods.composite` is the door. An observation is usable where its quality is not 255 and none of its bands is
nodata; every method uses the usable observations of the pixel's best quality alone, so a marginal one never pulls on a
clear one. Scenes are gone through in order of acquisition, whatever the order they are given in: the first of equals
is the earliest, and sums of floats always have the same order. Only `best_pixel` looks at the order of the time axis.

Every method writes a spectrum, the quality it is made of, how many observations were usable, and the scene it comes
from, or comes nearest to. Clouds, angles as they are read, and which days there were are the matter of stations.
"""
