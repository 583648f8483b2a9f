"""Rows -> results: claim an instance, ask `advance` what is next, run it on a session of its role, record it."""
