"""Sensors: how the STAC items of Sentinel-2, HLS and MCD43A4 are read as scene items. One file per sensor."""
