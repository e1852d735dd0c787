"""Granule and product metadata of Sentinel-2 as small XML: a few nodes, a few bands."""

TILE_ID = "S2A_OPER_MSI_L1C_TL_2APS_20240120T125244_A044807_T31TCJ_N05.10"


def table(rows):
    values = "".join(f"<VALUES>{' '.join(str(number) for number in row)}</VALUES>" for row in rows)
    return f"<COL_STEP>5000</COL_STEP><ROW_STEP>5000</ROW_STEP><Values_List>{values}</Values_List>"


def angle_grid(zenith, azimuth):
    return f"<Zenith>{table(zenith)}</Zenith><Azimuth>{table(azimuth)}</Azimuth>"


def sun_grid(zenith, azimuth):
    return f"<Sun_Angles_Grid>{angle_grid(zenith, azimuth)}</Sun_Angles_Grid>"


def view_grid(zenith, azimuth, band_id=1, detector=1):
    name = "Viewing_Incidence_Angles_Grids"
    return f'<{name} bandId="{band_id}" detectorId="{detector}">{angle_grid(zenith, azimuth)}</{name}>'


def mean_angles(zenith, azimuth, band_id=None):
    name = "Mean_Sun_Angle" if band_id is None else "Mean_Viewing_Incidence_Angle"
    whose = "" if band_id is None else f' bandId="{band_id}"'
    angles = f"<ZENITH_ANGLE>{zenith}</ZENITH_ANGLE><AZIMUTH_ANGLE>{azimuth}</AZIMUTH_ANGLE>"
    return f"<{name}{whose}>{angles}</{name}>"


def granule_xml(*angles, crs="EPSG:32631", ulx="300000", tile_id=TILE_ID):
    """Bytes of an MTD_TL.xml of tile 31TCJ."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <n1:Level-1C_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/">
      <n1:General_Info><TILE_ID>{tile_id}</TILE_ID></n1:General_Info>
      <n1:Geometric_Info>
        <Tile_Geocoding>
          <HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>
          <Size resolution="60"><NROWS>1830</NROWS><NCOLS>1830</NCOLS></Size>
          <Geoposition resolution="60"><ULX>{ulx}</ULX><ULY>4900020</ULY></Geoposition>
        </Tile_Geocoding>
        <Tile_Angles>{"".join(angles)}</Tile_Angles>
      </n1:Geometric_Info>
    </n1:Level-1C_Tile_ID>""".encode()


def product_xml(*, level="Level-1C", baseline="05.10", quantification="10000", offset=-1000, start=None, bands=13):
    """Bytes of an MTD_MSIL1C.xml or MTD_MSIL2A.xml; without offsets where `offset` is None."""
    l1c = level == "Level-1C"
    unit = "QUANTIFICATION_VALUE" if l1c else "BOA_QUANTIFICATION_VALUE"
    add = "RADIO_ADD_OFFSET" if l1c else "BOA_ADD_OFFSET"
    offsets = [f'<{add} band_id="{band}">{offset}</{add}>' for band in range(bands) if offset is not None]
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <n1:User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/">
      <PROCESSING_LEVEL>{level}</PROCESSING_LEVEL>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <DATATAKE_SENSING_START>{start or "2024-01-20T10:53:41.024Z"}</DATATAKE_SENSING_START>
      <{unit} unit="none">{quantification}</{unit}>
      {"".join(offsets)}
    </n1:User_Product>""".encode()
