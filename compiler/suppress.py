"""Findings that somebody decided to live with: `-- pgweave: allow PW102 because the queue is never empty`.

At the end of a line the comment speaks of the findings that touch that line; on a line of its own of the next line
that is not a comment, and of the whole workflow if one begins there. A comment without a reason, or one that allows
nothing, is itself a finding. Comments inside a step's SQL count as well: that is where people write them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import CATALOGUE, Edit, finding
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.span import Source

_ALLOW = re.compile(
    r"(?:--|/\*)[ \t]*pgweave:[ \t]*allow\b(?P<codes>(?:[ \t,]+PW[0-9]+)*)(?P<rest>[^\r\n]*)", re.IGNORECASE
)
# `allow PW102 because ..`, `allow PW102: ..` and `allow PW102 - ..` are read alike.
_REASON = re.compile(r"[ \t]*(?:because\b|:|-+)?[ \t]*(?P<reason>.*?)[ \t]*(?:\*/.*)?", re.IGNORECASE)
_NOT_ALLOWED = ("PW0",)  # what keeps a text from being read, and the rules about allowing itself


@dataclass(frozen=True, slots=True)
class _Allow:
    """One comment. line: the one it speaks of."""

    span: Span
    codes: tuple[str, ...]
    reason: str
    line: int


def apply(
    found: Iterable[Diagnostic], module: Module, judged: Callable[[str], bool] = lambda _: True
) -> list[Diagnostic]:
    """Leave out what is allowed, and add what is wrong with the comments.

    judged: whether findings of a code were looked for at all; of others nobody can say that they are not there.
    """
    allows = _Allows(module)
    remaining: list[Diagnostic] = []
    used: dict[_Allow, set[str]] = {}
    for diagnostic in found:
        by = allows.of(diagnostic)
        for allow in by:
            used.setdefault(allow, set()).add(diagnostic.code)
        if not by:
            remaining.append(diagnostic)
    for allow in allows.everything:
        remaining += _complaints(allow, used.get(allow, set()), judged, module.source)
    return remaining


def allowed(found: Iterable[Diagnostic], module: Module) -> list[Diagnostic]:
    """Leave out what is allowed, and say nothing about the comments: for findings that come later than the checks'."""
    allows = _Allows(module)
    return [diagnostic for diagnostic in found if not allows.of(diagnostic)]


class _Allows:
    """The comments of one text, found by code and line: there may be as many of them as findings."""

    def __init__(self, module: Module) -> None:
        self.source = module.source
        self.everything = list(_read(module.source)) if "pgweave:" in module.source.text else []
        self._by_code: dict[str, list[_Allow]] = {}
        for allow in sorted(self.everything, key=lambda allow: allow.line):
            for code in dict.fromkeys(allow.codes):
                self._by_code.setdefault(code, []).append(allow)
        self._definitions = sorted(definition.span for definition in module.definitions) if self.everything else []

    def of(self, diagnostic: Diagnostic) -> list[_Allow]:
        """The comments that speak of a finding: of a line that it touches, or of the workflow around it."""
        candidates = self._by_code.get(diagnostic.code)
        if not candidates:
            return []
        span = diagnostic.span
        first, last = self._line(span.start), self._line(max(span.start, span.end - 1))
        found = _between(candidates, first, last)
        at = bisect_right(self._definitions, span.start, key=lambda definition: definition.start) - 1
        if at >= 0 and span in self._definitions[at]:
            start = self._line(self._definitions[at].start)
            # Not again if the workflow begins on the finding's own line: the comment has been counted for that
            # line.
            found += _between(candidates, start, start) if start < first else []
        return found

    def _line(self, offset: int) -> int:
        return self.source.location(offset).line


def _between(allows: list[_Allow], first: int, last: int) -> list[_Allow]:
    start = bisect_left(allows, first, key=lambda allow: allow.line)
    return allows[start : bisect_right(allows, last, key=lambda allow: allow.line)]


def _read(source: Source) -> Iterable[_Allow]:
    """Every comment of this kind, in the order of the text."""
    following = _code_lines(source)
    for match in _ALLOW.finditer(source.text):
        codes = tuple(code.upper() for code in re.findall(r"PW[0-9]+", match["codes"], re.IGNORECASE))
        reason = _REASON.fullmatch(match["rest"])
        place = source.location(match.start())
        alone = not source.line(place.line)[: place.column - 1].strip()
        # The next line with code. A comment below the last one speaks of its own line, and so of nothing.
        line = following[bisect_right(following, place.line)] if alone and following[-1] > place.line else place.line
        comment = match.group().rstrip()
        yield _Allow(Span(match.start(), match.start() + len(comment)), codes, reason["reason"] if reason else "", line)


def _code_lines(source: Source) -> list[int]:
    """Numbers of the lines that are neither empty nor a comment, and 0."""
    lines = source.text.split("\n")
    return [0, *(at for at, line in enumerate(lines, 1) if (text := line.strip()) and not text.startswith("--"))]


def _complaints(allow: _Allow, used: set[str], judged: Callable[[str], bool], source: Source) -> Iterable[Diagnostic]:
    if not allow.codes:
        yield finding("PW031", allow.span, "no-code")
        return
    if not allow.reason:
        yield finding("PW030", allow.span, allowed=allow.codes[0])
        return
    # A code that was not looked for (of another target, say) may be right: nobody can tell.
    unused = [code for code in allow.codes if code not in used and (judged(code) or code not in CATALOGUE)]
    if not unused:
        return
    code = unused[0]
    variant = "not-allowable" if code.startswith(_NOT_ALLOWED) and code != "PW032" else ""
    if code not in CATALOGUE:
        variant = "unknown-code"
    whole = len(unused) == len(allow.codes)
    edits = [Edit(_with_blanks(allow.span, source.text), "")] if whole else []
    yield finding("PW031", allow.span, variant, code=code, edits=edits, safe=True)


def _with_blanks(span: Span, text: str) -> Span:
    """A comment with the blanks before it; with its line feed, if it has a line of its own."""
    start = len(text[: span.start].rstrip(" \t"))
    alone = start == 0 or text[start - 1] == "\n"
    return Span(start, span.end + 1 if alone and text[span.end : span.end + 1] == "\n" else span.end)
