"""Colours for Pygments: notebooks, Sphinx, terminals. Found by name, `pgweave` or `df`, once both are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pygments import token
from pygments.lexer import Lexer

from pgweave.grammar.reading.highlight import tokenise

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKENS = {
    "comment": token.Comment,
    "string": token.String,
    "escape": token.String.Escape,
    "keyword": token.Keyword,
    "call": token.Name.Builtin,
    "operator": token.Operator,
    "number": token.Number,
    "placeholder": token.String.Interpol,
    "name": token.Name,
    "punctuation": token.Punctuation,
    "text": token.Text,
}


class PgweaveLexer(Lexer):  # type: ignore[misc]
    """Workflows as `.df` files hold them."""

    name = "pgweave"
    aliases: ClassVar = ["pgweave", "df"]
    filenames: ClassVar = ["*.df"]
    url = ""
    version_added = ""

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, token._TokenType, str]]:
        """Offset, token type and piece of text, as Pygments wants them."""
        for offset, kind, piece in tokenise(text):
            yield offset, _TOKENS[kind], piece
