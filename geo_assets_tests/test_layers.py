"""The house's rules: imports follow the arrows, and what lies below knows neither Dagster nor the outside."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

import geo_assets

HOUSE = Path(geo_assets.__file__).parent
DOOR = ""
"""The room of `geo_assets/__init__.py` itself."""

FLOORS: dict[str, frozenset[str]] = {}
"""Room -> the rooms that it may import, besides itself."""
FLOORS["domain"] = frozenset()
FLOORS["kernels"] = frozenset({"domain"})
FLOORS["io"] = FLOORS["kernels"] | {"kernels"}
FLOORS["demo"] = FLOORS["io"] | {"io"}
FLOORS["stations"] = FLOORS["demo"] | {"demo"}
FLOORS["api"] = FLOORS["stations"] | {"stations"}
FLOORS["cli"] = FLOORS["api"] | {"api"}
FLOORS["orchestration"] = FLOORS["api"] | {"api"}
FLOORS["assets"] = FLOORS["checks"] = FLOORS["orchestration"] | {"orchestration"}
FLOORS["definitions"] = FLOORS["assets"] | {"assets", "checks"}
FLOORS[DOOR] = frozenset()

LAZY_FLOORS = {
    "cli": frozenset({"definitions", "orchestration"}),  # backfill, dev, orphans: no other command waits for Dagster
    DOOR: frozenset({"api", "domain", "stations"}),  # the library door; a mosaic of files waits for no archive
}
"""Room -> the further rooms that it may import inside a function or for type checking."""

OUTSIDE = frozenset(
    """aiohttp async_tiff boto3 botocore fsspec ftplib http httpx lightgbm obstore pyogrio pystac
    pystac_client rasterio requests rio_cogeo s2cloudless sentinelhub shutil socket ssl subprocess tempfile
    tifffile urllib urllib3""".split()
)
"""Libraries that open files, buckets or catalogues, or start programs."""

ROOMS_WITH_DAGSTER = frozenset({"definitions", "assets", "checks", "orchestration"})
ROOMS_OF_ARITHMETIC = frozenset({"kernels", "domain"})
MAY_READ_THE_ENVIRONMENT = frozenset(
    {"geo_assets.orchestration.resources", "geo_assets.cli.surroundings", "geo_assets.api"}
)
"""What the doors of Dagster, the terminal and the library stand in; the last one asks for credentials only."""
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"})
NAMELESS = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, by its full name."""

    module: str
    line: int
    lazy: bool
    """Inside a function, or for type checking only."""


def is_for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_dynamic_import(node: ast.AST) -> TypeGuard[ast.Call]:
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return called.split(".")[-1] in ("import_module", "__import__")


