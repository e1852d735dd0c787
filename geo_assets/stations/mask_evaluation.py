"""How well a mask agrees with labelled pixels, by detector, threshold, buffer and land cover."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geo_assets.domain.arrays import NODATA_CLASS, ClassCode, Flag
from geo_assets.domain.errors import DetectorError, GridMismatchError
from geo_assets.io.detectors.user_raster import opened
from geo_assets.io.pictures.tuning_plot import TuningPlot, tuning_plot
from geo_assets.kernels.evaluation import Agreement, agreement, buffer_sweep, confusion, threshold_sweep
from geo_assets.kernels.quality import DetectorBit, MaskCode
from geo_assets.stations.scene_mask import MASK_NAMES

THRESHOLDS: tuple[float, ...] = tuple(step / 20 for step in range(1, 20))
"""Cloud probabilities that are tried."""

BUFFERS_M: tuple[float, ...] = (0.0, 20.0, 40.0, 60.0, 100.0, 150.0, 200.0, 300.0, 500.0)
"""Widths that are tried, metres."""

UNLABELLED = "unlabelled"
"""What the truth calls pixels that do not count."""

EITHER = "cloud or shadow"
"""What is dropped, whichever of both it is."""

DETECTOR_NAMES: Mapping[DetectorBit, str] = {
    DetectorBit.QUALITY_LAYER: "quality",
    DetectorBit.S2CLOUDLESS: "s2cloudless",
    DetectorBit.EMBEDDED_FMASK: "fmask",
    DetectorBit.EXTERNAL_FMASK: "external_fmask",
    DetectorBit.PLUG_IN: "plug-in",
}
"""Bit of `mask.tif` -> detector."""

_GRID_TOLERANCE_PX = 0.01
_MOST_STRATA = 64
_COLUMNS = (
    "source", "setting", "value", "class", "land_cover", "hits", "false_alarms", "misses", "rejections",
    "precision", "recall", "f1", "iou",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """How well one thing agrees with the truth."""

    source: str
    """`all detectors` (the mask as it is), a detector, or `probability`."""
    setting: str
    """What was varied: `threshold`, `cloud buffer` or `shadow buffer`; empty where nothing was."""
    value: float
    """Of the setting; probability or metres, NaN where nothing was varied."""
    category: str
    """Class of the mask, or `EITHER`."""
    stratum: int | None
    """Land cover; None for all of it."""
    agreement: Agreement


class Alone(NamedTuple):
    """Pixels that only one detector called cloud or shadow."""

    right: int
    """They are."""
    wrong: int
    """They are not."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskEvaluation:
    """Everything that an evaluation found."""

    rows: tuple[Row, ...]
    """In order of source, setting, class, land cover and value."""
    labelled: int
    """Pixels that have a label."""
    truth: Mapping[str, int]
    """Class -> labelled pixels."""
    alone: Mapping[str, Alone]
    """Detector -> what the others did not see; empty where there is one or none."""
    unseen: int
    """Pixels of cloud or shadow that no detector flagged."""
    pairs: NDArray[np.int64] | None = None
    """(true, found) pixels by mask code; None without a mask."""

    def chosen(
        self, *, source: str | None = None, setting: str = "", category: str | None = None, stratum: int | None = None
    ) -> list[Row]:
        """The rows of one source, setting, class and land cover; all sources or classes without."""
        return [
            row
            for row in self.rows
            if row.setting == setting
            and row.stratum == stratum
            and source in (None, row.source)
            and category in (None, row.category)
        ]

    def best(self, setting: str) -> list[Row]:
        """Of each source and class the row with the highest F1, where a setting was varied."""
        best: dict[tuple[str, str], Row] = {}
        for row in self.chosen(setting=setting):
            key = (row.source, row.category)
            if not math.isnan(row.agreement.f1) and (key not in best or row.agreement.f1 > best[key].agreement.f1):
                best[key] = row
        return list(best.values())

    def csv(self) -> str:
        """All rows as a table, one line each."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_COLUMNS)
        for row in self.rows:
            found = row.agreement
            table.writerow(
                [
                    row.source, row.setting, "" if math.isnan(row.value) else f"{row.value:g}", row.category,
                    "" if row.stratum is None else row.stratum,
                    found.hits, found.false_alarms, found.misses, found.rejections,
                    *(_figure(share) for share in (found.precision, found.recall, found.f1, found.iou)),
                ]
            )  # fmt: skip
        return text.getvalue()

    def markdown(self) -> str:
        """What matters, as a page of tables."""
        return "\n".join(_pages(self))

    def png(self) -> bytes:
        """Curves over thresholds and buffers, and bars by detector and land cover."""
        return tuning_plot(_plot(self))


@dataclass(frozen=True, slots=True, eq=False)
class _Layers:
    """What is compared, all on one grid."""

    truth: ClassCode
    resolution_m: float
    codes: ClassCode | None
    detectors: ClassCode | None
    probability: NDArray[np.float32] | None
    strata: NDArray[np.uint8] | None
    stratum_values: tuple[int, ...]
    """Land cover that each stratum stands for."""


def evaluated_mask(
    truth: Path,
    *,
    mask: Path | None = None,
    probability: Path | None = None,
    landcover: Path | None = None,
    truth_codes: Mapping[int, str] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    buffers_m: Sequence[float] = BUFFERS_M,
    threshold: float = 0.45,
) -> MaskEvaluation:
    """How well a mask, a probability or both agree with labels.

    Parameters
    ----------
    truth
        Raster of labels.
    mask
        `mask.tif`: codes, and detector bits if it has a second band.
    probability
        `probability.tif`, or any raster of 0 to 1, with its scale and nodata stated.
    landcover
        Raster of up to 64 classes by which the figures are told apart.
    truth_codes
        Label -> class of the mask, or `UNLABELLED`; without it labels are mask codes. Nodata is unlabelled.
    thresholds, buffers_m
        That are tried, rising.
    threshold
        At which the probability's cloud is grown by the buffers, where there is no mask.

    Returns
    -------
    evaluation
        Only pixels count that have a label and were judged.

    Raises
    ------
    DetectorError
        A file that cannot be read, a label that nobody named, or nothing to compare.
    GridMismatchError
        Rasters on different grids.
    RegionError
        Thresholds or buffers that do not rise.
    """
    if mask is None and probability is None:
        raise DetectorError("Evaluation: found neither mask nor probability, expected one of them. Give --mask.")
    layers = _read(truth, mask, probability, landcover, truth_codes)
    known = layers.truth != NODATA_CLASS
    if not known.any():
        raise DetectorError(f"Truth {truth}: found no labelled pixel, expected some. Check --truth-codes.")
    present = {name: int((layers.truth == code).sum()) for code, name in MASK_NAMES.items()}
    true = {name: layers.truth == code for code, name in MASK_NAMES.items() if name != "clear" and present[name]}
    if {"cloud", "shadow"} <= true.keys():
        true[EITHER] = (layers.truth == MaskCode.CLOUD) | (layers.truth == MaskCode.SHADOW)
    rows = list(_all_rows(layers, true, known, thresholds, buffers_m, threshold))
    values = layers.stratum_values
    alone, unseen = _alone(layers, known)
    return MaskEvaluation(
        rows=tuple(row if row.stratum is None else replace(row, stratum=values[row.stratum]) for row in rows),
        labelled=int(known.sum()),
        truth={name: count for name, count in present.items() if count},
        alone=alone,
        unseen=unseen,
        pairs=None if layers.codes is None else confusion(layers.truth, layers.codes, classes=len(MASK_NAMES))[None],
    )


def _all_rows(
    layers: _Layers,
    true: Mapping[str, Flag],
    known: Flag,
    thresholds: Sequence[float],
    buffers_m: Sequence[float],
    threshold: float,
) -> Iterator[Row]:
    if layers.codes is not None:
        known = known & (layers.codes != NODATA_CLASS)
        for source, found in _flags(layers).items():
            for category, flag in found.items():
                if category in true:
                    swept = agreement(true[category], flag, known, layers.strata)
                    for stratum, figures in swept.items():
                        yield Row(source, "", math.nan, category, stratum, figures)
    cloud = None if layers.codes is None else layers.codes == MaskCode.CLOUD
    if layers.probability is not None:
        judged = known & ~np.isnan(layers.probability)
        if cloud is None:
            cloud, known = layers.probability > np.float32(threshold), judged
        for source, anyhow in _beside_probability(layers).items():
            for category in ("cloud", EITHER):
                if category in true:
                    swept_over = threshold_sweep(
                        true[category], layers.probability, thresholds, judged, layers.strata,
                        anyhow=None if anyhow is None else anyhow[category],
                    )  # fmt: skip
                    yield from _swept_rows(source, "threshold", category, thresholds, swept_over)
    assert cloud is not None  # a mask or a probability is there
    shadow = np.zeros_like(cloud) if layers.codes is None else layers.codes == MaskCode.SHADOW
    radii = [width / layers.resolution_m for width in buffers_m]
    source = "all detectors" if layers.codes is not None else f"probability > {threshold:g}"
    for category, flag, never in (("cloud", cloud, None), ("shadow", shadow, cloud)):
        if category in true and (category == "cloud" or layers.codes is not None):
            swept_over = buffer_sweep(true[category], flag, radii, known, layers.strata, never=never)
            yield from _swept_rows(source, f"{category} buffer", category, buffers_m, swept_over)


def _swept_rows(
    source: str, setting: str, category: str, values: Sequence[float], swept: Mapping[int | None, list[Agreement]]
) -> Iterator[Row]:
    for stratum, found in swept.items():
        for value, figures in zip(values, found, strict=True):
            yield Row(source, setting, value, category, stratum, figures)


def _flags(layers: _Layers) -> dict[str, dict[str, Flag]]:
    """Source -> class -> where it was found: all detectors together, and each one by its bit."""
    codes = layers.codes
    assert codes is not None
    by_class = {name: codes == code for code, name in MASK_NAMES.items() if name != "clear"}
    found = {"all detectors": {**by_class, EITHER: by_class["cloud"] | by_class["shadow"]}}
    for name, flagged in _by_detector(layers).items():
        found[name] = {**{kind: flagged & by_class[kind] for kind in ("cloud", "shadow")}, EITHER: flagged}
    return found


def _by_detector(layers: _Layers) -> dict[str, Flag]:
    """Detector -> where it said cloud or shadow."""
    if layers.detectors is None:
        return {}
    seen = layers.detectors != NODATA_CLASS
    flags = {name: seen & ((layers.detectors & np.uint8(bit)) != 0) for bit, name in DETECTOR_NAMES.items()}
    return {name: flag for name, flag in flags.items() if flag.any()}


def _beside_probability(layers: _Layers) -> dict[str, dict[str, Flag] | None]:
    """Source -> class -> pixels that other detectors found, whatever the probability; None for it alone."""
    sources: dict[str, dict[str, Flag] | None] = {"probability": None}
    others = {name: flag for name, flag in _by_detector(layers).items() if name != "s2cloudless"}
    if layers.codes is not None and others and len(others) < len(_by_detector(layers)):
        either = np.logical_or.reduce(list(others.values()))
        found = {"cloud": either & (layers.codes == MaskCode.CLOUD), EITHER: either}
        sources[f"probability or {' or '.join(others)}"] = found
    return sources


def _alone(layers: _Layers, known: Flag) -> tuple[dict[str, Alone], int]:
    """What only one detector flagged, and how much of cloud and shadow none did."""
    unclear = (layers.truth == MaskCode.CLOUD) | (layers.truth == MaskCode.SHADOW)
    flags = _by_detector(layers)
    if not flags:
        return {}, 0
    known = known & (layers.detectors != NODATA_CLASS)
    votes = np.sum([flag.astype(np.uint8) for flag in flags.values()], axis=0)
    alone = {}
    for name, flag in flags.items():
        only = flag & (votes == 1) & known
        alone[name] = Alone(int((only & unclear).sum()), int((only & ~unclear).sum()))
    return (alone if len(flags) > 1 else {}), int((known & unclear & (votes == 0)).sum())


# Reading


def _read(
    truth: Path, mask: Path | None, probability: Path | None, landcover: Path | None, codes: Mapping[int, str] | None
) -> _Layers:
    labels, grid = _plane(truth, "Truth")
    mask_codes, detectors, share, strata = None, None, None, None
    values: tuple[int, ...] = ()
    if mask is not None:
        found, its_grid = _plane(mask, "Mask")
        _expect_grid("Mask", mask, its_grid, truth, grid)
        mask_codes = _mask_classes(mask, found)
        detectors = _detector_bits(mask)
    if probability is not None:
        found, its_grid = _plane(probability, "Probability", scaled=True)
        _expect_grid("Probability", probability, its_grid, truth, grid)
        share = found.astype(np.float32)
        least, most = np.nanmin(share, initial=0), np.nanmax(share, initial=0)
        if not 0 <= least <= most <= 1:
            raise DetectorError(
                f"Probability {probability}: found {least:g} to {most:g}, expected 0 to 1. State the file's scale "
                "(GDAL's SCALE), such as 0.01 for per cent."
            )
    if landcover is not None:
        found, its_grid = _plane(landcover, "Land cover")
        _expect_grid("Land cover", landcover, its_grid, truth, grid)
        strata, values = _strata(landcover, found)
    size = math.sqrt(abs(grid.transform.determinant))
    return _Layers(_truth_classes(truth, labels, codes), size, mask_codes, detectors, share, strata, values)


def _plane(path: Path, what: str, *, scaled: bool = False, band: int = 1) -> tuple[NDArray[Any], GeoBox]:
    """One band: as stored with -1 at nodata, or scaled as float32 with NaN."""
    if not path.is_file():
        raise DetectorError(f"{what} {path}: found no such file, expected a GeoTIFF. Correct the path.")
    with opened(path, what) as dataset:
        if dataset.crs is None:
            raise GridMismatchError(f"{what} {path}: found no CRS, expected one. Give the file its place.")
        stored = dataset.read(band)
        nodata, scale, shift = dataset.nodatavals[band - 1], dataset.scales[band - 1], dataset.offsets[band - 1]
        grid = GeoBox.from_rio(dataset)
    none = np.zeros(stored.shape, np.bool_) if nodata is None else stored == nodata
    if stored.dtype.kind == "f":
        none |= np.isnan(stored)
    if scaled:
        return np.where(none, np.float32(np.nan), (stored * scale + shift).astype(np.float32)), grid
    whole = np.where(none, -1, stored)
    if stored.dtype.kind == "f" and not (whole == np.rint(whole)).all():
        raise DetectorError(f"{what} {path}: found fractions, expected whole numbers that stand for classes.")
    return whole.astype(np.int64), grid


def _expect_grid(what: str, path: Path, grid: GeoBox, truth: Path, of_truth: GeoBox) -> None:
    theirs, ours = np.array(grid.transform[:6]), np.array(of_truth.transform[:6])
    far = np.abs(theirs - ours).max() > _GRID_TOLERANCE_PX * abs(ours[0])
    if grid.shape != of_truth.shape or grid.crs != of_truth.crs or far:
        raise GridMismatchError(
            f"{what} {path}: found {_grid_in_words(grid)}, expected {_grid_in_words(of_truth)}, as {truth.name}. Bring "
            "both to one grid first: classes by nearest neighbour, such as `gdalwarp -r near -tr ... -te ...`, or mask "
            "the scene at the labels' resolution."
        )


def _grid_in_words(grid: GeoBox) -> str:
    place, (height, width), crs = grid.transform, grid.shape, grid.crs
    called = "no CRS" if crs is None else f"EPSG:{crs.epsg}" if crs.epsg else f"{crs.wkt:.60}..."
    return f"{width} x {height} px of {place.a:.10g} m from ({place.c:.10g}, {place.f:.10g}) in {called}"


def _mask_classes(path: Path, found: NDArray[Any]) -> ClassCode:
    classes = np.where(found == -1, NODATA_CLASS, found)
    unknown = np.setdiff1d(np.unique(classes), [int(code) for code in MaskCode])
    if unknown.size:
        raise DetectorError(
            f"Mask {path}: found the code {unknown[0]}, expected 0 clear, 1 cloud, 2 shadow, 3 snow, 4 water, 255 fill."
            " Give `mask.tif`; masks of other programs have to be translated first."
        )
    return classes.astype(np.uint8)


def _detector_bits(path: Path) -> ClassCode | None:
    """The second band of a mask, where it has one."""
    with opened(path, "Mask") as dataset:
        if dataset.count < 2:
            return None
        bits: ClassCode = dataset.read(2)
    return bits if bits.dtype == np.uint8 else None


def _truth_classes(path: Path, labels: NDArray[Any], named: Mapping[int, str] | None) -> ClassCode:
    """Labels as mask codes; unlabelled pixels are 255."""
    code_of = {name: int(code) for code, name in MASK_NAMES.items()} | {UNLABELLED: NODATA_CLASS}
    meaning = {int(code): int(code) for code in MaskCode} if named is None else {}
    meaning |= {label: code_of[name] for label, name in (named or {}).items()}
    meaning[-1] = NODATA_CLASS
    values, at = np.unique(labels, return_inverse=True)
    unknown = [int(value) for value in values if int(value) not in meaning]
    if unknown:
        expected = "0 clear, 1 cloud, 2 shadow, 3 snow, 4 water, 255 unlabelled" if named is None else "labels named"
        raise DetectorError(
            f"Truth {path}: found the label{'s' if len(unknown) > 1 else ''} {', '.join(map(str, unknown[:12]))}, "
            f"expected {expected}. Name every label by --truth-codes, such as cloud=4,shadow=0,clear=1+2+3; "
            f"{UNLABELLED}=... leaves pixels out."
        )
    return np.array([meaning[int(value)] for value in values], np.uint8)[at].reshape(labels.shape)


def _strata(path: Path, found: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Land cover as consecutive numbers, and what they stand for; nodata is a class like the others, -1."""
    values, at = np.unique(found, return_inverse=True)
    if len(values) > _MOST_STRATA:
        raise DetectorError(
            f"Land cover {path}: found {len(values)} classes, expected at most {_MOST_STRATA}. Group them first."
        )
    return at.reshape(found.shape).astype(np.uint8), tuple(int(value) for value in values)


