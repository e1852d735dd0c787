"""What runs at once, what is tried again, and for how long."""

import dagster as dg

ARCHIVE_POOL = "archive"
"""Held by every step that asks the archive; its limit is set in `dagster.yaml`."""

RUN_TAGS = {
    "dagster/max_retries": "1",
    # After power loss a run stays STARTED for ever: the default launcher does not look after its processes.
    "dagster/max_runtime": str(2 * 24 * 3600),
}
"""On the runs of our own jobs; a run that is tried again goes on from the finished units."""

ARCHIVE_RETRY = dg.RetryPolicy(max_retries=2, delay=10.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Follows the archive's own retries of single reads; only transient errors get here (see `materialize_each`)."""


def daemon_backfills(partitions_per_run: int = 1) -> dg.BackfillPolicy:
    """How Dagster's daemon cuts a backfill into runs.

    One partition a run: a failure isolates one tile and month. More is cheaper (a run costs 3-8 s to launch), but a
    step that raises keeps every later station of its run from starting. All assets of a region must agree.
    """
    return dg.BackfillPolicy.multi_run(partitions_per_run)
