"""Checks of characters that a text contains and nobody sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import finding
from pgweave.grammar.shortened import TURNING
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module


def turned_text(module: Module) -> Iterator[Diagnostic]:
    """PW032. A control character that turns text around: what is shown is in another order than what is run."""
    text = module.source.text
    if text.isascii():
        return
    for found in TURNING.finditer(text):
        yield finding("PW032", Span(found.start(), found.end()), character=f"U+{ord(found.group()):04X}")
