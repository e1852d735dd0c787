"""The threads that share the work of a composite."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


_FEWEST, _MOST = 8, 32


def usual_threads() -> int:
    """As many as keep all processors decoding while others wait for a server."""
    return min(max(_FEWEST, 2 * len(os.sched_getaffinity(0))), _MOST)


class Crew:
    """A pool of threads; when a job fails, those that have not begun are dropped.

    Parameters
    ----------
    threads
        How many; kernels and decoders let go of the interpreter, so they run side by side.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="composite")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, jobs: Iterable[Callable[[], T]]) -> list[T]:
        """What the jobs return, in their order.

        Raises
        ------
        Exception
            The error of the first job, in their order, that has failed.
        """
        futures: list[Future[T]] = []
        try:
            for job in jobs:  # which may still be found out while the first are done
                futures.append(self._pool.submit(job))
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
            wait(futures)  # what has begun may use what the caller closes next
        for future in futures:
            if future in done and future.exception() is not None:
                future.result()
        return [future.result() for future in futures]
