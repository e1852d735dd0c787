"""Decoded blocks that are kept for a while."""

import numpy as np

from geo_assets.io.reads.kept_blocks import KeptBlocks

BLOCK = np.zeros(10, np.uint8)


def test_the_least_recently_used_block_leaves_first():
    kept = KeptBlocks(limit_bytes=30)
    for number in range(3):
        kept.put(1, number, BLOCK)
    assert kept.get(1, 0) is BLOCK
    kept.put(1, 3, BLOCK)
    assert [kept.get(1, number) is not None for number in range(4)] == [True, False, True, True]


def test_a_block_put_twice_counts_once():
    kept = KeptBlocks(limit_bytes=20)
    kept.put(1, 0, BLOCK)
    for _ in range(5):
        kept.put(1, 1, BLOCK.copy())
    assert kept.get(1, 0) is BLOCK


def test_a_block_over_the_limit_is_not_kept():
    kept = KeptBlocks(limit_bytes=5)
    kept.put(1, 0, BLOCK)
    assert kept.get(1, 0) is None


def test_files_do_not_see_each_others_blocks_and_leave_with_theirs():
    kept = KeptBlocks(limit_bytes=100)
    kept.put(1, 0, BLOCK)
    assert kept.get(2, 0) is None
    kept.drop(1)
    kept.put(2, 0, BLOCK)
    assert kept.get(1, 0) is None
    assert kept.get(2, 0) is BLOCK
