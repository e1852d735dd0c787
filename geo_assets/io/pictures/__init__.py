"""Pictures: arrays in, PNG out, with fixed stretches so that months and tiles compare. No station, no store."""
