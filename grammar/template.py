"""Placeholders in a step's text: `$name`, `$name.col`, `$name?`, `$name.col?`, `$name.*`, `{name}`, each with its place in SQL.

One lexer for the compiler, which checks names, and the worker, which puts values in their place: both must agree on
what is code and what is a string. The worker imports this, so nothing heavy may be imported here.

    INSERT INTO t VALUES ($x, 'for $y', "$z")  -- $w
                          CODE      STRING IDENTIFIER  COMMENT
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

from pgweave.grammar.reading.strings import (
    CONTINUED,
    ESCAPE_END,
    IN_TAG,
    IN_WORD,
    LETTER,
    PLAIN_END,
    QUOTED_END,
    comment_end,
)
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class Context(Enum):
    """Where in SQL a placeholder stands; it decides how a value is written there."""

    CODE = "code"
    STRING = "string"  # '..'
    ESCAPE_STRING = "escape string"  # E'..': backslashes mean something
    UNICODE_STRING = "unicode string"  # U&'..': backslashes mean something else
    IDENTIFIER = "identifier"  # ".."
    COMMENT = "comment"
    DOLLAR = "dollar"  # $$..$$ that is not the body of a DO block, function or procedure
    RAW = "raw"  # not SQL at all: a URL, a body, an instance id


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One reference. column: of `$name.col`. star: `$name.*`. nullable: written with `?`. brace: `{name}`.

    span: within the text that was scanned. dollar: whether it stands inside a dollar-quoted text, at any depth: a
    value with a dollar sign could end that text.
    """

    name: str
    column: str | None
    star: bool
    nullable: bool
    brace: bool
    span: Span
    context: Context
    dollar: bool = False


