"""Findings that somebody decided to live with: `-- pgweave: allow PW102 because the queue is never empty`.

At the end of a line the comment speaks of the findings that touch that line; on a line of its own of the next line
that is not a comment, and of the whole workflow if one begins there. A comment without a reason, or one that allows
nothing, is itself a finding. Comments inside a step's SQL count as well: that is where people write them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import CATALOGUE, Edit, Fix, finding
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.nodes import Module
    from pgweave.grammar.span import Source

_ALLOW = re.compile(
    r"(?:--|/\*)[ \t]*pgweave:[ \t]*allow\b(?P<codes>(?:[ \t,]+PW[0-9]+)*)(?P<rest>[^\r\n]*)", re.IGNORECASE
)
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
    source = module.source
    if "pgweave:" not in source.text:
        return list(found)
    allows = list(_allows(source))
    remaining: list[Diagnostic] = []
    used: set[tuple[_Allow, str]] = set()
    for diagnostic in found:
        by = _by(diagnostic, allows, module)
        used.update((allow, diagnostic.code) for allow in by)
        if not by:
            remaining.append(diagnostic)
    for allow in allows:
        remaining += _complaints(allow, {code for one, code in used if one is allow}, judged, source)
    return remaining


def allowed(found: Iterable[Diagnostic], module: Module) -> list[Diagnostic]:
    """Leave out what is allowed, and say nothing about the comments: for findings that come later than the checks'."""
    allows = list(_allows(module.source)) if "pgweave:" in module.source.text else []
    return [diagnostic for diagnostic in found if not _by(diagnostic, allows, module)]


def _by(diagnostic: Diagnostic, allows: Iterable[_Allow], module: Module) -> list[_Allow]:
    return [allow for allow in allows if diagnostic.code in allow.codes and _covers(allow, diagnostic, module)]


def _allows(source: Source) -> Iterable[_Allow]:
    for match in _ALLOW.finditer(source.text):
        codes = tuple(code.upper() for code in re.findall(r"PW[0-9]+", match["codes"], re.IGNORECASE))
        reason = _REASON.fullmatch(match["rest"])
        line = source.location(match.start()).line
        before = source.line(line)[: source.location(match.start()).column - 1]
        if not before.strip():
            line = _next_line(source, line)
        comment = match.group().rstrip()
        yield _Allow(Span(match.start(), match.start() + len(comment)), codes, reason["reason"] if reason else "", line)


def _next_line(source: Source, line: int) -> int:
    """The next line that is neither empty nor a comment; the last one if there is none."""
    following = range(line + 1, source.line_count + 1)
    return next((at for at in following if (text := source.line(at).strip()) and not text.startswith("--")), line)


def _covers(allow: _Allow, diagnostic: Diagnostic, module: Module) -> bool:
    source, span = module.source, diagnostic.span
    if source.location(span.start).line <= allow.line <= source.location(max(span.start, span.end - 1)).line:
        return True
    return any(
        diagnostic.span in definition.span and source.location(definition.span.start).line == allow.line
        for definition in module.definitions
    )


def _complaints(allow: _Allow, used: set[str], judged: Callable[[str], bool], source: Source) -> Iterable[Diagnostic]:
    if not allow.codes:
        yield finding("PW031", allow.span, what="it names no code")
        return
    if not allow.reason:
        yield finding("PW030", allow.span, what="nothing stands behind the code", allowed=allow.codes[0])
        return
    unused = [code for code in allow.codes if code not in used and (judged(code) or code not in CATALOGUE)]
    if not unused:
        return
    code = unused[0]
    if code not in CATALOGUE:
        what = f"there is no {code}"
    elif code.startswith(_NOT_ALLOWED):
        what = f"{code} cannot be allowed"
    else:
        what = f"there is no {code} here"
    whole = len(unused) == len(allow.codes)
    fix = Fix("Remove the comment", (Edit(_with_blanks(allow.span, source.text), ""),), safe=True) if whole else None
    yield finding("PW031", allow.span, what=what, fix=fix)


def _with_blanks(span: Span, text: str) -> Span:
    """A comment with the blanks before it; with its line feed, if it has a line of its own."""
    start = len(text[: span.start].rstrip(" \t"))
    alone = start == 0 or text[start - 1] == "\n"
    return Span(start, span.end + 1 if alone and text[span.end : span.end + 1] == "\n" else span.end)
