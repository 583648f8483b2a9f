"""Nodes and tokens -> text: the canonical printer, and the formatter that keeps comments."""
