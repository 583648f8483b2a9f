"""Two texts -> the edits that make the second of the first; three texts -> one with the changes of both sides.

Lines are matched first, then what differs is cut down from both ends, so that an edit covers little more than what has
changed. Merging goes by lines, as diff3 does, and gives up rather than guess.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Edit
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgweave.grammar.editing.edits import Edits

MANY_LINES = 1_000


def difference(old: str, new: str) -> Edits:
    """Edits of `old` that give `new`, in the order of the text."""
    start, end = _common_ends(old, new)
    if start + end == len(old) == len(new):
        return ()
    # Whole lines, so that lines that have stayed are found between those that have changed.
    # Common characters may end in the middle of a line.
    start = old.rfind("\n", 0, start) + 1
    behind = old.find("\n", len(old) - end)
    end = 0 if behind < 0 else len(old) - behind - 1
    before, after = _lines(old[start : len(old) - end]), _lines(new[start : len(new) - end])
    found: list[Edit] = []
    at = start
    for what, i, j, k, m in opcodes(before, after):
        if what != "equal":
            found += _cut(at, before[i:j], after[k:m])
        at += sum(map(len, before[i:j]))
    return tuple(found)


def opcodes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """What became of lines, as difflib says it.

    Of many lines those that stand everywhere are not matched between the first and the last change: it would take
    for ever.
    """
    start, end = _common_ends(before, after)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    yield "equal", 0, start, 0, start
    for what, i, j, k, m in SequenceMatcher(None, old, new, autojunk=len(new) > MANY_LINES).get_opcodes():
        yield what, start + i, start + j, start + k, start + m
    yield "equal", len(before) - end, len(before), len(after) - end, len(after)


def _cut(at: int, first: Sequence[str], second: Sequence[str]) -> Iterator[Edit]:
    """Edits for lines that differ: line by line where there are as many, else all at once."""
    pairs = zip(first, second, strict=True) if len(first) == len(second) else [("".join(first), "".join(second))]
    for was, now in pairs:
        start, end = _common_ends(was, now)
        if was != now:
            yield Edit(Span(at + start, at + len(was) - end), now[start : len(now) - end])
        at += len(was)


def _common_ends(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """How many characters, or lines, are the same at the start, and at the end of what is left."""
    most = min(len(one), len(other))
    start = next((at for at in range(most) if one[at] != other[at]), most)
    most -= start
    end = next((at for at in range(most) if one[-1 - at] != other[-1 - at]), most)
    return start, end


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a line feed ends one."""
    return [line + "\n" for line in text.split("\n")[:-1]] + ([last] if (last := text.rpartition("\n")[2]) else [])


def merge(base: str, mine: str, theirs: str) -> str | None:
    """`base` with the changes of both; None when both have changed the same lines, and not to the same."""
    lines = _lines(base)
    out: list[str] = []
    at, inserted = 0, -1  # lines that are done; where something was put in between two
    # A set: what both have changed in the same way is one change.
    for start, end, new in sorted({*_hunks(lines, _lines(mine)), *_hunks(lines, _lines(theirs))}):
        # Two insertions at one place have no order, though neither touches a line of the other.
        if start < at or start == end == inserted:
            return None
        out += [*lines[at:start], *new]
        at, inserted = end, start if start == end else -1
    return "".join([*out, *lines[at:]])


def _hunks(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for what, i, j, k, m in opcodes(before, after):
        if what != "equal":
            yield i, j, tuple(after[k:m])
