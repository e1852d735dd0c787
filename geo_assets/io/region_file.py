"""Region files on disk: YAML and GeoJSON in, a checked `Region` out."""

import json
from collections.abc import Hashable
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from shapely.geometry.base import BaseGeometry

from geo_assets.domain.errors import RegionError
from geo_assets.domain.geojson import geojson_area
from geo_assets.domain.region import Region, region_from
from geo_assets.io.detectors.plug_ins import plug_in_names

_YAML_LIMIT_BYTES = 1 << 20
_GEOJSON_LIMIT_BYTES = 64 << 20


class _RegionLoader(yaml.SafeLoader):
    """YAML less what a region file has no use for: aliases (one page can stand for gigabytes), and a key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node, as the parent class has it; an alias is refused."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor}; write its value", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, as the parent class has it; a key that is written twice is refused."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"key {key.value!r:.40} is written a second time; keep one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_region(path: str | Path, *, now: datetime | None = None) -> Region:
    """The region that a region file describes.

    Paths are relative to the region file: a GeoJSON in `area`, the PATH of `local:PATH`, files of detectors.

    Parameters
    ----------
    path
        YAML file.
    now
        Aware moment that decides which months are past; the clock's by default.

    Raises
    ------
    RegionError
        The file cannot be read, is not YAML, or asks for something that cannot be.
    """
    path = Path(path)
    origin = f"Region file {path}"
    document = _parsed(_text(path, origin, _YAML_LIMIT_BYTES), origin)
    if not isinstance(document, dict):
        found = "nothing" if document is None else type(document).__name__
        raise RegionError(
            f"{origin}: found {found}, expected keys such as name, area, months. "
            "Copy the demo's region file and change it."
        )
    document = {_plain(key): value for key, value in document.items()}
    if isinstance(document.get("area"), str):
        document["area"] = _geojson(_beside(path, document["area"], origin), origin)
    archive = document.get("archive")
    if isinstance(archive, str) and archive.startswith("local:") and archive != "local:":
        document["archive"] = f"local:{_beside(path, archive.removeprefix('local:'), origin).resolve()}"
    months = document.get("months")
    if isinstance(months, dict):
        document["months"] = {_plain(key): _plain(value) for key, value in months.items()}
    mask = document.get("mask")
    if isinstance(mask, dict):
        document["mask"] = _located(mask, path, origin)
    return region_from(document, origin=origin, now=now, plug_ins=plug_in_names())


def read_area(path: str | Path) -> BaseGeometry:
    """The area in a GeoJSON file: the union of its polygons, EPSG:4326; `RegionError` where there is none."""
    return geojson_area(_geojson(Path(path), "GeoJSON file"))


_LOCATED = (("external_fmask", "path"), ("scores", "path"), ("omnicloudmask", "weights"))
"""Keys of the section `mask` that hold paths."""


def _located(mask: dict[Any, Any], path: Path, origin: str) -> dict[Any, Any]:
    """The section `mask` with its paths, which are relative to the region file, made absolute."""
    mask = dict(mask)
    archive = mask.get("l1c_archive")
    if isinstance(archive, str) and archive.startswith("local:") and archive != "local:":
        mask["l1c_archive"] = f"local:{_beside(path, archive.removeprefix('local:'), origin).resolve()}"
    for section, key in _LOCATED:
        settings = mask.get(section)
        if isinstance(settings, dict) and isinstance(settings.get(key), str) and settings[key]:
            mask[section] = {**settings, key: str(_beside(path, settings[key], origin).resolve())}
    return mask


def _plain(value: object) -> Any:
    """YAML's dates as the text that they were."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _beside(path: Path, name: str, origin: str) -> Path:
    """A path in the region file, which is relative to it."""
    if not name.isprintable():
        raise RegionError(f"{origin}: found path {name!r:.80}, expected printable characters. Correct it.")
    return path.parent / name


def _parsed(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_RegionLoader)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f" at line {mark.line + 1}" if mark else ""
        what = f" ({problem:.120})" if problem else ""
        raise RegionError(
            f"{origin}: is not a region file's YAML{where}{what}. Repair it; the README shows one."
        ) from None
    except RecursionError:
        raise RegionError(f"{origin}: is nested too deeply. A region file is a page of YAML.") from None
    except ValueError as error:
        raise RegionError(f"{origin}: holds a value that cannot be ({error!s:.120}). Correct it.") from None


def _text(path: Path, origin: str, limit_bytes: int) -> str:
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise RegionError(f"{origin}: is {kind}, expected a text file. Name the file itself.")
        if path.stat().st_size > limit_bytes:
            raise RegionError(f"{origin}: is over {limit_bytes >> 20} MiB. A region file is a page of YAML.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RegionError(f"{origin}: is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise RegionError(f"{origin}: cannot be read ({error.strerror}). Correct the path.") from None


def _geojson(path: Path, origin: str) -> dict[str, Any]:
    """The GeoJSON object in a file; checked here, so that an error names the file."""
    where = f"{origin}:\n  area: {path}"
    try:
        document = json.loads(_text(path, where, _GEOJSON_LIMIT_BYTES))
    except (ValueError, RecursionError) as error:
        raise RegionError(f"{where} is not JSON ({error!s:.120}). Give a bounding box or a GeoJSON file.") from None
    if not isinstance(document, dict):
        raise RegionError(f"{where} is not a GeoJSON object. Give a Polygon or MultiPolygon.")
    try:
        geojson_area(document)
    except ValueError as error:
        raise RegionError(f"{where} {error}.") from None
    return document
