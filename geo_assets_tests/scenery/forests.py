"""Small forests: drawn, written as LightGBM writes them, and walked one pixel and one node at a time."""

import math
import warnings
from functools import cache

import numpy as np
from hypothesis import strategies as st

from geo_assets.kernels.forest.trees import Tree

ZERO = float(np.float32(1e-35))
"""Values up to here are 0 to LightGBM."""
THRESHOLDS = (-1e300, -0.5, -1e-36, 0.0, 1e-36, ZERO, 1e-34, 0.1, 0.21984999626874926, 0.5, 1.09, 7.0)
"""Few, so that trees share them; some within `ZERO` of 0."""
VALUES = (-np.inf, -0.5, -0.0, 0.0, 1e-36, 3e-35, 0.2, 0.3, 1.0, 2.5, 6.5535, np.inf, np.nan)


def grown(splits) -> Tree:
    """A tree from (which leaf splits, feature, threshold) in turn, numbered as LightGBM numbers its nodes."""
    feature, threshold, left, right, places = [], [], [], [], [None]
    for choice, split_feature, split_threshold in splits:
        leaf, node = choice % len(places), len(feature)
        if places[leaf] is not None:
            parent, side = places[leaf]
            side_of = left if side == "left" else right
            side_of[parent] = node
        feature.append(split_feature)
        threshold.append(split_threshold)
        left.append(~leaf)
        right.append(~len(places))
        places[leaf] = node, "left"
        places.append((node, "right"))
    return Tree(
        feature=np.array(feature, np.int64),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        visits=np.ones(len(feature)),
        leaf_value=np.sin(np.arange(len(places)) * 1.7 + len(feature)),
    )


@st.composite
def forests(draw, most_features=12, most_trees=4, most_splits=40):
    """(trees, number of features); some trees are a single leaf, and some thresholds lie within 1e-35 of 0."""
    features = draw(st.integers(1, most_features))
    split = st.tuples(st.integers(0, 1000), st.integers(0, features - 1), st.sampled_from(THRESHOLDS))
    trees = draw(st.lists(st.lists(split, max_size=most_splits).map(grown), min_size=1, max_size=most_trees))
    return trees, features


def awkward_values(features, pixels, seed, dtype=np.float32):
    """(feature, pixel): beside every threshold, at it, special, and between."""
    at = np.array(THRESHOLDS[1:], dtype)
    beside = np.concatenate([at, np.nextafter(at, dtype(-np.inf)), np.nextafter(at, dtype(np.inf))])
    random = np.random.default_rng(seed)
    choices = np.concatenate([beside, np.array(VALUES, dtype), random.normal(0.3, 0.3, 20).astype(dtype)])
    return random.choice(choices, (features, pixels))


def probability_of(trees, values):
    """(pixel,) float32 of values (feature, pixel): LightGBM's rules, one pixel, tree and node after the other."""
    found = []
    for pixel in values.T.astype(np.float64):
        seen = [x if abs(x) > ZERO else 0.0 for x in pixel.tolist()]
        total = 0.0
        for tree in trees:
            node = 0 if tree.feature.size else ~0
            while node >= 0:
                goes_left = seen[tree.feature[node]] <= tree.threshold[node]
                node = int(tree.left[node] if goes_left else tree.right[node])
            total += float(tree.leaf_value[~node])
        found.append(1.0 / (1.0 + math.exp(-total)))
    return np.array(found, np.float32)


def model_text(trees, features, **changed) -> str:
    """A LightGBM text model; `changed` replaces lines of its head or of every tree."""
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": features - 1,
        "objective": "binary sigmoid:1",
        "feature_names": " ".join(f"Column_{number}" for number in range(features)),
        "feature_infos": " ".join(["[-10:10]"] * features),
    }
    parts = ["tree\n" + _lines({key: changed.get(key, value) for key, value in head.items()})]
    for number, tree in enumerate(trees):
        facts = {
            "num_leaves": tree.leaf_value.size,
            "num_cat": 0,
            "split_feature": _row(tree.feature),
            "threshold": _row(tree.threshold),
            "decision_type": _row([2] * tree.feature.size),
            "left_child": _row(tree.left),
            "right_child": _row(tree.right),
            "leaf_value": _row(tree.leaf_value),
            "leaf_count": _row([1] * tree.leaf_value.size),
            "internal_count": _row(tree.visits.astype(int)),
            "is_linear": 0,
            "shrinkage": 1,
        }
        parts.append(f"Tree={number}\n" + _lines({key: changed.get(key, value) for key, value in facts.items()}) + "\n")
    return "\n".join(parts) + "\nend of trees\n\nparameters:\n[objective: binary]\nend of parameters\n"


def _row(numbers):
    return " ".join(repr(number) for number in np.asarray(numbers).tolist())


def _lines(facts):
    return "".join(f"{key}={value}\n" for key, value in facts.items())


@cache
def stock_detector(threshold=0.4, average_over=1, dilation_size=1):
    """The library's own detector, None for no smoothing or dilation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from s2cloudless import S2PixelCloudDetector
    return S2PixelCloudDetector(
        threshold=threshold, average_over=average_over, dilation_size=dilation_size, all_bands=False
    )


def stock_probability(values):
    """(y, x) float32 of values (feature, y, x), by the library."""
    return stock_detector().get_cloud_probability_maps(np.moveaxis(values, 0, -1)[np.newaxis])[0]
