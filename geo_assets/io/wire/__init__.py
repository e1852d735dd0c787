"""Bytes over HTTP that cannot lie: which hosts, how often, signed how; complete, or an error.

What the bytes mean, others know.
"""
