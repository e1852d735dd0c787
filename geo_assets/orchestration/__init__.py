"""Everything about running: partitions, resources, jobs, schedules, backfills and Dagster's home.

`materialization.py` runs a station for the partitions of a run and tells Dagster what happened. What a station does
lives in `stations`, which asset stands for it in `assets`. Only `resources.py` here reads the environment.
"""
