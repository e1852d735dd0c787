import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from time import sleep

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from geo_assets.domain.errors import DetectorError
from geo_assets.io.detectors import forest_model
from geo_assets.io.detectors.forest_model import (
    ForestFallbackWarning,
    compiled_folder,
    installed_model,
    open_forest,
    trees_of,
)
from geo_assets_tests.scenery.forests import awkward_values, forests, grown, model_text, probability_of

TREES = [grown([(choice * 7, choice % 3, (choice % 20) / 20) for choice in range(90)]) for _ in range(3)]
VALUES = awkward_values(3, 400, 4).reshape(3, 20, 20)
VALID = np.ones((20, 20), bool)
COUNTS = np.random.default_rng(8).integers(0, 65_536, (3, 20, 20)).astype(np.uint16)


def write_model(path, trees=TREES, features=3, **changed):
    path.write_text(model_text(trees, features, **changed))
    return path


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model.txt")


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "tables"


@settings(max_examples=15)
@given(forests(most_features=5), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_probability_is_lightgbms_to_the_bit_on_beside_and_between_thresholds(forest, seed, dtype):
    lightgbm = pytest.importorskip("lightgbm")
    trees, features = forest
    text = model_text(trees, features)
    assert_array_equal([tree.threshold.size for tree in trees_of(text, "drawn")[0]], [t.threshold.size for t in trees])
    values = awkward_values(features, 60, seed, dtype)
    expected = lightgbm.Booster(model_str=text).predict(np.ascontiguousarray(values.T), num_threads=1)
    assert_array_equal(probability_of(trees_of(text, "drawn")[0], values), expected.astype(np.float32))


def test_a_model_is_read_once_and_its_tables_are_taken_from_the_shelf_after_that(model, shelf, monkeypatch):
    first = open_forest(model, cache=shelf)
    assert (first.kind, first.features) == ("exact tables", 3)
    assert len(list(shelf.iterdir())) == 1
    monkeypatch.setattr(forest_model, "trees_of", None)
    second = open_forest(model, cache=shelf)
    assert_array_equal(second.probability(list(VALUES), VALID), first.probability(list(VALUES), VALID))
    assert_array_equal(first.probability(list(VALUES), VALID).ravel(), probability_of(TREES, VALUES.reshape(3, -1)))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:900] + b"?" + b[901:], lambda b: b"", lambda b: b * 2]
)
def test_damaged_tables_are_made_anew_and_said_so(model, shelf, caplog, damage):
    open_forest(model, cache=shelf)
    (kept,) = shelf.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        forest = open_forest(model, cache=shelf)
    assert "is damaged" in caplog.text
    assert kept.read_bytes() == whole
    assert_array_equal(forest.probability(list(VALUES), VALID).ravel(), probability_of(TREES, VALUES.reshape(3, -1)))


def test_tables_of_another_model_are_never_taken_even_under_its_name(model, shelf, tmp_path):
    other = write_model(tmp_path / "other.txt", TREES[:1])
    open_forest(other, cache=shelf)
    (others,) = shelf.iterdir()
    open_forest(model, cache=shelf)
    (ours,) = set(shelf.iterdir()) - {others}
    ours.write_bytes(others.read_bytes())
    forest = open_forest(model, cache=shelf)
    assert_array_equal(forest.probability(list(VALUES), VALID).ravel(), probability_of(TREES, VALUES.reshape(3, -1)))


def test_a_shelf_that_cannot_be_written_only_costs_time(model, tmp_path, caplog):
    (tmp_path / "a file").write_text("")
    with caplog.at_level(logging.INFO):
        forest = open_forest(model, cache=tmp_path / "a file")
    assert "cannot be kept" in caplog.text
    assert forest.kind == "exact tables"


