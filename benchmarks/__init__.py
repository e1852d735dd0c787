"""Measurements against the targets of the design, one module `bench_*` each; correctness has its tests."""
