"""Where tokens lie: fetched by one, used by all, read by nobody else."""

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from geo_assets.domain.errors import ArchiveTransientError, ResourceError
from geo_assets.io.wire.token_shelf import Token, TokenShelf

NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)
TOKEN = Token(SecretStr("SECRET-1"), NOON, NOON + timedelta(hours=1), SecretStr("SECRET-2"), NOON + timedelta(hours=2))


def always(token):
    return True


def never(token):
    return False


def pytest_fail(old):
    pytest.fail("nobody should fetch")


@pytest.fixture(params=[True, False], ids=["shared", "private"])
def shelf(request, tmp_path):
    return TokenShelf(tmp_path / "tokens" if request.param else None)


def test_a_token_lasts_until_its_margin_or_half_its_life():
    long, short = TOKEN, Token(SecretStr("x"), NOON, NOON + timedelta(minutes=1))
    margin = timedelta(minutes=5)
    assert long.lasts(NOON + timedelta(minutes=54), margin=margin)
    assert not long.lasts(NOON + timedelta(minutes=55), margin=margin)
    assert short.lasts(NOON + timedelta(seconds=29), margin=margin)
    assert not short.lasts(NOON + timedelta(seconds=30), margin=margin)


def test_a_good_token_is_fetched_once(shelf):
    assert shelf.token("a", good=always, fetch=lambda old: TOKEN) is TOKEN
    assert shelf.token("a", good=always, fetch=pytest_fail) is TOKEN
    assert shelf.held("a") is TOKEN
    assert shelf.held("b") is None


def test_the_old_token_is_given_to_whoever_fetches_the_next(shelf):
    shelf.token("a", good=always, fetch=lambda old: TOKEN)
    seen = []
    shelf.token("a", good=never, fetch=lambda old: seen.append(old) or TOKEN)
    assert seen == [TOKEN]


def test_a_dropped_token_is_forgotten(shelf):
    shelf.token("a", good=always, fetch=lambda old: TOKEN)
    shelf.drop("a")
    shelf.drop("a")
    assert shelf.held("a") is None


def test_of_many_threads_one_fetches_and_the_others_take_what_it_gets(shelf):
    fetches, everybody_waits = [], threading.Barrier(8, timeout=30)

    def fetch(old):
        fetches.append(old)
        return TOKEN

    def ask(_):
        everybody_waits.wait()
        return shelf.token("a", good=always, fetch=fetch)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert found == [TOKEN] * 8
    assert fetches == [None]


class CountedLock:
    """A lock that counts who has come to it."""

    def __init__(self):
        self._lock = threading.Lock()
        self.arrivals = threading.Semaphore(0)

    def __enter__(self):
        self.arrivals.release()
        self._lock.acquire()

    def __exit__(self, *_error):
        self._lock.release()


def test_threads_that_wait_fail_as_the_one_that_fetches_fails(shelf):
    lock = shelf._seat("a").lock = CountedLock()
    fetches = []

    def fetch(old):
        fetches.append(old)
        for _ in range(4):
            assert lock.arrivals.acquire(timeout=30)
        raise ArchiveTransientError("the service is down")

    def ask(_):
        with pytest.raises(ArchiveTransientError, match="the service is down"):
            shelf.token("a", good=always, fetch=fetch)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert fetches == [None]
    assert shelf.token("a", good=always, fetch=lambda old: TOKEN) is TOKEN  # a failure is no verdict for ever


def test_another_shelf_in_the_folder_has_the_same_tokens_and_nobody_else(tmp_path):
    folder = tmp_path / "tokens"
    TokenShelf(folder).token("a", good=always, fetch=lambda old: TOKEN)
    assert TokenShelf(folder).token("a", good=always, fetch=pytest_fail) == TOKEN
    assert folder.stat().st_mode & 0o077 == 0
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.lock"]


def fetch_in_a_process(folder, number, log):
    def fetch(old):
        log.put(number)
        return TOKEN

    TokenShelf(folder).token("a", good=always, fetch=fetch)


def test_of_many_processes_one_fetches(tmp_path):
    context = multiprocessing.get_context("spawn")
    log = context.Queue()
    children = [context.Process(target=fetch_in_a_process, args=(tmp_path, number, log)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert log.get(timeout=10) in (0, 1, 2)
    assert log.empty()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(path.read_text()[:20]),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(json.dumps({"secret": 1})),
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.chmod(0o644),  # somebody else may have read it, or written it
        lambda path: (path.rename(path.with_name("b.json")), path.symlink_to("b.json")),
    ],
)
def test_a_file_that_is_damaged_or_open_to_others_is_as_good_as_none(tmp_path, damage):
    TokenShelf(tmp_path).token("a", good=always, fetch=lambda old: TOKEN)
    damage(tmp_path / "a.json")
    fresh = Token(SecretStr("fresh"), NOON, NOON + timedelta(hours=1))
    assert TokenShelf(tmp_path).token("a", good=always, fetch=lambda old: fresh) is fresh
    assert TokenShelf(tmp_path).held("a") == fresh


def test_a_folder_that_cannot_be_used_is_refused_with_its_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="tokens cannot be kept"):
        TokenShelf(tmp_path / "file").token("a", good=always, fetch=lambda old: TOKEN)


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(ResourceError, match="belongs to another user"):
        TokenShelf(tmp_path).token("a", good=always, fetch=lambda old: TOKEN)


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", "a b", "a" * 200])
def test_a_name_that_could_leave_the_folder_is_refused(shelf, name):
    with pytest.raises(ValueError, match="is no name of a token"):
        shelf.held(name)


def test_no_secret_is_shown():
    assert "SECRET" not in f"{TOKEN} {TOKEN!r}"
