"""The df calls in other texts: in an .sql file, its DO blocks and function bodies, and in Markdown.

What stands around them is never reported and need not be right. A part that is lexed by itself (a body between `$$`, a
fence) is a nodes.Text, and its tokens get their places in the file before they leave this module.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING

from pgweave.grammar.diagnostics import Edit, Fix, Note
from pgweave.grammar.nodes import Text
from pgweave.grammar.reading.lexer import PUNCT, QUOTED, STRING, WORD, Lexed, Token, lex
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgweave.grammar.diagnostics import Diagnostic
    from pgweave.grammar.reading.strings import Anchors


class Form(Enum):
    """How to read a text. PROGRAM: all of it is the language. SQL, MARKDOWN: the language is in it."""

    PROGRAM = "program"
    SQL = "sql"
    MARKDOWN = "markdown"


_SUFFIXES = {
    ".sql": Form.SQL, ".psql": Form.SQL, ".pgsql": Form.SQL, ".plpgsql": Form.SQL,
    ".md": Form.MARKDOWN, ".markdown": Form.MARKDOWN,
}  # fmt: skip

_FOUND = frozenset({"start", "explain", "setvar"})
_LANGUAGES = frozenset({"sql", "plpgsql"})
# Statements that name functions without calling them.
# GRANT EXECUTE ON FUNCTION df.start(text, text) TO app: looks like a call and starts nothing.
_ABOUT_FUNCTIONS = frozenset({"alter", "comment", "drop", "grant", "revoke", "security"})
_MAX_NESTING = 8  # bodies within bodies; each level reads the same characters once more


def form_of(name: str) -> Form:
    """How to read the file of this name: by its suffix; a notebook cell and standard input have none and are programs."""
    return _SUFFIXES.get(PurePath(name).suffix.lower(), Form.PROGRAM)


@dataclass(frozen=True, slots=True)
class Found:
    """One df call in a text of SQL.

    tokens: of the call alone. diagnostics: what the lexer found wrong in it. within: the part of the file that it is in.
    certain: whether SQL must stand there; in any other string it may be talk about df, and counts only if nothing is
    wrong with it.
    """

    tokens: list[Token]
    diagnostics: list[Diagnostic]
    within: Text
    certain: bool


def lex_text(text: Text, *, psql: bool = False) -> Lexed:
    """Lex a part of a file; every place in the result is one of the file."""
    lexed = lex(text.value, psql=psql)
    place = text.locate

    def moved(span: Span) -> Span:
        return text.span_of(span.start, span.end)

    def moved_token(token: Token) -> Token:
        anchors = _composed(token.anchors, len(token.value), text)
        # The place of the last character, and one more: the end itself may stand behind a line mark or a closing quote.
        return Token(token.kind, token.value, place(token.start), place(token.end - 1) + 1, anchors, token.type)

    return Lexed(
        [moved_token(token) for token in lexed.tokens],
        [moved(comment) for comment in lexed.comments],
        [_moved(found, moved) for found in lexed.diagnostics],
    )


def _composed(anchors: Anchors, size: int, text: Text) -> Anchors:
    """Anchors of a string that is in `text`: from its value to the file.

    Two maps one after the other. In the file, DO 'BEGIN PERFORM df.start(''SELECT 1''); END' has a body; in the body,
    'SELECT 1' is a literal with the anchor (0, 24); in the file, offset 24 of the body is written at 29. The result
    also has an anchor wherever the body's own anchors lead to another place within the literal.
    """
    if not anchors:
        return ()
    out: list[tuple[int, int]] = []
    for (at, source), (following, _) in pairwise((*anchors, (size + 1, 0))):
        out.append((at, text.locate(source)))
        inside = text.anchors_within(source + 1, source + following - at)
        out.extend((at + place - source, origin) for place, origin in inside)
    return tuple(out)


def _moved(found: Diagnostic, moved: Callable[[Span], Span]) -> Diagnostic:
    notes = tuple(Note(moved(note.span), note.text) for note in found.notes)
    fix = found.fix
    if fix is not None:
        fix = Fix(fix.title, tuple(Edit(moved(edit.span), edit.text) for edit in fix.edits), fix.safe)
    return replace(found, span=moved(found.span), notes=notes, fix=fix)


def excerpt(text: Text, span: Span) -> str:
    """What stands at `span` of the file, as it reads in `text`: without the marks of quotes, with quotes undoubled."""

    def offset(source: int) -> int:
        """The way of the anchors backwards, from the file into the value."""
        value_start, source_start = text.anchors[
            max(0, bisect_right(text.anchors, source, key=lambda pair: pair[1]) - 1)
        ]
        return value_start + source - source_start

    return text.value[offset(span.start) : offset(span.end - 1) + 1] if span else ""


def calls(lexed: Lexed, within: Text, depth: int = 0, *, certain: bool = True) -> Iterator[Found]:
    """Every `df.start(..)`, `df.explain(..)` and `df.setvar(..)` in a text of SQL, in the order of the text."""
    statement: list[Token] = []
    diagnostics = deque(lexed.diagnostics)  # in the order of the text, as the tokens
    for token in [*lexed.tokens, None]:
        if token is not None and not _is(token, ";"):
            statement.append(token)
        elif statement:
            for found in _in_statement(statement, within, depth, certain=certain):
                # A call in a body has brought the findings of its body along; these here are of the text around
                # it.
                if found.within is within:
                    found.diagnostics.extend(_taken(diagnostics, Span(found.tokens[0].start, found.tokens[-1].end)))
                yield found
            statement = []


def _taken(diagnostics: deque[Diagnostic], place: Span) -> list[Diagnostic]:
    """Remove what stands before `place`; remove and return what is in it."""
    taken: list[Diagnostic] = []
    # Both run in the order of the text, so each finding is looked at once: with a search per call, a file of a
    # thousand calls with a thousand mistakes would take a million looks.
    while diagnostics and diagnostics[0].span.start < place.end:
        found = diagnostics.popleft()
        if found.span.start >= place.start:
            taken.append(found)
    return taken


def _in_statement(tokens: list[Token], within: Text, depth: int, *, certain: bool) -> Iterator[Found]:
    words = [token.value if token.kind == WORD else "" for token in tokens[:4]]
    about_functions = words[0] in _ABOUT_FUNCTIONS
    bodies = _bodies(tokens, words)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == STRING and depth < _MAX_NESTING and words[0] != "comment":
            body = at in bodies
            # A body is code. Any other dollar-quoted text may be code that is given to a function: look, but see `certain`.
            if "df" in token.value.lower() and (body or _is_dollar_quoted(token, within)):
                inner = Text(token.value, token.span, token.anchors)
                yield from calls(lex_text(inner), inner, depth + 1, certain=certain and body)
        elif not about_functions and _begins_call(tokens, at):
            end = _call_end(tokens, at + 3)
            yield Found(tokens[at:end], [], within, certain)
            at = end
            continue
        at += 1


def _is(token: Token, mark: str) -> bool:
    return token.kind == PUNCT and token.value == mark


def _is_dollar_quoted(token: Token, within: Text) -> bool:
    return excerpt(within, Span(token.start, token.start + 1)) == "$"


def _begins_call(tokens: list[Token], at: int) -> bool:
    """Whether `df.start(` or one of its like begins here, and is not the name in a CREATE FUNCTION."""
    if at + 3 >= len(tokens) or tokens[at].value != "df" or tokens[at].kind not in (WORD, QUOTED):
        return False
    dot, name, bracket = tokens[at + 1 : at + 4]
    if not _is(dot, ".") or not _is(bracket, "(") or name.kind not in (WORD, QUOTED) or name.value not in _FOUND:
        return False
    if _is_signature(tokens, at + 4):
        return False
    before = tokens[at - 1] if at else None
    return before is None or not (
        _is(before, ".") or (before.kind == WORD and before.value in ("function", "procedure", "routine"))
    )


_TYPES = frozenset({"text", "varchar", "integer", "int", "bigint", "boolean", "json", "jsonb"})


def _is_signature(tokens: list[Token], at: int) -> bool:
    """Whether the brackets that open before `at` have parameters, as documentation has: `df.start(fut text, ..)`."""
    words = [token.value for token in tokens[at : at + 2] if token.kind in (WORD, QUOTED)]
    return len(words) == 2 and words[1] in _TYPES


def _call_end(tokens: list[Token], at: int) -> int:
    """The index behind the bracket that closes the one at `at`; the end of the statement if none does."""
    depth = 0
    for place in range(at, len(tokens)):
        token = tokens[place]
        if token.kind == PUNCT:
            # No recursion and no partners: the brackets of the SQL around the call may be wrong, and that is
            # not our matter.
            depth += (token.value in "([") - (token.value in ")]")
            if depth == 0:
                return place + 1
    return len(tokens)


def _bodies(tokens: list[Token], words: list[str]) -> set[int]:
    """Which strings of this statement are code: of DO, of CREATE FUNCTION and PROCEDURE in SQL or PL/pgSQL."""
    # CREATE FUNCTION and CREATE OR REPLACE FUNCTION have their body at the same place, counted from the kind of
    # object.
    if words[1:3] == ["or", "replace"]:
        words = [words[0], *words[3:]]
    # Any string of a DO is its body: DO LANGUAGE plpgsql $$..$$ and DO $$..$$.
    block = words[0] == "do"
    if not block and not (words[0] == "create" and words[1:2] and words[1] in ("function", "procedure")):
        return set()
    found: set[int] = set()
    before: Token | None = None
    for at, token in enumerate(tokens):
        introduced = before.value if before is not None and before.kind == WORD else ""
        # The language may come behind the body, CREATE FUNCTION .. AS $$..$$ LANGUAGE plpython3u, so all
        # strings found so far are dropped.
        if introduced == "language" and token.value.lower() not in _LANGUAGES:
            return set()
        # LANGUAGE 'sql' names a language; AS 'obj_file', 'link_symbol' is refused above, by its language c.
        if token.kind == STRING and introduced != "language" and (block or introduced == "as"):
            found.add(at)
        before = token
    return found
