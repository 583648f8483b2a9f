"""Node rows -> results: the df schema (`sql/`), the worker, HTTP steps, the embedded server, and the client.

Kept empty on purpose: importing one part must not pull in the others.
"""
