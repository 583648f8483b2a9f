"""A program in canonical layout, from Python."""

from __future__ import annotations

from pgweave.grammar.span import Source
from pgweave.grammar.writing.formatter import format_source
from pgweave.texts import ProgramError


def format(text: str, name: str = "<text>") -> str:  # noqa: A001 - pgweave.format, as people would look for it
    """Lay a program out as `pgweave fmt` does; `name` with the suffix of a file tells its form. ProgramError when it does not parse."""
    source = Source(name, text)
    formatted = format_source(source)
    if formatted.diagnostics:
        raise ProgramError(formatted.diagnostics, source)
    return formatted.text
