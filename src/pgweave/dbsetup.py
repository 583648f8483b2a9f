"""What stands around the workflows of an .sql file or of Markdown: the statements that make the tables they use.

A module in, plain statements out, with their places. Statements with variables of psql are left out: their values
are not known here. A program in a .df file has nothing around it; its set-up is a file of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from pgweave.grammar.nodes import Text
from pgweave.grammar.reading.extraction import Form, excerpt, form_of, lex_text
from pgweave.grammar.reading.lexer import PUNCT, VARIABLE
from pgweave.grammar.reading.markdown import SQL_LANGUAGES, blocks
from pgweave.grammar.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgweave.grammar.nodes import Module
    from pgweave.grammar.reading.lexer import Token
    from pgweave.grammar.span import Source


class Around(NamedTuple):
    """One statement that is no workflow."""

    span: Span
    text: str


def around(module: Module) -> Iterator[Around]:
    """Statements outside of any workflow, in the order of the file."""
    starts = sorted(definition.span.start for definition in module.definitions)
    for stretch in _stretches(module.source):
        statement: list[Token] = []
        # None: the end, where a last statement may lack its semicolon.
        for token in [*lex_text(stretch, psql=True).tokens, None]:
            if token is not None and not (token.kind == PUNCT and token.value == ";"):
                statement.append(token)
                continue
            if statement and all(found.kind != VARIABLE for found in statement):
                span = Span(statement[0].start, statement[-1].end)
                # No workflow begins within the statement: SELECT df.start(..) itself is not set-up.
                if bisect_left(starts, span.start) == bisect_left(starts, span.end):
                    yield Around(span, excerpt(stretch, span))
            statement = []


def _stretches(source: Source) -> Iterator[Text]:
    match form_of(source.name):
        case Form.SQL:
            yield Text(source.text, Span(0, len(source.text)), ((0, 0),))
        case Form.MARKDOWN:
            yield from (block.text for block in blocks(source.text) if block.language in SQL_LANGUAGES)
        case Form.PROGRAM:
            return
