"""Archives over HTTP, from search to composite, against a server that fails on request."""
