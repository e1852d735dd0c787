"""Searching a STAC API: in which pieces, page by page, remembered on disk. What an item means, `sensors` knows."""
