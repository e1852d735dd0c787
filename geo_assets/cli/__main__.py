"""`python -m geo_assets.cli`: the terminal door without its installed name."""

from geo_assets.cli.door import main

main()
