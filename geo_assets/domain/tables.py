"""The tables that cross a station, as pandera schemas."""

import pandera.pandas as pa

SCENES = pa.DataFrameSchema(
    {
        "scene": pa.Column(str, description="Scene that this item belongs to"),
        "role": pa.Column(str, pa.Check.isin(["reflectance", "detector"]), description="What its bands are used for"),
        "item": pa.Column(str, pa.Check.str_length(1, 200), description="Catalogue item id"),
        "level": pa.Column(str, pa.Check.isin(["L1C", "L2A", "HLS", "NBAR"])),
        "acquired": pa.Column("datetime64[us, UTC]", description="Sensing time"),
        "datatake": pa.Column(str, description="Identity of the acquisition"),
        "platform": pa.Column(str),
        "relative_orbit": pa.Column("Int64", nullable=True),
        "tile": pa.Column(str, nullable=True, description="MGRS or MODIS tile, as the catalogue says"),
        "datastrip": pa.Column(str),
        "baseline": pa.Column(str, description="Processing baseline NN.NN, or empty"),
        "generated": pa.Column(str, description="When this processing was made"),
        "offset_dn": pa.Column("int64", pa.Check.in_range(-10_000, 10_000), description="Added to counts, as asserted"),
        "offset_doubtful": pa.Column(bool, description="True if the metadata disagree: pixels decide"),
        "cloud_cover": pa.Column(float, pa.Check.in_range(0, 100), nullable=True, description="Per cent, as stated"),
        "collection": pa.Column(str, description="Catalogue's collection, or empty"),
        "quality": pa.Column(
            str, pa.Check.isin(["scl", "hls_fmask", "mcd43a4", "none"]), description="Clear by which layer"
        ),
        "sun_zenith": pa.Column(float, pa.Check.in_range(0, 180), nullable=True, description="Degrees"),
        "view_zenith": pa.Column(float, pa.Check.in_range(0, 180), nullable=True, description="Degrees"),
        "sun_azimuth": pa.Column(float, pa.Check.in_range(0, 360), nullable=True, description="Degrees from north"),
        "view_azimuth": pa.Column(float, pa.Check.in_range(0, 360), nullable=True, description="Degrees from north"),
        "orbit_state": pa.Column(str, pa.Check.isin(["ascending", "descending"]), nullable=True),
        "footprint": pa.Column(str, description="Where it has data, WKT, EPSG:4326"),
        "digest": pa.Column(str, pa.Check.str_length(64, 64), description="sha256 of the canonical item"),
        "assets": pa.Column(
            str,
            description="Band -> [unsigned href, band of the file, bytes, checksum, nodata, alternate, archive], JSON",
        ),
    },
    unique=["item"],
    strict=True,
    ordered=True,
    name="scenes.parquet",
)
"""One row per catalogue item that survived de-duplication."""

SELECTION = pa.DataFrameSchema(
    {
        "scene": pa.Column(str),
        "rank": pa.Column("int64", pa.Check.ge(0), description="0 is the clearest over the area"),
        "selected": pa.Column(bool, description="True if fetched"),
        "clear_share": pa.Column(float, pa.Check.in_range(0, 1), description="Clear share of the area on the tile"),
        "valid_share": pa.Column(float, pa.Check.in_range(0, 1), description="Share of the area with data"),
        "block_row": pa.Column("int64", pa.Check.ge(0), description="Block of the tile's raster, from the north"),
        "block_col": pa.Column("int64", pa.Check.ge(0), description="Block of the tile's raster, from the west"),
        "block_clear_share": pa.Column(float, pa.Check.in_range(0, 1), description="Clear share of the block's area"),
        "serves": pa.Column(bool, description="True if this block of this scene is fetched"),
    },
    unique=["scene", "block_row", "block_col"],
    strict=True,
    ordered=True,
    name="selection.parquet",
)
"""One row per scene and active block of the tile."""

OFFSETS = pa.DataFrameSchema(
    {
        "item": pa.Column(str),
        "asserted_dn": pa.Column("int64", description="Offset of the counts by the metadata"),
        "decided_dn": pa.Column("Int64", nullable=True, description="By the pixels; null where they do not tell"),
        "doubtful": pa.Column(bool, description="True if the metadata disagree, or are silent"),
    },
    unique=["item"],
    strict=True,
    ordered=True,
    name="offsets.parquet",
)
"""One row per item of a selected scene."""

FETCHED = pa.DataFrameSchema(
    {
        "scene": pa.Column(str),
        "rank": pa.Column("int64", pa.Check.ge(0), description="0 counts first where observations are equally good"),
        "role": pa.Column(str, pa.Check.isin(["reflectance", "detector"]), description="What the item was read for"),
        "item": pa.Column(str),
        "offset_dn": pa.Column("int64", description="Was added to the counts, once"),
    },
    unique=["role", "item"],
    strict=True,
    ordered=True,
    name="fetched.parquet",
)
"""One row per item that was read, best scene first."""
