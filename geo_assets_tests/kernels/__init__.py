"""Each kernel against its slow reference, its laws, and a golden array."""
