"""Parts of the monthly composite: what its observations are, how they are scored, and what is measured on the way.

The station itself is `stations.composite`. How one value is made of many is in `kernels.compositing`.
"""
