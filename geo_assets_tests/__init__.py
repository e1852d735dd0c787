"""Tests, in rooms that mirror the house; `scenery` has what they share, `real_data` runs on real scenes.

Warnings are errors and the network is shut (`conftest.py`); a test's name is a sentence about behaviour.
"""