_PLACEHOLDER = re.compile(
    r"""\$(?P<name>[A-Za-z_][A-Za-z0-9_]*+)
        (?: (?P<star>\.\*) | (?:\.(?P<column>[A-Za-z_][A-Za-z0-9_]*+))?(?P<nullable>\?)? )
      | \{(?P<brace>[A-Za-z_][A-Za-z0-9_]*+)\}""",
    re.VERBOSE,
)
# What may begin something other than plain code. A word swallows `$` inside of it, as in PostgreSQL: `a$b` is one name.
_EDGE = re.compile(
    rf"""(?P<comment>--[^\n\r]*+) | (?P<block>/\*) | (?P<quote>(?:[eEnNbBxX]|[uU]&)?') | (?P<quoted>(?:[uU]&)?")
    | (?P<word>{LETTER}{IN_WORD}*+) | (?P<number>[0-9][0-9_]*+)
    | (?P<dollar>\$(?:{LETTER}{IN_TAG}*+)?\$)
    | (?P<placeholder>{_PLACEHOLDER.pattern}) | (?P<punct>[();])""",
    re.VERBOSE,
)
# A text in which every placeholder is code, as can be told at a glance: no comment, no quotes but plain ones, and those
# without a placeholder in them. Most steps are such, and the glance takes a tenth of the time. What it does not match
# may be anything.
_PLAIN = re.compile(
    rf"""(?: [^'"${{\-/A-Za-z_\x80-\U0010ffff]++ | -(?!-) | /(?!\*) | '[^'${{]*+'
    | {LETTER}{IN_TAG}*+(?!['"$&])
    | \$[A-Za-z_][A-Za-z0-9_]*+(?:\.\*|(?:\.[A-Za-z_][A-Za-z0-9_]*+)?\??)(?![$\x80-\U0010ffff])
    | \{{[A-Za-z_][A-Za-z0-9_]*+\}} )*+""",
    re.VERBOSE,
)
_BACKSLASH = re.compile(r"\\.", re.DOTALL)
_SQL_LANGUAGES = frozenset({"sql", "plpgsql"})


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of SQL in one context; CODE pieces are single tokens. word: the keyword or punctuation, folded."""

    context: Context
    start: int
    end: int
    word: str = ""
    body: Span | None = None  # of a dollar-quoted string: what stands between its tags


def scan_sql(text: str, *, backslashes: bool = False) -> tuple[Placeholder, ...]:
    """Find every placeholder in a text of SQL, in the order of the text.

    backslashes: whether they are escapes in '..' too, as in a session with standard_conforming_strings = off.
    """
    # The worker scans every text of every step each time it runs; most have neither quotes with placeholders
    # nor comments.
    if not backslashes and _PLAIN.fullmatch(text):
        return tuple(_placeholders(text, Span(0, len(text)), Context.CODE))
    return tuple(_scan(text, Span(0, len(text)), routine_bodies=True, backslashes=backslashes))


def scan_raw(text: str) -> tuple[Placeholder, ...]:
    """Find every placeholder in a text that is not SQL: a URL, a header, a body, an instance id."""
    return tuple(_placeholders(text, Span(0, len(text)), Context.RAW))


def statement_count(text: str, *, backslashes: bool = False) -> int:
    """How many statements psql would send. Semicolons in quotes, comments, parentheses and BEGIN ATOMIC bodies end none.

    SELECT 1; SELECT ';'; -- ;                                     2
    CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)        1
    CREATE FUNCTION f() .. BEGIN ATOMIC SELECT 1; END; SELECT f()  2
    """
    # filled: this statement has something in it; atomic: BEGIN and CASE of a routine's body that still need their END.
    count, filled, depth, atomic = 0, False, 0, 0
    words: list[str] = []
    for piece in _pieces(text, Span(0, len(text)), backslashes=backslashes):
        if piece.context is Context.COMMENT:
            continue
        # count + filled: `;;` and a trailing comment are no statements. filled is a bool, which adds as 0 or 1.
        if piece.word == ";" and depth == 0 and atomic == 0:
            count, filled = count + filled, False
            words = []
            continue
        filled = True
        if piece.context is not Context.CODE:
            continue
        if piece.word in "()":
            # Never below 0: a stray `)` is PostgreSQL's to report, and must not hide the semicolons behind it.
            depth = max(0, depth + (1 if piece.word == "(" else -1 if piece.word == ")" else 0))
        elif piece.word != ";":
            words.append(piece.word)
            if depth == 0 and _makes_routine(words[:4]):
                # BEGIN ATOMIC .. CASE .. END; .. END: the END of a CASE must not close the body.
                if piece.word == "begin" or (piece.word == "case" and atomic):
                    atomic += 1
                elif piece.word == "end" and atomic:
                    atomic -= 1
    return count + filled


def _makes_routine(words: list[str]) -> bool:
    """Whether a statement that begins with these words is CREATE [OR REPLACE] FUNCTION or PROCEDURE."""
    if words[1:3] == ["or", "replace"]:
        words = [words[0], *words[3:]]
    return words[:1] == ["create"] and bool({"function", "procedure"}.intersection(words[1:2]))


def _placeholders(text: str, span: Span, context: Context) -> Iterator[Placeholder]:
    for found in _PLACEHOLDER.finditer(text, span.start, span.end):
        yield _placeholder(found, context)


def _placeholder(found: re.Match[str], context: Context) -> Placeholder:
    name, brace = found["name"], found["brace"]
    return Placeholder(
        name=name if brace is None else brace,
        column=found["column"],
        star=found["star"] is not None,
        nullable=found["nullable"] is not None,
        brace=brace is not None,
        span=Span(found.start(), found.end()),
        context=context,
    )


def _scan(text: str, span: Span, *, routine_bodies: bool, backslashes: bool) -> Iterator[Placeholder]:
    """Placeholders of text[span]. routine_bodies: whether dollar-quoted bodies of DO and CREATE FUNCTION are code."""
    statement: list[_Piece] = []
    for piece in _pieces(text, span, backslashes=backslashes):
        statement.append(piece)
        if piece.word == ";":
            yield from _of_statement(text, statement, routine_bodies=routine_bodies, backslashes=backslashes)
            statement = []
    yield from _of_statement(text, statement, routine_bodies=routine_bodies, backslashes=backslashes)


def _of_statement(text: str, pieces: list[_Piece], *, routine_bodies: bool, backslashes: bool) -> Iterator[Placeholder]:
    bodies_are_code = routine_bodies and _bodies_are_code(text, pieces)
    for piece in pieces:
        # A statement is known to be DO or CREATE FUNCTION only as a whole (LANGUAGE may come last), so its
        # pieces are kept until the semicolon.
        if piece.context is Context.CODE:
            if found := _PLACEHOLDER.match(text, piece.start, piece.end):
                yield _placeholder(found, Context.CODE)
        elif piece.body is None:
            yield from _string_placeholders(text, piece)
        else:
            inside = (
                _scan(text, piece.body, routine_bodies=False, backslashes=backslashes)
                if bodies_are_code
                else _placeholders(text, piece.body, Context.DOLLAR)
            )
            yield from (replace(placeholder, dollar=True) for placeholder in inside)


def _bodies_are_code(text: str, pieces: list[_Piece]) -> bool:
    """Whether this statement is DO or CREATE FUNCTION / PROCEDURE in a language that is SQL."""
    words = [piece.word for piece in pieces if piece.context is Context.CODE and piece.word]
    if words[:1] != ["do"] and not _makes_routine(words[:4]):
        return False
    return all(
        named.word in _SQL_LANGUAGES or text[named.start : named.end].strip("'\"").lower() in _SQL_LANGUAGES
        for piece, named in pairwise(pieces)
        if piece.word == "language" and piece.context is Context.CODE
    )


def _string_placeholders(text: str, piece: _Piece) -> Iterator[Placeholder]:
    r"""Placeholders in quotes or a comment; in E'..' a backslash takes the next character with it.

    E'$a \$b' has one, `$a`: the text between the escapes is scanned piece by piece.
    """
    if piece.context is not Context.ESCAPE_STRING:
        yield from _placeholders(text, Span(piece.start, piece.end), piece.context)
        return
    start = piece.start
    for escape in [*_BACKSLASH.finditer(text, piece.start, piece.end), None]:
        end = piece.end if escape is None else escape.start()
        yield from _placeholders(text, Span(start, end), piece.context)
        start = end if escape is None else escape.end()


def _pieces(text: str, span: Span, *, backslashes: bool = False) -> Iterator[_Piece]:
    """Cut text[span] into what PostgreSQL sees. Never fails: something that is never closed runs to the end."""
    at, size = span.start, span.end
    search = _EDGE.search
    while found := search(text, at, size):
        kind, start, at = found.lastgroup, found.start(), found.end()
        if kind == "word":
            yield _Piece(Context.CODE, start, at, found.group().lower())
        elif kind in ("placeholder", "number"):
            # "?" is no keyword: it only says that the statement has something in it.
            yield _Piece(Context.CODE, start, at, "?")
        elif kind == "punct":
            yield _Piece(Context.CODE, start, at, found.group())
        elif kind == "comment":
            yield _Piece(Context.COMMENT, start, at)
        elif kind == "block":
            at = comment_end(text, start, size) or size
            yield _Piece(Context.COMMENT, start, at)
        elif kind == "quote":
            at = yield from _string(text, start, at, size, backslashes=backslashes)
        elif kind == "quoted":
            at = _end(QUOTED_END, text, at, size)
            yield _Piece(Context.IDENTIFIER, start, at)
        else:
            tag = found.group()
            close = text.find(tag, at, size)
            if close >= 0:
                yield _Piece(Context.DOLLAR, start, close + len(tag), body=Span(at, close))
                at = close + len(tag)
            elif name := _PLACEHOLDER.match(text, start, size):  # never closed: no tag, but two dollars
                at = name.end()
                yield _Piece(Context.CODE, start, at, "?")
            else:
                yield _Piece(Context.DOLLAR, start, size, body=Span(at, size))
                at = size


def _string(text: str, start: int, at: int, size: int, *, backslashes: bool) -> Generator[_Piece, None, int]:
    """Yield the segments of one string; give back where it ends."""
    prefix = text[start : at - 1].lower()
    if backslashes and prefix in ("", "n"):
        # standard_conforming_strings = off: '..' then means what E'..' means; E'..' and U&'..' stay what they
        # are.
        prefix = "e"
    context = {"e": Context.ESCAPE_STRING, "u&": Context.UNICODE_STRING}.get(prefix, Context.STRING)
    pattern = ESCAPE_END if prefix == "e" else PLAIN_END
    while True:
        end = _end(pattern, text, at, size)
        yield _Piece(context, start, end)
        more = CONTINUED.match(text, end, size)
        if more is None:
            return end
        # E'a' <newline> '\$b': the second segment has no prefix but is read as the first.
        start = more.end() - 1
        at = more.end()


def _end(pattern: re.Pattern[str], text: str, at: int, size: int) -> int:
    found = pattern.match(text, at, size)
    return found.end() if found else size
