"""Decision trees as a model file has them, and the flat tables that the compiled walk reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.errors import DetectorError

MOST_THRESHOLDS = 255
"""Of one feature in the whole forest: a rank, 0 to 255, fits one byte."""

MOST_FEATURES = 255
"""A node names its feature by one byte."""

_KEY_BITS = 64


class UnsuitedForestError(DetectorError):
    """A forest that the exact tables cannot hold; `lightgbm` itself can."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree of numerical splits. Node n sends a pixel left where its feature is at most its threshold, else right.

    A child is the number of a node, or ``~leaf`` for a leaf. Node 0 is the root; a tree of one leaf has no nodes.
    """

    feature: NDArray[np.int64]
    """(node,)"""
    threshold: NDArray[np.float64]
    """(node,)"""
    left: NDArray[np.int64]
    """(node,)"""
    right: NDArray[np.int64]
    """(node,)"""
    visits: NDArray[np.float64]
    """(node,): how many samples came by when the tree was learned; ones where nobody counted."""
    leaf_value: NDArray[np.float64]
    """(leaf,)"""


@dataclass(frozen=True, slots=True, eq=False)
class ForestTables:
    """All trees, one after the other, with ranks in the place of thresholds."""

    thresholds: NDArray[np.float64]
    """(feature, 255): all of a feature's thresholds in the forest, ascending, then infinity."""
    key_bits: NDArray[np.uint64]
    """(feature, 256): what a feature of this rank adds to a pixel's sort key."""
    roots: NDArray[np.int32]
    """(tree,): where a tree begins; a node, or ``~leaf``."""
    feature: NDArray[np.uint8]
    """(node,)"""
    rank: NDArray[np.uint8]
    """(node,): go left where the feature's rank is at most this."""
    left: NDArray[np.int32]
    """(node,): a node, or ``~leaf``."""
    right: NDArray[np.int32]
    """(node,)"""
    leaf_value: NDArray[np.float64]
    """(leaf,)"""

    @property
    def features(self) -> int:
        """How many features a pixel has."""
        return len(self.thresholds)


def forest_tables(trees: Sequence[Tree], features: int) -> ForestTables:
    """The tables of a forest.

    Parameters
    ----------
    trees
        In the order in which their leaves are summed.
    features
        How many features a pixel has.

    Raises
    ------
    UnsuitedForestError
        A feature has more than `MOST_THRESHOLDS` thresholds, or there are more than `MOST_FEATURES` features.
    DetectorError
        Nodes and leaves that do not make a tree: the walk would not end.
    """
    if not 1 <= features <= MOST_FEATURES:
        raise UnsuitedForestError(f"Forest: found {features} features, expected 1 to {MOST_FEATURES}.")
    for number, tree in enumerate(trees):
        _expect_tree(number, tree, features)
    thresholds = _thresholds(trees, features)
    node_counts = [tree.feature.size for tree in trees]
    leaf_counts = [tree.leaf_value.size for tree in trees]
    first_nodes = np.cumsum([0, *node_counts[:-1]], dtype=np.int64)
    first_leaves = np.cumsum([0, *leaf_counts[:-1]], dtype=np.int64)
    nodes = [
        (
            tree.feature,
            _ranks(tree, thresholds),
            _renumbered(tree.left, first_node, first_leaf),
            _renumbered(tree.right, first_node, first_leaf),
        )
        for tree, first_node, first_leaf in zip(trees, first_nodes, first_leaves, strict=True)
    ]
    feature, rank, left, right = (np.concatenate(column) for column in zip(*nodes, strict=True))
    return ForestTables(
        thresholds=thresholds,
        key_bits=_key_bits(trees, features),
        roots=np.where(np.array(node_counts) > 0, first_nodes, ~first_leaves).astype(np.int32),
        feature=feature.astype(np.uint8),
        rank=rank.astype(np.uint8),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        leaf_value=np.concatenate([tree.leaf_value for tree in trees]),
    )


def _expect_tree(number: int, tree: Tree, features: int) -> None:
    """Every node but the root, and every leaf, is the child of exactly one node."""
    nodes, leaves = tree.feature.size, tree.leaf_value.size
    children = np.sort(np.concatenate([tree.left, tree.right]))
    expected = np.concatenate([np.arange(-leaves, 0) if nodes else [], np.arange(1, nodes)])
    known = tree.threshold.size == tree.visits.size == nodes and not np.isnan(tree.threshold).any()
    if not known or leaves != nodes + 1 or not np.array_equal(children, expected):
        raise DetectorError(
            f"Forest, tree {number}: {nodes} nodes and {leaves} leaves are not one tree. "
            "The model file is damaged: install s2cloudless again."
        )
    if nodes and not 0 <= tree.feature.min() <= tree.feature.max() < features:
        raise DetectorError(
            f"Forest, tree {number}: found features {tree.feature.min()} to {tree.feature.max()}, expected 0 to "
            f"{features - 1}. The model file is damaged: install s2cloudless again."
        )


def _thresholds(trees: Sequence[Tree], features: int) -> NDArray[np.float64]:
    all_features = np.concatenate([tree.feature for tree in trees])
    all_thresholds = np.concatenate([tree.threshold for tree in trees])
    thresholds = np.full((features, MOST_THRESHOLDS), np.inf)
    for feature in range(features):
        distinct = np.unique(all_thresholds[all_features == feature])
        if distinct.size > MOST_THRESHOLDS:
            raise UnsuitedForestError(
                f"Forest, feature {feature}: found {distinct.size} different thresholds, expected at most "
                f"{MOST_THRESHOLDS}."
            )
        thresholds[feature, : distinct.size] = distinct
    return thresholds


def _ranks(tree: Tree, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each node's threshold as its place among its feature's: ``x <= thresholds[k]`` is ``rank(x) <= k``."""
    places: NDArray[np.int64] = (thresholds[tree.feature] < tree.threshold[:, np.newaxis]).sum(axis=1)
    return places


def _renumbered(child: NDArray[np.int64], first_node: int, first_leaf: int) -> NDArray[np.int64]:
    """Children of one tree as numbers in the whole forest."""
    renumbered: NDArray[np.int64] = np.where(child >= 0, child + first_node, child - first_leaf)
    return renumbered


def _key_bits(trees: Sequence[Tree], features: int) -> NDArray[np.uint64]:
    """Bits of the ranks interleaved, most significant first, features that decide most ways before the others.

    Pixels near each other in that order (Morton's) are alike in all features, and above all in those that count.
    """
    visits = np.zeros(features)
    for tree in trees:
        np.add.at(visits, tree.feature, tree.visits)
    ranks = np.arange(256, dtype=np.uint64)
    key_bits = np.zeros((features, 256), np.uint64)
    place = _KEY_BITS
    for rank_bit in range(7, -1, -1):
        for feature in np.argsort(-visits, kind="stable"):
            if place == 0:
                return key_bits
            place -= 1
            key_bits[feature] |= ((ranks >> np.uint64(rank_bit)) & np.uint64(1)) << np.uint64(place)
    return key_bits