def test_an_interrupted_write_leaves_nothing_that_the_next_one_would_take(model, shelf, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forest_model.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            open_forest(model, cache=shelf)
    assert list(shelf.iterdir()) == []


def test_processes_that_start_together_share_one_shelf(model, shelf):
    program = (
        "import sys; from pathlib import Path; from geo_assets.io.detectors.forest_model import open_forest\n"
        "sys.stdin.readline()\n"
        "for _ in range(30):\n"
        "    for kept in Path(sys.argv[2]).glob('*.tables'): kept.unlink(missing_ok=True)\n"
        "    print(open_forest(Path(sys.argv[1]), cache=Path(sys.argv[2])).tables.leaf_value.sum().hex())\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(model), str(shelf)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate() for child in children]
    assert [error for _, error in answers] == [""] * 3
    expected = open_forest(model, cache=shelf).tables.leaf_value.sum().hex()
    assert {line for out, _ in answers for line in out.split()} == {expected}
    assert not list(shelf.glob("*.unfinished"))


def test_threads_may_ask_one_forest_together(model, shelf):
    forest = open_forest(model, cache=shelf)
    asked = [(offset, quantification) for offset in (0, -1000) for quantification in (1000, 10_000)] * 4

    def judge(how):
        return forest.probability(list(COUNTS), VALID, offset=how[0], quantification=how[1], threads=2)

    with ThreadPoolExecutor(4) as pool:
        for found, how in zip(pool.map(judge, asked), asked, strict=True):
            assert_array_equal(found, judge(how))


def test_threads_that_ask_for_the_installed_forest_first_open_it_once(model, shelf, monkeypatch):
    opened = []
    monkeypatch.setattr(forest_model, "installed_model", lambda: opened.append(model) or sleep(0.05) or model)
    monkeypatch.setattr(forest_model, "open_forest", lambda path: open_forest(path, cache=shelf))
    forest_model._installed_forest.cache_clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            forests = {id(one) for one in pool.map(lambda _: forest_model.installed_forest(), range(4))}
    finally:
        forest_model._installed_forest.cache_clear()
    assert len(forests) == len(opened) == 1


def too_many_thresholds():
    return [grown([(choice, 0, choice / 300) for choice in range(256)])]


@pytest.mark.parametrize(
    ("reason", "trees", "changed"),
    [
        ("feature 0: found 256 different thresholds", too_many_thresholds(), {}),
        ("decision type 10", TREES[:1], {"decision_type": " ".join(["10"] * 90)}),
        ("decision type 6", TREES[:1], {"decision_type": " ".join(["6"] * 90)}),
        ("Objective cross_entropy", TREES, {"objective": "cross_entropy"}),
        ("Objective binary sigmoid:2", TREES, {"objective": "binary sigmoid:2"}),
    ],
)
def test_a_model_that_the_tables_cannot_hold_is_evaluated_by_lightgbm_and_says_so(
    tmp_path, shelf, reason, trees, changed
):
    lightgbm = pytest.importorskip("lightgbm")
    model = write_model(tmp_path / "model.txt", trees, **changed)
    with pytest.warns(ForestFallbackWarning, match=reason):
        forest = open_forest(model, cache=shelf)
    assert (forest.kind, forest.features) == ("lightgbm", 3)
    assert not shelf.exists()
    booster = lightgbm.Booster(model_file=str(model))
    valid = VALID.copy()
    valid[3:9] = False
    found = forest.probability(list(VALUES), valid)
    expected = booster.predict(np.moveaxis(VALUES, 0, -1)[valid]).astype(np.float32)
    assert_array_equal(found[valid], expected)
    assert np.isnan(found[~valid]).all()
    spectra = (COUNTS.astype(np.float32) + np.float32(-1000)) / np.float32(10_000)
    expected = booster.predict(np.moveaxis(spectra, 0, -1)[valid]).astype(np.float32)
    assert_array_equal(forest.probability(list(COUNTS), valid, offset=-1000, quantification=10_000)[valid], expected)


def test_categorical_splits_are_left_to_lightgbm(tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(1)
    spectra = np.column_stack([random.integers(0, 6, 300), random.random(300)]).astype(np.float32)
    cloudy = np.isin(spectra[:, 0], [1, 4]) ^ (spectra[:, 1] > 0.5)
    learned = {"objective": "binary", "num_leaves": 4, "verbosity": -1, "min_data_per_group": 5, "num_threads": 1}
    booster = lightgbm.train(learned, lightgbm.Dataset(spectra, cloudy, categorical_feature=[0]), 3)
    booster.save_model(tmp_path / "model.txt")
    with pytest.warns(ForestFallbackWarning, match="categorical splits"):
        forest = open_forest(tmp_path / "model.txt", cache=tmp_path)
    found = forest.probability([spectra[np.newaxis, :, 0], spectra[np.newaxis, :, 1]], np.ones((1, 300), bool))
    assert_array_equal(found[0], booster.predict(spectra).astype(np.float32))


def test_a_model_that_lightgbm_learned_as_s2cloudless_did_is_exact(tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(2)
    spectra = random.random((2000, 4)).astype(np.float32)
    cloudy = (spectra[:, 0] > 0.5) ^ (spectra[:, 1] > 0.3) ^ (spectra[:, 3] > 0.8)
    learned = {"objective": "binary", "num_leaves": 60, "verbosity": -1, "use_missing": False, "num_threads": 1}
    booster = lightgbm.train({**learned, "max_bin": 200}, lightgbm.Dataset(spectra, cloudy), 8)
    booster.save_model(tmp_path / "model.txt")
    forest = open_forest(tmp_path / "model.txt", cache=tmp_path)
    assert forest.kind == "exact tables"
    found = forest.probability([column[np.newaxis] for column in spectra.T], np.ones((1, 2000), bool))
    assert_array_equal(found[0], booster.predict(spectra).astype(np.float32))


def cut(text):
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    "broken",
    [
        cut,
        lambda text: "not a model",
        lambda text: "",
        lambda text: text.replace("threshold=", "treshold="),
        lambda text: text.replace("threshold=0.0 ", "threshold=nan "),
        lambda text: text.replace("left_child=", "left_child=x "),
        lambda text: text.replace("max_feature_idx=2", "max_feature_idx=1"),
        lambda text: text.replace("right_child=", "right_child=5 "),
    ],
)
def test_a_broken_model_file_is_refused_by_name(model, shelf, broken):
    model.write_text(broken(model.read_text()))
    with pytest.raises(DetectorError, match=r"Install s2cloudless again|install s2cloudless again"):
        open_forest(model, cache=shelf)
    assert not shelf.exists()


def test_a_model_file_that_is_not_there_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    with pytest.raises(DetectorError, match="cannot be read"):
        open_forest(tmp_path / "none.txt")
    monkeypatch.setattr(forest_model, "find_spec", lambda name: None)
    with pytest.raises(DetectorError, match="pip install 's2cloudless"):
        installed_model()


def test_bands_that_are_not_the_models_features_are_refused(model, shelf):
    forest = open_forest(model, cache=shelf)
    with pytest.raises(DetectorError, match="found 2 bands, expected 3"):
        forest.probability(list(VALUES[:2]), VALID)
    with pytest.raises(DetectorError, match="one grid"):
        forest.probability([VALUES[0], VALUES[1], VALUES[2, :5]], VALID)
    with pytest.raises(DetectorError, match="one dtype"):
        forest.probability([VALUES[0], VALUES[1], VALUES[2].astype(np.float64)], VALID)


def test_counts_of_any_integer_type_are_the_same_reflectance(model, shelf):
    forest = open_forest(model, cache=shelf)
    narrow = forest.probability(list(COUNTS), VALID, offset=-1000, quantification=10_000)
    wide = forest.probability(list(COUNTS.astype(np.int32)), VALID, offset=-1000, quantification=10_000)
    assert_array_equal(narrow, wide)


def test_the_installed_forest_opens_without_the_library_and_its_tables_lie_beside_the_kernels():
    program = (
        "import sys; from geo_assets.io.detectors.forest_model import installed_forest\n"
        "forest = installed_forest(); print(forest.kind, forest.features)\n"
        "print(*sorted({'s2cloudless', 'lightgbm', 'cv2', 'sentinelhub'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines() == ["exact tables 10", ""]
    assert list(islice(compiled_folder().glob("forest-*.tables"), 1))
