"""The walk of pixels through trees, 64 at a time.

A flock is 64 pixels that go together. At a node, one comparison of their 64 codes gives a word whose bits say who goes
left; a flock that divides goes on in parts, each a word of its members. After sorting by `ForestTables.key_bits` a
flock of a real scene visits some thirty nodes of a tree of 770 leaves, where single pixels would visit ten each.

Each pixel's leaves are summed in float64 in the order of the trees, as LightGBM does: the sums are the same to the bit.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

FLOCK_PX = 64
"""Pixels that walk together: as many as a word has bits."""

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_FLOCKS_AT_A_TIME = 512
"""Before the next tree takes its place in the processor's cache, this many flocks walk through one."""


@njit(nogil=True, cache=True)
def gather_flocks(codes: NDArray[np.uint8], order: NDArray[np.int64], flocks: NDArray[np.uint8]) -> None:
    """Fill flocks (flock, feature, 64) with codes (pixel, feature), in that order of pixels."""
    for place in range(order.size):
        flock, member = divmod(place, FLOCK_PX)
        for feature in range(codes.shape[1]):
            flocks[flock, feature, member] = codes[order[place], feature]


@njit(nogil=True, cache=True, boundscheck=False)
def fill_sums(
    flocks: NDArray[np.uint8],
    members: int,
    roots: NDArray[np.int32],
    feature: NDArray[np.uint8],
    rank: NDArray[np.uint8],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    leaf_value: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Fill sums (pixel,) with each pixel's leaf values over all trees.

    `flocks` is (flock, feature, 64), `members` how many of its pixels are real; the others are at the end. The other
    arrays are those of `ForestTables`.
    """
    codes = flocks.ravel()
    flock_bytes = flocks.shape[1] * FLOCK_PX
    waiting_node = np.empty(feature.size + 1, np.int32)
    waiting_part = np.empty(feature.size + 1, np.uint64)
    sums[:] = 0.0
    for first in range(0, flocks.shape[0], _FLOCKS_AT_A_TIME):
        last = min(flocks.shape[0], first + _FLOCKS_AT_A_TIME)
        for root in roots:
            for flock in range(first, last):
                begin = flock * FLOCK_PX
                # Parts of the flock that still have to go on from a node: one in hand, and those that wait.
                node, part, waiting = root, _ALL >> np.uint64(max(0, begin + FLOCK_PX - members)), 0
                while True:
                    while node >= 0:
                        low = _at_most(codes, flock * flock_bytes + np.intp(feature[node]) * FLOCK_PX, rank[node])
                        goes_left, goes_right = part & low, part & ~low
                        if goes_left == 0:
                            node, part = right[node], goes_right
                            continue
                        if goes_right != 0:
                            waiting_node[waiting] = right[node]
                            waiting_part[waiting] = goes_right
                            waiting += 1
                        node, part = left[node], goes_left
                    _add(leaf_value[~node], part, begin, sums)
                    if waiting == 0:
                        break
                    waiting -= 1
                    node, part = waiting_node[waiting], waiting_part[waiting]


@njit(nogil=True, cache=True)
def _add(value: float, part: np.uint64, begin: int, sums: NDArray[np.float64]) -> None:
    """Add a value to the sum of every member of a part of a flock."""
    while part != 0:
        sums[begin + np.intp(_lowest_bit(part))] += value
        part &= part - np.uint64(1)


@njit(nogil=True, cache=True)
def fill_probability(
    sums: NDArray[np.float64], order: NDArray[np.int64], pixels: NDArray[np.int64], probability: NDArray[np.float32]
) -> None:
    """Fill the probability of chosen pixels from the sums of those pixels in another order.

    LightGBM's binary objective, with a sigmoid of 1, in float64; then float32, as s2cloudless has it.
    """
    for place in range(order.size):
        probability[pixels[order[place]]] = np.float32(1.0 / (1.0 + np.exp(-sums[place])))


def _generate_at_most(typing_context: Any, codes: Any, at: Any, rank: Any) -> Any:
    """Word whose bit i is set where ``codes[at + i] <= rank``, for 64 codes: one comparison of vectors."""
    signature = types.uint64(codes, types.intp, types.uint8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """The comparison as LLVM's instructions; arguments are the codes, the first place and the rank."""
        array, at, rank = arguments
        byte, word = ir.IntType(8), ir.IntType(64)
        vector = ir.VectorType(byte, FLOCK_PX)
        undefined = ir.Constant(vector, ir.Undefined)
        data = context.make_array(signature.args[0])(context, builder, array).data
        some = builder.load(builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), align=1)
        first = builder.insert_element(undefined, rank, ir.IntType(32)(0))
        spread = ir.Constant(ir.VectorType(ir.IntType(32), FLOCK_PX), [0] * FLOCK_PX)
        everywhere = builder.shuffle_vector(first, undefined, spread)
        return builder.bitcast(builder.icmp_unsigned("<=", some, everywhere), word)

    return signature, generate


def _generate_lowest_bit(typing_context: Any, word: Any) -> Any:
    """Number of the lowest set bit of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return word(word), generate


_at_most: Any = intrinsic(_generate_at_most)
_lowest_bit: Any = intrinsic(_generate_lowest_bit)
