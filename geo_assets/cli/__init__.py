"""The terminal door: every command says what it does, where the results are, and what to type next."""

from geo_assets.cli.door import main

__all__ = ["main"]
