"""Arithmetic on pixels: arrays in, arrays out, compiled with numba.

One module per operation. Nothing here knows a file, a catalogue, a grid's coordinates or Dagster, and nothing
logs. Kernels work on a block or a window, release the interpreter's lock and run on one thread, so that a
station may call them from as many threads as it has blocks. Sums are integers wherever a result must not
depend on the order of scenes, the size of blocks or the number of threads.
"""
