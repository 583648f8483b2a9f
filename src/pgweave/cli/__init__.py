"""The command line. A module per group of commands declares their options; a module beside it does the work.

Declarations are loaded for every `pgweave --help`, so they import nothing of pgweave but `options`; the implementation
is imported when the command runs.
"""
