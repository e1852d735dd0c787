"""What every detector is held to, on both sides."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from geo_assets.domain.errors import DetectorError, GeoAssetsError
from geo_assets.kernels.angles import Angles
from geo_assets.kernels.detection import Detection, Detector, DetectorInput, detected
from geo_assets.kernels.quality import DetectorBit

VALID = np.array([[True, True, True], [True, True, False]])
CODES = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


@dataclass
class Parrot:
    """Says what it is told to say."""

    answer: Any = field(default_factory=lambda: Detection(CODES))
    name: str = "parrot"
    bands: tuple[str, ...] = ("blue", "cirrus")
    optional_bands: tuple[str, ...] = ()
    levels: tuple[str, ...] = ("L1C",)
    bit: DetectorBit = DetectorBit.PLUG_IN
    needs_angles: bool = False
    resolution_m: tuple[float, float] = (10.0, 60.0)
    halo_m: float | None = 0.0

    def detect(self, scene: DetectorInput) -> Detection:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def scene_with(**changes: Any) -> DetectorInput:
    dn = np.full(VALID.shape, 1500, np.uint16)
    usual = DetectorInput(
        bands={"blue": dn, "cirrus": dn}, valid=VALID, angles=None, resolution_m=20.0, scene="S2A_33TVL"
    )
    return replace(usual, **changes)


def refusal(detector: Parrot, scene: DetectorInput) -> str:
    with pytest.raises(DetectorError) as error:
        detected(detector, scene)
    assert "parrot" in str(error.value)
    assert "S2A_33TVL" in str(error.value)
    return str(error.value)


def test_a_detector_that_keeps_the_contract_is_believed_to_the_bit():
    probability = np.where(VALID, np.float32(0.5), np.float32(np.nan))
    answer = Detection(CODES, probability, ("cirrus: no band",), {"threshold": 0.2})
    assert isinstance(Parrot(), Detector)
    assert detected(Parrot(answer), scene_with()) is answer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": "L2A"}, ("level L2A, expected L1C", "no cirrus band (B10)", "a fifth of the pixels", "[quality]")),
        ({"bands": {"blue": np.ones(VALID.shape, np.uint16)}}, ("lacks cirrus (B10)", "found blue (B02)")),
        ({"bands": {}}, ("lacks blue (B02), cirrus (B10)", "found no band")),
        (
            {"bands": {"blue": np.ones((2, 3), np.uint16), "cirrus": np.ones((1, 1), np.uint16)}},
            ("unequal shapes", "cirrus (1, 1)", "one resolution"),
        ),
        ({"valid": np.ones((4, 4), bool)}, ("unequal shapes", "valid (4, 4)")),
        ({"valid": VALID.astype(np.uint8)}, ("valid of uint8", "bool")),
        ({"bands": dict.fromkeys(("blue", "cirrus"), np.ones((2, 3)))}, ("found bands of float64", "float32")),
        (
            {"bands": {"blue": np.ones((2, 3), np.uint16), "cirrus": np.ones((2, 3), np.int16)}},
            ("found bands of int16, uint16", "Convert"),
        ),
        (
            {"bands": dict.fromkeys(("blue", "cirrus"), np.ones((2, 3), np.float32))},
            ("float32 with quantification 10000", "expected None"),
        ),
        ({"quantification": None}, ("uint16 with quantification None", "Undivided counts")),
        (
            {"bands": dict.fromkeys(("blue", "cirrus"), np.ones((2, 3), np.int16)), "offset": -1000},
            ("offset -1000 for bands of int16", "expected 0"),
        ),
        ({"resolution_m": 160.0}, ("pixels of 160 m, expected 10 to 60 m", "mask.resolution")),
    ],
)
def test_input_that_would_be_judged_wrongly_is_refused(changes, said):
    message = refusal(Parrot(), scene_with(**changes))
    for words in said:
        assert words in message


def test_a_detector_that_needs_angles_is_not_run_without():
    message = refusal(Parrot(needs_angles=True), scene_with())
    assert "no sun and view angles" in message
    assert "missing_angles: degrade" in message
    detected(Parrot(needs_angles=True), scene_with(angles=Angles.constant(40, 160)))


def probability_of(value: float, *, where: tuple[int, int]) -> np.ndarray:
    probability = np.where(VALID, np.float32(0.5), np.float32(np.nan))
    probability[where] = value
    return probability


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (CODES, ("answered with ndarray", "a Detection")),
        (None, ("answered with NoneType",)),
        (Detection(CODES[:1]), ("codes: found uint8 (1, 3), expected uint8 (2, 3)",)),
        (Detection(CODES.astype(np.int64)), ("codes: found int64 (2, 3)",)),
        (Detection([[0]]), ("codes: found list",)),
        (Detection(np.where(CODES == 2, 7, CODES).astype(np.uint8)), ("the code 7", "4 water, 255 fill")),
        (Detection(np.zeros_like(CODES)), ("codes where the scene was not seen", "fill (255)")),
        (Detection(CODES, np.zeros((2, 2), np.float32)), ("probability: found float32 (2, 2)",)),
        (Detection(CODES, np.zeros((2, 3))), ("probability: found float64",)),
        (Detection(CODES, probability_of(1.01, where=(0, 0))), ("probabilities 0.5 to 1.01", "0 to 1")),
        (Detection(CODES, probability_of(-0.1, where=(0, 0))), ("-0.1 to 0.5",)),
        (Detection(CODES, probability_of(np.inf, where=(0, 0))), ("0.5 to inf",)),
        (Detection(CODES, probability_of(0.5, where=(1, 2))), ("probabilities where the scene was not seen", "NaN")),
        (Detection(CODES, skipped=None), ("skipped None", "tuple of texts")),
        (Detection(CODES, skipped="cirrus"), ("skipped 'cirrus'",)),
        (Detection(CODES, figures={"threshold": "high"}), ("figures {'threshold': 'high'}", "names to numbers")),
        (ZeroDivisionError("oh"), ("failed with ZeroDivisionError: oh", "mask.detectors")),
        (SystemExit(3), ("failed with SystemExit: 3",)),
    ],
)
def test_an_answer_that_breaks_the_contract_goes_no_further(answer, said):
    message = refusal(Parrot(answer), scene_with())
    for words in said:
        assert words in message


@pytest.mark.parametrize("written", ["band", "valid"])
def test_a_plug_in_that_writes_into_its_input_is_refused_and_has_changed_nothing(written):
    class Scribbler(Parrot):
        def detect(self, scene: DetectorInput) -> Detection:
            array = scene.valid if written == "valid" else scene.bands["blue"]
            array[:] = 0
            return Detection(np.full(VALID.shape, 255, np.uint8))

    scene = scene_with(valid=VALID.copy())
    assert "read-only" in refusal(Scribbler(), scene)
    assert (scene.bands["blue"] == 1500).all()
    assert np.array_equal(scene.valid, VALID)


def test_what_a_detector_refuses_itself_is_passed_on_as_it_is():
    own = GeoAssetsError("my own words")
    with pytest.raises(GeoAssetsError) as error:
        detected(Parrot(own), scene_with())
    assert error.value is own


def test_the_three_ways_to_give_bands_mean_the_same_reflectance():
    dn = np.array([[0, 1, 1000], [2567, 65535, 9]], np.uint16)
    counts = (dn.astype(np.int32) - 1000).clip(-32767, 32767).astype(np.int16)
    reflectance = (dn.astype(np.float32) - np.float32(1000)) / np.float32(10_000)
    by_dn = scene_with(bands={"blue": dn}, offset=-1000).reflectance("blue")
    assert by_dn.dtype == np.float32
    np.testing.assert_array_equal(by_dn, np.where(VALID, reflectance, np.nan))
    by_reflectance = scene_with(bands={"blue": reflectance}, quantification=None).reflectance("blue")
    np.testing.assert_array_equal(by_reflectance, by_dn)
    dim = dn < 30_000
    np.testing.assert_array_equal(scene_with(bands={"blue": counts}).reflectance("blue")[dim], by_dn[dim])
    for bands in ({"blue": dn}, {"blue": counts}):
        np.testing.assert_array_equal(scene_with(bands=bands).saturated("blue"), VALID & (dn == 65535))
    assert not scene_with(bands={"blue": reflectance}, quantification=None).saturated("blue").any()


def test_nodata_among_valid_pixels_is_no_number():
    counts = np.full(VALID.shape, 800, np.int16)
    counts[0, 1] = -32768
    found = scene_with(bands={"blue": counts}).reflectance("blue")
    np.testing.assert_array_equal(np.isnan(found), ~VALID | (counts == -32768))
