"""Edits of a text that tools make: the smallest change that does it, and the proof that it gives the tree that was meant.

edits.py       the edits: insert, delete, wrap, replace, set an argument, set a name
places.py      a step with its path and with what stands around it
arguments.py   the arguments of one df call as they are written
renaming.py    another name for a result, wherever it is read
patch.py       applying edits, and the proof
quoted.py      edits of programs that are in quotes
"""
