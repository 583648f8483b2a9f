"""Markdown -> its fenced blocks with programs or SQL, each character with its place in the file.

Only what CommonMark says about fences is known here, and that they may be in quotes (`> `) and lists: their marks
and their indentation do not belong to the block. Everything else in the file is passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.nodes import Text
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM_LANGUAGES = frozenset({"df", "pgweave"})
SQL_LANGUAGES = frozenset({"sql", "postgres", "postgresql", "pgsql", "plpgsql", "psql"})

_LINE = re.compile(r"[^\n]*+(?:\n|\Z)")
_QUOTE_MARKS = re.compile(r"(?:[ \t]{0,3}>[ ]?)*+")
# ```sql    ~~~ {.sql title="x"}    - ```sql    1. ```sql
_OPENING = re.compile(
    r"(?P<indent>[ \t]*+(?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]++)*+)(?P<fence>`{3,}+|~{3,}+)"
    r"[ \t]*+(?P<info>[^\r\n]*+)"
)
_LANGUAGE = re.compile(r"[{.\s]*+(?P<name>[\w+-]*+)(?P<words>.*+)")
_INDENT = re.compile(r"[ \t]*+")


class Block(NamedTuple):
    """One fence. language: of the info string, folded; words: what follows it there. text: between the fences."""

    language: str
    words: tuple[str, ...]
    text: Text


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block of a Markdown text, whatever its language. A block that never closes runs to the end."""
    lines = _lines(text)
    # One iterator for both loops: _content takes the lines of the block from it, and this loop goes on behind
    # them.
    for start, end in lines:
        place, quotes = _inside_quotes(text, start, end, None)
        opening = _OPENING.match(text, place, end)
        if opening is None or (opening["fence"][0] == "`" and "`" in opening["info"]):
            continue  # no fence, or code within a line: ```x``` y
        inside = _content(text, lines, opening, quotes)
        info = _LANGUAGE.match(opening["info"])
        assert info is not None
        yield Block(info["name"].lower(), tuple(info["words"].split()), _joined(text, inside, end))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every line, line end included; without a byte order mark."""
    at = 1 if text.startswith("\ufeff") else 0
    while at < len(text):
        found = _LINE.match(text, at)
        assert found is not None
        yield at, found.end()
        at = found.end()


def _inside_quotes(text: str, start: int, end: int, depth: int | None) -> tuple[int, int]:
    """Behind the `>` marks of a line, and how many there are; no more than `depth` are taken."""
    marks = _QUOTE_MARKS.match(text, start, end)
    assert marks is not None
    count = marks.group().count(">")
    if depth is None or count <= depth:
        return marks.end(), count
    place = start
    for _ in range(depth):
        place = text.index(">", place) + 1
        place += text.startswith(" ", place)
    return place, depth


def _content(text: str, lines: Iterator[tuple[int, int]], opening: re.Match[str], quotes: int) -> list[tuple[int, int]]:
    """The lines up to the closing fence, without the marks and the indentation of the fence."""
    fence, width = opening["fence"], len(opening["indent"].expandtabs(4))
    # At least as long as the opening fence and of the same character, so that a fence may show fences.
    closing = re.compile(rf"[ \t]*+{re.escape(fence[0])}{{{len(fence)},}}+[ \t]*+\r?\n?\Z")
    inside: list[tuple[int, int]] = []
    for start, end in lines:
        place, depth = _inside_quotes(text, start, end, quotes)
        if depth < quotes or closing.match(text[place:end]):  # a line outside of the quote ends the block too
            break
        # A line of the block loses as much indentation as the fence has, and keeps what it has beyond that.
        indent = _INDENT.match(text, place, end)
        assert indent is not None
        inside.append((place + min(width, len(indent.group())), end))
    return inside


def _joined(text: str, pieces: list[tuple[int, int]], at: int) -> Text:
    """The pieces as one text; a new anchor only where something was left out."""
    anchors: list[tuple[int, int]] = []
    length, expected = 0, -1
    for start, end in pieces:
        if start != expected:
            anchors.append((length, start))
        length, expected = length + end - start, end
    span = Span(pieces[0][0], pieces[-1][1]) if pieces else Span(at, at)
    return Text("".join(text[start:end] for start, end in pieces), span, tuple(anchors) or ((0, at),))
