"""The words of the project: regions, tiles, months, bands, scenes, tables and errors.

Pure descriptions without files, network or Dagster; what computes lives in `kernels`, what reads or writes in `io`.
"""
