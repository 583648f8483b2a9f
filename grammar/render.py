"""Diagnostics -> text with carets for people, and -> plain dictionaries for tools.

warning[PW101]: This groups from the left
  --> invoice.df:2:1
   |
 2 | 'select a()' ~> 'select b()' & 'select c()'
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read as `(a ~> b) & c`
   |
   = help: Add parentheses to say which one you mean.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.span import Location, Source, Span

_TAB = 4  # columns; a tab is drawn as that many spaces, whatever column it is in
_WIDEST = 160  # columns of one source line that are shown; a longer line is cut around the carets
_BEFORE = 40  # columns kept to the left of the caret in a line that is cut
_TALLEST = 6  # lines of one span that are shown in full
_COLOURS = {"error": "31;1", "warning": "33;1", "info": "36;1", "help": "36;1"}


def render(diagnostic: Diagnostic, source: Source, *, colour: bool = False) -> str:
    """One finding as text; several lines, no line feed at the end."""
    severity = diagnostic.severity.value
    places = [(diagnostic.span, diagnostic.label), *((note.span, note.text) for note in diagnostic.notes)]
    # One gutter for all excerpts of a finding, as wide as the largest line number. end - 1: an end may be the
    # next line's first.
    last_lines = [source.location(max(span.start, span.end - 1)).line for span, _ in places]
    gutter = len(str(max(last_lines)))
    bar = " " * (gutter + 2) + "|"
    where = source.location(diagnostic.span.start)
    lines = [
        _painted(f"{severity}[{diagnostic.code}]", severity, colour=colour) + f": {diagnostic.title}",
        " " * (gutter + 1) + f"--> {source.name}:{where.line}:{where.column}",
    ]
    for span, text in places:
        lines.append(bar)
        lines.extend(_excerpt(span, text, source, gutter, severity, colour=colour))
    lines.append(bar)
    if diagnostic.help:
        lines.append(" " * (gutter + 2) + "= " + _painted("help", "help", colour=colour) + f": {diagnostic.help}")
    # An empty line of the source would leave blanks behind its bar.
    return "\n".join(line.rstrip() for line in lines)


def render_all(diagnostics: Iterable[Diagnostic], source: Source, *, colour: bool = False) -> str:
    """All findings, with an empty line between two; ends in a line feed unless there are none."""
    return "".join(render(found, source, colour=colour) + "\n\n" for found in diagnostics).removesuffix("\n")


def as_json(diagnostic: Diagnostic, source: Source) -> dict[str, object]:
    """One finding as what json.dumps takes. Lines and columns count from 1, offsets from 0; ends are exclusive."""
    fix = diagnostic.fix
    return {
        "code": diagnostic.code,
        "name": diagnostic.rule.name,
        "severity": diagnostic.severity.value,
        "title": diagnostic.title,
        "label": diagnostic.label,
        "help": diagnostic.help,
        "file": source.name,
        **_range(diagnostic.span, source),
        "notes": [{"text": note.text, **_range(note.span, source)} for note in diagnostic.notes],
        "fix": None
        if fix is None
        else {
            "title": fix.title,
            "safe": fix.safe,
            "edits": [{"text": edit.text, **_range(edit.span, source)} for edit in fix.edits],
        },
    }


def _range(span: Span, source: Source) -> dict[str, object]:
    return {"start": _place(span.start, source), "end": _place(span.end, source)}


def _place(offset: int, source: Source) -> dict[str, int]:
    location = source.location(offset)
    return {"offset": offset, "line": location.line, "column": location.column}


def _painted(text: str, what: str, *, colour: bool) -> str:
    return f"\x1b[{_COLOURS[what]}m{text}\x1b[0m" if colour else text


def _excerpt(span: Span, text: str, source: Source, gutter: int, severity: str, *, colour: bool) -> list[str]:
    """The lines of one span with carets under them, and `text` behind the last caret. Of many lines the first and last three."""
    first, last = source.location(span.start), source.location(max(span.start, span.end - 1))
    numbers = list(range(first.line, last.line + 1))
    cut = len(numbers) > _TALLEST
    if cut:
        numbers = [*numbers[: _TALLEST // 2], *numbers[-(_TALLEST // 2) :]]
    out: list[str] = []
    for number in numbers:
        if out and cut and number == numbers[_TALLEST // 2]:
            out.append(" " * (gutter + 1) + "...")
        start, end = _columns(number, first, last, source.line(number))
        shown, carets = _drawn(source.line(number), start, end)
        label = f" {text}" if number == last.line and text else ""
        out.append(f" {number:>{gutter}} | {shown}")
        if not carets.strip():  # an empty line within the span
            continue
        indent = carets[: len(carets) - len(carets.lstrip())]
        out.append(f" {'':>{gutter}} | {indent}" + _painted(carets.lstrip() + label, severity, colour=colour))
    return out


def _columns(number: int, first: Location, last: Location, line: str) -> tuple[int, int]:
    """Which characters of line `number` to underline, from 0, end exclusive: at least one, without the indentation."""
    start = first.column - 1 if number == first.line else len(line) - len(line.lstrip())
    end = last.column if number == last.line else len(line.rstrip())
    return start, max(end, start + (number == first.line))


def _drawn(line: str, start: int, end: int) -> tuple[str, str]:
    """The line as it is shown, and the carets under line[start:end]; wide characters take two columns, marks none.

    A line wider than _WIDEST is cut on both sides of the carets: `...SELECT x FROM t WHERE y = 1...`.
    """
    before, inside, after = (_visible(part) for part in (line[:start], line[start:end], line[end:]))
    width = max(
        1, _width(inside) + max(0, end - max(len(line), start))
    )  # a span may end behind the line's last character
    if _width(before) + width + _width(after) > _WIDEST:
        if _width(before) > _BEFORE:
            before = "..." + _clip(before[::-1], _BEFORE)[::-1]
        room = max(10, _WIDEST - _width(before))
        uncut = inside + after
        inside = _clip(inside, room)
        after = _clip(after, room - _width(inside))
        width = min(width, max(1, _width(inside)))
        after += "..." if inside + after != uncut else ""
    return before + inside + after, " " * _width(before) + "^" * width


def _clip(text: str, columns: int) -> str:
    """As much of the text as fits."""
    used = 0
    for i, character in enumerate(text):
        used += _width(character)
        if used > columns:
            return text[:i]
    return text


def _visible(text: str) -> str:
    """Tabs become spaces, control characters and what turns text around become a placeholder."""
    text = text.replace("\t", " " * _TAB)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == " " else "\ufffd" for character in text)


def _width(text: str) -> int:
    """Columns in a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
