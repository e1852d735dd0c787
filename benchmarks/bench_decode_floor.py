"""A whole composite against the floor that no program can go below: decoding the blocks that it needs.

    GEO_BENCH_TOOLS=FOLDER python -m benchmarks decode_floor

The blocks are those that the file server sent to one composite; the floor reads them from local files and inflates
them with libdeflate on two threads, without a request, a header or a pixel picked.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from benchmarks.bestpixel import engine, prepare
from benchmarks.measurement import Measurement, interleaved
from benchmarks.rival_bench import OURS, compared, has_archive, root, tools
from geo_assets.kernels.predictor import undo_differences

_THREADS = 2
_ROUNDS = 5


def main() -> Sequence[Measurement]:
    """Ratio of wall times, and bytes sent over bytes of the blocks."""
    folder = tools()
    if folder is None:
        return ()
    workload = "full60x7" if has_archive("full") else "small60x7"
    runs = compared(folder, workload, ["floor"], ours={"floor": (OURS, {})}, rounds=1)
    sys.path.insert(0, str(folder))
    job = import_module("compare").job_for(workload)
    blocks, _, sent = import_module("decode_bound").blocks_in_log(root() / "results" / f"{workload}.floor.log")
    packed = sum(block.size for block in blocks)
    prepare()

    def ours() -> None:
        engine(job["catalog_url"], job["bbox"], job["datetime"], job["resolution"], job["bands"])

    ratio = interleaved(ours, lambda: _decode(blocks), rounds=_ROUNDS)
    return (
        Measurement(f"{workload}: composite / inflating its {len(blocks)} blocks on 2 threads", ratio, "x", 1.3),
        Measurement(f"{workload}: bytes sent / bytes of the blocks that were needed", sent / packed, "x", 1.1),
        Measurement(f"{workload}: bytes sent", runs.median("mb", "floor"), "MB"),
    )


def _decode(blocks: Sequence[Any]) -> None:
    files = {path: os.open(_local(path), os.O_RDONLY) for path in {block.path for block in blocks}}

    def one(block: Any) -> None:
        stored: Any = np.empty(block.width**2 * block.dtype.itemsize, np.uint8)
        imagecodecs.deflate_decode(os.pread(files[block.path], block.size, block.offset), out=stored)
        if block.predictor == 2:
            undo_differences(stored.view(block.dtype).reshape(-1, block.width, 1))

    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(one, blocks))
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def _local(uri: str) -> Path:
    return root() / "data" / uri.lstrip("/")
