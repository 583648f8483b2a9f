"""Edits of a text that tools make: the smallest change, and the proof that the tree is the one that was meant."""
