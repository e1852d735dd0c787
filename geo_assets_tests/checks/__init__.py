"""Inspectors of products: what they find in a manifest."""