def imported_modules(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that one node imports; `from a import b` gives `a.b`, for b may be a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif is_dynamic_import(node):
        yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


def imports(node: ast.AST, package: str, *, lazy: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for module in imported_modules(child, package):
            yield Import(module, child.lineno, lazy)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports(child, package, lazy=lazy or is_function or is_for_type_checking(child))


def room_of(module: str) -> str:
    """The room of a full module name inside the house: "io" for `geo_assets.io.archives.demo`."""
    return module.partition(".")[2].partition(".")[0]


def refusal(room: str, imported: Import) -> str | None:
    """Why a module of this room may not import that, or None."""
    library = imported.module.partition(".")[0]
    if library == "geo_assets":
        target = room_of(imported.module)
        if target in ("__version__", room):
            return None
        allowed = FLOORS[room] | (LAZY_FLOORS.get(room, frozenset()) if imported.lazy else frozenset())
        return None if target in allowed else f"{room or 'the package door'} may not import {imported.module}"
    if room in ROOMS_OF_ARITHMETIC and library in OUTSIDE:
        return f"{room} is arithmetic and words: {library} opens a door to the outside"
    dagster_is_at_home = room in ROOMS_WITH_DAGSTER or (room == "cli" and imported.lazy)
    if library.startswith("dagster") and not dagster_is_at_home:
        return f"{room or 'the package door'} knows nothing of Dagster"
    return None


def broken_arrows(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Each import of a module that goes against the arrows, with line and reason."""
    room = room_of(module)
    if room not in FLOORS:
        return [f"{module}: the house has no room {room!r}"]
    package = module if is_package else module.rpartition(".")[0]
    return [
        f"{module}:{imported.line}: {reason}"
        for imported in imports(ast.parse(source), package)
        if (reason := refusal(room, imported))
    ]


def environment_reads(module: str, source: str) -> list[str]:
    """Each mention of the process environment in a module that may not read it."""
    if module in MAY_READ_THE_ENVIRONMENT:
        return []
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os"]
    from_os = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "os"]
    mentions = [(node.lineno, node.attr) for node in attributes]
    mentions += [(node.lineno, alias.name) for node in from_os for alias in node.names]
    return [f"{module}:{line}: os.{name}" for line, name in sorted(mentions) if name in ENVIRONMENT]


def module_name(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(HOUSE.rglob("*.py"))}


@pytest.mark.parametrize("module", SOURCES)
def test_imports_follow_the_arrows(module):
    path = SOURCES[module]
    assert broken_arrows(module, path.read_text(), is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize("module", SOURCES)
def test_only_the_doors_read_the_environment(module):
    assert environment_reads(module, SOURCES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("geo_assets.domain.region", "import geo_assets.kernels"),
        ("geo_assets.domain.region", "import obstore"),
        ("geo_assets.kernels.distance", "from geo_assets.io.stores.store import Store"),
        ("geo_assets.kernels.distance", "from geo_assets import io"),
        ("geo_assets.kernels.distance", "from ..io import store"),
        ("geo_assets.kernels.distance", "def weights():\n    import rasterio"),
        ("geo_assets.kernels.distance", "from urllib.request import urlopen"),
        ("geo_assets.io.stores.store", "import dagster as dg"),
        ("geo_assets.io.archives.demo", "def open_demo():\n    from geo_assets.demo import plan"),
        ("geo_assets.io.archives.demo", "import_module('geo_assets.stations.fetch')"),
        ("geo_assets.demo.ground", "from geo_assets.stations import search"),
        ("geo_assets.stations.fetch", "from dagster_aws.s3 import S3Resource"),
        ("geo_assets.stations.fetch", "from geo_assets.orchestration import resources"),
        ("geo_assets.stations.fetch", "from geo_assets import read_region"),
        ("geo_assets.orchestration.jobs", "from geo_assets.cli import main"),
        ("geo_assets.orchestration.jobs", "from geo_assets.assets.fetch import fetch"),
        ("geo_assets.assets.fetch", "from geo_assets.checks import coverage"),
        ("geo_assets.assets.fetch", "from geo_assets.definitions import defs"),
        ("geo_assets.api", "from geo_assets.cli import main"),
        ("geo_assets.cli", "from geo_assets.definitions import defs"),
        ("geo_assets.cli", "import dagster"),
        ("geo_assets", "from geo_assets.api import read_region"),
        ("geo_assets.toolbox.arrays", "import numpy"),
    ],
)
def test_an_import_against_the_arrows_is_refused(module, source):
    assert broken_arrows(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("geo_assets.kernels.distance", "import numpy as np\nfrom geo_assets.domain.arrays import Flag"),
        ("geo_assets.kernels.distance", "from geo_assets.kernels.distance import squared_distance"),
        ("geo_assets.stations.fetch", "from geo_assets import __version__\nfrom geo_assets.demo import plan"),
        ("geo_assets.definitions", "import dagster\nfrom geo_assets.assets.fetch import fetch"),
        ("geo_assets.cli", "def run():\n    import dagster\n    from geo_assets.definitions import defs"),
        ("geo_assets", "if TYPE_CHECKING:\n    from geo_assets.api import read_region"),
    ],
)
def test_an_import_along_the_arrows_is_allowed(module, source):
    assert broken_arrows(module, source) == []


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "from os import getenv", "def f():\n    os.getenv('A')"]
)
def test_reading_the_environment_elsewhere_is_refused(source):
    assert environment_reads("geo_assets.io.stores.store", source) != []
    assert environment_reads("geo_assets.cli.surroundings", source) == []
    assert environment_reads("geo_assets.cli.composites", source) != []


def test_no_room_is_nameless():
    words = {word for module in SOURCES for word in module.split(".")}
    assert words & NAMELESS == set()


HAND_OUT_NAMES = ("geo_assets", "geo_assets.cli")
"""The library door and the terminal door; the latter's `main` is what the installed program calls."""


@pytest.mark.parametrize(
    "module", [name for name, path in SOURCES.items() if path.name == "__init__.py" and name not in HAND_OUT_NAMES]
)
def test_a_rooms_init_is_its_docstring(module):
    statements = ast.parse(SOURCES[module].read_text()).body
    assert len(statements) == 1
    assert isinstance(statements[0], ast.Expr)


@pytest.mark.parametrize("module", [name for name in SOURCES if room_of(name) in ("assets", "checks")])
def test_dagster_can_read_the_annotations_of_assets_and_checks(module):
    assert "from __future__ import annotations" not in SOURCES[module].read_text()


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level packages that a fresh Python has loaded after importing these modules."""
    program = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(child.stdout)}


def test_the_kernels_load_without_dagster_rasterio_or_network_libraries():
    loaded = loaded_by([name for name in SOURCES if room_of(name) == "kernels"])
    assert "geo_assets" in loaded
    assert loaded & ({"dagster"} | OUTSIDE - sys.stdlib_module_names) == set()


def test_the_package_itself_loads_nothing_but_the_standard_library():
    assert loaded_by(["geo_assets"]) & {"numpy", "numba", "dagster", "rasterio", "pydantic"} == set()
