"""Real distributions, tiny ones: a module and its `.dist-info` in a folder on the path."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from geo_assets.domain.errors import DetectorError
from geo_assets.domain.region_mask import DETECTORS
from geo_assets.io.detectors.plug_ins import detector_names, plug_in, plug_in_names
from geo_assets.kernels.detection import Detector, detected
from geo_assets.kernels.quality import MaskCode
from geo_assets_tests.scenery.detector_scenes import small_scene

ROOT = Path(__file__).resolve().parents[3]
MODULE = """
import numpy as np
from geo_assets.kernels.detection import Detection
from geo_assets.kernels.quality import DetectorBit, MaskCode


class Brightness:
    name = "brightness"
    bands = ("blue",)
    optional_bands = ()
    levels = ("L1C", "L2A")
    bit = DetectorBit.PLUG_IN
    needs_angles = False
    resolution_m = (10.0, 60.0)
    halo_m = 0.0

    def detect(self, scene):
        bright = scene.reflectance("blue") > 0.25
        codes = np.where(bright, MaskCode.CLOUD, MaskCode.CLEAR).astype(np.uint8)
        codes[~scene.valid] = MaskCode.FILL
        return Detection(codes)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution into a folder that Python finds: (distribution, {name: object reference}, module's text)."""

    def installed(distribution, offers, text=MODULE):
        module = distribution.replace("-", "_")
        folder = tmp_path / distribution
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {module}{reference}" for name, reference in offers.items()]
        (info / "entry_points.txt").write_text("[geo_assets.detectors]\n" + "\n".join(lines) + "\n")
        (folder / f"{module}.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)

    before = set(sys.modules)
    yield installed
    for name in set(sys.modules) - before:
        if name.startswith("cloud_"):
            del sys.modules[name]


def test_a_plug_in_is_found_by_its_name_and_judges_a_scene(install):
    install("cloud-brightness", {"brightness": ":Brightness"})
    assert "brightness" in plug_in_names()
    assert detector_names()[: len(DETECTORS)] == DETECTORS
    assert "brightness" in detector_names()
    detector = plug_in("brightness")
    assert isinstance(detector, Detector)
    counts = np.array([[3000, 4000]], np.uint16)
    scene = small_scene(np.ones((1, 2), bool), bands={"blue": counts})
    assert detected(detector, scene).codes.tolist() == [[MaskCode.CLEAR, MaskCode.CLOUD]]


def test_the_documentation_s_example_is_a_detector(install):
    page = ROOT / "docs" / "detectors.md"
    if not page.is_file():
        pytest.skip("the documentation is not beside the tests")
    example = page.read_text().split("```python\n# my_detectors.py\n")[1].split("```")[0]
    install("cloud-documented", {"brightness": ":Brightness"}, example)
    valid = np.array([[True, True, False]])
    scene = small_scene(valid, bands={"blue": np.array([[3000, 6000, 6000]], np.uint16)})
    detection = detected(plug_in("brightness"), scene)
    assert detection.codes.tolist() == [[MaskCode.CLEAR, MaskCode.CLOUD, MaskCode.FILL]]
    assert detection.skipped == ("cirrus: no such band",)


@pytest.mark.parametrize("made", ["made = Brightness()", "def made():\n    return Brightness()"])
def test_an_entry_point_may_be_a_detector_or_a_function_that_makes_one(install, made):
    install("cloud-brightness", {"brightness": ":made"}, f"{MODULE}\n\n{made}\n")
    assert plug_in("brightness").bands == ("blue",)


def test_listing_names_imports_nothing(install):
    install("cloud-broken", {"broken": ":Broken"}, "raise RuntimeError('imported')")
    assert "broken" in plug_in_names()


BROKEN = {
    "fails to import": ("import no_such_library", r"cannot be imported \(ModuleNotFoundError: .*no_such_library"),
    "breaks on import": ("1 / 0", r"cannot be imported \(ZeroDivisionError"),
    "lacks the object": ("x = 1", r"cannot be imported \(AttributeError"),
    "wants arguments": (f"{MODULE}\n    def __init__(self, weights): pass", r"cannot be made without arguments"),
    "lacks members": ("class Brightness:\n    name = detect = bands = ()", "without optional_bands, levels, bit"),
    "is no detector": ("Brightness = 3", "found int without name, bands"),
    "another name": (MODULE.replace('"brightness"', '"brighter"'), "calls itself 'brighter'"),
    "unknown band": (MODULE.replace('"blue",', '"B02",'), r"bands 'B02', expected some of coastal, blue"),
    "unknown level": (MODULE.replace('"L2A"', '"L3"'), r"levels .*'L3'"),
    "another's bit": (MODULE.replace("DetectorBit.PLUG_IN", "DetectorBit.S2CLOUDLESS"), "claims the bit"),
    "resolution": (MODULE.replace("(10.0, 60.0)", "(60.0, 10.0)"), "the finest first"),
    "halo": (MODULE.replace("halo_m = 0.0", "halo_m = -1.0"), "halo of -1"),
    "another type": (MODULE.replace("(10.0, 60.0)", "20"), "what it declares cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_plug_in_that_breaks_the_contract_is_refused_with_its_package(install, case):
    text, problem = BROKEN[case]
    install("cloud-broken", {"brightness": ":Brightness"}, text)
    with pytest.raises(DetectorError, match=rf"(?s)Detector plug-in brightness .*of cloud-broken\): .*{problem}"):
        plug_in("brightness")


def test_a_name_that_two_packages_offer_is_refused(install):
    install("cloud-one", {"brightness": ":Brightness"})
    install("cloud-two", {"brightness": ":Brightness"})
    with pytest.raises(DetectorError, match=r"found 2 plug-ins .*cloud-one and .*cloud-two"):
        plug_in("brightness")


def test_a_built_in_name_cannot_be_taken(install):
    install("cloud-brightness", {"s2cloudless": ":Brightness"})
    assert detector_names().count("s2cloudless") == 1
    with pytest.raises(DetectorError, match=r"built-in detector's \(cloud-brightness offers one\)"):
        plug_in("s2cloudless")


def test_an_unknown_name_lists_what_is_installed(install):
    install("cloud-brightness", {"brightness": ":Brightness"})
    with pytest.raises(DetectorError, match=r"no such plug-in; installed are: .*brightness.*built in are quality"):
        plug_in("brigthness")
