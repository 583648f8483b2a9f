"""Places in a text, and all offset arithmetic.

Offsets count characters from 0; a span's end is exclusive. Lines and columns, which people read, count from 1.

        text    a b c d e f
        offset  0 1 2 3 4 5
        b..d    |  [b c d] |      Span(1, 4)
        a | b   the smallest span that covers both
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of a text: `start` inclusive, `end` exclusive, both in characters."""

    start: int
    end: int

    def __or__(self, other: Span) -> Span:
        """Cover both spans and whatever stands between them."""
        return Span(min(self.start, other.start), max(self.end, other.end))

    def __contains__(self, other: Span) -> bool:
        """Whether `other` lies inside; a span contains itself."""
        return self.start <= other.start and other.end <= self.end

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, text: str) -> str:
        """Cut this range out of `text`."""
        # Clipped, as slices are: a span that ends behind the text is no error.
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where a person looks: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Source:
    """A named text: a file, a notebook cell, standard input."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """Offset of the first character of each line; the text after the last line feed is a line too."""
        return (0, *(i + 1 for i, character in enumerate(self.text) if character == "\n"))

    def location(self, offset: int) -> Location:
        """Line and column of `offset`; one past the end is allowed."""
        line = bisect_right(self.line_starts, offset)
        return Location(line, offset - self.line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its line end."""
        start = self.line_starts[number - 1]
        end = self.line_starts[number] if number < len(self.line_starts) else len(self.text)
        # Line ends are \n or \r\n; a lone \r is a character of the line, as in most editors.
        return self.text[start:end].rstrip("\r\n")

    @property
    def line_count(self) -> int:
        """How many lines there are; an empty text has one."""
        return len(self.line_starts)