# Telling


def _figure(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.4f}"


def _pages(found: MaskEvaluation) -> Iterator[str]:
    yield "# Mask against labels\n"
    truth = ", ".join(f"{name} {count:,} ({count / found.labelled:.1%})" for name, count in found.truth.items())
    yield f"{found.labelled:,} labelled pixels: {truth}.\n"
    if found.chosen():
        yield "## By detector\n"
        yield from _table(found.chosen())
    if found.pairs is not None:
        yield "## What became of the labels\n"
        yield f"| label | {' | '.join(MASK_NAMES.values())} |\n|{'---|' * (1 + len(MASK_NAMES))}"
        for code, name in MASK_NAMES.items():
            if name in found.truth:
                yield f"| {name} | {' | '.join(f'{count:,}' for count in found.pairs[code])} |"
        yield ""
    if found.alone:
        yield "## What only one detector saw\n"
        yield "| detector | rightly | wrongly |\n|---|---|---|"
        yield from (f"| {name} | {alone.right:,} | {alone.wrong:,} |" for name, alone in found.alone.items())
        yield f"\nCloud or shadow that no detector saw: {found.unseen:,} pixels.\n"
    for setting in ("threshold", "cloud buffer", "shadow buffer"):
        if found.best(setting):
            yield f"## Best {setting}{'' if setting == 'threshold' else ', metres'}\n"
            yield from _table(found.best(setting), value=setting)
    strata = sorted({row.stratum for row in found.rows if row.stratum is not None})
    if strata:
        yield "## By land cover\n"
        yield from _table(_by_land_cover(found, strata), stratum=True)
    yield "A detector's cloud and shadow are what it flagged among the mask's: before buffers its bits are exact."


