"""A forest of decision trees, evaluated exactly and fast: trees, rank codes, the walk, and cloud from probability.

Three facts carry it. A feature has at most 255 thresholds in the whole forest, so one byte, its rank among them,
decides every split as the value itself does. Pixels sorted by their ranks mostly take the same way through a tree. And
64 that go together need one comparison at a node, whose answer is one 64-bit word.

Where the trees come from, and what their features are, is the matter of `io/detectors`.
"""
