"""The bundled offline archive: a made-up landscape whose truth is known, served as STAC items and COGs.

What lives here, in the order in which it is made: `plan` (where, when, how fine), `passes` (the satellites'
calendar, the weather of each date, the cuts of each tile), `noise`, `ground` and `sky` (landscape and clouds,
functions of UTM position, so that overlapping tiles agree), `sensor` (what a scene's counts are), `items`
(STAC), `archive` (builds and caches it) and `truth` (what was really there, to measure a station's error).
`region.yaml` asks for it.

What does not: anything that reads an archive; that is `io.archives`, and does not know this one is made up.
"""
