"""s2cloudless' forest: the model file that its package installed, and tables of it, kept beside the compiled kernels.

The model is CC BY-SA 4.0 and is never copied into this project. s2cloudless itself is not imported: that takes seconds.
"""

import hashlib
import io
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from geo_assets.domain.arrays import Flag
from geo_assets.domain.errors import DetectorError
from geo_assets.kernels.forest.codes import rank_table, reflectance_of
from geo_assets.kernels.forest.probability import forest_probability
from geo_assets.kernels.forest.trees import ForestTables, Tree, UnsuitedForestError, forest_tables
from geo_assets.kernels.forest.walk import fill_sums

log = logging.getLogger(__name__)

_MODEL = Path("models") / "pixel_s2_cloud_detector_lightGBM_v0.1.txt"
"""In the package s2cloudless (its cloud_detector.py, MODEL_FILENAME)."""

_FORMAT = 1
"""Of the file of tables; raised with every change of `ForestTables` or of what its arrays mean."""

_PIXELS_AT_A_TIME = 1 << 18
"""Given to lightgbm in one call."""

_PLAIN_SPLIT = "2"
"""`decision_type` of LightGBM (include/LightGBM/tree.h): numerical, missing type None, default left."""
_PLAIN_SPLIT_RIGHT = "0"
"""The same, default right; without missing values that makes no difference."""


class ForestFallbackWarning(UserWarning):
    """The exact tables cannot hold a model, and `lightgbm` evaluates it: the same answers, over ten times slower."""


