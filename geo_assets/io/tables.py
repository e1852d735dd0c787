"""Scenes and selections as Parquet: the same rows give the same bytes."""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet
import shapely
from pandera.errors import SchemaError, SchemaErrors

from geo_assets.domain.errors import CorruptProductError, ProductError
from geo_assets.domain.scene import Scene, SceneAsset, SceneItem
from geo_assets.domain.tables import SCENES


def table_bytes(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> bytes:
    """Parquet of a checked frame, without timestamps or a writer's name.

    Raises
    ------
    ProductError
        The frame breaks its schema: which column, which value.
    """
    try:
        checked = schema.validate(frame, lazy=True)
    except (SchemaError, SchemaErrors) as error:
        raise ProductError(f"Table {schema.name}: {_first_failure(error)}. Report this with the scene ids.") from None
    table = pyarrow.Table.from_pandas(checked, preserve_index=False).replace_schema_metadata(None)
    sink = BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()


def table_from(content: bytes, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """The checked frame that `table_bytes` wrote; `CorruptProductError` if it is not one."""
    try:
        frame = pyarrow.parquet.read_table(BytesIO(content)).to_pandas()
        for name, column in schema.columns.items():
            if str(column.dtype) == "Int64" and name in frame:
                frame[name] = frame[name].astype("Int64")
        return schema.validate(frame, lazy=True)
    except (pyarrow.ArrowException, SchemaError, SchemaErrors, OSError) as error:
        raise CorruptProductError(
            f"Table {schema.name}: cannot be read ({_first_failure(error)}). Run `geo-assets verify`, then backfill."
        ) from None


def scenes_frame(scenes: Sequence[Scene]) -> pd.DataFrame:
    """One row per item, in order of scene, role and part, as the `SCENES` schema has it."""
    rows = [
        _row(scene, role, item)
        for scene in scenes
        for role, items in (("reflectance", scene.parts), ("detector", scene.companions))
        for item in items
    ]
    frame = pd.DataFrame(rows, columns=list(SCENES.columns))
    frame["acquired"] = pd.to_datetime(frame["acquired"], utc=True).astype("datetime64[us, UTC]")
    frame["relative_orbit"] = frame["relative_orbit"].astype("Int64")
    for name in ("cloud_cover", "sun_zenith", "view_zenith", "sun_azimuth", "view_azimuth"):
        frame[name] = frame[name].astype(float)
    frame["offset_dn"] = frame["offset_dn"].astype("int64")
    return frame


def scenes_from(frame: pd.DataFrame) -> tuple[Scene, ...]:
    """The scenes of a `SCENES` frame, in its order."""
    parts: dict[str, list[SceneItem]] = {}
    companions: dict[str, list[SceneItem]] = {}
    for row in frame.to_dict(orient="records"):
        into = parts if row["role"] == "reflectance" else companions
        into.setdefault(row["scene"], []).append(_item(row))
    return tuple(Scene(tuple(items), tuple(companions.get(scene, ()))) for scene, items in parts.items())


def _row(scene: Scene, role: str, item: SceneItem) -> dict[str, object]:
    assets = {band: [getattr(asset, name) for name in SceneAsset.__slots__] for band, asset in item.assets.items()}
    return {
        "scene": scene.id,
        "role": role,
        "item": item.id,
        "level": item.level,
        "acquired": item.acquired,
        "datatake": item.datatake,
        "platform": item.platform,
        "relative_orbit": item.relative_orbit,
        "tile": item.tile,
        "datastrip": item.datastrip,
        "baseline": item.baseline,
        "generated": item.generated,
        "offset_dn": item.offset_dn,
        "offset_doubtful": item.offset_doubtful,
        "cloud_cover": item.cloud_cover,
        "collection": item.collection,
        "quality": item.quality,
        "sun_zenith": item.sun_zenith,
        "view_zenith": item.view_zenith,
        "sun_azimuth": item.sun_azimuth,
        "view_azimuth": item.view_azimuth,
        "orbit_state": item.orbit_state,
        "footprint": shapely.to_wkt(item.footprint, rounding_precision=7),
        "digest": item.digest,
        "assets": json.dumps(assets, sort_keys=True),
    }


def _item(row: dict[str, Any]) -> SceneItem:
    stated = {name: None if pd.isna(row[name]) else row[name] for name in _NULLABLE}
    orbit = stated["relative_orbit"]
    return SceneItem(
        id=row["item"],
        level=row["level"],
        acquired=pd.Timestamp(row["acquired"]).to_pydatetime(),
        datatake=row["datatake"],
        platform=row["platform"],
        relative_orbit=None if orbit is None else int(orbit),
        tile=stated["tile"],
        datastrip=row["datastrip"],
        baseline=row["baseline"],
        generated=row["generated"],
        offset_dn=int(row["offset_dn"]),
        offset_doubtful=bool(row["offset_doubtful"]),
        footprint=shapely.from_wkt(row["footprint"]),
        cloud_cover=stated["cloud_cover"],
        collection=row["collection"],
        quality=row["quality"],
        sun_zenith=stated["sun_zenith"],
        view_zenith=stated["view_zenith"],
        sun_azimuth=stated["sun_azimuth"],
        view_azimuth=stated["view_azimuth"],
        orbit_state=stated["orbit_state"],
        digest=row["digest"],
        assets={band: SceneAsset(*fields) for band, fields in json.loads(row["assets"]).items()},
    )


_NULLABLE = tuple(name for name, column in SCENES.columns.items() if column.nullable)


def _first_failure(error: Exception) -> str:
    cases = getattr(error, "failure_cases", None)
    if isinstance(cases, pd.DataFrame) and len(cases):
        case = cases.iloc[0]
        return f"column {case.get('column')}: {case.get('check')} failed for {str(case.get('failure_case'))[:120]}"
    return str(error).splitlines()[0][:300]
