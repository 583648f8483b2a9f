"""The SQL inside a step, as PostgreSQL's own parser sees it: the one door to postgast (libpg_query).

In: the text of a step, placeholders and all. Out: a Statement, or None where the parser is not installed; then checks
know what the text level knows, and say nothing of the rest. A placeholder is masked by something of the same length
that may replace it, so every position stays true:

    SELECT $order.id, '$x' FROM $b.*, {table}
    SELECT $00000000, '$x' FROM _b__, _table_

What the tree of a statement says is the business of `sqltree`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgweave.compiler.facts import reads
from pgweave.grammar.template import Context, Placeholder, statement_count

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NESTING = 4_000
"""Operators and brackets of one statement. libpg_query writes its tree by recursion and dies on some 12,000 levels with
the usual stack of 8 MB; a statement cannot nest deeper than it has operators."""

# Each level takes an operator and an operand, two characters at least.
_PLAIN = 2 * MAX_NESTING  # characters of a text that cannot hold more levels than that
# What may open a level in libpg_query's tree. More than there are does no harm, fewer would crash the process.
_NESTS = re.compile(
    r"[-+*/<>=~!@#%^&|`?]+|::|[\[(.]|\b(?:union|except|intersect|join|collate|is|at|not|case|isnull|notnull)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""'(?:[^']|'')*+'|"[^"]*+"|\$([A-Za-z_]*)\$.*?\$\1\$""", re.DOTALL)
_NEAR = re.compile(r'at or near "(.*)"\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why PostgreSQL cannot read a statement. offset: in the step's text, whose length stands for its end."""

    message: str
    offset: int


@dataclass(frozen=True)
class Statement:
    """What the parser says about one step.

    tree: of the first statement, a protobuf message called Node; None when there is none, or it cannot be had.
    count: how many statements there are; second: where the second begins. placeholders: those in code. certain: False
    when a `{variable}` is in code, whose value may be anything, a keyword included.
    """

    text: str
    masked: str
    tree: Any
    count: int
    placeholders: tuple[Placeholder, ...]
    problem: Problem | None = None
    certain: bool = True
    second: int = -1

    @cached_property
    def kind(self) -> str:
        """`select_stmt`, `insert_stmt`, .. as libpg_query calls them; empty when it is not known."""
        return (self.tree.WhichOneof("node") or "") if self.tree is not None else ""

    @property
    def body(self) -> Any:  # noqa: ANN401 - a protobuf message, of which there are no types
        """The statement itself."""
        return getattr(self.tree, self.kind) if self.kind else None

    def offset(self, location: int) -> int:
        """Offset in the text of a place that the tree knows, which counts bytes."""
        if self.masked.isascii():
            return location
        # errors: the place may be within a character, if the parser cut the text there.
        return len(self.masked.encode()[:location].decode(errors="ignore"))

    def placeholder_at(self, location: int) -> Placeholder | None:
        """The placeholder whose mask stands at a place of the tree."""
        offset = self.offset(location)
        return next((found for found in self.placeholders if found.span.start == offset), None)


@cache
def parser() -> Any:  # noqa: ANN401 - its stubs cannot be read
    """PostgreSQL's parser, if it can be had: the module postgast."""
    try:
        return import_module("postgast")
    except (ImportError, OSError):  # not installed, or no library of it for this machine
        return None


def available() -> bool:
    """Whether PostgreSQL's parser can be had."""
    return parser() is not None


def examine(text: str) -> Statement | None:
    """Read the SQL of one step. None without a parser."""
    if not available():
        return None
    placeholders = tuple(found for found in reads.placeholders(text) if found.context is Context.CODE)
    certain = not any(found.brace for found in placeholders)
    masked = mask(text, placeholders)
    # Not even tried: the crash of the library would be that of the whole process.
    if nesting(masked) > MAX_NESTING:
        return Statement(text, masked, None, statement_count(text), placeholders, certain=certain)
    parsed, problem = _parse(masked)
    if problem is not None and placeholders:
        # A value is written as a literal, and a few places take nothing else: date $x, interval $x.
        # As a second try only: with literals `$x + 1` would be '..' + 1, whose type is not known.
        literal = mask(text, placeholders, quoted=True)
        again, still = _parse(literal)
        if still is None:
            parsed, problem, masked = again, None, literal
    if problem is not None:
        problem = _in_the_persons_words(problem, text, placeholders)
    tree = parsed.stmts[0].stmt if parsed is not None and parsed.stmts else None
    count = len(parsed.stmts) if parsed is not None else statement_count(text)
    statement = Statement(text, masked, tree, count, placeholders, problem, certain)
    if parsed is not None and count > 1:
        return replace(statement, second=statement.offset(parsed.stmts[1].stmt_location))
    return statement


def mask(text: str, placeholders: Iterable[Placeholder], *, quoted: bool = False) -> str:
    """The text with stand-ins of equal length. quoted: string literals in the place of values."""
    parts: list[str] = []
    at = 0
    for found in placeholders:
        parts += [text[at : found.span.start], _placeholder_value(found, quoted=quoted)]
        at = found.span.end
    return "".join([*parts, text[at:]])


def _placeholder_value(found: Placeholder, *, quoted: bool) -> str:
    size = len(found.span)
    # {table} may stand for anything; an identifier is right as a table, as a column and as a function.
    if found.brace or found.star:  # anything at all, and a table: an identifier may stand for both
        return f"_{found.name}".ljust(size, "_")
    # $0000 is a parameter to the parser, and a value at run time: both are an expression of unknown type.
    return f"'{' ' * (size - 2)}'" if quoted else "$".ljust(size, "0")


def nesting(masked: str) -> int:
    """No fewer levels than the statement's tree can have."""
    if len(masked) <= _PLAIN:
        return len(masked) // 2
    return len(_NESTS.findall(_QUOTED.sub("''", masked)))


def parses(text: str) -> bool:
    """Whether a text without placeholders can be read; False too without a parser."""
    return available() and nesting(text) <= MAX_NESTING and _parse(text)[1] is None


def _parse(masked: str) -> tuple[Any, Problem | None]:
    """The message ParseResult, or why there is none; neither when the library cannot carry the tree."""
    library = parser()
    try:
        return library.parse(masked), None
    except library.PgQueryError as error:
        # Without a place it is no fault of the text: memory, or the depth of the stack.
        position = error.cursorpos
        return None, Problem(str(error.message), position - 1) if position else None
    except Exception:  # protobuf's DecodeError for deep trees, lone surrogates: read, but not understood
        return None, None


def _in_the_persons_words(problem: Problem, text: str, placeholders: Iterable[Placeholder]) -> Problem:
    """Name the placeholder and not its mask."""
    offset = min(problem.offset, len(text))
    at = next((found for found in placeholders if found.span.start <= offset < found.span.end), None)
    if at is None or not _NEAR.search(problem.message):
        return Problem(problem.message, offset)
    written = text[at.span.start : at.span.end]
    return Problem(_NEAR.sub(lambda _: f'at or near "{written}"', problem.message), at.span.start)
