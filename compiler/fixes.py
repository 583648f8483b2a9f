"""Applying fixes: findings and their text in, the corrected text out. Nothing is written to any file here.

Only safe fixes are taken unless unsafe ones are asked for: after a safe one the program means what it meant before, or
it had no meaning at all. Of two fixes that touch the same place the first in the text is taken; the next round finds
what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.span import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgweave.grammar.diagnostics import Diagnostic, Edit

MAX_ROUNDS = 10
"""A fix may bring about another finding; two that undo each other would go on for ever."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What became of a text. fixes: titles of those that were applied, in order. left: what is found now."""

    source: Source
    fixes: tuple[str, ...]
    left: tuple[Diagnostic, ...]


def fix(source: Source, find: Callable[[Source], Iterable[Diagnostic]], *, unsafe: bool = False) -> Fixed:
    """Apply fixes until there are none. find: everything there is to say about a text."""
    applied: list[str] = []
    found = tuple(find(source))
    # Found again after each round: every place behind an edit has moved.
    for _ in range(MAX_ROUNDS):
        text, titles = apply(source.text, found, unsafe=unsafe)
        if not titles:
            break
        applied += titles
        source = Source(source.name, text)
        found = tuple(find(source))
    return Fixed(source, tuple(applied), found)


def apply(text: str, found: Iterable[Diagnostic], *, unsafe: bool = False) -> tuple[str, list[str]]:
    """Apply the fixes of these findings once. Returns the text and the titles of what was done."""
    chosen: list[Edit] = []
    titles: list[str] = []
    for diagnostic in sorted(found, key=lambda diagnostic: (diagnostic.span, diagnostic.code)):
        fix = diagnostic.fix
        if fix is None or not (fix.safe or unsafe) or not fix.edits:
            continue
        if any(_collide(edit, other) for edit in fix.edits for other in chosen):
            continue
        chosen += fix.edits
        titles.append(fix.title)
    return edited(text, chosen), titles


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text after these edits, which do not overlap. Of insertions at one place, in the order given."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.span.start, edit.span.end)):
        parts += [text[at : edit.span.start], edit.text]
        at = edit.span.end
    return "".join([*parts, text[at:]])


def _collide(one: Edit, other: Edit) -> bool:
    """Whether two edits of different fixes touch: they overlap, or insert at the same place."""
    # Two insertions at one place: which comes first would depend on the order of the checks.
    if one.span.start == other.span.start:
        return True
    return one.span.start < other.span.end and other.span.start < one.span.end
