"""How often a host is asked."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from geo_assets.domain.errors import ArchiveTransientError, ResourceError
from geo_assets.io.wire.governor import NO_WAIT, Governor, HostLimits
from geo_assets_tests.scenery.clock import Clock

FOR_EVER = float("inf")


@pytest.fixture
def clock():
    return Clock()


def governor(clock, limits=None, **settings):
    return Governor(limits, clock=clock, sleep=clock.sleep, **settings)


def test_nobody_waits_at_a_free_gate(clock):
    gate = governor(clock).gate("a.example")
    assert gate.enter(deadline=FOR_EVER) == NO_WAIT
    gate.leave()


def test_every_host_has_one_gate_and_its_own_limits(clock):
    several = governor(clock, HostLimits(2), hosts={"slow.example": HostLimits(1)})
    assert several.gate("a.example") is several.gate("a.example")
    assert several.gate("a.example") is not several.gate("slow.example")


def test_no_more_requests_are_under_way_than_connections_are_allowed(clock):
    gate = governor(clock, HostLimits(connections=3)).gate("a.example")
    inside, most, lock = 0, 0, threading.Lock()

    def visit(_):
        nonlocal inside, most
        gate.enter(deadline=FOR_EVER)
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.001)
        with lock:
            inside -= 1
        gate.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(60)))
    assert most == 3


def test_a_pause_that_one_thread_was_asked_for_holds_all(clock):
    gate = governor(clock).gate("a.example")
    gate.pause(20.0)
    assert gate.enter(deadline=FOR_EVER).paused_s == 20.0
    assert clock() == 20.0
    assert gate.enter(deadline=FOR_EVER) == NO_WAIT


def test_a_shorter_pause_does_not_end_a_longer_one(clock):
    gate = governor(clock).gate("a.example")
    gate.pause(20.0)
    gate.pause(1.0)
    assert gate.enter(deadline=FOR_EVER).paused_s == 20.0


def test_a_pause_past_the_deadline_is_an_error_at_once(clock):
    gate = governor(clock).gate("a.example")
    gate.pause(20.0)
    with pytest.raises(ArchiveTransientError, match=r"a\.example asks for a pause of another 20 s"):
        gate.enter(deadline=19.0)
    assert clock() == 0.0


def test_no_pause_lasts_longer_than_a_quarter_of_an_hour(clock):
    gate = governor(clock).gate("a.example")
    gate.pause(1e9)
    assert gate.enter(deadline=FOR_EVER).paused_s == 900.0


def test_requests_come_evenly_after_a_short_burst(clock):
    gate = governor(clock, HostLimits(requests_per_minute=60)).gate("a.example")
    for _ in range(126):
        gate.enter(deadline=FOR_EVER)
        gate.leave()
    assert clock() == pytest.approx(120.0)  # 6 at once, then one a second


def test_a_host_that_fails_too_often_is_left_alone_until_it_has_cooled_down(clock):
    gate = governor(clock, breaker_failures=3, cool_down_s=30.0).gate("a.example")
    for _ in range(3):
        gate.enter(deadline=FOR_EVER)
        gate.leave()
        gate.failed("HTTP 503")
    told = r"a\.example failed 3 times in a row, the last time with HTTP 503, and is left alone for another 30 s"
    with pytest.raises(ArchiveTransientError, match=told):
        gate.enter(deadline=FOR_EVER)
    clock.advance(30.0)
    gate.enter(deadline=FOR_EVER)  # one tries
    with pytest.raises(ArchiveTransientError):  # the others wait for its fate
        gate.enter(deadline=FOR_EVER)
    gate.succeeded()
    gate.enter(deadline=FOR_EVER)


def test_a_success_in_between_keeps_the_gate_open(clock):
    gate = governor(clock, breaker_failures=2).gate("a.example")
    for _ in range(5):
        gate.failed()
        gate.succeeded()
    before = clock()
    gate.enter(deadline=FOR_EVER)
    assert clock() == before


def test_a_trial_that_fails_leaves_the_host_alone_again(clock):
    gate = governor(clock, breaker_failures=1, cool_down_s=30.0).gate("a.example")
    gate.failed()
    clock.advance(30.0)
    gate.enter(deadline=FOR_EVER)
    gate.failed()
    clock.advance(29.0)
    with pytest.raises(ArchiveTransientError):
        gate.enter(deadline=FOR_EVER)


@pytest.mark.parametrize("limits", [{"connections": 0}, {"requests_per_minute": 0.0}, {"requests_per_minute": -1.0}])
def test_limits_that_let_nothing_through_are_refused(limits):
    with pytest.raises(ValueError, match="would let nothing through"):
        HostLimits(**limits)


def test_a_request_queues_for_the_slot_that_another_governor_holds(clock, tmp_path):
    one = governor(clock, HostLimits(1), slots_folder=tmp_path).gate("a.example")
    one.enter(deadline=FOR_EVER)
    polls = []

    def free_it_at_the_third_poll(seconds):
        polls.append(seconds)
        if len(polls) == 3:
            one.leave()

    other = Governor(HostLimits(1), slots_folder=tmp_path, clock=clock, sleep=free_it_at_the_third_poll)
    assert other.gate("a.example").enter(deadline=FOR_EVER).queued_s == pytest.approx(0.15)
    assert len(polls) == 3


def hold_a_slot(folder, entered, leave):
    gate = Governor(HostLimits(1), slots_folder=folder).gate("a.example")
    gate.enter(deadline=FOR_EVER)
    entered.set()
    leave.wait(30)


def test_the_slot_of_a_process_that_dies_is_free_again(tmp_path):
    context = multiprocessing.get_context("spawn")
    entered, leave = context.Event(), context.Event()
    child = context.Process(target=hold_a_slot, args=(tmp_path, entered, leave))
    child.start()
    assert entered.wait(60)
    polls = []

    def kill_at_the_first_poll(seconds):
        if not polls:
            child.kill()
            child.join()
        polls.append(seconds)

    gate = Governor(HostLimits(1), slots_folder=tmp_path, sleep=kill_at_the_first_poll).gate("a.example")
    assert gate.enter(deadline=FOR_EVER).queued_s == pytest.approx(0.05)
    gate.leave()


def test_slots_in_a_folder_that_cannot_be_made_are_refused_with_its_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="connection slots cannot be kept"):
        Governor(slots_folder=tmp_path / "file").gate("a.example")
