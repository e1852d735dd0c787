"""The data's way as Dagster assets, one thin file a station: what it reads, how it is shown, which station runs.

An asset hands the partitions of its run to `materialize_each`; whatever it does with them lives in `stations`.
"""
