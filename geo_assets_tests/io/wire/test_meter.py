"""Counters of traffic."""

from concurrent.futures import ThreadPoolExecutor

from geo_assets.io.wire.meter import Meter


def test_nothing_is_lost_when_many_threads_count():
    meter = Meter()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(
                lambda: [meter.add(requests=1, bytes=10, retries=2, renewals=3, wait_s=0.5) for _ in range(500)]
            )
    assert meter.snapshot() == {"requests": 4000, "bytes": 40000, "retries": 8000, "renewals": 12000, "wait_s": 2000.0}


def test_a_meter_takes_up_what_another_has_counted():
    part, whole = Meter(), Meter()
    part.add(requests=2, bytes=5, wait_s=0.25)
    whole.add(requests=1)
    whole.add_all(part)
    assert (whole.requests, whole.bytes, whole.retries, whole.renewals, whole.wait_s) == (3, 5, 0, 0, 0.25)