def _by_land_cover(found: MaskEvaluation, strata: Sequence[int]) -> list[Row]:
    """Rows of the mask in each land cover; without a mask those of the probability at its best thresholds."""
    rows = [row for stratum in strata for row in found.chosen(source="all detectors", stratum=stratum)]
    return rows or [
        row
        for stratum in strata
        for best in found.best("threshold")
        for row in found.chosen(source=best.source, setting="threshold", category=best.category, stratum=stratum)
        if row.value == best.value
    ]


def _table(rows: Sequence[Row], *, value: str = "", stratum: bool = False) -> Iterator[str]:
    titles = [
        "source", "class", *(["land cover", "pixels"] if stratum else []), *([value] if value else []),
        "precision", "recall", "F1", "IoU",
    ]  # fmt: skip
    yield f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"
    for row in rows:
        figures = row.agreement
        cells = [row.source, row.category]
        cells += ([str(row.stratum), f"{figures.pixels:,}"] if stratum else []) + ([f"{row.value:g}"] if value else [])
        cells += [_figure(share) or "-" for share in (figures.precision, figures.recall, figures.f1, figures.iou)]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _plot(found: MaskEvaluation) -> TuningPlot:
    def series(setting: str) -> dict[str, tuple[list[float], list[Agreement]]]:
        """Curves by source and class over one setting: its values, and the agreement at each."""
        rows = found.chosen(setting=setting)
        keys = dict.fromkeys((row.source, row.category) for row in rows)
        chosen = {key: [row for row in rows if (row.source, row.category) == key] for key in keys}
        return {
            f"{category}: {source}": ([row.value for row in some], [row.agreement for row in some])
            for (source, category), some in chosen.items()
        }

    strata = sorted({row.stratum for row in found.rows if row.stratum is not None})
    by_land_cover = _by_land_cover(found, strata)
    sources = dict.fromkeys(row.source for row in found.chosen())
    return TuningPlot(
        over_threshold=series("threshold"),
        over_buffer={**series("cloud buffer"), **series("shadow buffer")},
        by_detector={
            source: {row.category: row.agreement for row in found.chosen(source=source)} for source in sources
        },
        by_land_cover={
            stratum: {row.category: row.agreement for row in by_land_cover if row.stratum == stratum}
            for stratum in strata
        },
    )