class Forest(Protocol):
    """What gives a probability for the features of every pixel."""

    @property
    def kind(self) -> str:
        """By what it is evaluated: `exact tables` or `lightgbm`."""

    @property
    def features(self) -> int:
        """How many features a pixel has."""

    def probability(
        self,
        bands: Sequence[NDArray[Any]],
        valid: Flag,
        *,
        offset: int = 0,
        quantification: int | None = None,
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """Probability of every valid pixel, NaN elsewhere.

        Parameters
        ----------
        bands : one (y, x) array for each feature
            All of one dtype. Counts of any integer type with `quantification`; without it reflectance, float32 or
            float64. Floats are compared in their own precision, as LightGBM does: counts that were divided in float64
            are not quite those divided in float32, and move single pixels by 5e-5.
        valid : (y, x) bool
            True: judge this pixel, whatever its values; NaN counts as 0.
        offset, quantification
            ``(count + offset) / quantification`` is reflectance, in float32.
        threads
            How many may share the work.

        Raises
        ------
        DetectorError
            Not as many bands as features, or bands of other shapes than `valid`.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ExactForest:
    """A forest in our own tables; safe to ask from several threads at once."""

    tables: ForestTables
    """The forest."""
    kind: ClassVar[str] = "exact tables"
    _ranks: dict[tuple[str, int, int], NDArray[np.uint8]] = field(default_factory=dict)
    """Dtype, offset and quantification -> `rank_table`: a handful in a process."""

    @property
    def features(self) -> int:
        """How many features a pixel has."""
        return self.tables.features

    def probability(
        self,
        bands: Sequence[NDArray[Any]],
        valid: Flag,
        *,
        offset: int = 0,
        quantification: int | None = None,
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """As `Forest` has it."""
        _expect_bands(bands, valid, self.features)
        ranks = None
        if quantification is not None and bands[0].dtype in (np.uint16, np.int16):
            ranks = self._ranks_of(bands[0].dtype, offset, quantification)
        elif quantification is not None:
            bands = [reflectance_of(band, offset, quantification) for band in bands]
        return forest_probability(self.tables, bands, valid, ranks=ranks, threads=threads)

    def _ranks_of(self, dtype: "np.dtype[Any]", offset: int, quantification: int) -> NDArray[np.uint8]:
        key = dtype.name, offset, quantification
        if key not in self._ranks:
            self._ranks[key] = rank_table(self.tables.thresholds, dtype, offset, quantification)
        return self._ranks[key]


@dataclass(frozen=True, slots=True, eq=False)
class LibraryForest:
    """Any LightGBM model with a binary objective, evaluated by lightgbm."""

    booster: Any
    """`lightgbm.Booster`."""
    kind: ClassVar[str] = "lightgbm"
    _one_at_a_time: Any = field(default_factory=threading.Lock)
    """A prediction uses all the threads that it may by itself."""

    @property
    def features(self) -> int:
        """How many features a pixel has."""
        return int(self.booster.num_feature())

    def probability(
        self,
        bands: Sequence[NDArray[Any]],
        valid: Flag,
        *,
        offset: int = 0,
        quantification: int | None = None,
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """As `Forest` has it."""
        _expect_bands(bands, valid, self.features)
        probability = np.full(valid.size, np.nan, np.float32)
        pixels = np.flatnonzero(valid)
        flat = [band.ravel() for band in bands]
        for first in range(0, pixels.size, _PIXELS_AT_A_TIME):
            some = pixels[first : first + _PIXELS_AT_A_TIME]
            spectra = np.stack([band[some] for band in flat], axis=-1)
            if quantification is not None:
                spectra = reflectance_of(spectra, offset, quantification)
            with self._one_at_a_time:
                probability[some] = self.booster.predict(spectra, num_threads=threads)
        return probability.reshape(valid.shape)


def _expect_bands(bands: Sequence[NDArray[Any]], valid: Flag, features: int) -> None:
    if len(bands) != features:
        raise DetectorError(
            f"Forest: found {len(bands)} bands, expected {features}, the features of the model. "
            "Install a version of s2cloudless whose model learned on the bands that are given."
        )
    shapes = {band.shape for band in bands}
    if shapes != {valid.shape} or len({band.dtype for band in bands}) > 1:
        found = ", ".join(f"{band.dtype} {band.shape}" for band in bands)
        raise DetectorError(
            f"Forest: found bands {found}, expected one dtype and the shape {valid.shape} of the valid pixels. "
            "Bring bands of 10, 20 and 60 m to one grid first."
        )


_one_opens = threading.Lock()


def installed_forest() -> Forest:
    """The forest of the installed s2cloudless, opened once in a process, however many threads ask at the same time."""
    with _one_opens:
        return _installed_forest()


@cache
def _installed_forest() -> Forest:
    return open_forest(installed_model())


def installed_model() -> Path:
    """The model file of the installed s2cloudless, found without importing it.

    Raises
    ------
    DetectorError
        s2cloudless is not installed, or not with this model.
    """
    package = find_spec("s2cloudless")
    folders = (package.submodule_search_locations if package else None) or []
    for folder in folders:
        if (Path(folder) / _MODEL).is_file():
            return Path(folder) / _MODEL
    raise DetectorError(
        f"s2cloudless: found {'no ' + str(_MODEL) + ' in it' if package else 'no such package'}, expected its model. "
        "Install it: pip install 's2cloudless>=1.7'."
    )


def compiled_folder() -> Path:
    """Where numba keeps the compiled kernels of this installation, and where tables are kept by default."""
    return Path(str(fill_sums.stats.cache_path))


def open_forest(model: Path, *, cache: Path | None = None) -> Forest:
    """The forest of a LightGBM text model.

    Parameters
    ----------
    model
        The file.
    cache
        Folder for the tables, made when missing; by default `compiled_folder()`. Several processes may share it, and
        where it cannot be written the tables are made anew each time, in about a second.

    Returns
    -------
    forest
        In exact tables, or by lightgbm with a `ForestFallbackWarning` where they cannot hold it.

    Raises
    ------
    DetectorError
        The file cannot be read, or is no LightGBM model.
    """
    try:
        text = model.read_bytes()
    except OSError as error:
        raise DetectorError(
            f"Forest: model {model.name} cannot be read ({error}). Install s2cloudless again."
        ) from None
    digest = hashlib.sha256(text).hexdigest()
    path = (cache or compiled_folder()) / f"forest-{digest[:16]}-v{_FORMAT}.tables"
    tables = _kept_tables(path, digest)
    if tables is not None:
        return ExactForest(tables)
    try:
        trees, features = trees_of(text.decode(errors="replace"), model.name)
        tables = forest_tables(trees, features)
    except UnsuitedForestError as unsuited:
        warnings.warn(
            f"Model {model.name} does not fit the exact tables: {unsuited} It is evaluated by lightgbm, with the same "
            "probabilities, but over ten times slower.",
            ForestFallbackWarning,
            stacklevel=2,
        )
        return LibraryForest(_booster(model))
    _keep_tables(path, digest, tables)
    return ExactForest(tables)


def _booster(model: Path) -> Any:
    from lightgbm import Booster
    from lightgbm.basic import LightGBMError

    try:
        return Booster(model_file=str(model))
    except LightGBMError as error:
        raise DetectorError(f"Forest: lightgbm cannot read {model.name}: {error}. Install s2cloudless again.") from None


# ------------------------------------------------------------------------------------------------ the model file


def trees_of(text: str, name: str) -> tuple[list[Tree], int]:
    """The trees of a LightGBM text model, and how many features a pixel has.

    Parameters
    ----------
    text
        As `Booster.save_model` writes it: a head, then a section of `key=value` lines for each tree.
    name
        For messages.

    Raises
    ------
    UnsuitedForestError
        An objective other than one binary class with sigmoid 1, categorical or linear trees, splits that treat missing
        values.
    DetectorError
        Not such a model.
    """
    head, *sections = text.split("\nTree=")
    if not head.startswith("tree\n") or "\nend of trees" not in text or not sections:
        raise DetectorError(f"Forest: {name} is not a whole LightGBM text model. Install s2cloudless again.")
    try:
        facts = _facts(head)
        _expect_binary(facts, head)
        sections[-1] = sections[-1].split("\nend of trees")[0]
        return [_tree(_facts(section)) for section in sections], int(facts["max_feature_idx"]) + 1
    except (KeyError, ValueError) as error:
        raise DetectorError(
            f"Forest: {name} is not a LightGBM text model as we know it ({error!r}). Install s2cloudless again."
        ) from None


def _facts(section: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line)


def _expect_binary(facts: Mapping[str, str], head: str) -> None:
    objective = facts.get("objective", "none")
    averaged = "average_output" in head.splitlines()
    single = facts.get("num_class") == facts.get("num_tree_per_iteration") == "1"
    if objective.split() != ["binary", "sigmoid:1"] or averaged or not single:
        raise UnsuitedForestError(
            f"Objective {objective}{', averaged' if averaged else ''}, {facts.get('num_class')} class(es): expected "
            "binary with sigmoid 1."
        )


def _tree(facts: Mapping[str, str]) -> Tree:
    if facts["num_cat"] != "0":
        raise UnsuitedForestError(f"Found {facts['num_cat']} categorical splits, expected none.")
    if facts.get("is_linear", "0") != "0":
        raise UnsuitedForestError("Found linear models in the leaves, expected values.")
    kinds = set(facts.get("decision_type", "").split()) - {_PLAIN_SPLIT, _PLAIN_SPLIT_RIGHT}
    if kinds:
        raise UnsuitedForestError(
            f"Found splits of decision type {', '.join(sorted(kinds))}, expected {_PLAIN_SPLIT}: numerical, without "
            "missing values."
        )
    feature = _numbers(facts.get("split_feature", ""), np.int64)
    visits = _numbers(facts.get("internal_count", ""), np.float64)
    return Tree(
        feature=feature,
        threshold=_numbers(facts.get("threshold", ""), np.float64),
        left=_numbers(facts.get("left_child", ""), np.int64),
        right=_numbers(facts.get("right_child", ""), np.int64),
        visits=visits if visits.size == feature.size else np.ones(feature.size),
        leaf_value=_numbers(facts["leaf_value"], np.float64),
    )


def _numbers(text: str, dtype: Any) -> NDArray[Any]:
    return np.array(text.split(), dtype)


# ------------------------------------------------------------------------------------------------- tables on disk


def _kept_tables(path: Path, model_digest: str) -> ForestTables | None:
    """Tables of an earlier run, or None where there are none whose every byte is as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if content[:32] != _seal(model_digest, content[32:]):
        log.warning("%s is damaged: its tables are made anew", path)
        return None
    with np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
        return ForestTables(**{field.name: arrays[field.name] for field in fields(ForestTables)})


def _keep_tables(path: Path, model_digest: str, tables: ForestTables) -> None:
    """Keep tables for the next process; where that fails, the next one makes them again."""
    buffer = io.BytesIO()
    np.savez(buffer, **{field.name: getattr(tables, field.name) for field in fields(ForestTables)})
    payload = buffer.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when whole: processes that start together each write their own, and the last one stays.
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".unfinished")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_seal(model_digest, payload) + payload)
            os.chmod(unfinished, 0o644)  # as the kernels beside it, for all who share this installation
            os.replace(unfinished, path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.info("The forest's tables cannot be kept in %s: %s", path.parent, error)


def _seal(model_digest: str, payload: bytes) -> bytes:
    """32 bytes that tie tables to the model that they were made from, and to this format."""
    return hashlib.sha256(f"{model_digest} {_FORMAT} ".encode() + payload).digest()
