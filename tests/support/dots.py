"""DOT texts as goldens hold them: structure, labels, shapes and classes, without colours."""

from __future__ import annotations

import re

_COLOUR = re.compile(r'\b(?:bg|fill|font)?color="#[0-9a-f]{6}"')
_ATTRIBUTES = re.compile(r"\[[ ]*(.*?)[ ]*\]$", re.MULTILINE)


def colourless(dot: str) -> str:
    """The same text without its colours, so that another palette changes no golden."""
    shown = re.sub(rf" ?{_COLOUR.pattern}", "", dot)
    return _ATTRIBUTES.sub(lambda found: f"[{found[1]}]", shown)


def colours(dot: str) -> set[str]:
    """Every colour that a text names."""
    return {found.group().split('"')[1] for found in _COLOUR.finditer(dot)}
