"""Checks of characters that a text contains and nobody sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import finding
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module

# Embeddings, overrides and isolates. Marks (U+200E, U+200F, U+061C) are left out: they are part of ordinary text.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def turned_text(module: Module) -> Iterator[Diagnostic]:
    """PW032. A control character that turns text around: what is shown is in another order than what is run."""
    text = module.source.text
    if text.isascii():
        return
    for found in _TURNING.finditer(text):
        yield finding("PW032", Span(found.start(), found.end()), character=f"U+{ord(found.group()):04X}")
