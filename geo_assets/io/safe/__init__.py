"""Sentinel-2's own package, SAFE: metadata of products and granules, and where its files lie in a folder.

Pixels are read elsewhere.
"""
