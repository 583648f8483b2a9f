"""Offsets as CodeMirror counts them, in UTF-16 units, and as we count them, in characters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

_FIRST_OF_TWO = 0x10000  # characters from here on are two units


def width(text: str) -> int:
    """How many units a text is long."""
    return len(text) if text.isascii() else len(text) + sum(ord(character) >= _FIRST_OF_TWO for character in text)


class Units:
    """Both ways for one text. Offsets behind its end are taken for its end, one between two halves for the first."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self._wide = [] if text.isascii() else [at for at, one in enumerate(text) if ord(one) >= _FIRST_OF_TWO]
        # Where each wide character begins in units: one more for every wide one before it.
        self._units = [at + number for number, at in enumerate(self._wide)]

    def to_wire(self, offset: int) -> int:
        """Units before a character."""
        return offset + bisect_left(self._wide, offset)

    def from_wire(self, units: int) -> int:
        """Characters before a unit."""
        before = bisect_right(self._units, units - 1)
        if before and self._units[before - 1] == units - 1:
            return self._wide[before - 1]
        return max(0, min(units - before, self._length))
